"""The whole generator with few channels against the reference arrays, stage by stage, in both variants: all of it that
takes little time. ``test_next3d_complete`` compares the rest, images above all."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from reference_stages import (
    INPUTS,
    Inputs,
    check_stages,
    inputs_of,
    plane_stages,
    planes_of,
    random_input,
    volume_stages,
)
from stage_chain import Chain, LayerProbes
from torch import Tensor

from synthforge_hf.generators.next3d.modeling_next3d import NUM_WS, Next3DModel, Planes
from synthforge_hf.generators.next3d.triplane import render_planes
from synthforge_hf.rendering import volume

EDGE_PIXELS = 8
"""Of a view's 65536 pixels, those whose centre lies on a triangle's edge to a thousandth of a pixel may go to its
neighbour."""


@pytest.fixture(scope="module")
def common(reference: Reference) -> dict[str, np.ndarray]:
    return reference.arrays("common")


@pytest.fixture(scope="module")
def inputs(geometry: dict[str, np.ndarray], common: dict[str, np.ndarray]) -> Inputs:
    return inputs_of(geometry, common, slice(None))


@pytest.fixture(scope="module")
def probes(tiny: Next3DModel) -> LayerProbes:
    return LayerProbes(tiny)


@pytest.fixture(scope="module")
def made(tiny: Next3DModel, inputs: Inputs, probes: LayerProbes) -> tuple[dict[str, Tensor], Planes]:
    with torch.no_grad(), probes:
        return plane_stages(tiny, inputs)


def test_rasterisation(tiny: Next3DModel, inputs: Inputs) -> None:
    found, recorded = tiny.rasterize(inputs.vertices, "all"), inputs.fragments
    same = found.triangle == recorded.triangle
    assert int((~same).sum((-1, -2)).max()) <= EDGE_PIXELS
    difference = (found.texture_grid - recorded.texture_grid).abs().amax(-1)
    assert float(difference[same].max()) <= 5e-5
    front = tiny.rasterize(inputs.vertices, "front")
    assert torch.equal(front.texture_grid, found.texture_grid[:, :1])


def test_planes(common: dict[str, np.ndarray], made: tuple[dict[str, Tensor], Planes]) -> None:
    chain = Chain()
    check_stages(chain, common, made[0])
    assert chain.measured.keys() == common.keys() - INPUTS
    assert not chain.report(), chain.report()


def test_layers(reference: Reference, made: tuple[dict[str, Tensor], Planes], probes: LayerProbes) -> None:
    """All of them but those of super-resolution, the only ones that differ between the variants."""
    table = reference.table("layer_probes")["repo"]
    expected = {name: probe for name, probe in table.items() if not name.startswith("superresolution")}
    assert len(expected) == 155
    assert not list(probes.differences(expected, 3e-3))


@pytest.mark.parametrize("variant", ["repo", "sf"])
def test_volume(
    tiny: Next3DModel, reference: Reference, inputs: Inputs, made: tuple[dict[str, Tensor], Planes], variant: str
) -> None:
    arrays = reference.arrays(variant)
    chain = Chain()
    check_stages(chain, arrays, volume_stages(tiny, inputs, planes_of(made[1], variant), variant, with_image=False))
    assert chain.measured.keys() == {name for name in arrays if not re.match("image(?!_raw)", name)}
    assert not chain.report(), chain.report()


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("iso_texture", lambda m, ws: m.texture_backbone.synthesis(ws)),
        ("iso_noise_none", lambda m, ws: m.texture_backbone.synthesis(ws, "none")),
        ("iso_backbone", lambda m, ws: m.backbone.synthesis(ws)),
        ("iso_mouth", lambda m, ws: m.mouth_backbone.synthesis(ws, random_input("iso_mouth_in", 1, 32, 64, 64))),
        ("iso_blend", lambda m, ws: m.neural_blending.synthesis(ws, random_input("iso_blend_in", 1, 32, 256, 256))),
    ],
)
def test_network_alone(tiny: Next3DModel, reference: Reference, name: str, run: Callable) -> None:
    chain = Chain()
    check_stages(chain, reference.arrays("isolated"), {name: run(tiny, random_input("iso_ws", 1, NUM_WS, 512))})
    assert chain.measured
    assert not chain.report(), chain.report()


def test_renderer_alone(tiny: Next3DModel, reference: Reference, common: dict[str, np.ndarray]) -> None:
    camera = torch.from_numpy(common["c"])[:1]
    rays = volume.camera_rays(camera[:, :16].view(-1, 4, 4), camera[:, 16:].view(-1, 3, 3), 16)
    planes = random_input("iso_planes", 1, 3, 32, 64, 64)
    image = render_planes(planes, tiny.decoder, *rays, tiny.marching(), volume.CentredSampler())
    assert image.features is not None
    stages = {"iso_rend_features": image.features, "iso_rend_weight": image.weight.unsqueeze(-1)}
    stages |= {"iso_rend_depth": image.depth.clamp(image.nearest, image.farthest).unsqueeze(-1)}
    chain = Chain()
    check_stages(chain, reference.arrays("isolated"), stages)
    assert len(chain.measured) == 3
    assert not chain.report(), chain.report()
