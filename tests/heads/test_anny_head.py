"""The embedded head keeps the contract, and what is particular to it."""

import time

import numpy as np
import pytest
from head_contract import HeadContract

from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS, surface_points
from synthforge_hf.heads.anny import ASSET, PHENOTYPES, AnnyHead, load_anny_head, rotation_matrix
from synthforge_hf.heads.base import HeadCoefficients


class TestAnnyHead(HeadContract):
    @pytest.fixture
    def head(self) -> AnnyHead:
        return load_anny_head()


def with_phenotype(head: AnnyHead, **values: float) -> np.ndarray:
    coefficients = head.neutral()
    for name, value in values.items():
        coefficients.identity[PHENOTYPES.index(name)] = value
    return head.vertices(coefficients)


def test_asset_is_small_and_loads_fast() -> None:
    assert ASSET.stat().st_size < 12e6
    best = min(_seconds(AnnyHead) for _ in range(3))
    assert best < 0.3


def _seconds(action: type) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def test_all_that_was_asked_for_is_on_board() -> None:
    head = load_anny_head()
    assert len(head.expression_names) == 52
    assert set(head.joint_names) == {"neck", "head", "jaw", "left_eye", "right_eye"}
    assert {"mouth_cavity", "upper_teeth", "lower_teeth", "tongue", "eyelashes", "left_ear"} <= set(head.part_names)
    folders = {name.split("/")[0] for name in head.identity_names[len(PHENOTYPES) :]}
    assert {"head", "forehead", "eyebrows", "eyes", "nose", "mouth", "ears", "chin", "cheek", "neck", "asym"} <= folders
    lowest = head.template[:, 1].min()
    assert lowest < -0.35, "the chest must reach below any frame"


def test_phenotypes_do_what_their_names_say() -> None:
    head = load_anny_head()
    height = lambda vertices: np.ptp(vertices[head.landmark_model.triangles[[8, 27], 0], 1])  # noqa: E731
    depth = lambda vertices: np.ptp(vertices[head.template[:, 1] < -0.25, 2])  # noqa: E731
    assert height(with_phenotype(head, age=0.1)) < height(with_phenotype(head, age=0.5))
    assert depth(with_phenotype(head, weight=0.0)) < depth(with_phenotype(head, weight=1.0))
    assert np.abs(with_phenotype(head, gender=0.0) - with_phenotype(head, gender=1.0)).max() > 0.003


def test_jaw_action_opens_the_mouth_and_keeps_the_skull() -> None:
    head = load_anny_head()
    coefficients = head.neutral()
    coefficients.expression[head.expression_names.index("jawOpen")] = 1
    model = head.landmark_model
    before = surface_points(head.template, model.triangles, model.barycentric)
    after = surface_points(head.vertices(coefficients), model.triangles, model.barycentric)
    assert (before[66] - after[66])[1] > 0.02
    assert np.abs(before[27:31] - after[27:31]).max() < 2e-3
    teeth = np.unique(head.faces[head.parts == head.part_names.index("lower_teeth")])
    assert (head.template[teeth] - head.vertices(coefficients)[teeth])[:, 1].min() > 0.005


def test_neck_turns_the_head_rigidly() -> None:
    head = load_anny_head()
    coefficients = head.neutral()
    coefficients.pose[head.joint_names.index("neck")] = (0, 0.3, 0)
    moved = head.vertices(coefficients)
    scalp = np.unique(head.hair_triangles[:20])
    centred = [points[scalp] - points[scalp].mean(0) for points in (head.template, moved)]
    rotation = rotation_matrix(np.array([0, 0.3, 0]))
    assert np.abs(centred[1] - centred[0] @ rotation.T).max() < 1e-4
    # The torso stays where it is.
    chest = head.template[:, 1] < -0.3
    assert np.abs(moved[chest] - head.template[chest]).max() < 2e-3


def test_mirrored_coefficients_give_the_mirrored_face() -> None:
    head = load_anny_head()
    random = np.random.default_rng(5)
    neutral = head.neutral()
    identity = neutral.identity + random.normal(0, 0.2, neutral.identity.shape).astype(np.float32)
    expression = random.uniform(0, 0.4, neutral.expression.shape).astype(np.float32)
    pose = random.normal(0, 0.1, neutral.pose.shape).astype(np.float32)
    model = head.landmark_model

    def points(identity: np.ndarray, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
        vertices = head.vertices(HeadCoefficients(identity, expression, pose))
        return surface_points(vertices, model.triangles, model.barycentric)

    original = points(identity, expression, pose)
    flipped_pose = pose[[0, 1, 2, 4, 3]] * np.array([1, -1, -1], dtype=np.float32)
    mirrored = points(mirror_identity(head, identity), mirror_expression(head, expression), flipped_pose)
    expected = (original * (-1, 1, 1))[MIRRORED_LANDMARKS]
    assert np.abs(mirrored - expected).max() < 1.5e-3


def mirror_expression(head: AnnyHead, expression: np.ndarray) -> np.ndarray:
    def other(name: str) -> str:
        for side, opposite in (("Left", "Right"), ("Right", "Left")):
            if name.endswith(side):
                return name.removesuffix(side) + opposite
        return name

    return expression[[head.expression_names.index(other(name)) for name in head.expression_names]]


def mirror_identity(head: AnnyHead, identity: np.ndarray) -> np.ndarray:
    names = head.identity_names
    result = identity.copy()
    for number, name in enumerate(names):
        folder, _, feature = name.partition("/")
        if feature.startswith(("l-", "r-")):
            opposite = f"{folder}/{'r' if feature[0] == 'l' else 'l'}{feature[1:]}"
            result[number] = identity[names.index(opposite)]
        elif folder == "asym":
            opposite = name[:-1] + ("r" if name.endswith("-l") else "l")
            result[number] = identity[names.index(opposite)]
        elif feature.endswith("trans-in-out") and folder in ("head", "nose", "mouth", "neck"):
            result[number] = -identity[number]
    return result


def test_actions_move_every_identity_alike() -> None:
    head, random = load_anny_head(), np.random.default_rng(0)
    still = head.neutral()
    actions = random.uniform(0, 1, len(head.expression_names)).astype(np.float32)
    moved = head.expression_displacement(actions)
    assert moved.shape == head.template.shape and moved.dtype == np.float32
    for age in (0.1, 0.9):
        still.identity[PHENOTYPES.index("age")] = age
        difference = head.vertices(HeadCoefficients(still.identity, actions, still.pose)) - head.vertices(still)
        np.testing.assert_allclose(moved, difference, atol=1e-6)
    # They add up.
    alone = [head.expression_displacement(np.where(np.arange(52) % 2 == odd, actions, 0)) for odd in (0, 1)]
    np.testing.assert_allclose(alone[0] + alone[1], moved, atol=1e-6)
