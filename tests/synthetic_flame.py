"""A head that has FLAME's shapes and none of its data, written in the very files in which users have FLAME.

5,023 vertices, 9,976 triangles, 5 joints, 300 + 100 + 36 displacement directions, 68 landmarks with 79 contours; an
ellipsoid with a nose, a mouth slit, a neck and two eyeballs. Directions and texture are made up.
"""

import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

COLUMNS, ROWS = 48, 80
EYE_COLUMNS, EYE_ROWS = 31, 19
SLIT_ROW, SLIT_COLUMNS = 54, range(21, 27)
NECK_ROW = 66
OFFSET = np.array([0.001, 0.03, 0.02])
"""Where the middle between the eyes lies in the files' own frame: FLAME's origin is not ours."""
EYE_CENTRES = np.array([[0.032, 0, 0], [-0.032, 0, 0]])
PARENTS = (-1, 0, 1, 1, 1)


class Ch:
    """Written as ``chumpy.ch.Ch``: what shapedirs is in FLAME's files."""

    def __init__(self, x: Any) -> None:
        self.x, self._dirty_vars, self._itr, self._status = x, set(), None, "new"


class Select:
    """Written as ``chumpy.reordering.Select``: a part of a chumpy array."""

    def __init__(self, a: Any, idxs: np.ndarray, preferred_shape: tuple[int, ...]) -> None:
        self.a, self.idxs, self.preferred_shape = a, idxs, preferred_shape


class csc_matrix:
    """Written as ``scipy.sparse.csc.csc_matrix``: what the joint regressor is."""

    def __init__(self, dense: np.ndarray) -> None:
        columns, rows = np.nonzero(dense.T)
        self._shape, self.maxprint = dense.shape, 50
        self.indptr = np.searchsorted(columns, np.arange(dense.shape[1] + 1)).astype(np.int32)
        self.indices, self.data = rows.astype(np.int32), dense[rows, columns]


FOREIGN_NAMES = {
    b"Ch": b"chumpy.ch",
    b"Select": b"chumpy.reordering",
    b"csc_matrix": b"scipy.sparse.csc",
}


def foreign_pickle(content: Any, protocol: int = 2) -> bytes:
    """Pickle with the classes above under the names of the libraries that real files name. Protocols 0 to 3."""
    data = pickle.dumps(content, protocol)
    for name, module in FOREIGN_NAMES.items():
        data = data.replace(b"c%s\n%s\n" % (__name__.encode(), name), b"c%s\n%s\n" % (module, name))
    return data


@dataclass(frozen=True)
class SyntheticFlame:
    """Arrays as in FLAME's files (float64), and where each triangle and landmark came from.

    uv, uv_faces: texture coordinates, v up. static, dynamic, full: (triangle numbers, weights).
    """

    model: dict[str, Any]
    uv: np.ndarray
    uv_faces: np.ndarray
    static: tuple[np.ndarray, np.ndarray]
    dynamic: tuple[np.ndarray, np.ndarray]
    masks: dict[str, np.ndarray]


@cache
def synthetic_flame() -> SyntheticFlame:
    """Build it once per process. Do not write to its arrays."""
    skin, faces, uv, uv_faces, quads = _skin()
    eye, eye_faces, eye_uv, eye_uv_faces = _eyeball()
    vertices, all_faces, all_uv, all_uv_faces = [skin], [faces], [uv], [uv_faces]
    for number, centre in enumerate(EYE_CENTRES):
        all_faces.append(eye_faces + sum(map(len, vertices)))
        all_uv_faces.append(eye_uv_faces + sum(map(len, all_uv)))
        vertices.append(0.012 * eye + centre)
        all_uv.append(eye_uv * 0.1 + (0.02 + 0.12 * number, 0.02))
    points, triangles = np.concatenate(vertices), np.concatenate(all_faces)
    eyes = [np.arange(len(skin) + side * len(eye), len(skin) + (side + 1) * len(eye)) for side in (0, 1)]
    random = np.random.default_rng(0)
    model = {
        "v_template": points + OFFSET,
        "f": triangles.astype(np.uint32),
        "shapedirs": _waves(random, points, 400, 0.0008),
        "posedirs": _waves(random, points, 36, 0.002),
        "weights": _skinning_weights(points, eyes),
        "J_regressor": _joint_regressor(len(points), eyes),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(5)], dtype=np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    static = _frontal_landmarks(points, triangles)
    return SyntheticFlame(
        model, np.concatenate(all_uv), np.concatenate(all_uv_faces), static, _contours(quads), _masks(points, eyes)
    )


def write_flame_files(folder: Path, layout: str = "landmark_embedding") -> Path:
    """Write the files into a folder. layout: "landmark_embedding" (one .npy of tensors and arrays, an OBJ template) or
    "static_dynamic" (a Python 2 style pickle and a .npy, the texture space's .npz)."""
    flame = synthetic_flame()
    folder.mkdir(parents=True, exist_ok=True)
    model = dict(flame.model)
    model["shapedirs"], model["J_regressor"] = Ch(model["shapedirs"]), csc_matrix(model["J_regressor"])
    if layout == "static_dynamic":
        model["posedirs"] = Select(Ch(model["posedirs"]), np.arange(model["posedirs"].size), model["posedirs"].shape)
    name = "flame2023_Open.pkl" if layout == "landmark_embedding" else "generic_model.pkl"
    (folder / name).write_bytes(foreign_pickle(model, 3))
    (folder / "masks").mkdir(exist_ok=True)
    protocol = 2 if layout == "landmark_embedding" else 0
    (folder / "masks" / "FLAME_masks.pkl").write_bytes(pickle.dumps(flame.masks, protocol))
    if layout == "landmark_embedding":
        full = [
            np.concatenate([moving[0], fixed])[None] for moving, fixed in zip(flame.dynamic, flame.static, strict=True)
        ]
        embedding = {
            "static_lmk_faces_idx": flame.static[0],
            "static_lmk_bary_coords": flame.static[1],
            "dynamic_lmk_faces_idx": torch.from_numpy(flame.dynamic[0]),
            "dynamic_lmk_bary_coords": torch.from_numpy(flame.dynamic[1]),
            "full_lmk_faces_idx": full[0],
            "full_lmk_bary_coords": full[1],
        }
        np.save(folder / "landmark_embedding.npy", embedding, allow_pickle=True)  # type: ignore[arg-type]
        _write_obj(folder / "head_template.obj", flame)
    else:
        static = {"lmk_face_idx": flame.static[0], "lmk_b_coords": flame.static[1]}
        (folder / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static, 0))
        # the other sense of turning, as half of the published readers expect it
        order = np.concatenate([[0], np.arange(40, 79), np.arange(1, 40)])
        dynamic = {"lmk_face_idx": list(flame.dynamic[0][order]), "lmk_b_coords": list(flame.dynamic[1][order])}
        np.save(folder / "flame_dynamic_embedding.npy", dynamic, allow_pickle=True)  # type: ignore[arg-type]
        np.savez(folder / "FLAME_texture.npz", vt=flame.uv, ft=flame.uv_faces, mean=np.zeros((8, 8, 3)))
    return folder


def _write_obj(path: Path, flame: SyntheticFlame) -> None:
    """Corners of each triangle turned by one, the triangles in reverse order: readers must not rely on either."""
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in flame.model["v_template"]]
    lines += [f"vt {u:.6f} {v:.6f}" for u, v in flame.uv]
    for face, corners in zip(flame.model["f"][::-1], flame.uv_faces[::-1], strict=True):
        lines.append("f " + " ".join(f"{face[k] + 1}/{corners[k] + 1}" for k in (1, 2, 0)))
    path.write_text("\n".join(lines) + "\n")


def _skin() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices, faces, texture coordinates, their faces, and the (ROWS, COLUMNS, 2) triangles of the quads.

    A pole at the crown, then rings downwards; columns from the back over the subject's right, the face in the middle.
    """
    rows, columns = (grid.ravel() for grid in np.mgrid[1 : ROWS + 1, 0:COLUMNS])
    vertices = np.concatenate([_surface(np.zeros(1), np.zeros(1)), _surface(rows, columns)])
    rows, columns = (grid.ravel() for grid in np.mgrid[1 : ROWS + 1, 0 : COLUMNS + 1])
    uv = np.stack([0.02 + 0.96 * columns / COLUMNS, 0.98 - 0.8 * rows / ROWS], 1)
    uv = np.concatenate([[[0.5, 0.98]], uv])
    faces, uv_faces, quads = [], [], np.full((ROWS, COLUMNS, 2), -1)
    for row in range(ROWS):
        for column in range(COLUMNS):
            if row == SLIT_ROW and column in SLIT_COLUMNS:
                continue
            halves = (((0, 0), (1, 0), (1, 1)), ((0, 0), (1, 1), (0, 1)))
            for half, corners in enumerate(halves[:1] if row == 0 else halves):
                quads[row, column, half] = len(faces)
                places = [(row + down, column + right) for down, right in corners]
                faces.append([1 + (r - 1) * COLUMNS + c % COLUMNS if r else 0 for r, c in places])
                uv_faces.append([1 + (r - 1) * (COLUMNS + 1) + c if r else 0 for r, c in places])
    return vertices, np.array(faces), uv, np.array(uv_faces), quads


def _surface(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Grid coordinates, also between whole numbers -> (N, 3) points of the skin; the origin between the eyes."""
    polar = np.minimum(rows, NECK_ROW) * 2.75 / NECK_ROW
    width = np.where(polar < np.pi / 2, np.sin(polar), np.sqrt(np.sin(polar)))
    width = width - 0.005 * np.maximum(rows - NECK_ROW, 0)
    azimuth = 2 * np.pi * (columns / COLUMNS - 0.5)
    x, z = 0.075 * width * np.sin(azimuth), -0.08 + 0.095 * width * np.cos(azimuth)
    y = 0.01 + 0.12 * np.cos(polar) - 0.007 * np.maximum(rows - NECK_ROW, 0)
    nose = 0.022 * np.exp(-((x / 0.012) ** 2) - ((y + 0.032) / 0.018) ** 2) * (np.cos(azimuth) > 0)
    return np.stack([x, y, z + nose], 1)


def _eyeball() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A unit sphere with its poles in front and behind, and texture coordinates in the unit square."""
    rows, columns = (grid.ravel() for grid in np.mgrid[1 : EYE_ROWS + 1, 0:EYE_COLUMNS])
    polar, azimuth = np.pi * rows / (EYE_ROWS + 1), 2 * np.pi * columns / EYE_COLUMNS
    ring = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], 1)
    rows, columns = (grid.ravel() for grid in np.mgrid[1 : EYE_ROWS + 1, 0 : EYE_COLUMNS + 1])
    uv = np.stack([columns / EYE_COLUMNS, 1 - rows / (EYE_ROWS + 1)], 1)
    faces, uv_faces = [], []
    for row in range(EYE_ROWS + 1):
        for column in range(EYE_COLUMNS):
            for corners in (((0, 0), (1, 0), (1, 1)), ((0, 0), (1, 1), (0, 1))):
                places = [(row + down, column + right) for down, right in corners]
                if len({(r, c if 0 < r <= EYE_ROWS else 0) for r, c in places}) < 3:
                    continue  # two corners on one pole
                inside = [0 < r <= EYE_ROWS for r, _ in places]
                faces.append(
                    [
                        1 + (r - 1) * EYE_COLUMNS + c % EYE_COLUMNS if ring_ else (0 if r == 0 else len(ring) + 1)
                        for (r, c), ring_ in zip(places, inside, strict=True)
                    ]
                )
                uv_faces.append(
                    [
                        1 + (r - 1) * (EYE_COLUMNS + 1) + c if ring_ else (0 if r == 0 else len(uv) + 1)
                        for (r, c), ring_ in zip(places, inside, strict=True)
                    ]
                )
    poles = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    vertices = np.concatenate([poles[:1], ring, poles[1:]])
    return vertices, np.array(faces), np.concatenate([[[0.5, 1]], uv, [[0.5, 0]]]), np.array(uv_faces)


def _waves(random: np.random.Generator, points: np.ndarray, count: int, amplitude: float) -> np.ndarray:
    """(V, 3, count) smooth displacements."""
    waves = np.sin(points @ random.normal(0, 25, (3, count)) + random.uniform(0, 2 * np.pi, count))
    return amplitude * waves[:, None] * random.normal(0, 1, (3, count))


def _skinning_weights(points: np.ndarray, eyes: list[np.ndarray]) -> np.ndarray:
    x, y, z = points.T
    head = np.clip((y + 0.19) / 0.07, 0, 1)
    jaw = np.clip((-0.05 - y) / 0.03, 0, 1) * np.clip((z + 0.06) / 0.05, 0, 1)
    weights = np.stack([1 - head, head * (1 - jaw), head * jaw, 0 * x, 0 * x], 1)
    for joint, eye in enumerate(eyes, start=3):
        weights[eye] = np.eye(5)[joint]
    return weights


def _joint_regressor(count: int, eyes: list[np.ndarray]) -> np.ndarray:
    """Root, neck and jaw are centres of rings, the eyes' joints are the eyeballs' centres."""
    regressor = np.zeros((5, count))
    for joint, row in enumerate((ROWS, 72, 48)):
        regressor[joint, 1 + (row - 1) * COLUMNS + np.arange(COLUMNS)] = 1 / COLUMNS
    for joint, eye in enumerate(eyes, start=3):
        regressor[joint, eye] = 1 / len(eye)
    return regressor


RIGHT_BROW = [(-0.055, 0.018), (-0.047, 0.024), (-0.038, 0.026), (-0.028, 0.025), (-0.018, 0.022)]
NOSE = [(0, 0.003), (0, -0.01), (0, -0.022), (0, -0.034)]
NOSTRILS = [(-0.012, -0.045), (-0.006, -0.046), (0, -0.047), (0.006, -0.046), (0.012, -0.045)]
RIGHT_EYE = [(-0.046, 0), (-0.038, 0.005), (-0.026, 0.005), (-0.018, -0.001), (-0.026, -0.004), (-0.038, -0.004)]
LEFT_EYE = [(0.018, -0.001), (0.026, 0.005), (0.038, 0.005), (0.046, 0), (0.038, -0.004), (0.026, -0.004)]
UPPER_LIP = [(-0.029, -0.067), (-0.018, -0.06), (-0.007, -0.057), (0, -0.058)]
LOWER_LIP = [(0.018, -0.075), (0.008, -0.079), (0, -0.08), (-0.008, -0.079), (-0.018, -0.075)]
INNER_LIPS = [(-0.0265, -0.067), (-0.01, -0.0648), (0, -0.0646), (0.01, -0.0648)]
INNER_LIPS += [(0.0265, -0.067), (0.01, -0.0697), (0, -0.0699), (-0.01, -0.0697)]


def _mirrored(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(-x, y) for x, y in reversed(points)]


INNER_POINTS = np.array(
    RIGHT_BROW + _mirrored(RIGHT_BROW) + NOSE + NOSTRILS + RIGHT_EYE + LEFT_EYE + UPPER_LIP + _mirrored(UPPER_LIP[:3])
    + LOWER_LIP + INNER_LIPS
)  # fmt: skip
"""(51, 2) x, y of landmarks 17 to 67 as seen from the front."""


def _frontal_landmarks(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (triangle, weights) of the skin that is seen at ``INNER_POINTS`` from the front."""
    first, second, third = (points[faces[:, corner]] for corner in range(3))
    normals = np.cross(second - first, third - first)
    front = np.flatnonzero((normals[:, 2] > 0) & (faces.max(1) <= ROWS * COLUMNS))
    triangles, weights = [], []
    for x, y in INNER_POINTS:
        a, b, c = (corner[front, :2] - (x, y) for corner in (first, second, third))
        areas = np.stack([b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0], c[:, 0] * a[:, 1] - c[:, 1] * a[:, 0]], 1)
        areas = np.concatenate([areas, (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])[:, None]], 1)
        shares = areas / areas.sum(1, keepdims=True)
        hits = np.flatnonzero(shares.min(1) >= -1e-9)
        hit = hits[np.argmax(first[front[hits], 2])]
        triangles.append(front[hit])
        weights.append(np.clip(shares[hit], 0, 1))
    return np.array(triangles), np.array(weights)


def _contours(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ((79, 17) triangles, (79, 17, 3) weights): 0 to 39 degrees to the right, then 1 to 39 to the left."""
    side = (np.arange(17) - 8) / 8
    yaw = np.concatenate([-np.arange(40), np.arange(1, 40)])[:, None]
    degrees = side * 80 - yaw * np.abs(side)
    columns = COLUMNS * (degrees / 360 + 0.5)
    rows = np.broadcast_to(40 + 25 * np.cos(np.pi / 2 * side) + 1e-3, columns.shape)
    row, column = rows.astype(int), columns.astype(int)
    down, right = rows - row, columns - column
    lower = down >= right
    weights = np.where(
        lower[..., None],
        np.stack([1 - down, down - right, right], -1),
        np.stack([1 - right, down, right - down], -1),
    )
    return quads[row, column, np.where(lower, 0, 1)], weights


def _masks(points: np.ndarray, eyes: list[np.ndarray]) -> dict[str, np.ndarray]:
    x, y, z = points.T
    skin = np.ones(len(points), dtype=bool)
    skin[np.concatenate(eyes)] = False
    front = skin & (z > -0.05)
    eye_region = front & (np.abs(y - 0.005) < 0.026)
    neck = skin & (y < -0.105)
    face = front & (y < 0.08) & ~neck
    ears = skin & (np.abs(y) < 0.03) & (np.abs(z + 0.085) < 0.02)
    masks = {
        "face": face,
        "forehead": front & (y > 0.025) & (y < 0.08),
        "eye_region": eye_region,
        "right_eye_region": eye_region & (x < -0.012),
        "left_eye_region": eye_region & (x > 0.012),
        "nose": front & (np.abs(x) < 0.016) & (y > -0.05) & (y < 0.0),
        "lips": front & (np.abs(x) < 0.03) & (np.abs(y + 0.067) < 0.012),
        "neck": neck,
        "boundary": skin & (y < -0.195),
        "scalp": skin & ~face & ~neck,
        "right_ear": ears & (x < -0.06),
        "left_ear": ears & (x > 0.06),
    }
    numbers = {name: np.flatnonzero(members) for name, members in masks.items()}
    return numbers | {"left_eyeball": eyes[0], "right_eyeball": eyes[1]}
