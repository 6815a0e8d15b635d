"""What users do with a data set: ``load_dataset`` by folder and by name, streaming, the builder, the contact sheet."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image
from reference_data import RESOLUTION, Reference

from synthforge_hf.data.builder import SynthForgeBuilder
from synthforge_hf.data.card import card_text
from synthforge_hf.data.manifest import read_manifest
from synthforge_hf.data.preview import CELL, preview, read_samples
from synthforge_hf.data.schema import decode_depth, decode_row
from synthforge_hf.errors import SynthForgeError, UsageError


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


def test_load_dataset_by_folder(reference: Reference, cache: str) -> None:
    dataset = load_dataset(str(reference.folder), cache_dir=cache)
    assert {name: split.num_rows for name, split in dataset.items()} == {"train": 30, "validation": 10}
    row = dataset["train"][0]
    assert row["sample_id"] == "3-00000000"
    assert row["image"].size == (RESOLUTION, RESOLUTION)
    assert row["depth"].mode == "I;16"
    assert row["segmentation"].mode == "L"
    assert row["attributes"]["lighting"] in ("bright", "dim")
    assert len(row["landmarks_visible"]) == 68


def test_torch_format_gives_tensors_of_the_stored_types(reference: Reference, cache: str) -> None:
    dataset = load_dataset(str(reference.folder), split="train", cache_dir=cache).with_format("torch")
    row = dataset[0]
    types = {name: (tuple(row[name].shape), row[name].dtype) for name in row if isinstance(row[name], torch.Tensor)}
    size = (RESOLUTION, RESOLUTION)
    assert types["image"] == ((3, *size), torch.uint8)
    assert types["depth"] == ((1, *size), torch.uint16)
    assert types["normals"] == ((3, *size), torch.uint8)
    assert types["segmentation"] == ((1, *size), torch.uint8)
    assert types["landmarks_2d"] == ((68, 2), torch.float32)
    assert types["landmarks_3d"] == ((68, 3), torch.float32)
    assert types["landmarks_visible"] == ((68,), torch.bool)
    assert types["intrinsics"] == ((3, 3), torch.float32)
    assert types["world_to_camera"] == ((4, 4), torch.float32)
    stored = read_samples(reference.folder, 40)[0]
    assert np.array_equal(decode_depth(row["depth"][0].numpy()), stored.depth)


def test_load_dataset_by_name_offline_and_streaming(reference: Reference, tmp_path: Path) -> None:
    """In a fresh process, so that the offline switch is read, next to a folder called synthforge."""
    script = (
        "from datasets import load_dataset\n"
        "dataset = load_dataset('synthforge', split='train').with_format('torch')\n"
        "stream = load_dataset('synthforge', split='validation', streaming=True)\n"
        "rows = list(stream)\n"
        "print(dataset.num_rows, dataset[3]['depth'].dtype, len(rows), rows[0]['sample_id'], rows[0]['depth'].mode)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=reference.folder.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["30", "torch.uint16", "10", "3-00000006", "I;16"]


def test_the_card_describes_the_data_set(reference: Reference) -> None:
    text = (reference.folder / "README.md").read_text()
    assert text == card_text(reference.folder, read_manifest(reference.folder))
    for part in ("license: cc0-1.0", "num_examples: 30", "| train | 30 |", "| 18 | cloth |", "photos_per_identity: 2"):
        assert part in text
    assert "Painted ellipsoids." in text


def test_the_builder_makes_the_samples_of_generate(reference: Reference, cache: str) -> None:
    builder = SynthForgeBuilder(
        reference.recipe_file, num_samples=12, resolution=RESOLUTION, seed=3, shard_size=3, cache_dir=cache
    )
    builder.download_and_prepare()
    dataset = builder.as_dataset()
    stored = load_dataset(str(reference.folder), cache_dir=cache)
    assert {name: split.num_rows for name, split in dataset.items()} == {"train": 10, "validation": 2}
    assert dataset["train"].features == stored["train"].features
    for name, split in dataset.items():
        for mine, theirs in zip(split.with_format("arrow"), stored[name].with_format("arrow"), strict=False):
            assert mine.to_pylist() == theirs.to_pylist()


def test_the_builder_streams(reference: Reference, cache: str) -> None:
    builder = SynthForgeBuilder(reference.recipe, num_samples=9, resolution=32, seed=1, cache_dir=cache)
    stream = builder.as_streaming_dataset(split="train")
    assert [row["sample_id"] for row in stream][:3] == ["1-00000000", "1-00000001", "1-00000002"]
    assert next(iter(stream.with_format("torch")))["depth"].dtype == torch.uint16
    with pytest.raises(UsageError, match="at least 1"):
        SynthForgeBuilder(reference.recipe, num_samples=0)


def test_the_builder_s_cache_tells_recipes_apart_by_content(tmp_path: Path, cache: str) -> None:
    path = tmp_path / "mine.yaml"
    folders = set()
    for low in (-10, -20, -20):
        path.write_text(f"generator: ellipsoid\nellipsoid: {{camera: {{azimuth_deg: [{low}, 0]}}}}\n")
        folders.add(SynthForgeBuilder(path, num_samples=2, resolution=32, cache_dir=cache).cache_dir)
    assert len(folders) == 2


def test_preview_draws_the_samples_asked_for(reference: Reference, tmp_path: Path) -> None:
    path = preview(reference.folder, num=5, path=tmp_path / "new" / "sheet.png")
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[0] == 3 * CELL + 2 * 4  # two samples to a line
    assert pixels.shape[1] > 2 * 5 * CELL
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000
    with Image.open(preview(reference.folder, num=1000, path=tmp_path / "all.jpg")) as sheet:
        assert sheet.height == 20 * CELL + 19 * 4


def test_preview_errors(reference: Reference, copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="num is 0"):
        preview(reference.folder, num=0)
    with pytest.raises(UsageError, match=r"name a picture"):
        preview(reference.folder, path=tmp_path / "sheet.txt")
    with pytest.raises(SynthForgeError, match="there is none"):
        preview(tmp_path, path=tmp_path / "sheet.png")
    with pytest.raises(SynthForgeError, match="cannot write"):
        preview(reference.folder, path="/proc/sheet.png")
    next(iter(sorted((copy / "data").glob("*")))).write_bytes(b"")
    with pytest.raises(SynthForgeError, match="run generate again"):
        preview(copy, path=tmp_path / "sheet.png")


def test_rows_of_load_dataset_decode(reference: Reference, cache: str) -> None:
    table = load_dataset(str(reference.folder), split="train", cache_dir=cache).with_format("arrow")[4]
    sample = decode_row(table.to_pylist()[0])
    assert sample.depth.max() < 1.0
    assert sample.generator == "ellipsoid"
