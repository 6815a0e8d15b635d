"""The FLAME files that users have, read as their authors publish them, without running what is in them.

Needed are the model, the landmark embedding, the vertex masks and the texture coordinates; they come from different
places, under different terms (``KINDS``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.heads.flame_model import CONTOUR_YAW_DEG, PARENTS
from synthforge_hf.unpickling import PLAIN_GLOBALS, TENSOR_GLOBALS, InertObject, load_restricted, load_restricted_npy

NUM_IDENTITY, NUM_EXPRESSION, NUM_CORRECTIVES = 300, 100, 36
NUM_INNER, NUM_JAW = 51, 17

WEBSITE = "https://flame.is.tue.mpg.de"
CONTOUR_ROWS = 2 * CONTOUR_YAW_DEG + 1


@dataclass(frozen=True)
class Kind:
    """One kind of file: what it is, the names it goes by (in any case), where to get it and its terms."""

    title: str
    names: tuple[str, ...]
    where: str
    terms: str


KINDS: dict[str, Kind] = {
    "model": Kind(
        "the FLAME model",
        ("flame2023_Open.pkl", "flame2023.pkl", "flame2023_no_jaw.pkl", "generic_model.pkl", "FLAME_NEUTRAL.pkl"),
        f"{WEBSITE} after registration",
        "FLAME 2023 Open (flame2023_Open.pkl) is CC-BY-4.0; the others are for non-commercial research only",
    ),
    "landmarks": Kind(
        "the landmark embedding",
        ("landmark_embedding.npy", "flame_static_embedding.pkl"),
        "the data folder of the DECA repository, or flame_model of the RingNet repository",
        "the terms of that repository",
    ),
    "masks": Kind(
        "the vertex masks",
        ("FLAME_masks.pkl",),
        f"{WEBSITE} after registration (FLAME Vertex Masks)",
        "the terms stated there",
    ),
    "uv": Kind(
        "the texture coordinates",
        ("head_template.obj", "head_template_mesh.obj", "FLAME_texture.npz"),
        f"the data folder of the DECA repository, or {WEBSITE} after registration (FLAME texture space)",
        "the terms stated there",
    ),
}
DYNAMIC_EMBEDDING = "flame_dynamic_embedding.npy"
"""Goes with flame_static_embedding.pkl; landmark_embedding.npy holds both."""


def find_files(folder: Path) -> dict[str, Path]:
    """Return kind -> file, looked for by name at any depth of a folder, in the order of ``Kind.names``.

    Raises UsageError when there is no such folder or it holds several models, SynthForgeError when a kind is missing,
    with its names, where to get it and its terms.
    """
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}: put the FLAME files there as their authors publish them")
    by_name: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            by_name.setdefault(path.name.lower(), []).append(path)
    found: dict[str, Path] = {}
    for key, kind in KINDS.items():
        candidates = [path for name in kind.names for path in by_name.get(name.lower(), [])]
        if not candidates:
            raise SynthForgeError(
                f"{folder} lacks {kind.title}: {' or '.join(kind.names)}; get it from {kind.where} ({kind.terms})"
            )
        if key == "model" and len(candidates) > 1:
            listing = ", ".join(str(path.relative_to(folder)) for path in candidates)
            raise UsageError(f"{folder} holds several FLAME models: {listing}; leave the one that you mean")
        found[key] = candidates[0]
    if found["landmarks"].suffix == ".pkl":
        if DYNAMIC_EMBEDDING not in by_name:
            kind = KINDS["landmarks"]
            raise SynthForgeError(
                f"{folder} lacks {DYNAMIC_EMBEDDING} beside {kind.names[1]}; get it from {kind.where}"
            )
        found["dynamic_landmarks"] = by_name[DYNAMIC_EMBEDDING][0]
    return found


def read_model(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a FLAME pickle, float64 (faces int32), in FLAME's own frame, metres.

    faces (F, 3), template (V, 3), directions (400, V * 3), pose_directions (36, V * 3), weights (V, 5) and
    joint_regressor (5, V). Raises SynthForgeError when the file is none of FLAME's.
    """
    content = _dictionary(path, load_restricted(path, inert=_is_array_class))
    template = _array(path, content, "v_template", ("V", 3))
    count = len(template)
    faces = _indices(path, "f", _array(path, content, "f", ("F", 3)), count)
    directions = _array(path, content, "shapedirs", (count, 3, NUM_IDENTITY + NUM_EXPRESSION))
    correctives = _array(path, content, "posedirs", (count, 3, NUM_CORRECTIVES))
    parents = _array(path, content, "kintree_table", (2, len(PARENTS)))[0].astype(np.int64)
    if tuple(parents[1:]) != PARENTS[1:]:
        raise SynthForgeError(f"{path} is no FLAME model: its joints have parents {parents.tolist()}")
    weights = _array(path, content, "weights", (count, len(PARENTS)))
    if np.abs(weights.sum(1) - 1).max() > 1e-3:
        raise SynthForgeError(f"{path} is no FLAME model: its skinning weights do not sum to 1")
    return {
        "faces": faces,
        "template": template,
        "directions": np.ascontiguousarray(np.moveaxis(directions, 2, 0)).reshape(directions.shape[2], -1),
        "pose_directions": np.ascontiguousarray(np.moveaxis(correctives, 2, 0)).reshape(NUM_CORRECTIVES, -1),
        "weights": weights,
        "joint_regressor": _array(path, content, "J_regressor", (len(PARENTS), count)),
    }


def read_landmarks(files: Mapping[str, Path], model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return landmark_triangles (68, 3) and contour_triangles (79, 17, 3), vertex indices, int32, with their weights.

    The 79 rows go from a head turned 39 degrees to its own right to one turned 39 degrees to its left. Published
    readers of these files disagree about that sign, so it is taken from the surface: on the side that a head turns to,
    the visible contour lies further forward.
    """
    path, faces = files["landmarks"], model["faces"]
    if "dynamic_landmarks" in files:
        fixed = _dictionary(path, load_restricted(path))
        turning_path = files["dynamic_landmarks"]
        turning = _dictionary(turning_path, load_restricted_npy(turning_path))
        names = [(path, fixed, "lmk_face_idx", "lmk_b_coords"), (turning_path, turning, "lmk_face_idx", "lmk_b_coords")]
        content: dict[str, Any] = {}
    else:
        content = _dictionary(path, load_restricted_npy(path, {**PLAIN_GLOBALS, **TENSOR_GLOBALS}))
        names = [(path, content, f"{kind}_lmk_faces_idx", f"{kind}_lmk_bary_coords") for kind in ("static", "dynamic")]
    inner = _embedding(*names[0], (NUM_INNER,), faces)
    contour = _embedding(*names[1], (CONTOUR_ROWS, NUM_JAW), faces)
    if "full_lmk_faces_idx" in content:
        whole = _embedding(path, content, "full_lmk_faces_idx", "full_lmk_bary_coords", (1, NUM_JAW + NUM_INNER), faces)
        frontal = (whole[0][0, :NUM_JAW], whole[1][0, :NUM_JAW])
    else:
        frontal = (contour[0][0], contour[1][0])

    one_way, other_way = np.arange(1, CONTOUR_YAW_DEG + 1), np.arange(CONTOUR_YAW_DEG + 1, CONTOUR_ROWS)
    forward = np.einsum("rlka,rlk->rla", model["template"][contour[0]], contour[1])[..., 2]
    right_before_left = forward[:, :8].mean(1) - forward[:, 9:].mean(1)
    if right_before_left[one_way].mean() < right_before_left[other_way].mean():
        one_way, other_way = other_way, one_way
    order = np.concatenate([one_way[::-1], [0], other_way])
    return {
        "landmark_triangles": np.concatenate([frontal[0], inner[0]]),
        "landmark_barycentric": np.concatenate([frontal[1], inner[1]]),
        "contour_triangles": contour[0][order],
        "contour_barycentric": contour[1][order],
    }


def read_masks(path: Path, count: int) -> dict[str, np.ndarray]:
    """Return part -> (V,) bool, whether a vertex belongs to it. Parts overlap."""
    masks = {}
    for name, value in _dictionary(path, load_restricted(path)).items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray | list):
            raise SynthForgeError(f"{path} holds something else than vertex masks; get it again")
        if isinstance(value, list) and not all(isinstance(item, int | np.integer) for item in value):
            raise SynthForgeError(f"{path}: '{name}' is no list of vertices; get it again")
        members = np.zeros(count, dtype=bool)
        members[_indices(path, name, np.asarray(value).reshape(-1), count)] = True
        masks[name] = members
    return masks


def read_texture_coordinates(path: Path, faces: np.ndarray) -> np.ndarray:
    """Return (F, 3, 2) float64 u, v (v up, as in OBJ files) of the corners of faces (F, 3)."""
    if path.suffix.lower() == ".npz":
        try:
            with np.load(path, allow_pickle=False) as content:
                points, corners = content["vt"], content["ft"]
        except Exception as error:  # zip, header or key: the remedy is the same
            raise SynthForgeError(f"cannot read vt and ft of {path}: it is damaged or no FLAME texture") from error
        corners = _indices(path, "ft", corners, len(points))
        if corners.shape != faces.shape:
            raise SynthForgeError(
                f"{path} has texture coordinates for {len(corners)} faces, the model has {len(faces)}"
            )
        return points.astype(np.float64)[corners]
    points, mesh_faces, corners = _read_obj(path)
    places = {tuple(sorted(face)): place for place, face in enumerate(mesh_faces.tolist())}
    result = np.empty((len(faces), 3, 2))
    for number, face in enumerate(faces.tolist()):
        place = places.get(tuple(sorted(face)))
        if place is None:
            raise SynthForgeError(f"{path} is another mesh than the model's: it lacks the triangle {face}")
        order = mesh_faces[place].tolist()
        result[number] = points[corners[place, [order.index(vertex) for vertex in face]]]
    return result


def _read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ((T, 2) texture coordinates, (F, 3) vertex indices, (F, 3) indices of texture coordinates)."""
    points, faces, corners = [], [], []
    try:
        for line in path.read_text(encoding="latin1").splitlines():
            word, *values = line.split() or [""]
            if word == "vt":
                points.append([float(value) for value in values[:2]])
            elif word == "f":
                pairs = [value.split("/")[:2] for value in values]
                faces.append([int(vertex) - 1 for vertex, _ in pairs])
                corners.append([int(point) - 1 for _, point in pairs])
        arrays = np.array(points, dtype=np.float64), np.array(faces), np.array(corners)
    except (OSError, ValueError) as error:
        raise SynthForgeError(f"cannot read {path}: no OBJ file of triangles with texture coordinates") from error
    if arrays[0].ndim != 2 or arrays[1].ndim != 2 or arrays[1].shape[1] != 3:
        raise SynthForgeError(f"{path} is no OBJ file of triangles with texture coordinates")
    return arrays[0], arrays[1], _indices(path, "vt", arrays[2], len(arrays[0]))


def _is_array_class(name: str) -> bool:
    return name.startswith(("chumpy.", "scipy.sparse."))


def _dictionary(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise SynthForgeError(f"{path} holds a {type(content).__name__} where FLAME's file holds a dictionary")
    return content


def _array(path: Path, content: Mapping[str, Any], name: str, shape: tuple[int | str, ...]) -> np.ndarray:
    """Return an entry as float64, its shape checked; letters in ``shape`` stand for any number."""
    if name not in content:
        raise SynthForgeError(f"{path} has no '{name}': it is another file than its name says; get it again")
    try:
        array = _numbers(_evaluated(content[name], shape), shape)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise SynthForgeError(
            f"{path}: '{name}' cannot be read ({' '.join(str(error).split())}); get it again"
        ) from error
    fits = array.ndim == len(shape) and all(
        isinstance(wanted, str) or wanted == actual for wanted, actual in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        wanted = " x ".join(map(str, shape))
        raise SynthForgeError(f"{path}: '{name}' has shape {array.shape}, FLAME's is {wanted} finite numbers")
    return array


def _numbers(value: Any, shape: tuple[int | str, ...]) -> np.ndarray:
    """Return an array, or lists as long as the shape says, as float64. What a crafted file repeats is not unfolded."""
    if isinstance(value, np.ndarray) and value.dtype.hasobject and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, list | tuple):
        if not shape or len(value) != shape[0]:
            raise ValueError(f"it has {len(value)} items")
        rows = [_numbers(item, shape[1:]) for item in value]
        if any(row.shape != shape[1:] for row in rows):
            raise ValueError("its rows have other lengths")
        return np.array(rows)
    if not isinstance(value, np.ndarray | np.number | int | float):
        raise ValueError(f"it is a {type(value).__name__}")
    return np.asarray(value, dtype=np.float64)


def _evaluated(value: Any, shape: tuple[int | str, ...]) -> Any:
    """Return the numbers of a chumpy array or a sparse matrix; of anything else, itself."""
    if not isinstance(value, InertObject):
        return value
    module, _, name = value.qualified_name.rpartition(".")
    state = value.state
    if module.startswith("chumpy") and name == "Ch":
        return _evaluated(state["x"], shape)
    if module.startswith("chumpy") and name == "Select":
        chosen = _plain_array(_evaluated(state["a"], shape)).ravel()[_plain_array(state["idxs"])]
        return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen
    if module.startswith("scipy.sparse") and name.startswith(("csc", "csr")):
        return _dense(state, shape, by_column=name.startswith("csc"))
    raise ValueError(f"it is a {value.qualified_name}, which only its own library can evaluate")


def _plain_array(value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
        raise ValueError(f"it holds a {type(value).__name__} where numbers belong")
    return value


def _dense(state: Mapping[str, Any], shape: tuple[int | str, ...], by_column: bool) -> np.ndarray:
    stored = tuple(int(size) for size in state.get("_shape", state.get("shape")))
    if stored != shape:
        raise ValueError(f"a sparse matrix of shape {stored}")
    starts, others, data = (_plain_array(state[key]) for key in ("indptr", "indices", "data"))
    if (np.diff(starts) < 0).any() or not len(data) == len(others) == starts[-1] - starts[0]:
        raise ValueError("a sparse matrix that does not add up")
    lines = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    dense = np.zeros(stored)
    np.add.at(dense, (others, lines) if by_column else (lines, others), data)
    return dense


def _embedding(
    path: Path, content: Mapping[str, Any], triangle: str, weights: str, shape: tuple[int, ...], faces: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    numbers = _indices(path, triangle, _array(path, content, triangle, shape), len(faces))
    return faces[numbers], _array(path, content, weights, (*shape, 3))


def _indices(path: Path, name: str, values: np.ndarray, count: int) -> np.ndarray:
    indices = np.asarray(values)
    if indices.size and (indices.dtype.kind not in "iuf" or indices.min() < 0 or indices.max() >= count):
        raise SynthForgeError(f"{path}: '{name}' points to what is not there; get it again")
    return indices.astype(np.int32)
