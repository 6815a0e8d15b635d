"""Single operations against the reference arrays of ``ops.npz``."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from torch import Tensor, nn
from weight_rule import weight

from synthforge_hf.generators.next3d import layers, views
from synthforge_hf.generators.next3d.mapping import MappingNetwork
from synthforge_hf.generators.next3d.resampling import downsample, upsample
from synthforge_hf.generators.next3d.triplane import Decoder, sample_planes
from synthforge_hf.rendering import volume

ATOL = 1e-5


@pytest.fixture(scope="module")
def ops(reference: Reference) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in reference.arrays("ops").items()}


def filled(module: nn.Module, ops: dict[str, Tensor], prefix: str) -> nn.Module:
    """Give a module the weights stored under ``prefix``; those left out come by the rule."""
    state = {}
    for name, tensor in module.state_dict().items():
        stored = ops.get(f"{prefix}{name}")
        state[name] = torch.from_numpy(weight(f"{prefix}{name}", tuple(tensor.shape))) if stored is None else stored
    module.load_state_dict(state)
    return module


def assert_near(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=0, atol=ATOL)


def test_doubling_and_halving(ops: dict[str, Tensor]) -> None:
    assert_near(upsample(ops["x8"]), ops["upsample2d.y"])
    assert_near(downsample(ops["x8"]), ops["downsample2d.y"])


@pytest.mark.parametrize(("name", "up"), [("syn1", False), ("syn2", True)])
def test_synthesis_layer(ops: dict[str, Tensor], name: str, up: bool) -> None:
    layer = filled(layers.SynthesisLayer(4, 5, 512, 16 if up else 8, up=up), ops, f"{name}.")
    assert_near(layer.affine(ops["w"]), ops[f"{name}.styles"])
    assert_near(layer(ops["xs"], ops["w"]), ops[f"{name}.y"])
    assert_near(layer(ops["xs"], ops["w"], "none"), ops[f"{name}.y_none"])
    assert_near(layer(ops["xs"], ops["w"]), ops[f"{name}.y_nonfused"])


def test_synthesis_layer_clamps(ops: dict[str, Tensor]) -> None:
    layer = filled(layers.SynthesisLayer(4, 5, 512, 16, up=True, clamp=1.0), ops, "syn2.")
    assert_near(layer(ops["xs"], ops["w"]), ops["syn2.y_clamp1"])


@pytest.mark.parametrize(
    ("prefix", "make"),
    [
        ("down3", lambda: layers.Convolution(4, 6, 3, "lrelu", down=True)),
        ("conv3", lambda: layers.Convolution(4, 6, 3, "lrelu")),
        ("lin3", lambda: layers.Convolution(4, 6, 3)),
        ("lin1", lambda: layers.Convolution(4, 6, 1, bias=False)),
    ],
)
def test_convolution(ops: dict[str, Tensor], prefix: str, make: Callable[[], nn.Module]) -> None:
    assert_near(filled(make(), ops, f"{prefix}.")(ops["xs"]), ops[f"{prefix}.y"])


def test_to_rgb(ops: dict[str, Tensor]) -> None:
    assert_near(filled(layers.ToRGB(4, 3, 512), ops, "rgb.")(ops["xs"], ops["w"]), ops["rgb.y"])


def test_encoder_block(ops: dict[str, Tensor]) -> None:
    image, features = filled(layers.EncoderBlock(4, 5, 6, True), ops, "enc.")(ops["xs"], ops["enc_skip"])
    assert_near(image, ops["enc.down"])
    assert_near(features, ops["enc.y"])


def test_mapping(ops: dict[str, Tensor]) -> None:
    mapping = filled(MappingNetwork(512, 25, 512, 3), ops, "map.mapping.")
    assert_near(mapping(ops["z"], ops["c"]), ops["map.y"])
    assert_near(mapping(ops["z"], ops["c"], 0.7, 2), ops["map.y_trunc"])


def test_decoder(ops: dict[str, Tensor]) -> None:
    decoder = filled(Decoder(32), ops, "decoder.")
    features = ops["dec_in"].mean(1)
    colours, sigma = decoder(features)
    assert_near(colours, ops["dec.rgb"])
    assert_near(sigma.unsqueeze(-1), ops["dec.sigma"])
    assert_near(decoder.density(features).unsqueeze(-1), ops["dec.sigma"])


def test_plane_sampling(ops: dict[str, Tensor]) -> None:
    assert_near(sample_planes(ops["planes"], ops["xyz"], 1.0), ops["planes.sampled"])


def test_marching(ops: dict[str, Tensor]) -> None:
    depths = ops["m_dep"].squeeze(-1)
    weights = volume.march_weights(ops["m_sig"].squeeze(-1), depths)
    assert_near(weights.unsqueeze(-1), ops["m.weights"])
    depth, _ = volume.expected_depth(depths, weights)
    assert_near(depth.clamp(depths.min(), depths.max()).unsqueeze(-1), ops["m.depth"])
    summed = (volume.sample_weights(weights).unsqueeze(-1) * ops["m_col"]).sum(2)
    assert_near(2 * summed - 1, ops["m.rgb"])
    quantiles = volume.CentredSampler().quantiles(1, 4, 8, torch.device("cpu"))
    assert_near(volume.importance_depths(depths, weights, quantiles).unsqueeze(-1), ops["m.fine"])


def test_rays_of_a_camera_with_skew(ops: dict[str, Tensor]) -> None:
    origins, directions = volume.camera_rays(torch.eye(4).expand(2, 4, 4), ops["rays.K"], 4)
    assert_near(directions, ops["rays.dirs"])
    assert (origins == 0).all()


def test_resizing(ops: dict[str, Tensor]) -> None:
    assert_near(views.crop(ops["aa_in"], [(0, 38, 0, 38)], 64), ops["aa_64"])
    pasted = views.paste(torch.zeros(1, 1, 50, 50), ops["aa_in256"], [(3, 43, 5, 45)])
    assert_near(pasted[:, :, 3:43, 5:45], ops["aa_40"])
    assert pasted.count_nonzero() == pasted[:, :, 3:43, 5:45].count_nonzero()


def test_hole_filling(ops: dict[str, Tensor]) -> None:
    assert_near(views.fill_holes(ops["fill_in"]), ops["fill_out"])


def test_rotation_order(ops: dict[str, Tensor]) -> None:
    assert_near(views.rotation_from_degrees(ops["euler_deg"]), ops["euler_R"])


def test_hole_filling_follows_a_winding_path() -> None:
    """Without reference arrays: a comb-shaped corridor from the corner, and a closed room."""
    alpha = np.ones((1, 1, 9, 9), np.float32)
    alpha[0, 0, 0, :] = 0
    alpha[0, 0, :8:, 0::4] = 0
    alpha[0, 0, 7, 0:4] = 0
    alpha[0, 0, 4:7, 2] = 0  # opens onto row 7
    alpha[0, 0, 2, 2] = 0  # a room of its own
    wanted = alpha.copy()
    wanted[0, 0, 2, 2] = 1
    np.testing.assert_array_equal(views.fill_holes(torch.from_numpy(alpha)).numpy(), wanted)
