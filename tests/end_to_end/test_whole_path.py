"""From nothing to a measured model, by the commands a newcomer types: the real generator and the embedded models."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from PIL import Image

from synthforge_hf.cli import run
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

NUM_FACES = 6
RESOLUTION = 128


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder that is the working directory and holds the data set ./synthforge."""
    folder, before = tmp_path_factory.mktemp("workplace"), Path.cwd()
    os.chdir(folder)
    sizes = ["--num-samples", str(NUM_FACES), "--resolution", str(RESOLUTION), "--shard-size", "4"]
    assert run(["generate", "synthforge", *sizes, "--workers", "1"]) == 0
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def folder_of_300w(workplace: Path) -> Path:
    """Return generated faces in the layout of 300-W, its points counted from 1 at the first pixel's centre."""
    folder = workplace / "300w" / "lfpw" / "testset"
    folder.mkdir(parents=True)
    for face in load_dataset("synthforge", split="train"):
        face["image"].save(folder / f"{face['sample_id']}.png")
        lines = [f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in face["landmarks_2d"]]
        text = "\n".join(["version: 1", "n_points: 68", "{", *lines, "}"])
        (folder / f"{face['sample_id']}.pts").write_text(text + "\n")
    return folder.parents[1]


def test_verify_finds_it_sound(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "synthforge"]) == 0
    assert capsys.readouterr().out == "synthforge is complete and sound\n"


def test_load_dataset_by_its_name(workplace: Path) -> None:
    faces = load_dataset("synthforge", split="train").with_format("numpy")
    assert len(faces) == NUM_FACES
    face = faces[NUM_FACES - 1]
    assert face["image"].shape == (RESOLUTION, RESOLUTION, 3)
    assert face["depth"].shape == face["segmentation"].shape == (RESOLUTION, RESOLUTION)
    assert face["segmentation"].max() < len(SEGMENTATION_CLASSES)
    projected = face["landmarks_3d"] @ face["intrinsics"].T
    np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], face["landmarks_2d"], atol=0.01)
    column, row = np.floor(face["landmarks_2d"][30]).astype(int)
    assert face["depth"][row, column] * 1e-4 == pytest.approx(face["landmarks_3d"][30, 2], abs=0.003)


def test_streaming_gives_the_same_faces(workplace: Path) -> None:
    streamed = [face["sample_id"] for face in load_dataset("synthforge", split="train", streaming=True)]
    assert streamed == load_dataset("synthforge", split="train")["sample_id"][:]
    assert streamed == [f"0-{index:08d}" for index in range(NUM_FACES)]


def test_preview_is_a_picture(workplace: Path) -> None:
    assert run(["preview", "synthforge", "--num", "4"]) == 0
    with Image.open("preview.png") as sheet:
        pixels = np.asarray(sheet)
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_predict_finds_the_faces_on_the_example_photos(workplace: Path, repository: Path) -> None:
    photos = sorted((repository / "examples" / "photos").glob("*.jpg"))
    assert len(photos) == 2
    assert run(["predict", "mini", *map(str, photos), "--out", "predictions"]) == 0
    results = json.loads(Path("predictions/results.json").read_text())["photos"]
    noses = {"astronaut.jpg": (226, 119), "grace_hopper.jpg": (269, 241)}  # tips, read off the photos
    for result in results:
        face, *others = result["faces"]  # the best find comes first
        assert len(others) <= 2
        landmarks = np.array(face["landmarks"])
        between_eyes = np.linalg.norm(landmarks[36] - landmarks[45])
        distance = np.linalg.norm(landmarks[30] - noses[Path(result["file"]).name])
        assert distance < 0.25 * between_eyes, f"the nose of {result['file']} is {distance:.0f} pixels off"
        assert 0.2 < face["depth_m"]["median"] < 5
        assert {"skin", "nose"} <= set(face["classes"])
        with Image.open(result["overlay"]) as overlay:
            assert overlay.width > overlay.height


def test_predict_with_boxes_of_ones_own(workplace: Path, repository: Path) -> None:
    photo = repository / "examples" / "photos" / "astronaut.jpg"
    box = [175.0, 70.0, 275.0, 180.0]
    Path("boxes.json").write_text(json.dumps({"astronaut.jpg": [box]}))
    assert run(["predict", "mini", str(photo), "--out", "boxed", "--boxes", "boxes.json"]) == 0
    (face,) = json.loads(Path("boxed/results.json").read_text())["photos"][0]["faces"]
    assert face["box"] == box
    assert face["score"] is None


def test_predict_names_the_photos_it_cannot_use_and_does_the_others(workplace: Path, repository: Path) -> None:
    photo = repository / "examples" / "photos" / "grace_hopper.jpg"
    Path("cut.jpg").write_bytes(photo.read_bytes()[:5000])
    Path("words.jpg").write_text("no image")
    Image.new("RGB", (64, 64), "grey").save("empty.png")
    images = ["cut.jpg", "words.jpg", "absent.jpg", "empty.png", str(photo)]
    command = [sys.executable, "-m", "synthforge_hf", "predict", "mini", *images, "--out", "mixed", "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    found = json.loads(result.stdout)["photos"]
    assert [bool(photo["faces"]) for photo in found] == [False, False, False, False, True]
    complaints = result.stderr.splitlines()  # no progress bars: this is no terminal
    assert len(complaints) == 4
    for image, complaint in zip(images, complaints, strict=False):
        assert complaint.startswith("synthforge: ")
        assert image in complaint
    assert "no face found" in complaints[3]


def test_evaluate_reads_300w_and_writes_what_was_measured(
    folder_of_300w: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["evaluate", "mini", "--benchmark", "300w", "--data", "300w", "--subset", "lfpw/testset", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads(Path("results.json").read_text())
    assert set(result) == {"benchmark", "protocol", "model", "num_images", "metrics"}
    assert (result["benchmark"], result["model"], result["num_images"]) == ("300w", "mini", NUM_FACES)
    metrics = result["metrics"]
    assert {"nme_interocular", "nme_inner51", "nme_jaw", "failure_rate_10", "auc_10"} <= set(metrics)
    assert 0.5 < metrics["nme_interocular"] < 10  # such faces are what it was trained on
    assert len(Path("results.csv").read_text().splitlines()) == NUM_FACES + 1


def test_evaluate_knows_generated_sets(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--benchmark", "synthforge", "--data", "synthforge", "--subset", "train", "--output", "own.json"]
    capsys.readouterr()
    assert run(["evaluate", "mini", *arguments]) == 0
    assert "nme_interocular" in capsys.readouterr().out
    metrics = json.loads(Path("own.json").read_text())["metrics"]
    assert 0.5 < metrics["nme_interocular"] < 10
    assert 30 < metrics["mean_f1"] <= 100
    assert 0 < metrics["depth_abs_rel"] < 1


def run_example(name: str, *arguments: str) -> str:
    """Run a program of examples/ in the working directory and return what it prints."""
    program = Path(__file__).parents[2] / "examples" / name
    result = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_demo_runs_where_the_data_set_lies(workplace: Path) -> None:
    printed = run_example("demo.py")
    assert f'load_dataset("synthforge"): {NUM_FACES} faces' in printed
    assert "astronaut.jpg: " in printed
    assert str(workplace / "preview.png") in printed
    assert {path.stem for path in Path("predictions").glob("*.png")} >= {"astronaut", "grace_hopper", "0-00000003"}


def test_the_hello_example(workplace: Path) -> None:
    assert "face.png" in run_example("generate.py", "3", "face.png")
    with Image.open("face.png") as picture:
        assert picture.height == 512
        assert picture.width >= 5 * 512
