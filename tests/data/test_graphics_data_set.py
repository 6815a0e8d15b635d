"""The default recipe from end to end: generated, verified, loaded, previewed."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from synthforge_hf.data.generation import generate
from synthforge_hf.data.label_checks import landmark_depth_error, normal_error_deg
from synthforge_hf.data.preview import read_samples
from synthforge_hf.data.recipes import load_recipe, load_recipe_generator
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import UsageError
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
    # Near or far, the lens frames the head alike: 12.5 to 17.5 degrees as seen from 1.08 m.
    rows = dataset["train"].with_format("numpy")
    distance = np.array([row["camera_distance_m"] for row in dataset["train"]["attributes"]])
    framing = np.degrees(2 * np.arctan(128 / np.asarray(rows["intrinsics"])[:, 0, 0] * distance / 1.08))
    assert ((framing > 12.4) & (framing < 17.6)).all()
    assert np.ptp(distance) > 0.1


def test_the_card_reports_the_balance(faces: Path) -> None:
    card = (faces / "README.md").read_text()
    report = card[card.index("## Balance") : card.index("## How it was made")]
    for row in ("| age |", "| gender |", "| skin tone |", "| expression |", "| hair |", "| light |", "| glasses |"):
        assert row in report
    assert "| landmarks hidden |" in report and "| yaw of the face, degrees |" in report


def test_own_backgrounds_are_recorded_and_a_changed_folder_is_refused(tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "faces"
    pictures.mkdir()
    Image.new("RGB", (64, 64), (255, 0, 255)).save(pictures / "pink.png")
    recipe = load_recipe()
    background = replace(recipe.settings.background, pictures_share=1.0, people_share=0.0)
    recipe = replace(recipe, settings=replace(recipe.settings, background=background))
    request = {"resolution": 64, "workers": 1, "shard_size": 2, "progress": False}
    report = generate(out, recipe, num_samples=2, backgrounds=pictures, **request)
    assert report.shards_made == 1
    assert {row["background"] for row in load_dataset(str(out), split="train")["attributes"]} == {"picture"}
    for published in ("synthforge.json", "README.md"):
        text = (out / published).read_text()
        assert str(tmp_path) not in text and "pictures" in text
    pictures = pictures.rename(tmp_path / "elsewhere")
    assert generate(out, recipe, num_samples=2, backgrounds=pictures, **request).shards_made == 0
    assert generate(out, recipe, num_samples=4, backgrounds=pictures, **request).shards_kept == 1
    Image.new("RGB", (64, 64), (0, 255, 0)).save(pictures / "pink.png")
    with pytest.raises(UsageError, match="pictures_sha256"):
        generate(out, recipe, num_samples=6, backgrounds=pictures, **request)
    with pytest.raises(UsageError, match="another recipe"):
        generate(out, recipe, num_samples=6, **request)


def test_photos_of_one_person_differ_in_everything_but_the_person(tmp_path: Path) -> None:
    recipe = load_recipe("identities")
    recipe = replace(recipe, settings=replace(recipe.settings, photos_per_identity=3))
    generator = load_recipe_generator(recipe, "cpu")
    photos = [generator.generate(5, index, 64) for index in range(6)]
    assert [photo.identity_id for photo in photos] == [0, 0, 0, 1, 1, 1]
    for first, second in ((0, 1), (1, 2), (4, 5)):
        a, b = photos[first], photos[second]
        assert np.array_equal(a.coefficients.identity, b.coefficients.identity)
        assert not np.array_equal(a.coefficients.pose, b.coefficients.pose)
        assert not np.array_equal(a.camera.world_to_camera, b.camera.world_to_camera)
        for name in ("skin_tone", "hair", "hair_colour", "iris_colour", "facial_hair", "age"):
            assert a.attributes[name] == b.attributes[name]
        assert a.image.tobytes() != b.image.tobytes()
    assert not np.array_equal(photos[2].coefficients.identity, photos[3].coefficients.identity)


def test_the_published_data_set_s_script(repository: Path, tmp_path: Path) -> None:
    out = tmp_path / "published"
    sizes = ["--num-samples", "40", "--resolution", "32", "--workers", "1"]
    command = [sys.executable, repository / "dataset_builder" / "build.py", out, *sizes]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "40 samples" in done.stdout
    assert (tmp_path / "published-preview.png").is_file()
    assert {path.name.split("-")[0] for path in (out / "data").iterdir()} == {"train", "validation", "test"}
