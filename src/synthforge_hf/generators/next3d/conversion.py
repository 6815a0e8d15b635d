"""``synthforge convert next3d``: a user's own Next3D checkpoint -> a ``from_pretrained`` folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from synthforge_hf.converted_folder import check_output, file_sha256, filling
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.next3d.checkpoint import Next3DCheckpoint, read_checkpoint
from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel
from synthforge_hf.generators.next3d.resampling import resample_filter

CONFIG_NAME, WEIGHTS_NAME, METADATA_NAME = "config.json", "model.safetensors", "conversion.json"
SMALLEST_BLOCK, LARGEST_BLOCK = "backbone.synthesis.b4.conv1.bias", "backbone.synthesis.b256.conv1.bias"

SUPPORTED: dict[str, tuple[Any, ...]] = {
    "clamp_mode": ("softplus",),
    "disparity_space_sampling": (False,),
    "white_back": (False,),
    "superresolution_noise_mode": ("none",),
    "decoder_lr_mul": (1,),
}
"""Settings of rendering that exist in one way only here, as in the published model."""

CONFIGURED = ("depth_resolution", "depth_resolution_importance", "ray_start", "ray_end", "box_warp")


@dataclass(frozen=True)
class ConvertedNext3D:
    """folder: what ``Next3DModel.from_pretrained`` takes. parameters: how many. tensors: how many, buffers included.
    source_sha256: of the checkpoint."""

    folder: str
    parameters: int
    tensors: int
    source_sha256: str


def convert_next3d(source: Path, out: Path, rasterized_planes: str = "front") -> ConvertedNext3D:
    """Convert a published pickle; nothing in it is run.

    out: a new or empty folder, or an earlier conversion, which is replaced. rasterized_planes: "front" for the
    generator that SynthForge published, "all" for the original one; the files do not say which they are.

    Raises UsageError for a wrong path, SynthForgeError when the file is damaged, hostile, of another network or made
    for settings that are not supported, or OUT cannot be written.
    """
    if not source.is_file():
        raise UsageError(f"there is no file {source}: name the Next3D checkpoint, a .pkl file")
    if rasterized_planes not in ("front", "all"):
        raise UsageError(f"rasterized_planes is '{rasterized_planes}': it must be front or all")
    check_output(out, {CONFIG_NAME, WEIGHTS_NAME, METADATA_NAME})
    checkpoint = read_checkpoint(source)
    try:
        model = build_model(checkpoint, rasterized_planes)
    except SynthForgeError as error:
        raise type(error)(f"{source}: {error}") from error
    digest = file_sha256(source)
    metadata = {
        "source": source.name,
        "source_sha256": digest,
        "attributes": checkpoint.attributes,
        "changes": "converted to safetensors; names of tensors kept; uv_face_mask added to them",
        "license": "that of the checkpoint; its terms hold for what you make with it",
    }
    model.config.architectures = [type(model).__name__]
    with filling(out, CONFIG_NAME) as folder:
        model.config.save_pretrained(folder)
        save_file(model.state_dict(), folder / WEIGHTS_NAME, metadata={"format": "pt"})
        (folder / METADATA_NAME).write_text(json.dumps(metadata, indent=2) + "\n")
    return ConvertedNext3D(str(out), model.num_parameters(), len(model.state_dict()), digest)


def build_model(checkpoint: Next3DCheckpoint, rasterized_planes: str = "front") -> Next3DModel:
    """Build the model that a checkpoint describes and give it the checkpoint's tensors, all of them and no other.

    Raises SynthForgeError when tensors are missing, left over or of another shape, or a setting is not supported.
    """
    tensors = checkpoint.tensors
    if "uv_face_mask" not in tensors:
        raise SynthForgeError("it holds no uv_face_mask: it is no Next3D checkpoint")
    config = _configuration(checkpoint, rasterized_planes)
    with torch.device("meta"):
        model = Next3DModel(config)
    expected = model.state_dict()
    for problem, names in (
        ("lacks", [name for name in expected if name not in tensors]),
        ("has unknown", [name for name in tensors if name not in expected]),
        (
            "has another shape of",
            [name for name in expected if name in tensors and tensors[name].shape != tuple(expected[name].shape)],
        ),
        (
            "has no numbers in",
            [name for name in expected if name in tensors and tensors[name].dtype.kind not in "biuf"],
        ),
    ):
        if names:
            raise SynthForgeError(
                f"the checkpoint {problem} {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: "
                "it is not of the Next3D network"
            )
    taps = resample_filter().numpy()
    other = [
        name
        for name in expected
        if name.endswith("resample_filter") and not np.allclose(tensors[name], taps, atol=1e-6)
    ]
    if other:
        raise SynthForgeError(
            f"the checkpoint's {other[0]} is another filter than (1, 3, 3, 1), which is not supported"
        )
    state = {name: torch.from_numpy(np.array(tensors[name])).to(like.dtype) for name, like in expected.items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def load_model(folder: Path) -> Next3DModel:
    """Load a conversion, ready for inference, on the CPU. The same as ``Next3DModel.from_pretrained``, but silent.

    Raises UsageError when the folder is none, SynthForgeError when its files are damaged.
    """
    if not (folder / CONFIG_NAME).is_file() or not (folder / WEIGHTS_NAME).is_file():
        raise UsageError(
            f"'{folder}' holds no converted Next3D model; make one: synthforge convert next3d CHECKPOINT.pkl {folder}"
        )
    try:
        config = Next3DConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = Next3DModel(config)
        model.load_state_dict(load_file(folder / WEIGHTS_NAME), strict=True, assign=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SynthForgeError(f"the Next3D model in '{folder}' is damaged ({reason}); convert it again") from error
    return model.eval().requires_grad_(False)


def _configuration(checkpoint: Next3DCheckpoint, rasterized_planes: str) -> Next3DConfig:
    tensors, attributes = checkpoint.tensors, checkpoint.attributes
    rendering = attributes.get("rendering_kwargs") or {}
    if not isinstance(rendering, dict):
        raise SynthForgeError("the checkpoint's rendering_kwargs are no dictionary: it is not of the Next3D network")
    for name, values in SUPPORTED.items():
        if rendering.get(name, values[0]) not in values:
            raise SynthForgeError(f"the checkpoint was made for {name} = {rendering[name]!r}, which is not supported")
    settings = {name: rendering[name] for name in CONFIGURED if name in rendering}
    try:
        if "neural_rendering_resolution" in attributes:
            settings["neural_rendering_resolution"] = int(attributes["neural_rendering_resolution"])
        if "orth_scale" in attributes:
            settings["orth_scale"] = float(np.ravel(attributes["orth_scale"])[0])
        if "orth_shift" in attributes:
            settings["orth_shift"] = tuple(float(value) for value in np.ravel(attributes["orth_shift"]))
        return Next3DConfig(
            # The width at 256 x 256 is channel_base / 256 unless that is above channel_max.
            channel_base=256 * len(tensors[LARGEST_BLOCK]),
            channel_max=len(tensors[SMALLEST_BLOCK]),
            # As in the published code: a checkpoint that does not say ignores the camera label.
            c_scale=rendering.get("c_scale", 0),
            c_gen_conditioning_zero=bool(rendering.get("c_gen_conditioning_zero", False)),
            sr_channels=tuple(len(tensors[f"superresolution.block{number}.conv1.bias"]) for number in (0, 1)),
            sr_antialias=bool(rendering.get("sr_antialias", True)),
            rasterized_planes=rasterized_planes,  # type: ignore[arg-type]
            num_faces=tensors["faces"].shape[1],
            num_texture_vertices=tensors["uvcoords"].shape[1],
            num_dense_faces=tensors["dense_faces"].shape[1],
            **settings,
        )
    except KeyError as error:
        raise SynthForgeError(f"the checkpoint lacks {error.args[0]}: it is not of the Next3D network") from error
    except (IndexError, TypeError, ValueError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise SynthForgeError(f"the checkpoint's settings are not those of a Next3D network ({reason})") from error
