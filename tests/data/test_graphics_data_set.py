"""The default recipe from end to end: generated, verified, loaded, previewed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from synthforge_hf.data.generation import generate
from synthforge_hf.data.label_checks import landmark_depth_error, normal_error_deg
from synthforge_hf.data.preview import read_samples
from synthforge_hf.data.recipes import load_recipe
from synthforge_hf.data.verification import verify
from synthforge_hf.rendering.camera import project
from synthforge_hf.segmentation_classes import CLASS_ID


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("graphics") / "synthforge"
    recipe = replace(load_recipe(), splits={"train": 0.75, "validation": 0.25})
    generate(out, recipe, num_samples=8, resolution=256, seed=11, workers=1, shard_size=4, progress=False)
    return out


def test_the_default_recipe_passes_verification(faces: Path) -> None:
    assert verify(faces, progress=False) == []


def test_labels_agree_with_each_other(faces: Path) -> None:
    for sample in read_samples(faces, 8):
        points = project(sample.landmarks_3d.astype(float), sample.intrinsics.astype(float))
        assert np.abs(points - sample.landmarks_2d)[17:].max() < 0.01
        assert landmark_depth_error(sample) < 0.0031
        assert normal_error_deg(sample) < 6
        share = np.bincount(sample.segmentation.reshape(-1), minlength=19) / sample.segmentation.size
        assert share[CLASS_ID["skin"]] > 0.02
        assert share[CLASS_ID["background"]] < 0.95


def test_samples_differ_and_load(faces: Path, tmp_path: Path) -> None:
    dataset = load_dataset(str(faces), cache_dir=str(tmp_path))
    assert {name: split.num_rows for name, split in dataset.items()} == {"train": 6, "validation": 2}
    heads = [tuple(row["identity"]) for row in dataset["train"]["head"]]
    assert len(set(heads)) == 6
    # The paper's camera: fields of view between 12 and 27 degrees.
    focal = np.asarray(dataset["train"].with_format("numpy")["intrinsics"])[:, 0, 0]
    field_of_view = np.degrees(2 * np.arctan(128 / focal))
    assert ((field_of_view > 11.9) & (field_of_view < 27.1)).all()


def test_the_published_data_set_s_script(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    sizes = ["--num-samples", "40", "--resolution", "32", "--workers", "1"]
    command = [sys.executable, repository / "dataset_builder" / "build.py", out, *sizes]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "40 samples" in done.stdout
    assert (tmp_path / "published-preview.png").is_file()
    assert {path.name.split("-")[0] for path in (out / "data").iterdir()} == {"train", "validation", "test"}
