"""Labels of faces whose geometry is known in closed form: a ball for a head, plates for what hides it."""

from dataclasses import fields, replace

import numpy as np
import pytest
from analytic_meshes import pixel_rays, rectangle, sphere, sphere_depth

from synthforge_hf.annotation.annotate import Annotations, annotate
from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS
from synthforge_hf.generators.base import LOOK_UP_CLASS, GeneratedFace, LabelledMesh
from synthforge_hf.heads.base import HeadCoefficients, LandmarkModel
from synthforge_hf.rendering.camera import PinholeCamera, orbit_camera, project
from synthforge_hf.segmentation_classes import CLASS_ID

RADIUS = 0.1
RINGS = 120
INNER = slice(17, 68)
SEEDS = range(8)
SKIN, HAIR, CLOTH = CLASS_ID["skin"], CLASS_ID["hair"], CLASS_ID["cloth"]


def ball_landmarks(vertices: np.ndarray, faces: np.ndarray, random: np.random.Generator) -> LandmarkModel:
    """Put inner points on triangles of the front, the jaw on 17 arcs from right ear under the chin to left ear."""
    centres = vertices[faces].mean(axis=1) / RADIUS
    directions = random.normal([0, 0, 1], [0.4, 0.4, 0.02], (51, 3))
    # The bridge of the nose gives the direction upwards.
    directions[27 - 17] = [0, 0.3, 1]
    inner = (centres @ (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T).argmax(axis=0)
    angle = np.linspace(np.pi, 2 * np.pi, 17)
    depths = np.linspace(0.75, -0.5, 26)
    lines = np.stack(
        [
            np.sqrt(1 - depths**2) * np.cos(angle)[:, None],
            np.sqrt(1 - depths**2) * np.sin(angle)[:, None],
            np.broadcast_to(depths, (17, 26)),
        ],
        axis=-1,
    )
    candidates = np.einsum("fa,lka->flk", centres, lines).argmax(axis=0)
    nearest_frontal = candidates[:, np.abs(depths).argmin()]
    barycentric = random.dirichlet([1, 1, 1], 68).astype(np.float32)
    return LandmarkModel(
        triangles=faces[np.concatenate([nearest_frontal, inner])],
        barycentric=barycentric,
        contour_triangles=faces[candidates],
        contour_barycentric=np.full((17, 26, 3), 1 / 3, dtype=np.float32),
    )


def ball(seed: int = 0, camera: PinholeCamera | None = None, resolution: int = 256) -> GeneratedFace:
    """Make a ball with skin on its right half and a texture of stripes on its left half, seen by a random camera."""
    random = np.random.default_rng(seed)
    vertices, faces = sphere(RINGS, RADIUS)
    centres = vertices[faces].mean(axis=1)
    corners = vertices[faces] / RADIUS
    texture = np.zeros((64, 32), dtype=np.uint8)
    texture[:] = np.arange(64)[:, None] // 8 + 1
    mesh = LabelledMesh(
        vertices=vertices,
        faces=faces,
        vertex_normals=vertices / RADIUS,
        triangle_classes=np.where(centres[:, 0] < 0, SKIN, LOOK_UP_CLASS).astype(np.uint8),
        corner_uv=np.ascontiguousarray(corners[..., :2] * [0.5, -0.5] + 0.5, dtype=np.float32),
        label_texture=texture,
    )
    if camera is None:
        camera = orbit_camera(
            azimuth=random.uniform(-0.6, 0.6),
            elevation=random.uniform(-0.4, 0.4),
            roll=random.uniform(-0.3, 0.3),
            distance=random.uniform(0.8, 2.0),
            field_of_view=np.radians(random.uniform(12, 27)),
            resolution=resolution,
            target=tuple(random.uniform(-0.02, 0.02, 3)),
        )
    return GeneratedFace(
        image=np.zeros((camera.height, camera.width, 3), dtype=np.uint8),
        camera=camera,
        mesh=mesh,
        head_vertices=vertices,
        landmark_model=ball_landmarks(vertices, faces, random),
        head_name="ball",
        head_version="1",
        coefficients=HeadCoefficients(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros((0, 3), np.float32)),
        identity_id=0,
        attributes={},
    )


def with_plate(face: GeneratedFace, x0: float, y0: float, x1: float, y1: float, z: float) -> GeneratedFace:
    """Add a plate of hair, parallel to the face, in world coordinates."""
    vertices, faces = rectangle(x0, y0, x1, y1, z)
    mesh = face.mesh
    joined = LabelledMesh(
        vertices=np.concatenate([mesh.vertices, vertices]),
        faces=np.concatenate([mesh.faces, faces + np.int32(len(mesh.vertices))]),
        vertex_normals=np.concatenate([mesh.vertex_normals, np.tile(np.float32([0, 0, 1]), (4, 1))]),
        triangle_classes=np.concatenate([mesh.triangle_classes, np.full(2, HAIR, np.uint8)]),
        corner_uv=np.concatenate([mesh.corner_uv, np.zeros((2, 3, 2), np.float32)]),
        label_texture=mesh.label_texture,
    )
    return replace(face, mesh=joined)


def frontal(resolution: int = 256, azimuth: float = 0.0) -> PinholeCamera:
    return orbit_camera(azimuth, 0.0, 0.0, 1.0, np.radians(20), resolution)


def ball_in_camera(face: GeneratedFace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rays (H, W, 3), the centre in the camera frame, and where rays meet the ball (H, W, 3), NaN if not."""
    camera = face.camera
    rays = pixel_rays(camera.intrinsics, camera.height, camera.width)
    centre = camera.to_camera(np.zeros(3))
    depth = sphere_depth(rays, RADIUS, centre)
    return rays, centre, np.where(depth > 0, depth, np.nan)[..., None] * rays


@pytest.mark.parametrize("seed", SEEDS)
def test_depth_normals_and_classes_of_a_ball(seed: int) -> None:
    face = ball(seed)
    labels = annotate(face)
    rays, centre, hits = ball_in_camera(face)
    normals = (hits - centre) / RADIUS
    facing = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    covered = labels.depth > 0
    assert covered.sum() > 2000
    assert (covered != ~np.isnan(facing)).sum() < 0.02 * covered.sum()
    clear = facing > 0.3
    np.testing.assert_allclose(labels.depth[clear], hits[clear][:, 2], atol=2e-4)
    assert angles(labels.normals[clear], normals[clear]).max() < 1.0

    to_world = face.camera.world_to_camera[:3, :3].T
    world = (hits - centre) @ to_world.T / RADIUS
    stripe = (np.float64(0.5) - 0.5 * world[..., 1]) * 8
    # Half a triangle off the borders between classes, whose place the triangles' edges decide.
    certain = clear & (np.abs(world[..., 0]) > 0.05) & (np.abs(stripe - np.rint(stripe)) > 0.02)
    expected = np.where(world[..., 0] < 0, SKIN, np.floor(np.nan_to_num(stripe)) + 1)
    assert certain.sum() > 0.5 * clear.sum()
    np.testing.assert_array_equal(labels.segmentation[certain], expected[certain])


@pytest.mark.parametrize("seed", SEEDS)
def test_normals_are_unit_vectors_facing_the_camera_and_agree_with_the_depth_gradient(seed: int) -> None:
    face = with_plate(ball(seed), 0.0, 0.0, 0.12, 0.12, -0.02)
    labels = annotate(face)
    rays = pixel_rays(face.camera.intrinsics, face.camera.height, face.camera.width)
    covered = labels.depth > 0
    assert (labels.normals[~covered] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(labels.normals[covered], axis=-1), 1, atol=1e-5)
    assert (labels.normals * rays).sum(-1)[covered].max() < 1e-5

    points = labels.depth[..., None] * rays
    slope = np.cross(points[2:, 1:-1] - points[:-2, 1:-1], points[1:-1, 2:] - points[1:-1, :-2])
    window = np.lib.stride_tricks.sliding_window_view(labels.depth, (3, 3)).reshape(*slope.shape[:2], 9)
    normals = labels.normals[1:-1, 1:-1]
    facing = -(normals * rays[1:-1, 1:-1]).sum(-1)
    smooth = (window > 0).all(-1) & (window.max(-1) - window.min(-1) < 0.004) & (facing > 0.3)
    assert smooth.sum() > 2000
    # The mesh is faceted by 3 degrees and its normals are not.
    assert angles(normals[smooth], slope[smooth]).max() < 4.0


def test_surfaces_seen_from_behind_turn_their_normals_round() -> None:
    face = ball(camera=frontal())
    turned = annotate(replace(face, mesh=replace(face.mesh, faces=face.mesh.faces[:, ::-1].copy())))
    inside_out = annotate(
        replace(
            face,
            mesh=replace(face.mesh, faces=face.mesh.faces[:, ::-1].copy(), vertex_normals=-face.mesh.vertex_normals),
        )
    )
    labels = annotate(face)
    np.testing.assert_allclose(inside_out.normals, labels.normals, atol=1e-5)
    # Vertex normals that contradict the winding are believed to belong to it.
    assert (turned.normals[labels.depth > 0][:, 2] > -1e-5).mean() > 0.9


def test_vertex_normals_that_cancel_out_give_the_triangles_own() -> None:
    face = ball(camera=frontal())
    labels = annotate(replace(face, mesh=replace(face.mesh, vertex_normals=np.zeros_like(face.mesh.vertex_normals))))
    rays, centre, hits = ball_in_camera(face)
    expected = (hits - centre) / RADIUS
    clear = -(expected * rays).sum(-1) > 0.3
    assert angles(labels.normals[clear], expected[clear]).max() < 3.0


@pytest.mark.parametrize("seed", SEEDS)
def test_visible_inner_landmarks_lie_on_the_rendered_surface(seed: int) -> None:
    face = with_plate(ball(seed, resolution=128), 0.0, -0.1, 0.1, 0.1, 0.11)
    labels = annotate(face)
    assert_visible_means_on_the_surface(labels)
    visible = labels.landmarks_visible[INNER]
    assert visible.any()
    assert not visible.all()
    reprojected = project(labels.landmarks_3d.astype(np.float64), labels.intrinsics.astype(np.float64))
    np.testing.assert_allclose(labels.landmarks_2d, reprojected, atol=0.01)


def test_what_hides_landmarks_and_what_does_not() -> None:
    face = ball(camera=frontal())
    everything = annotate(face).landmarks_visible
    assert everything.all()
    assert not annotate(with_plate(face, -0.2, -0.2, 0.2, 0.2, 0.2)).landmarks_visible.any()
    behind = annotate(with_plate(face, -0.3, -0.3, 0.3, 0.3, -0.2))
    assert behind.landmarks_visible.all()
    assert (behind.depth > 0).all()
    hair = annotate(with_plate(face, -0.2, 0.0, 0.2, 0.2, 0.15))
    assert hair.segmentation[40, 128] == HAIR
    above = hair.landmarks_3d[INNER, 1] < -0.01
    below = hair.landmarks_3d[INNER, 1] > 0.01
    assert not hair.landmarks_visible[INNER][above].any()
    assert hair.landmarks_visible[INNER][below].all()


def test_landmarks_outside_the_image_are_not_visible() -> None:
    camera = frontal()
    shifted = camera.intrinsics.copy()
    shifted[0, 2] -= 128
    labels = annotate(ball(camera=replace(camera, intrinsics=shifted)))
    outside = labels.landmarks_2d[:, 0] < 0
    assert 0 < outside.sum() < 68
    assert not labels.landmarks_visible[outside].any()
    assert labels.landmarks_visible[~outside].all()


@pytest.mark.parametrize("seed", SEEDS)
def test_mirrored_face_gives_mirrored_labels(seed: int) -> None:
    face = with_plate(ball(seed), -0.08, 0.02, 0.05, 0.12, 0.11)
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror = np.float32([-1, 1, 1])
    model = face.landmark_model
    mirrored_face = replace(
        face,
        camera=replace(face.camera, world_to_camera=flip @ face.camera.world_to_camera @ flip),
        mesh=replace(
            face.mesh,
            vertices=face.mesh.vertices * mirror,
            vertex_normals=face.mesh.vertex_normals * mirror,
            faces=face.mesh.faces[:, ::-1].copy(),
            corner_uv=face.mesh.corner_uv[:, ::-1].copy(),
        ),
        head_vertices=face.head_vertices * mirror,
        landmark_model=LandmarkModel(
            model.triangles[MIRRORED_LANDMARKS],
            model.barycentric[MIRRORED_LANDMARKS],
            model.contour_triangles[::-1],
            model.contour_barycentric[::-1],
        ),
    )
    labels, mirrored = annotate(face), annotate(mirrored_face)
    # Of a silhouette that passes through a pixel's centre within 1/1000 pixel, either side may win.
    same = (labels.depth[:, ::-1] > 0) == (mirrored.depth > 0)
    assert same.mean() > 0.9999
    np.testing.assert_allclose(np.where(same, mirrored.depth, 0), np.where(same, labels.depth[:, ::-1], 0), atol=1e-4)
    assert (mirrored.segmentation == labels.segmentation[:, ::-1]).mean() > 0.9995
    assert np.quantile(np.abs(mirrored.normals - labels.normals[:, ::-1] * mirror), 0.9999) < 1e-3
    width = face.camera.width
    np.testing.assert_allclose(
        mirrored.landmarks_2d[MIRRORED_LANDMARKS], [width, 0] + labels.landmarks_2d * [-1, 1], atol=0.01
    )
    np.testing.assert_allclose(mirrored.landmarks_3d[MIRRORED_LANDMARKS], labels.landmarks_3d * mirror, atol=1e-5)
    np.testing.assert_array_equal(mirrored.landmarks_visible[MIRRORED_LANDMARKS], labels.landmarks_visible)


def test_shapes_types_and_repeatability() -> None:
    face = ball(3, resolution=96)
    labels, again = annotate(face), annotate(face)
    expected = {
        "depth": ((96, 96), np.float32),
        "normals": ((96, 96, 3), np.float32),
        "segmentation": ((96, 96), np.uint8),
        "landmarks_2d": ((68, 2), np.float32),
        "landmarks_3d": ((68, 3), np.float32),
        "landmarks_visible": ((68,), np.bool_),
        "intrinsics": ((3, 3), np.float32),
        "world_to_camera": ((4, 4), np.float32),
    }
    assert [field.name for field in fields(Annotations)] == list(expected)
    for name, (shape, dtype) in expected.items():
        value = getattr(labels, name)
        assert value.shape == shape, name
        assert value.dtype == dtype, name
        assert value.tobytes() == getattr(again, name).tobytes(), name


def test_face_outside_the_view_has_no_labels_but_its_landmarks() -> None:
    camera = frontal(64)
    away = camera.world_to_camera.copy()
    away[0, 3] += 5
    labels = annotate(ball(camera=replace(camera, world_to_camera=away)))
    assert not labels.depth.any()
    assert not labels.normals.any()
    assert not labels.segmentation.any()
    assert not labels.landmarks_visible.any()
    assert np.isfinite(labels.landmarks_2d).all()


def test_read_only_meshes_and_wide_images() -> None:
    square = ball(camera=frontal(64))
    intrinsics = square.camera.intrinsics.copy()
    intrinsics[0, 2] = 80.0
    camera = replace(square.camera, intrinsics=intrinsics, width=160)
    for field in fields(square.mesh):
        value = getattr(square.mesh, field.name)
        if isinstance(value, np.ndarray):
            value.setflags(write=False)
    wide = annotate(replace(square, camera=camera))
    assert wide.depth.shape == (64, 160)
    np.testing.assert_array_equal(wide.depth[:, 48:112], annotate(square).depth)


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles between vectors (N, 3), degrees."""
    cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def assert_visible_means_on_the_surface(labels: Annotations) -> None:
    """Check, without the code under test, that depth at visible inner landmarks is their z within 3 mm, only there."""
    height, width = labels.depth.shape
    for (x, y), (_, _, z), visible in zip(
        labels.landmarks_2d[INNER], labels.landmarks_3d[INNER], labels.landmarks_visible[INNER], strict=True
    ):
        inside = 0 <= x < width and 0 <= y < height
        assert visible == (inside and abs(labels.depth[int(y), int(x)] - z) <= 3e-3)
