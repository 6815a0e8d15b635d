"""Reference arrays of the published generator, where the machine has them, and the small model they were made with."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from synthetic_flame import synthetic_flame, write_flame_files
from weight_rule import load_by_rule

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel
from synthforge_hf.generators.next3d.settings import Next3DSettings
from synthforge_hf.heads.flame_conversion import convert_flame

REPOSITORY = Path(__file__).parents[3]
NUM_VERTICES = 5023
TINY = {"channel_base": 2048, "channel_max": 32}

ANY_DISTANCE = 1e6
"""Random weights make fog, not faces: how far mesh and volume are apart says nothing here."""


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Next3DSettings:
    """A made-up FLAME and a network of few channels with weights by the rule: all of the generator, in a second."""
    folder = tmp_path_factory.mktemp("next3d")
    convert_flame(write_flame_files(folder / "files"), folder / "flame")
    flame = synthetic_flame()
    mesh = {
        "faces": flame.model["f"].astype(np.int32),
        "uvfaces": flame.uv_faces.astype(np.int32),
        "uvs": flame.uv.astype(np.float32),
        "uv_face_eye_mask": np.full((256, 256), 255, np.uint8),
    }
    sizes = {"num_faces": len(mesh["faces"]), "num_texture_vertices": len(mesh["uvs"]), "num_dense_faces": 1}
    model = Next3DModel(
        Next3DConfig(channel_base=512, channel_max=8, sr_channels=(8, 4), neural_rendering_resolution=32, **sizes)
    )
    load_by_rule(model, mesh)
    model.save_pretrained(folder / "model")
    return Next3DSettings(
        model=str(folder / "model"),
        flame=str(folder / "flame"),
        depth_resolution=32,
        opacity=0.2,
        max_alignment_error_mm=ANY_DISTANCE,
    )


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
