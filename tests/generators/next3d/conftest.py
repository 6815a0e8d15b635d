"""Reference arrays of the published generator, where the machine has them, and the small model they were made with."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from weight_rule import load_by_rule

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel

REPOSITORY = Path(__file__).parents[3]
NUM_VERTICES = 5023
TINY = {"channel_base": 2048, "channel_max": 32}


@pytest.fixture(scope="session")
def reference() -> Reference:
    """Reference arrays; they are never part of the repository. SYNTHFORGE_GOLDEN names the folder that holds next3d/,
    default ../shared/golden."""
    folder = Path(os.environ.get("SYNTHFORGE_GOLDEN", REPOSITORY.parent / "shared" / "golden")) / "next3d"
    if not folder.is_dir():
        pytest.skip(f"no reference arrays at {folder} (set SYNTHFORGE_GOLDEN)")
    return Reference(folder)


@pytest.fixture(scope="session")
def geometry(reference: Reference) -> dict[str, np.ndarray]:
    return reference.arrays("geometry")


@pytest.fixture(scope="session")
def tiny(geometry: dict[str, np.ndarray]) -> Next3DModel:
    """All of the generator with few channels, its weights by the rule."""
    mesh = {"num_faces": len(geometry["faces"]), "num_texture_vertices": len(geometry["uvs"])}
    model = Next3DModel(Next3DConfig(**TINY, **mesh)).eval()
    load_by_rule(model, geometry)
    return model


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield
