"""The columns of a data set: their types, one sample to one row, one row back to arrays.

The one place that knows how labels are stored: depth as 16-bit PNG in 0.1 mm, normals as n * 0.5 + 0.5, and so on.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Array2D, Features, List, Value
from datasets import Image as ImageFeature
from PIL import Image

from synthforge_hf.annotation.annotate import Annotations
from synthforge_hf.data.planning import sample_id
from synthforge_hf.data.png import decode_image, encode_png
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.generators.base import GeneratedFace

DEPTH_UNIT = 1e-4
"""Metres per step of the 16-bit depth image."""

MAXIMUM_DEPTH = 65535 * DEPTH_UNIT
NUM_LANDMARKS = 68


@dataclass(frozen=True)
class Sample:
    """One stored sample, decoded.

    image: (H, W, 3) uint8. depth: (H, W) float32 metres, planar z, 0 = none. normals: (H, W, 3) float32 unit vectors,
    camera frame, 0 = none; None where the recipe leaves them out. segmentation: (H, W) uint8. landmarks_2d: (68, 2)
    float32 pixels. landmarks_3d: (68, 3) float32 metres, camera frame. landmarks_visible: (68,) bool. intrinsics:
    (3, 3) float32. world_to_camera: (4, 4) float32. head, attributes: dictionaries as stored.
    """

    sample_id: str
    image: np.ndarray
    depth: np.ndarray
    normals: np.ndarray | None
    segmentation: np.ndarray
    landmarks_2d: np.ndarray
    landmarks_3d: np.ndarray
    landmarks_visible: np.ndarray
    intrinsics: np.ndarray
    world_to_camera: np.ndarray
    identity_id: int
    head: dict[str, Any]
    attributes: dict[str, Any]
    generator: str
    generator_license: str


def dataset_features(attributes: Mapping[str, Any], normals: bool = True) -> Features:
    """Return the features of a data set whose samples carry attributes with these names and types of values."""
    images = ["image", "depth", *(["normals"] if normals else []), "segmentation"]
    return Features(
        {
            "sample_id": Value("string"),
            **{name: ImageFeature() for name in images},
            "landmarks_2d": Array2D((NUM_LANDMARKS, 2), "float32"),
            "landmarks_3d": Array2D((NUM_LANDMARKS, 3), "float32"),
            "landmarks_visible": List(Value("bool"), length=NUM_LANDMARKS),
            "intrinsics": Array2D((3, 3), "float32"),
            "world_to_camera": Array2D((4, 4), "float32"),
            "identity_id": Value("int64"),
            "head": {
                "model": Value("string"),
                "version": Value("string"),
                "identity": List(Value("float32")),
                "expression": List(Value("float32")),
                "pose": List(List(Value("float32"), length=3)),
            },
            "attributes": {name: _attribute_feature(name, value) for name, value in attributes.items()},
            "generator": Value("string"),
            "generator_license": Value("string"),
        }
    )


def encode_sample(
    face: GeneratedFace,
    annotations: Annotations,
    recipe: Recipe,
    seed: int,
    index: int,
    generator_license: str,
) -> dict[str, Any]:
    """Encode one annotated face as one row: image columns as ``{"bytes", "path"}``, the rest as plain values.

    Raises SynthForgeError when a surface lies beyond the 6.5535 m that the depth image can hold.
    """
    row: dict[str, Any] = {"sample_id": sample_id(seed, index), "image": _as_image(_encode_photo(face.image, recipe))}
    row["depth"] = _as_image(encode_png(encode_depth(annotations.depth)))
    if recipe.normals:
        row["normals"] = _as_image(encode_png(encode_normals(annotations.normals)))
    row["segmentation"] = _as_image(encode_png(annotations.segmentation))
    row |= {
        "landmarks_2d": annotations.landmarks_2d.astype(np.float32),
        "landmarks_3d": annotations.landmarks_3d.astype(np.float32),
        "landmarks_visible": annotations.landmarks_visible.astype(bool).tolist(),
        "intrinsics": annotations.intrinsics.astype(np.float32),
        "world_to_camera": annotations.world_to_camera.astype(np.float32),
        "identity_id": int(face.identity_id),
        "head": {
            "model": face.head_name,
            "version": face.head_version,
            "identity": face.coefficients.identity.astype(np.float32).tolist(),
            "expression": face.coefficients.expression.astype(np.float32).tolist(),
            "pose": face.coefficients.pose.astype(np.float32).tolist(),
        },
        "attributes": {name: _plain(value) for name, value in face.attributes.items()},
        "generator": recipe.generator,
        "generator_license": generator_license,
    }
    return row


def encode_table(rows: list[dict[str, Any]], features: Features) -> pa.Table:
    """Turn rows into one Arrow table with exactly the schema of ``features``."""
    schema = features.arrow_schema
    arrays = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if isinstance(field.type, pa.ExtensionType):
            storage = pa.array([value.tolist() for value in values], field.type.storage_type)
            arrays.append(pa.ExtensionArray.from_storage(field.type, storage))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def decode_row(row: Mapping[str, Any]) -> Sample:
    """Decode a row as it lies in the parquet files (``table.to_pylist()``, or a data set with images not decoded)."""
    normals = row.get("normals")
    arrays = {
        name: np.asarray(row[name], dtype=np.float32)
        for name in ("landmarks_2d", "landmarks_3d", "intrinsics", "world_to_camera")
    }
    return Sample(
        sample_id=row["sample_id"],
        image=decode_image(row["image"]["bytes"]),
        depth=decode_depth(decode_image(row["depth"]["bytes"])),
        normals=None if normals is None else decode_normals(decode_image(normals["bytes"])),
        segmentation=decode_image(row["segmentation"]["bytes"]),
        landmarks_visible=np.asarray(row["landmarks_visible"], dtype=bool),
        identity_id=row["identity_id"],
        head=dict(row["head"]),
        attributes=dict(row["attributes"]),
        generator=row["generator"],
        generator_license=row["generator_license"],
        **arrays,
    )


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Return (H, W) uint16 in steps of 0.1 mm from (H, W) metres; surfaces nearer than half a step become one step."""
    if depth.max(initial=0) > MAXIMUM_DEPTH:
        raise SynthForgeError(
            f"a surface lies {depth.max():.2f} m away but depth images hold {MAXIMUM_DEPTH:.2f} m at most: "
            "bring the camera nearer in the recipe"
        )
    steps = np.rint(depth * np.float32(1 / DEPTH_UNIT)).astype(np.uint16)
    return np.maximum(steps, (depth > 0).astype(np.uint16))


def decode_depth(steps: np.ndarray) -> np.ndarray:
    """Return (H, W) float32 metres from the stored (H, W) integers; 0 stays 0 (no surface)."""
    return steps.astype(np.float32) * np.float32(DEPTH_UNIT)


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 from unit vectors: round((n * 0.5 + 0.5) * 255).

    The zero vector of "no surface" becomes (128, 128, 128), which no unit vector does.
    """
    return np.rint(np.clip(normals * np.float32(127.5) + np.float32(127.5), 0, 255)).astype(np.uint8)


def decode_normals(colours: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) float32 unit vectors from the stored uint8; (128, 128, 128) becomes the zero vector."""
    normals = colours.astype(np.float32) / np.float32(127.5) - 1
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    normals[(colours == 128).all(axis=-1)] = 0
    return normals


def _encode_photo(image: np.ndarray, recipe: Recipe) -> bytes:
    if recipe.image_format == "png":
        return encode_png(image)
    buffer = io.BytesIO()
    # Full colour resolution: with 4:2:0 the lips' and eyes' edges bleed by a pixel, which labels this exact would show.
    Image.fromarray(image).save(buffer, "JPEG", quality=recipe.jpeg_quality, subsampling="4:4:4")
    return buffer.getvalue()


def _as_image(encoded: bytes) -> dict[str, Any]:
    return {"bytes": encoded, "path": None}


def _plain(value: Any) -> Any:
    """Numbers of numpy to those of Python."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _attribute_feature(name: str, value: Any) -> Any:
    value = _plain(value)
    for kind, dtype in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string")):
        if isinstance(value, kind):
            return Value(dtype)
    if isinstance(value, list) and all(isinstance(item, float) for item in value):
        return List(Value("float64"))
    raise TypeError(f"attribute '{name}' is {value!r}; attributes are str, int, float, bool or list[float]")
