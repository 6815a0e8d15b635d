"""``synthforge convert flame``: a user's licensed FLAME files -> one safetensors file and one JSON file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from synthforge_hf.converted_folder import check_output, file_sha256, filling
from synthforge_hf.errors import UsageError
from synthforge_hf.heads.flame_model import EYES
from synthforge_hf.heads.flame_segmentation import FLAME_CLASSES, LOOK_UP, FlameSegmentation, segment
from synthforge_hf.heads.flame_sources import (
    KINDS,
    NUM_EXPRESSION,
    NUM_IDENTITY,
    WEBSITE,
    find_files,
    read_landmarks,
    read_masks,
    read_model,
    read_texture_coordinates,
)
from synthforge_hf.image_limits import open_limited

WEIGHTS_NAME, METADATA_NAME = "flame.safetensors", "flame.json"
FORMAT = 1

OPEN_LICENSE = "CC-BY-4.0"
RESEARCH_LICENSE = f"FLAME model license (non-commercial research only), {WEBSITE}/modellicense.html"
CITATION = (
    "Tianye Li, Timo Bolkart, Michael J. Black, Hao Li, Javier Romero: Learning a model of facial shape and expression "
    "from 4D scans, ACM Transactions on Graphics (SIGGRAPH Asia) 2017"
)
_EDITIONS = {"flame2023_open.pkl": "2023-open", "flame2023.pkl": "2023", "flame2023_no_jaw.pkl": "2023-no-jaw"}


@dataclass(frozen=True)
class ConvertedFlame:
    """folder: what ``FlameHead.load`` takes. edition: "2023-open", "2023", "2023-no-jaw", or "generic" (2017 to 2020).
    license: of the model. files: kind -> the file it was read from. num_vertices, num_faces: of the mesh."""

    folder: str
    edition: str
    license: str
    files: dict[str, str]
    num_vertices: int
    num_faces: int


def convert_flame(folder: Path, out: Path, segmentation: Path | None = None) -> ConvertedFlame:
    """Convert the FLAME files found in a folder; nothing in them is run.

    out: a new or empty folder, or an earlier conversion, which is replaced. segmentation: a painted texture, square
    8-bit image of ids of ``FLAME_CLASSES``, used instead of the one that follows from masks and landmarks.

    Raises UsageError for a wrong folder, SynthForgeError when a file is missing, damaged, hostile or of another model,
    or OUT cannot be written.
    """
    check_output(out, {WEIGHTS_NAME, METADATA_NAME})
    files = find_files(folder)
    model = read_model(files["model"])
    landmarks = read_landmarks(files, model)
    corner_uv = read_texture_coordinates(files["uv"], model["faces"])
    if segmentation is None:
        points = np.einsum(
            "lka,lk->la", model["template"][landmarks["landmark_triangles"]], landmarks["landmark_barycentric"]
        )
        masks = read_masks(files["masks"], len(model["template"]))
        painted = segment(model["template"], model["faces"], corner_uv, masks, points)
    else:
        painted = _read_painted(segmentation, len(model["faces"]))
        files = {**files, "segmentation": segmentation}

    tensors = {
        **{name: _stored(array) for name, array in (model | landmarks).items()},
        "corner_uv": _stored(corner_uv),
        "triangle_classes": painted.triangle_classes,
        "label_texture": painted.label_texture,
    }
    metadata = _metadata(files, model)
    with filling(out, METADATA_NAME) as folder:
        save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "synthforge-flame"})
        (folder / METADATA_NAME).write_text(json.dumps(metadata, indent=2) + "\n")
    return ConvertedFlame(
        folder=str(out),
        edition=metadata["edition"],
        license=metadata["license"],
        files={kind: str(path) for kind, path in files.items()},
        num_vertices=len(model["template"]),
        num_faces=len(model["faces"]),
    )


def _stored(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32 if array.dtype.kind == "f" else np.int32)


def _read_painted(path: Path, num_faces: int) -> FlameSegmentation:
    try:
        with open_limited(path, f"the segmentation texture {path}") as image:
            texture = np.asarray(image)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the segmentation texture {path}: {error}") from error
    if texture.ndim != 2 or texture.dtype != np.uint8 or texture.shape[0] != texture.shape[1]:
        raise UsageError(f"the segmentation texture {path} must be a square 8-bit image with one channel of class ids")
    if texture.max() >= len(FLAME_CLASSES):
        raise UsageError(
            f"the segmentation texture {path} has class {texture.max()}; they go to {len(FLAME_CLASSES) - 1}"
        )
    return FlameSegmentation(np.full(num_faces, LOOK_UP, dtype=np.uint8), texture)


def _metadata(files: dict[str, Path], model: dict[str, np.ndarray]) -> dict[str, Any]:
    edition = _EDITIONS.get(files["model"].name.lower(), "generic")
    digests = {kind: file_sha256(path) for kind, path in files.items()}
    eyes = (model["joint_regressor"] @ model["template"])[list(EYES)]
    eye_names = ("left_eye", "right_eye") if eyes[0, 0] > eyes[1, 0] else ("right_eye", "left_eye")
    return {
        "format": FORMAT,
        "model": "flame",
        "edition": edition,
        "version": f"{edition}-{digests['model'][:8]}",
        "license": OPEN_LICENSE if edition == "2023-open" else RESEARCH_LICENSE,
        "citation": CITATION,
        "num_identity": NUM_IDENTITY,
        "num_expression": NUM_EXPRESSION,
        "joints": ["root", "neck", "jaw", *eye_names],
        "segmentation_classes": list(FLAME_CLASSES),
        "changes": "converted to safetensors in float32; landmarks as vertex indices; classes of the surface added",
        "sources": [
            {"kind": kind, "file": path.name, "sha256": digests[kind], **_provenance(kind)}
            for kind, path in files.items()
        ],
    }


def _provenance(kind: str) -> dict[str, str]:
    known = KINDS.get("landmarks" if kind == "dynamic_landmarks" else kind)
    return {"published_at": known.where, "terms": known.terms} if known else {}
