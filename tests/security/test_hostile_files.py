"""Files made to do harm are refused in one line: code in weights and recipes, images that unfold to gigabytes."""

import io
import json
import os
import pickle
import shutil
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import synthforge_hf
from synthforge_hf.cli import run
from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.manifest import Manifest, ShardRecord, current_versions, write_manifest
from synthforge_hf.data.png import decode_image
from synthforge_hf.data.public.celebamask_hq import read_mask
from synthforge_hf.data.recipes import Recipe, load_recipe
from synthforge_hf.data.schema import encode_table
from synthforge_hf.data.shards import SampleRequest, make_row, row_features
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.graphics.pictures import Pictures
from synthforge_hf.image_limits import open_limited
from synthforge_hf.testing import EllipsoidGenerator
from synthforge_hf.training.loop import _refuse_code


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch trace",)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def png_bomb(side: int) -> bytes:
    """Return a grey PNG of side x side zeros, a thousandth of its pixels in size, without having made them."""
    rows = zlib.compressobj(9)
    content = b"".join(rows.compress(b"\0" * (side + 1)) for _ in range(side)) + rows.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """An image of 400 million pixels in 400 kB."""
    return png_bomb(20_000)


def peak_megabytes(action: Any) -> float:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_weights_with_code_are_not_loaded(capsys: pytest.CaptureFixture) -> None:
    model = Path(shutil.copytree(synthforge_hf.pretrained()["mini"], "model"))
    (model / "model.safetensors").unlink()
    with (model / "pytorch_model.bin").open("wb") as file:
        pickle.dump(Bomb(), file)
    Image.new("RGB", (64, 64)).save("photo.png")
    assert run(["predict", "model", "photo.png", "--out", "out"]) != 0
    assert not Path("trace").exists()
    torch.save({"weight": Bomb()}, model / "pytorch_model.bin")
    assert run(["predict", "model", "photo.png", "--out", "out"]) != 0
    assert not Path("trace").exists()


def test_a_training_checkpoint_with_code_is_not_loaded() -> None:
    """Accelerate itself would load these files without a restriction."""
    checkpoint = Path("run/checkpoints/step-00000001")
    checkpoint.mkdir(parents=True)
    for name in ("custom_checkpoint_0.pkl", "custom_checkpoint_1.pkl"):
        torch.save({"step": 1, "mean": torch.zeros(2)}, checkpoint / name)
    _refuse_code(checkpoint)
    torch.save({"step": Bomb()}, checkpoint / "custom_checkpoint_1.pkl")
    with pytest.raises(SynthForgeError, match=r"custom_checkpoint_1\.pkl .* not loaded") as error:
        _refuse_code(checkpoint)
    assert "\n" not in str(error.value)
    assert not Path("trace").exists()


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch trace']",
        "generator: !!python/name:os.system",
        "splits: !!python/object/new:os.system ['touch trace']",
        "description: !!python/tuple [1]",
        "name: !include /etc/passwd",
    ],
)
def test_a_recipe_with_a_tag_is_refused_in_one_line(text: str, capsys: pytest.CaptureFixture) -> None:
    Path("recipe.yaml").write_text(f"base: faces\n{text}\n")
    assert run(["generate", "out", "--num-samples", "1", "--recipe", "recipe.yaml"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("synthforge: recipe.yaml is not valid YAML: could not determine a constructor for the tag")
    assert errors.count("\n") == 1
    assert not Path("trace").exists() and not Path("out").exists()


def test_a_recipe_that_unfolds_is_refused() -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
    Path("laughs.yaml").write_text("\n".join(lines))
    with pytest.raises(UsageError, match=r"aliases \(\*a0\) are not read here"):
        load_recipe("laughs.yaml")
    Path("deep.yaml").write_text("name: " + "[" * 100_000)
    with pytest.raises(UsageError, match="not valid YAML"):
        load_recipe("deep.yaml")


def test_a_photo_that_unfolds(bomb: bytes, capsys: pytest.CaptureFixture) -> None:
    Path("bomb.png").write_bytes(bomb)
    memory = peak_megabytes(lambda: run(["predict", "mini", "bomb.png", "--out", "out", "--json"]))
    errors = capsys.readouterr()
    assert "bomb.png has too many pixels" in errors.out + errors.err
    assert "Traceback" not in errors.err
    assert memory < 100


@pytest.mark.parametrize("side", [14_000, 20_000], ids=["above our limit", "above Pillow's too"])
def test_masks_backgrounds_and_samples_that_unfold(side: int, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    header = png_bomb(8).replace(struct.pack(">II", 8, 8), struct.pack(">II", side, side))
    # Checked before a pixel is decoded, so the header is enough.
    header = header[:29] + struct.pack(">I", zlib.crc32(header[12:29])) + header[33:]
    (tmp_path / "bomb.png").write_bytes(header)
    with pytest.raises(SynthForgeError, match=r"bomb\.png has .*pixels"):
        read_mask(tmp_path / "bomb.png")
    with pytest.raises(SynthForgeError, match=r"backgrounds: bomb\.png .* has .*pixels"):
        Pictures(str(tmp_path)).open(0, 64)
    with pytest.raises(SynthForgeError, match=r"an image of the data set has .*pixels"):
        decode_image(header)
    assert not recwarn.list


def test_limits_let_honest_images_through() -> None:
    encoded = io.BytesIO()
    Image.new("L", (300, 200), 7).save(encoded, "PNG")
    assert decode_image(encoded.getvalue()).shape == (200, 300)
    with pytest.raises(SynthForgeError, match="300 x 200 pixels"):
        open_limited(encoded, "it", 59_999)


def test_verify_names_a_sample_that_unfolds(bomb: bytes) -> None:
    out, recipe = Path("set"), Recipe(name="toy", generator="ellipsoid")
    generator = EllipsoidGenerator(recipe.settings)
    rows = [make_row(generator, SampleRequest(recipe, 0, 32), index) for index in range(2)]
    rows[1]["segmentation"] = {"bytes": bomb, "path": None}
    manifest = Manifest(recipe, 0, 2, 32, 2, "CC0-1.0", versions=current_versions())
    (shard,) = manifest.plan()
    (out / "data").mkdir(parents=True)
    pq.write_table(encode_table(rows, row_features(rows[0])), out / shard.path)
    size, sha256 = (out / shard.path).stat().st_size, file_sha256(out / shard.path)
    manifest.shards[shard.name] = ShardRecord(shard.path, shard.split, 2, size, sha256)
    write_manifest(out, manifest)
    (problem,) = verify(out, progress=False)
    assert problem.message.startswith("cannot be read: an image of the data set has")


def test_a_token_is_in_nothing_that_a_run_leaves(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Of ``generate``, ``verify`` and ``doctor``; tests/hub does the same for push and pull."""
    token = "hf_" + "Zy9x" * 9
    monkeypatch.setenv("HF_TOKEN", token)
    Path("toy.yaml").write_text("generator: ellipsoid\n")
    toy = ["--recipe", "toy.yaml", "--num-samples", "2", "--resolution", "32", "--workers", "1"]
    assert run(["generate", "out", *toy]) == 0
    assert run(["verify", "out", "--json"]) == 0
    assert run(["generate", "out", *toy, "--seed", "1"]) == 2
    assert run(["generate", "other", "--num-samples", "1", "--backgrounds", "somebody/pictures"]) == 2
    run(["doctor", "--json"])
    said = capsys.readouterr()
    assert token not in said.out + said.err
    files = [path for path in Path().rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert json.loads(Path("out/synthforge.json").read_text())["complete"]
