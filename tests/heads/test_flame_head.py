"""FLAME keeps the contract of heads, agrees with its formulas evaluated independently, and has right gradients."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from head_contract import HeadContract
from synthetic_flame import EYE_CENTRES, INNER_POINTS, OFFSET, PARENTS, synthetic_flame

from synthforge_hf.annotation.annotate import Annotations, annotate
from synthforge_hf.generators.base import GeneratedFace, LabelledMesh
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.heads.flame import FlameHead
from synthforge_hf.heads.flame_model import FlameModel, head_yaw
from synthforge_hf.heads.flame_mouth import boundary_loops
from synthforge_hf.heads.flame_segmentation import FLAME_CLASS_ID, FLAME_CLASSES, to_segmentation_classes
from synthforge_hf.heads.linear_blend_skinning import rotation_matrices
from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.segmentation_classes import CLASS_ID

ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE = range(5)


class TestFlameHead(HeadContract):
    @pytest.fixture
    def head(self, flame_head: FlameHead) -> FlameHead:
        return flame_head


def coefficients(seed: int, scale: float = 1.0) -> HeadCoefficients:
    random = np.random.default_rng(seed)
    return HeadCoefficients(
        (scale * random.normal(0, 1, 300)).astype(np.float32),
        (scale * random.normal(0, 1, 100)).astype(np.float32),
        (scale * random.normal(0, 0.3, (5, 3))).astype(np.float32),
    )


def with_pose(head: FlameHead, joint: int, axis_angle: tuple[float, float, float]) -> np.ndarray:
    values = head.neutral()
    values.pose[joint] = axis_angle
    return head.vertices(values)


def exponential(axis_angle: np.ndarray) -> np.ndarray:
    """Rotation matrix as the power series of the matrix exponential, sharing nothing with the code under test."""
    x, y, z = axis_angle
    generator, term, total = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.eye(3), np.eye(3)
    for power in range(1, 40):
        term = term @ generator / power
        total = total + term
    return total


def reference_vertices(values: HeadCoefficients) -> np.ndarray:
    """FLAME's equations in float64 on the arrays before any file was written, in FLAME's own frame, vertex by joint."""
    model = synthetic_flame().model
    betas = np.concatenate([values.identity, values.expression]).astype(np.float64)
    shaped = model["v_template"] + np.tensordot(model["shapedirs"], betas, 1)
    joints = model["J_regressor"] @ shaped
    rotations = [exponential(axis_angle) for axis_angle in values.pose.astype(np.float64)]
    features = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
    rest = np.concatenate([shaped + np.tensordot(model["posedirs"], features, 1), np.ones((len(shaped), 1))], 1)
    world: list[np.ndarray] = []
    for joint, parent in enumerate(PARENTS):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    posed = np.zeros_like(shaped)
    for joint, matrix in enumerate(world):
        back = np.eye(4)
        back[:3, 3] = -joints[joint]
        posed += model["weights"][:, joint, None] * (rest @ (matrix @ back).T)[:, :3]
    return posed


@pytest.mark.parametrize("seed", range(4))
def test_vertices_agree_with_an_independent_evaluation(flame_head: FlameHead, seed: int) -> None:
    values = coefficients(seed)
    actual = flame_head.vertices(values) + flame_head.origin(values)
    assert np.abs(actual - reference_vertices(values)).max() < 1e-5


def test_double_precision_agrees_to_the_rounding_of_the_stored_numbers(flame_head: FlameHead) -> None:
    values = coefficients(9)
    model = copy.deepcopy(flame_head.model).double()
    rows = [torch.from_numpy(array).double()[None] for array in vars(values).values()]
    vertices, origin = model(*rows), model.origin(rows[0])
    assert np.abs((vertices + origin[:, None])[0].numpy() - reference_vertices(values)).max() < 1e-6


def test_origin_is_between_the_eyes_of_every_identity(flame_head: FlameHead) -> None:
    assert np.allclose(flame_head.origin(flame_head.neutral()), OFFSET, atol=1e-6)
    values = dataclasses.replace(flame_head.neutral(), identity=coefficients(5).identity)
    vertices = flame_head.vertices(values)
    eyes = [vertices[-1182:-591], vertices[-591:]]
    assert np.abs(0.5 * (eyes[0].mean(0) + eyes[1].mean(0))).max() < 1e-6
    # expression and pose leave the origin where the identity has put it
    assert np.array_equal(flame_head.origin(coefficients(5)), flame_head.origin(values))


def test_joints_move_what_they_are_named_after(flame_head: FlameHead) -> None:
    assert flame_head.joint_names == ("root", "neck", "jaw", "left_eye", "right_eye")
    template = flame_head.template
    for joint, side in ((LEFT_EYE, 0), (RIGHT_EYE, 1)):
        moved = with_pose(flame_head, joint, (0, 0.3, 0))
        eye = slice(-1182, -591) if side == 0 else slice(-591, None)
        pupil = -1182 if side == 0 else -591
        assert abs(EYE_CENTRES[side, 0] - template[eye].mean(0)[0]) < 1e-6
        assert moved[pupil, 0] - template[pupil, 0] > 0.002, "the gaze turns to the subject's left"
        correctives = 0.006
        assert np.abs(np.linalg.norm(moved[eye] - EYE_CENTRES[side], axis=1) - 0.012).max() < correctives
    opened = with_pose(flame_head, JAW, (0.3, 0, 0))
    before, after = flame_head.landmarks(template), flame_head.landmarks(opened)
    assert (before[[8, 57, 66]] - after[[8, 57, 66]])[:, 1].min() > 0.005
    assert np.abs(before[27:48] - after[27:48]).max() < 0.006
    nodded = flame_head.landmarks(with_pose(flame_head, NECK, (0.3, 0, 0)))
    assert nodded[30, 1] < before[30, 1] - 0.01


def test_root_turns_everything_about_one_point(flame_head: FlameHead) -> None:
    turned = with_pose(flame_head, ROOT, (0.1, 0.4, -0.2))
    rotation = exponential(np.array([0.1, 0.4, -0.2]))
    shift = turned - flame_head.template @ rotation.T
    assert np.abs(shift - shift[0]).max() < 1e-6


def tiny_model() -> FlameModel:
    """A model of a few vertices, for derivatives of everything by everything."""
    random = np.random.default_rng(0)
    tensors = {
        "faces": np.array([[0, 1, 2], [2, 1, 3]]),
        "template": random.normal(0, 0.1, (7, 3)),
        "directions": random.normal(0, 0.01, (5, 21)),
        "pose_directions": random.normal(0, 0.01, (36, 21)),
        "weights": random.dirichlet(np.ones(5), 7),
        "joint_regressor": random.dirichlet(np.ones(7), 5),
        "landmark_triangles": random.integers(0, 7, (68, 3)),
        "landmark_barycentric": random.dirichlet(np.ones(3), 68),
        "contour_triangles": random.integers(0, 7, (79, 17, 3)),
        "contour_barycentric": random.dirichlet(np.ones(3), (79, 17)),
    }
    return FlameModel(tensors, num_identity=3).double()


@pytest.mark.parametrize("scale", [0.5, 0.0, 1e-5])
def test_gradients(scale: float) -> None:
    """Also at the rest pose, where an axis-angle has no axis."""
    model = tiny_model()
    torch.manual_seed(0)
    inputs = [torch.randn(2, *shape, dtype=torch.float64) * scale for shape in ((3,), (2,), (5, 3))]
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(model, tuple(inputs))
    yaw = torch.tensor([0.3, -0.2], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *values: model.landmarks(model(*values), yaw), tuple(inputs), fast_mode=True)
    assert torch.autograd.gradcheck(model.origin, (inputs[0],))


def test_second_derivatives_of_rotations_exist_at_rest() -> None:
    pose = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(rotation_matrices, (pose,))


def test_rotations_are_rotations_at_every_angle() -> None:
    for angle in (0, 1e-9, 1e-4, 9.99e-4, 1.01e-3, 0.5, np.pi, 7.0):
        axis_angle = angle * np.array([0.36, 0.48, -0.8])
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
            rotation = rotation_matrices(torch.tensor(axis_angle, dtype=dtype)).numpy()
            assert np.abs(rotation - exponential(axis_angle)).max() < tolerance


def test_batches_and_short_coefficients(flame_head: FlameHead) -> None:
    """The sampling of the paper: 100 identity and 50 expression coefficients; the rest is 0."""
    torch.manual_seed(1)
    identity, expression, pose = torch.randn(3, 100), torch.randn(3, 50), 0.2 * torch.randn(3, 5, 3)
    batch = flame_head.model(identity, expression, pose)
    for row in range(3):
        values = HeadCoefficients(
            np.pad(identity[row].numpy(), (0, 200)), np.pad(expression[row].numpy(), (0, 50)), pose[row].numpy()
        )
        assert np.abs(batch[row].numpy() - flame_head.vertices(values)).max() < 1e-6


def test_static_landmarks_are_where_they_were_put(flame_head: FlameHead) -> None:
    points = flame_head.landmarks(flame_head.template)
    assert np.abs(points[17:, :2] - INNER_POINTS).max() < 1e-6


def seen_from(vertices: np.ndarray, yaw: float) -> np.ndarray:
    """(N, 2) of points as seen, without perspective, when the head is turned by yaw towards its left."""
    return (vertices @ exponential(np.array([0, yaw, 0])).T)[:, :2]


@pytest.mark.parametrize("degrees", [-39, -25, 0, 25, 39])
def test_contour_lies_on_the_silhouette(flame_head: FlameHead, degrees: int) -> None:
    """The synthetic head's contours were made for its silhouettes, so both outer ends are on the outline."""
    yaw = np.radians(degrees)
    jaw = seen_from(flame_head.landmarks(flame_head.template, yaw)[:17], yaw)
    skin = seen_from(flame_head.template[:-1182], yaw)
    far = jaw[0] if degrees < 0 else jaw[16]
    level = skin[np.abs(skin[:, 1] - far[1]) < 0.004, 0]
    outline = level.min() if degrees < 0 else level.max()
    frontal = seen_from(flame_head.landmarks(flame_head.template)[:17], yaw)[0 if degrees < 0 else 16]
    assert abs(far[0] - outline) < 0.003
    assert degrees == 0 or abs(far[0] - outline) < abs(frontal[0] - outline)


def test_contour_follows_yaw_and_stops_where_flame_stops(flame_head: FlameHead) -> None:
    by_degrees = {
        degrees: flame_head.landmarks(flame_head.template, np.radians(degrees)) for degrees in (-80, -39, 0, 1, 39, 80)
    }
    assert np.array_equal(by_degrees[-80], by_degrees[-39]) and np.array_equal(by_degrees[80], by_degrees[39])
    assert not np.array_equal(by_degrees[0], by_degrees[1])
    assert np.array_equal(by_degrees[39][17:], by_degrees[0][17:])
    mirrored = by_degrees[-39][16::-1] * (-1, 1, 1)
    assert np.abs(by_degrees[39][:17] - mirrored).max() < 2e-4


def test_yaw_of_a_pose() -> None:
    pose = torch.zeros(2, 5, 3)
    pose[0, ROOT, 1], pose[0, NECK, 1] = 0.3, 0.2
    pose[1, NECK] = torch.tensor([0.4, 0.0, 0.0])
    assert torch.allclose(head_yaw(pose), torch.tensor([0.5, 0.0]), atol=1e-6)


def labelled(head: FlameHead, values: HeadCoefficients, yaw: float = 0.0, size: int = 160) -> Annotations:
    vertices = head.vertices(values)
    surface = head.labelled_surface(vertices)
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = np.diag([1, -1, -1]) @ exponential(np.array([0, yaw, 0]))
    world_to_camera[:3, 3] = (0, -0.03, 0.6)
    intrinsics = np.array([[1.6 * size, 0, size / 2], [0, 1.6 * size, size / 2], [0, 0, 1]])
    face = GeneratedFace(
        image=np.zeros((size, size, 3), dtype=np.uint8),
        camera=PinholeCamera(intrinsics, world_to_camera, size, size),
        mesh=LabelledMesh(
            surface.vertices,
            surface.faces,
            vertex_normals(surface.vertices, surface.faces),
            surface.triangle_classes,
            surface.corner_uv,
            surface.label_texture,
        ),
        head_vertices=vertices,
        landmark_model=head.landmark_model,
        head_name=head.name,
        head_version=head.version,
        coefficients=values,
        identity_id=0,
        attributes={},
    )
    return annotate(face)


def test_annotation_places_the_parts(flame_head: FlameHead) -> None:
    annotations = labelled(flame_head, flame_head.neutral())
    present = {FLAME_CLASSES[number] for number in np.unique(annotations.segmentation[annotations.depth > 0])}
    assert present >= {"face", "forehead", "scalp", "neck", "nose", "upper_lip", "lower_lip", "left_brow", "right_brow"}
    assert present >= {"left_eyeball", "right_eyeball", "left_eye_region", "right_eye_region"}
    assert "background" not in present
    columns = {name: np.nonzero(annotations.segmentation == FLAME_CLASS_ID[name])[1].mean() for name in present}
    for part in ("brow", "eyeball", "eye_region"):
        assert columns[f"left_{part}"] > 80 > columns[f"right_{part}"], "the subject's left is on the image's right"
    rows = {name: np.nonzero(annotations.segmentation == FLAME_CLASS_ID[name])[0].mean() for name in present}
    assert rows["forehead"] < rows["left_brow"] < rows["left_eyeball"] < rows["upper_lip"] < rows["lower_lip"]


def test_landmarks_lie_on_the_parts_that_they_mark(flame_head: FlameHead) -> None:
    annotations = labelled(flame_head, flame_head.neutral(), size=320)

    def part(landmark: int, down: int = 0) -> str:
        column, row = annotations.landmarks_2d[landmark].astype(int)
        return FLAME_CLASSES[annotations.segmentation[row + down, column]]

    assert [part(landmark) for landmark in (18, 19, 20, 23, 24, 25)] == ["right_brow"] * 3 + ["left_brow"] * 3
    assert part(30) == "nose"
    assert [part(landmark, 2) for landmark in (50, 51, 52)] == ["upper_lip"] * 3
    assert [part(landmark, -2) for landmark in (56, 57, 58)] == ["lower_lip"] * 3
    assert part(57, 3) == part(51, -3) == "face"


def test_jaw_follows_the_visible_contour_through_the_shared_annotation(flame_head: FlameHead) -> None:
    """``annotation.landmarks`` picks from FLAME's own contours and beats the frontal jaw on the far side."""
    for yaw in (np.radians(-30), np.radians(30)):
        annotations = labelled(flame_head, flame_head.neutral(), yaw, size=320)
        end = 1 if yaw < 0 else 15
        jaw = annotations.landmarks_2d[end]
        columns = np.nonzero(annotations.depth[int(jaw[1])] > 0)[0]
        outline = columns.min() if yaw < 0 else columns.max() + 1
        assert abs(jaw[0] - outline) < 3


def test_an_open_mouth_shows_its_inside_and_not_the_back_of_the_head(flame_head: FlameHead) -> None:
    values = flame_head.neutral()
    values.pose[JAW, 0] = 0.35
    annotations = labelled(flame_head, values, size=320)
    points = annotations.landmarks_2d
    column, row = points[[62, 66]].mean(0).astype(int)
    assert points[66, 1] - points[62, 1] > 6
    assert annotations.segmentation[row, column] == FLAME_CLASS_ID["inner_mouth"]
    surface = flame_head.labelled_surface(flame_head.template)
    assert len(boundary_loops(flame_head.faces)) == 2 and len(boundary_loops(surface.faces)) == 1
    edges = np.sort(surface.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 2


def test_classes_of_the_data_sets(flame_head: FlameHead) -> None:
    numbers = to_segmentation_classes(np.arange(256, dtype=np.uint8))
    assert set(numbers[20:]) == {255}
    for flame, name in {"right_eyeball": "r_eye", "left_brow": "l_brow", "lower_lip": "l_lip", "face": "skin"}.items():
        assert numbers[FLAME_CLASS_ID[flame]] == CLASS_ID[name]
    assert numbers[FLAME_CLASS_ID["background"]] == 0
    surface = flame_head.labelled_surface(flame_head.template)
    assert to_segmentation_classes(surface.label_texture).max() < len(CLASS_ID)
