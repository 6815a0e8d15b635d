"""Every reference array and every layer: both variants, both samples, few channels and the published configuration.

Takes minutes, so it runs on request only, and prints a table of the largest differences:

    SYNTHFORGE_GOLDEN_COMPLETE=1 python -m pytest -s tests/generators/next3d/test_next3d_complete.py
"""

import os

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from reference_stages import INPUTS, check_stages, inputs_of, plane_stages, planes_of, random_input, volume_stages
from stage_chain import Chain, LayerProbes
from weight_rule import crc, load_by_rule

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import NUM_WS, Next3DModel

pytestmark = pytest.mark.skipif(
    not os.environ.get("SYNTHFORGE_GOLDEN_COMPLETE"), reason="takes minutes: set SYNTHFORGE_GOLDEN_COMPLETE=1"
)
ALL = slice(None)
VARIANTS = {"repo": "all", "sf": "front"}


def assert_complete(chain: Chain, title: str, *files: dict[str, np.ndarray]) -> None:
    """Every array of the files was compared, and none differs; print by how much they do."""
    assert chain.measured.keys() == set().union(*files) - INPUTS
    print(f"\n{title}")
    for name, (worst, tolerance) in chain.measured.items():
        print(f"  {name:24}{worst:10.2g} of {tolerance:g}")
    assert not chain.report(), chain.report()


def assert_layers_agree(probes: LayerProbes, expected: dict[str, dict], atol: float) -> None:
    assert len(expected) == 165
    assert not list(probes.differences(expected, atol))
    print(f"  {f'{len(expected)} layers':24}{probes.worst:10.2g} of {atol:g}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_few_channels(tiny: Next3DModel, geometry: dict[str, np.ndarray], reference: Reference, variant: str) -> None:
    common, arrays, table = reference.arrays("common"), reference.arrays(variant), reference.table("layer_probes")
    inputs = inputs_of(geometry, common, ALL)
    chain = Chain()
    with LayerProbes(tiny) as probes:
        stages, made = plane_stages(tiny, inputs)
        check_stages(chain, common, stages)
        check_stages(chain, arrays, volume_stages(tiny, inputs, planes_of(made, variant), variant))
    assert_complete(chain, f"few channels, {variant}", common, arrays)
    assert_layers_agree(probes, table["repo"] | (table["sf_only_differences"] if variant == "sf" else {}), 3e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_call(
    tiny: Next3DModel,
    geometry: dict[str, np.ndarray],
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
    variant: str,
) -> None:
    """``forward`` with our own rasteriser, whose edge pixels do not show in what it returns."""
    monkeypatch.setattr(tiny.config, "rasterized_planes", VARIANTS[variant])
    inputs = inputs_of(geometry, reference.arrays("common"), ALL)
    output = tiny(inputs.z, inputs.c, inputs.vertices, inputs.landmarks, truncation_psi=0.7, truncation_cutoff=14)
    arrays = reference.arrays(variant)
    stages = {"planes": output.planes, "features": output.features, "image_raw": output.image_raw}
    stages |= {"weights64": output.weights, "image_depth": output.image_depth}
    stages |= {"image": output.image, "image_patch": output.image}
    chain = Chain()
    check_stages(chain, arrays, stages)
    compared = {name: array for name, array in arrays.items() if name.partition(".")[0] in stages}
    assert_complete(chain, f"few channels, {variant}, in one call", compared)


def test_super_resolution_alone(tiny: Next3DModel, reference: Reference) -> None:
    features = random_input("iso_sr_in", 1, 32, 64, 64).clamp(-1, 1)
    image = tiny.superresolution(features[:, :3], features, random_input("iso_ws", 1, NUM_WS, 512)[:, -1])
    arrays = {name: array for name, array in reference.arrays("isolated").items() if name.startswith("iso_sr")}
    chain = Chain()
    check_stages(chain, arrays, {"iso_sr": image})
    assert_complete(chain, "super-resolution alone", arrays)


def test_full_size(geometry: dict[str, np.ndarray], reference: Reference) -> None:
    """172.8 million parameters, the front-only variant."""
    mesh = {"num_faces": len(geometry["faces"]), "num_texture_vertices": len(geometry["uvs"])}
    model = Next3DModel(Next3DConfig(**mesh)).eval()
    load_by_rule(model, geometry)
    state = model.state_dict()
    digests = {name: entry["crc32"] for name, entry in reference.table("keys")["full"].items() if "crc32" in entry}
    assert len(digests) == 669
    assert {name: crc(state[name].numpy()) for name in digests if name != "dense_faces"} == {
        name: digest for name, digest in digests.items() if name != "dense_faces"
    }

    arrays = reference.arrays("full")
    inputs = inputs_of(geometry, reference.arrays("common"), ALL)
    chain = Chain()
    with LayerProbes(model) as probes:
        stages, made = plane_stages(model, inputs)
        check_stages(chain, arrays, stages, full=True)
        del stages
        planes = planes_of(made, "sf")
        check_stages(chain, arrays, volume_stages(model, inputs, planes, "sf"), full=True)
    assert_complete(chain, "full size, sf", arrays)
    assert_layers_agree(probes, reference.table("full_probes"), 2e-3)
    torch.testing.assert_close(model.map(inputs.z, inputs.c, 0.7, 14), inputs.ws, rtol=0, atol=1e-5)
