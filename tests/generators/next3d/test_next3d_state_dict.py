"""The weights' names and shapes are those of the published configuration, 172.8 million parameters."""

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from weight_rule import MESH, crc, weight

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel


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


def test_weights_by_the_rule_are_those_of_the_reference(reference: Reference) -> None:
    """A change of numpy's normal generator would show here."""
    keys = reference.table("keys")["tiny"]
    names = [name for name in keys if "crc32" in keys[name] and name not in MESH]
    assert len(names) == 668
    assert all(crc(weight(name, tuple(keys[name]["shape"]))) == keys[name]["crc32"] for name in names)
    first = np.ravel(weight("backbone.mapping.fc0.weight", (512, 1024)))[:3]
    np.testing.assert_allclose(first, [-49.896496, 65.97985, -82.46632])
