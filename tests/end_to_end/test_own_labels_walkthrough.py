"""The walkthroughs of docs/own-labels.md, run as they stand there on a handful of photos, for fewer epochs."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from PIL import Image, ImageEnhance

LINES = 15


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps its state in singletons; every test starts with new ones."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def walkthroughs(repository: Path) -> dict[str, str]:
    """Heading -> its Python block."""
    text = (repository / "docs" / "own-labels.md").read_text()
    return dict(re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```python\n(.*?)```", text, re.S))


@pytest.fixture
def photos(repository: Path, tmp_path: Path) -> dict[str, tuple[int, int]]:
    """Six variants of the two example photos in ``photos/``, all with a face; returns their sizes by name."""
    (tmp_path / "photos").mkdir()
    sizes = {}
    for number, name in enumerate("abcdef"):
        source = ("astronaut.jpg", "grace_hopper.jpg")[number % 2]
        image = Image.open(repository / "examples" / "photos" / source).convert("RGB")
        image.thumbnail((240 + 20 * number, 240 + 20 * number))
        image = ImageEnhance.Brightness(image).enhance(0.8 + 0.1 * number)
        image.save(tmp_path / "photos" / f"{name}.jpg")
        sizes[f"{name}.jpg"] = image.size
    return sizes


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    assert len([line for line in code.splitlines() if line.strip()]) < LINES
    shorter = code.replace("epochs=100", "epochs=1, batch_size=2, validation_samples=2")
    assert shorter != code
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(compile(shorter, "docs/own-labels.md", "exec"), names)
    return names


def test_98_landmarks(walkthroughs: dict, photos: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    angle = np.linspace(0, 2 * np.pi, 98)
    points = {
        name: (np.stack([0.5 + 0.2 * np.cos(angle), 0.35 + 0.2 * np.sin(angle)], axis=1) * size).tolist()
        for name, size in photos.items()
    }
    (tmp_path / "photos" / "points.json").write_text(json.dumps(points))
    names = run(walkthroughs["98 landmarks"], tmp_path, monkeypatch)
    assert names["faces"][0]["landmarks"].shape == (98, 2)


def test_5_landmarks(walkthroughs: dict, photos: dict, tmp_path: Path, monkeypatch, capsys) -> None:
    with (tmp_path / "photos" / "points.csv").open("w", newline="") as stream:
        for number, (name, (width, height)) in enumerate(photos.items()):
            points = np.array([[0.4, 0.3], [0.6, 0.3], [0.5, 0.4], [0.45, 0.5], [0.55, 0.5]]) * (width, height)
            points[number % 5] = -1
            csv.writer(stream).writerow([name, *points.flatten().round(2).tolist()])
    run(walkthroughs["5 landmarks"], tmp_path, monkeypatch)
    shown = capsys.readouterr()
    assert "are missing (NaN or negative)" in shown.err
    assert shown.out.count("\n") >= 5
    config = json.loads((tmp_path / "runs" / "5" / "config.json").read_text())
    assert config["mirrored_landmarks"] == [1, 0, 2, 4, 3]


def test_3_classes(walkthroughs: dict, photos: dict, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "photos" / "masks").mkdir()
    for name, (width, height) in photos.items():
        labels = np.zeros((height, width), np.uint8)
        labels[height // 5 : height // 2, width // 3 : 2 * width // 3] = 1
        labels[height // 10 : height // 5, width // 3 : 2 * width // 3] = 2
        Image.fromarray(labels).save(tmp_path / "photos" / "masks" / f"{Path(name).stem}.png")
    run(walkthroughs["3 classes"], tmp_path, monkeypatch)
    config = json.loads((tmp_path / "runs" / "3" / "config.json").read_text())
    assert config["id2label"] == {"0": "background", "1": "skin", "2": "hair"}
