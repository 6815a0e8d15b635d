"""The published configuration, 172.8 million parameters, against the reference arrays (one sample, front plane)."""

import gc

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from stage_chain import SUBSET, Chain, LayerProbes
from weight_rule import MESH, crc, load_by_rule

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel, as_image

NUM_VERTICES = 5023


@pytest.fixture(scope="module")
def expected_keys(reference: Reference) -> dict[str, dict]:
    return reference.table("keys")["full"]


def test_state_dict_is_the_published_one(expected_keys: dict[str, dict]) -> None:
    with torch.device("meta"):
        model = Next3DModel(Next3DConfig())
    parameters = dict(model.named_parameters())
    found = {
        name: (list(tensor.shape), str(tensor.dtype).removeprefix("torch."), name in parameters)
        for name, tensor in model.state_dict().items()
    }
    assert found.pop("uv_face_mask") == ([1, 1, 256, 256], "float32", False)
    assert len(found) == 674
    assert found == {
        name: (entry["shape"], entry["dtype"], entry["kind"] == "param") for name, entry in expected_keys.items()
    }
    assert sum(parameter.numel() for parameter in parameters.values()) == 172_815_807


def test_full_size_stage_by_stage(reference: Reference, expected_keys: dict[str, dict]) -> None:
    geometry, common = reference.arrays("geometry"), reference.arrays("common")
    mesh = {"num_faces": len(geometry["faces"]), "num_texture_vertices": len(geometry["uvs"])}
    model = Next3DModel(Next3DConfig(**mesh)).eval()
    load_by_rule(model, geometry)
    state = model.state_dict()
    checked = [name for name in expected_keys if name.endswith("conv1.bias") or name.startswith("decoder.")]
    assert all(crc(state[name].numpy()) == expected_keys[name]["crc32"] for name in checked if name not in MESH)

    chain = Chain({name: array[:1] for name, array in reference.arrays("full").items()})
    quarter = tuple(slice(part.start, None, 4 * part.step) for part in SUBSET)
    vertices = torch.from_numpy(geometry["v"])[:1]
    z, c = (torch.from_numpy(common[name])[:1] for name in ("z", "c"))
    with LayerProbes(model) as probes:
        ws = model.map(z, c, 0.7, 14)
        made = model.make_planes(ws, vertices[:, :NUM_VERTICES], vertices[:, NUM_VERTICES:])
        rendered = model.render(made.planes, c, 64)
        features = as_image(rendered.features)
        image = model.super_resolve(features, ws)
    chain.check("ws", ws, 1e-5, common["ws"][:1])
    chain.check_image("texture", made.texture, 2e-4, quarter)
    chain.check_image("view_front", made.views.images[0], 2e-4, quarter)
    chain.check_image("mouth_out", made.mouth_out, 2e-3, quarter)
    chain.check_image("stitch_out", made.blended, 2e-3, quarter)
    chain.check_image("static", made.static, 2e-4, quarter)
    chain.check_image("planes", made.planes, 2e-3, quarter)
    points = torch.from_numpy(common["probe_xyz"])[:1]
    colours, sigma = model.query(made.planes, points)
    chain.check("probe_rgb", colours[..., :4], 1e-3)
    chain.check("probe_sigma", sigma.unsqueeze(-1), 1e-3)
    chain.check_image("features", features, 1e-3, (slice(0, None, 8), slice(1, None, 8)))
    chain.check("weights64", as_image(rendered.weight.unsqueeze(-1))[..., ::2, ::2], 1e-3)
    depth = as_image(rendered.depth.clamp(rendered.nearest, rendered.farthest).unsqueeze(-1))
    chain.check("depth64", depth[..., ::2, ::2], 1e-3)
    chain.check_image("image", image, 1e-3, (slice(1, None, 16), slice(2, None, 16)))
    chain.check("image_patch", image[..., 236:276:2, 236:276:2], 1e-3)
    assert not chain.report(), chain.report()
    assert not list(probes.differences(reference.table("full_probes"), 2e-3, shape_from=1))
    del model, state, made
    gc.collect()


def test_weights_by_the_rule_are_those_of_the_reference(reference: Reference) -> None:
    """A change of numpy's normal generator would show here."""
    from weight_rule import weight

    keys = reference.table("keys")["tiny"]
    names = [name for name in keys if "crc32" in keys[name] and name not in MESH]
    assert len(names) == 668
    assert all(crc(weight(name, tuple(keys[name]["shape"]))) == keys[name]["crc32"] for name in names)
    first = np.ravel(weight("backbone.mapping.fc0.weight", (512, 1024)))[:3]
    np.testing.assert_allclose(first, [-49.896496, 65.97985, -82.46632])
