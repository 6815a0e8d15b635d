"""Checkpoints as published, made here with other weights, and files that only pretend to be some."""

import os
import pickle
import subprocess
import sys
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from synthforge_hf.cli import app, run
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.conversion import convert_next3d
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel
from synthforge_hf.unpickling import RefusedPickleError

SIZES = {
    "channel_base": 512,
    "channel_max": 4,
    "sr_channels": (6, 3),
    "num_faces": 3,
    "num_texture_vertices": 5,
    "num_dense_faces": 2,
}
RENDERING = {
    "depth_resolution": 48,
    "depth_resolution_importance": 40,
    "ray_start": 2.25,
    "ray_end": 3.3,
    "box_warp": 1,
    "c_scale": 1.0,
    "clamp_mode": "softplus",
    "superresolution_noise_mode": "none",
    "sr_antialias": True,
}


class Persistent:
    """Pickled as the published code pickles its modules: a call with a description that holds source text."""

    source = "raise SystemExit('the source text in a checkpoint was run')"

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        meta = {
            "type": "class",
            "version": 6,
            "module_src": self.source,
            "class_name": "Anything",
            "state": self.state,
        }
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


@pytest.fixture
def foreign_modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, types.ModuleType]:
    """Modules with the names that published files mention, while a file is written."""
    modules = {}
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util", "training", "training.renderer"):
        modules[name] = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, modules[name])

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("only its name is written")

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    for module, name, base in (("dnnlib.util", "EasyDict", dict), ("training.renderer", "Renderer", object)):
        setattr(modules[module], name, type(name, (base,), {"__module__": module}))
    return modules


def record(module: nn.Module, foreign: dict[str, types.ModuleType], name: str = "") -> Any:
    """A module as the file holds it: persistent, but for the decoder."""
    state = {
        "training": False,
        "_parameters": OrderedDict(module._parameters),
        "_buffers": OrderedDict(module._buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_modules": OrderedDict((key, record(child, foreign, key)) for key, child in module._modules.items()),
    }
    if name == "decoder":
        instance = foreign["training.renderer"].Renderer()
        instance.__dict__.update(state)
        return instance
    if isinstance(module, nn.Sequential | nn.ModuleList | nn.Softplus):
        return module if isinstance(module, nn.Softplus) else _plain_container(module, state)
    return Persistent(state)


def _plain_container(module: nn.Module, state: dict[str, Any]) -> nn.Module:
    copy = type(module)()
    copy.__dict__.update(state)
    return copy


@pytest.fixture
def model() -> Next3DModel:
    torch.manual_seed(0)
    model = Next3DModel(Next3DConfig(**SIZES, depth_resolution_importance=40)).eval()
    model.uv_face_mask.uniform_()
    model.faces.random_(0, 3)
    return model


@pytest.fixture
def content(model: Next3DModel, foreign_modules: dict[str, types.ModuleType]) -> dict[str, Any]:
    generator = record(model, foreign_modules)
    mask = generator.state["_buffers"].pop("uv_face_mask")
    easy = foreign_modules["dnnlib.util"].EasyDict
    generator.state |= {
        "_init_args": (),
        "_init_kwargs": easy(z_dim=512, gain=np.float64(0.5)),
        "rendering_kwargs": easy(RENDERING),
        "neural_rendering_resolution": 64,
        "uv_face_mask": mask,
    }
    return {"training_set_kwargs": easy(path="x"), "G": None, "D": None, "G_ema": generator, "augment_pipe": None}


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def test_all_tensors_and_settings_arrive(content: dict[str, Any], model: Next3DModel, tmp_path: Path) -> None:
    source = write(tmp_path / "next3d.pkl", content)
    converted = convert_next3d(source, tmp_path / "out")
    assert converted.tensors == 675
    loaded, report = Next3DModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert (loaded.config.channel_base, loaded.config.channel_max) == (512, 4)
    assert loaded.config.depth_resolution_importance == 40
    assert loaded.config.c_scale == 1


def test_an_older_protocol_replaces_the_same_by_the_same(content: dict[str, Any], tmp_path: Path) -> None:
    written = []
    for protocol in (4, 2):
        convert_next3d(write(tmp_path / "next3d.pkl", content, protocol), tmp_path / "out")
        names = sorted(path.name for path in (tmp_path / "out").iterdir())
        assert names == ["config.json", "conversion.json", "model.safetensors"]
        written.append([(tmp_path / "out" / name).read_bytes() for name in ("config.json", "model.safetensors")])
    assert written[0] == written[1]


def test_without_c_scale_the_camera_is_ignored(content: dict[str, Any], tmp_path: Path) -> None:
    del content["G_ema"].state["rendering_kwargs"]["c_scale"]
    convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")
    assert Next3DConfig.from_pretrained(tmp_path / "out").c_scale == 0


def test_command_line(content: dict[str, Any], tmp_path: Path) -> None:
    source = write(tmp_path / "next3d.pkl", content)
    result = CliRunner().invoke(app, ["convert", "next3d", str(source), str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0
    assert '"tensors": 675' in result.stdout


def test_another_network_is_refused_by_name(content: dict[str, Any], tmp_path: Path) -> None:
    del content["G_ema"].state["_modules"]["decoder"]
    with pytest.raises(SynthForgeError, match=r"lacks decoder\.net\.0\.weight and 3 more"):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unsupported_settings_are_named(content: dict[str, Any], tmp_path: Path) -> None:
    content["G_ema"].state["rendering_kwargs"]["white_back"] = True
    with pytest.raises(SynthForgeError, match="white_back = True"):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rendering_kwargs", [1], "no dictionary"),
        ("rendering_kwargs", {"depth_resolution": "many"}, "settings are not those"),
        ("rendering_kwargs", {"ray_start": 4.0}, "ray_start must lie"),
        ("neural_rendering_resolution", "large", "settings are not those"),
        ("orth_scale", None, "settings are not those"),
        ("orth_shift", [0.0, 1.0], "must hold 3 numbers"),
    ],
)
def test_senseless_settings_are_one_line(
    content: dict[str, Any], tmp_path: Path, name: str, value: Any, message: str
) -> None:
    content["G_ema"].state[name] = value
    with pytest.raises(SynthForgeError, match=message):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")


def test_senseless_tensors_are_one_line(content: dict[str, Any], tmp_path: Path) -> None:
    network = content["G_ema"].state["_modules"]["superresolution"].state["_modules"]["block0"].state["_modules"]
    network["conv1"].state["_parameters"]["bias"] = np.full(6, "x")
    with pytest.raises(SynthForgeError, match=r"no numbers in superresolution\.block0\.conv1\.bias"):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")


def test_a_small_file_cannot_keep_the_walk_busy(content: dict[str, Any], tmp_path: Path) -> None:
    """Forty dictionaries, each twice in the next, or one in itself."""
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    doubled: Any = 0
    for _ in range(40):
        doubled = [doubled, doubled]
    for value in (endless, doubled):
        content["G_ema"].state["_init_kwargs"] = value
        with pytest.raises(SynthForgeError, match="repeat without end"):
            convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")
    content["G_ema"].state["_init_kwargs"] = {}
    modules = content["G_ema"].state["_modules"]
    for _ in range(40):
        modules["decoder"] = Persistent({"_modules": {"a": modules["decoder"], "b": modules["decoder"]}})
    with pytest.raises(SynthForgeError, match="repeat without end"):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")


class Call:
    """Pickled as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("function", [os.system, os.remove, eval, exec, open, __import__, getattr, subprocess.run])
def test_hostile_files_are_refused_and_not_run(tmp_path: Path, function: Any) -> None:
    witness = tmp_path / "witness"
    witness.touch()
    hostile = Call(function, f"rm {witness}" if function is os.system else str(witness))
    source = write(tmp_path / "next3d.pkl", {"D": hostile, "G_ema": None})
    with pytest.raises(RefusedPickleError, match="nothing of it was run"):
        convert_next3d(source, tmp_path / "out")
    assert witness.exists()
    assert not (tmp_path / "out").exists()


def test_a_hostile_part_of_a_sound_checkpoint_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    content["G_ema"].state["_modules"]["decoder"] = Call(os.remove, str(tmp_path))
    with pytest.raises(RefusedPickleError, match="nothing of it was run"):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_code_hidden_in_a_tensor_is_not_run(content: dict[str, Any], tmp_path: Path) -> None:
    """Storages are little pickles of their own."""
    witness = tmp_path / "witness"
    witness.touch()
    inner = pickle.dumps(Call(os.remove, str(witness)), 2)
    content["G_ema"].state["_parameters"]["weight"] = Call(torch.storage._load_from_bytes, inner)
    with pytest.raises(SynthForgeError):
        convert_next3d(write(tmp_path / "next3d.pkl", content), tmp_path / "out")
    assert witness.exists()


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps([1, 2]), pickle.dumps({"G_ema": {"x": 1}})])
def test_other_files_are_named(tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "other.pkl"
    source.write_bytes(data)
    assert run(["convert", "next3d", str(source), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "other.pkl" in message and message.count("\n") == 1


def test_wrong_paths_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        convert_next3d(tmp_path / "absent.pkl", tmp_path / "out")
    (tmp_path / "mine.txt").touch()
    source = write(tmp_path / "next3d.pkl", {})
    with pytest.raises(UsageError, match="holds other files"):
        convert_next3d(source, tmp_path)
    with pytest.raises(UsageError, match=r"mine\.txt is a file"):
        convert_next3d(source, tmp_path / "mine.txt" / "out")
    with pytest.raises(UsageError, match="must be front or all"):
        convert_next3d(source, tmp_path / "out", "side")
