"""One sample to one row and back."""

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.data.png import decode_image, encode_png
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.data.schema import (
    decode_depth,
    decode_normals,
    decode_row,
    encode_depth,
    encode_normals,
    encode_sample,
    encode_table,
)
from synthforge_hf.data.shards import row_features
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.testing import EllipsoidGenerator

RECIPE = Recipe(name="toy", generator="ellipsoid")


@pytest.mark.parametrize(
    ("shape", "dtype"), [((33, 47), np.uint8), ((33, 47), np.uint16), ((33, 47, 3), np.uint8), ((1, 1, 3), np.uint8)]
)
def test_png_is_lossless_and_deterministic(shape: tuple[int, ...], dtype: type) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    encoded = encode_png(pixels)
    assert np.array_equal(decode_image(encoded), pixels)
    assert decode_image(encoded).dtype == dtype
    assert encode_png(np.asfortranarray(pixels)) == encoded
    with Image.open(io.BytesIO(encoded)) as image:
        assert image.format == "PNG"
        assert image.mode == {(2, 1): "L", (2, 2): "I;16", (3, 1): "RGB"}[len(shape), np.dtype(dtype).itemsize]
        image.verify()


def test_png_refuses_what_it_cannot_store() -> None:
    with pytest.raises(ValueError, match="float32"):
        encode_png(np.zeros((4, 4), np.float32))


def test_depth_keeps_tenths_of_millimetres_and_tells_none_from_near() -> None:
    depth = np.array([[0.0, 1e-6, 0.00004, 1.23456, 6.5535]], dtype=np.float32)
    decoded = decode_depth(encode_depth(depth))
    assert decoded[0, 0] == 0
    assert (decoded[0, 1:] > 0).all()
    assert np.abs(decoded - depth).max() <= 1e-4
    with pytest.raises(SynthForgeError, match=r"7\.00 m"):
        encode_depth(np.full((2, 2), 7, np.float32))


def test_normals_come_back_within_half_a_degree() -> None:
    normals = np.random.default_rng(0).normal(size=(50, 50, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[0] = 0
    decoded = decode_normals(encode_normals(normals))
    assert not decoded[0].any()
    cosine = np.clip((decoded[1:] * normals[1:]).sum(axis=-1), -1, 1)
    assert np.degrees(np.arccos(cosine)).max() < 0.5


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
@pytest.mark.parametrize("normals", [True, False])
def test_a_row_survives_parquet(image_format: str, normals: bool, tmp_path) -> None:
    recipe = replace(RECIPE, image_format=image_format, normals=normals)
    face = EllipsoidGenerator().generate(1, 5, 96)
    labels = annotate(face)
    row = encode_sample(face, labels, recipe, 1, 5, "CC0-1.0")
    features = row_features(row)
    pq.write_table(encode_table([row, row], features), tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet")
    assert type(features).from_arrow_schema(table.schema) == features
    sample = decode_row(table.to_pylist()[1])
    assert sample.sample_id == "1-00000005"
    if image_format == "png":
        assert np.array_equal(sample.image, face.image)
    else:
        assert row["image"]["bytes"][:2] == b"\xff\xd8"
        assert np.abs(sample.image.astype(int) - face.image).mean() < 3
    assert np.abs(sample.depth - labels.depth).max() <= 0.6e-4
    assert np.array_equal(sample.segmentation, labels.segmentation)
    assert np.array_equal(sample.landmarks_2d, labels.landmarks_2d)
    assert np.array_equal(sample.landmarks_3d, labels.landmarks_3d)
    assert np.array_equal(sample.landmarks_visible, labels.landmarks_visible)
    assert np.array_equal(sample.intrinsics, labels.intrinsics)
    assert np.array_equal(sample.world_to_camera, labels.world_to_camera)
    assert (sample.normals is not None) == normals
    assert sample.attributes == face.attributes
    assert sample.head["model"] == "ellipsoid"
    assert np.array_equal(np.float32(sample.head["identity"]), face.coefficients.identity)
    assert np.array_equal(np.float32(sample.head["pose"]), face.coefficients.pose)
