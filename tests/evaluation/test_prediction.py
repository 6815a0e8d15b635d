"""``predict`` on every kind of file people have."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge_hf.errors import UsageError
from synthforge_hf.evaluation import predict
from synthforge_hf.models.face_detector import FaceDetector, SynthForgeFaceDetectorConfig, SynthForgeFaceDetectorModel


@pytest.fixture(scope="module")
def blind() -> FaceDetector:
    """A detector with random weights, which finds nothing: these tests say where faces are."""
    torch.manual_seed(0)
    return FaceDetector(SynthForgeFaceDetectorModel(SynthForgeFaceDetectorConfig()))


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def test_writes_overlays_and_results(analyser, blind, tmp_path):
    """Two photos with the same name, one of them with two faces."""
    paths = [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.jpg"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        photo(160, 120, number).save(path)
    boxes = {str(paths[0]): [[20, 20, 80, 90], [90, 30, 140, 80]], str(paths[1]): [[30, 30, 90, 90]]}
    out = tmp_path / "out"
    results = predict(analyser, paths, out, boxes, detector=blind)
    assert [len(result.faces) for result in results] == [2, 1]
    assert [Path(result.overlay).name for result in results] == ["x.png", "x-2.png"]
    assert all(Image.open(result.overlay).size[0] > 3 * 160 for result in results)
    content = json.loads((out / "results.json").read_text())
    assert content["model"] == analyser.name
    face = content["photos"][0]["faces"][1]
    assert set(face) == {"box", "score", "landmarks", "classes", "depth_m"}
    assert face["box"] == [90, 30, 140, 80]
    assert np.shape(face["landmarks"]) == (68, 2)
    assert all(0 < share <= 1 for share in face["classes"].values())


def test_boxes_may_come_from_a_file_and_go_by_name(analyser, blind, tmp_path):
    photo(100, 100).save(tmp_path / "face.png")
    (tmp_path / "boxes.json").write_text('{"face.png": [[10, 10, 80, 90]]}')
    result = predict(analyser, [tmp_path / "face.png"], tmp_path / "out", tmp_path / "boxes.json", detector=blind)
    assert result[0].faces[0]["box"] == [10, 10, 80, 90]
    assert result[0].faces[0]["score"] is None


def test_no_face_is_a_normal_result(analyser, blind, tmp_path):
    photo(100, 80).save(tmp_path / "wall.png")
    result = predict(analyser, [tmp_path / "wall.png"], tmp_path / "out", detector=blind)[0]
    assert result.error is None
    assert result.faces == ()
    assert result.message == f"{tmp_path / 'wall.png'}: no face found"
    assert Path(result.overlay).is_file()


def test_one_bad_file_does_not_stop_the_others(analyser, blind, tmp_path):
    photo(90, 90).save(tmp_path / "good.jpg")
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("not a photo at all")
    (tmp_path / "empty.png").touch()
    names = ["cut.jpg", "text.jpg", "empty.png", "missing.jpg", "good.jpg"]
    results = predict(analyser, [tmp_path / name for name in names], tmp_path / "out", detector=blind)
    for name, result in zip(names[:-1], results, strict=False):
        assert result.error is not None
        assert str(tmp_path / name) in result.error
        assert "\n" not in result.error
        assert result.message.startswith("error: ")
    assert results[-1].error is None
    assert results[-1].width == 90
    recorded = json.loads((tmp_path / "out" / "results.json").read_text())["photos"]
    assert [entry["error"] is None for entry in recorded] == [False, False, False, False, True]


def _sixteen_bits(path: Path) -> None:
    ramp = np.linspace(0, 65535, 120, dtype=np.uint16)
    Image.fromarray(np.tile(ramp, (100, 1))).save(path)


def _rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(120, 100).save(path, exif=exif)


KINDS = {
    "grey.png": lambda path: photo(120, 100).convert("L").save(path),
    "alpha.png": lambda path: photo(120, 100).convert("RGBA").save(path),
    "palette.gif": lambda path: photo(120, 100).convert("P").save(path),
    "print.jpg": lambda path: photo(120, 100).convert("CMYK").save(path),
    "sixteen.png": _sixteen_bits,
    "rotated.jpg": _rotated,
    "pixel.png": lambda path: photo(1, 1).save(path),
    "wide.png": lambda path: photo(20_000, 150).save(path),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_photo(name, analyser, blind, tmp_path):
    KINDS[name](tmp_path / name)
    size = {"rotated.jpg": (100, 120), "pixel.png": (1, 1), "wide.png": (20_000, 150)}.get(name, (120, 100))
    box = [0, 0, 1, 1] if name == "pixel.png" else [10, 10, 90, 90]
    boxes = {name: [box]}
    result = predict(analyser, [tmp_path / name], tmp_path / "out", boxes, detector=blind)[0]
    assert result.error is None
    assert (result.width, result.height) == size
    assert result.faces[0]["box"] == box
    assert np.isfinite(result.faces[0]["landmarks"]).all()
    assert max(Image.open(result.overlay).size) <= 3 * 1024 + 4
    unaided = predict(analyser, [tmp_path / name], tmp_path / "out", detector=blind)[0]
    assert unaided.faces == ()


def test_landmarks_are_in_pixels_of_the_photo_however_large(analyser, blind, tmp_path):
    """A photo that is analysed at half its size: landmarks lie in the crop, 1.35 times the box, of the photo itself."""
    photo(8000, 1000).save(tmp_path / "large.png")
    boxes = {"large.png": [[6000, 300, 6600, 900]]}
    found = predict(analyser, [tmp_path / "large.png"], tmp_path / "out", boxes, detector=blind, refine=False)
    landmarks = np.array(found[0].faces[0]["landmarks"])
    assert (np.abs(landmarks - (6300, 600)) <= 405).all()
    assert landmarks.std(axis=0).min() > 50


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1, 2]", "must map"),
        ("{", "not a JSON file"),
        ('{"a.png": [[1, 2, 3]]}', "four numbers"),
        ('{"a.png": [[5, 5, 1, 9]]}', "x0 < x1"),
    ],
)
def test_refuses_boxes_that_make_no_sense(content, problem, analyser, blind, tmp_path):
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(UsageError, match=problem):
        predict(analyser, ["a.png"], tmp_path / "out", tmp_path / "boxes.json", detector=blind)


def test_refuses_nothing_to_do_and_a_file_as_folder(analyser, blind, tmp_path):
    with pytest.raises(UsageError, match="no images"):
        predict(analyser, [], tmp_path / "out", detector=blind)
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="is a file"):
        predict(analyser, ["a.png"], tmp_path / "taken", detector=blind)
