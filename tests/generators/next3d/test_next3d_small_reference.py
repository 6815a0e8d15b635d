"""The generator against arrays of its own, which were made when every stage agreed with the published generator's.

They guard it where the large reference arrays are not at hand. After a change that is meant, and only when the large
arrays agree: python tests/generators/next3d/test_next3d_small_reference.py
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_head import small_head
from stage_chain import Chain
from torch import Tensor
from weight_rule import load_by_rule, normals

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel
from synthforge_hf.rendering.volume import CentredSampler, RandomSampler

FILE = Path(__file__).parent / "small_reference.npz"
TINY = {"channel_base": 2048, "channel_max": 32}
TOLERANCES = {
    "ws": 1e-5,
    "texture": 1e-4,
    "view_front": 1e-4,
    "view_side": 1e-4,
    "view_top": 1e-4,
    "alpha_front": 1e-4,
    "alpha_side": 1e-4,
    "alpha_top": 1e-4,
    "mouth_in": 1e-4,
    "mouth_out": 5e-4,
    "stitched": 5e-4,
    "blended": 5e-4,
    "static": 1e-4,
    "planes_all": 5e-4,
    "planes_front": 5e-4,
    "features": 2e-4,
    "weights": 2e-4,
    "depth": 2e-3,
    "image": 3e-4,
}
"""In the order of computation."""


def make_model() -> tuple[Next3DModel, dict[str, np.ndarray]]:
    head = small_head()
    mesh = {"num_faces": len(head["faces"]), "num_texture_vertices": len(head["uvs"]), "num_dense_faces": 1}
    model = Next3DModel(Next3DConfig(**TINY, **mesh)).eval()
    load_by_rule(model, head)
    return model, head


def look_at_camera(yaw: float, pitch: float, focal: float) -> Tensor:
    """(1, 25) label of a camera 2.7 from the origin that looks at (0, 0, 0.2)."""
    origin = 2.7 * np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    forward = np.array([0, 0, 0.2]) - origin
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = origin
    intrinsics = np.array([focal, 0, 0.5, 0, focal, 0.5, 0, 0, 1])
    return torch.tensor(np.concatenate([pose.ravel(), intrinsics]), dtype=torch.float32)[None]


@torch.no_grad()
def run(model: Next3DModel, head: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    z = torch.from_numpy(normals("small_z", (1, 512))).float()
    c = look_at_camera(0.3, -0.1, 4.26)
    points = [torch.from_numpy(head[name])[None] for name in ("vertices", "landmarks")]
    ws = model.map(z, c, 0.7, 14)
    made = model.make_planes(ws, *points, rasterized_planes="all")
    output = model(z, c, *points, truncation_psi=0.7, truncation_cutoff=14, neural_rendering_resolution=32)
    stages = {"ws": ws[:, ::3, ::8], "texture": made.texture, "mouth_in": made.mouth_in, "mouth_out": made.mouth_out}
    stages |= {f"view_{name}": image for name, image in zip(("front", "side", "top"), made.views.images, strict=True)}
    stages |= {f"alpha_{name}": image for name, image in zip(("front", "side", "top"), made.views.alphas, strict=True)}
    stages |= {"stitched": made.stitched, "blended": made.blended, "static": made.static}
    stages |= {"planes_all": made.planes, "planes_front": output.planes}
    stages |= {"features": output.features, "weights": output.weights}
    stages |= {"depth": output.image_depth, "image": output.image}
    strides = {512: 16, 256: 32, 64: 4, 32: 3}
    for name, tensor in stages.items():
        if name != "ws":
            step = strides[tensor.shape[-1]]
            stages[name] = tensor[..., step // 2 :: step, step // 3 :: step]
    return {name: tensor.numpy() for name, tensor in stages.items()}


@pytest.fixture(scope="module")
def small() -> tuple[Next3DModel, dict[str, np.ndarray]]:
    return make_model()


def test_every_stage(small: tuple[Next3DModel, dict[str, np.ndarray]]) -> None:
    with np.load(FILE) as file:
        expected = dict(file)
    assert expected.keys() == TOLERANCES.keys()
    assert all(np.ptp(array) > 0 for array in expected.values())
    chain = Chain()
    found = run(*small)
    for name, tolerance in TOLERANCES.items():
        chain.check(name, found[name], tolerance, expected[name])
    assert not chain.report(), chain.report()


def test_the_first_difference_is_named() -> None:
    chain = Chain()
    chain.check("first", torch.zeros(2), 1e-6, np.zeros(2))
    chain.check("second", torch.tensor([0.0, np.nan]), 1e-6, np.zeros(2))
    chain.check("third", torch.zeros(3), 1e-6, np.zeros(2))
    assert chain.report().startswith("the first stage that differs: second differs by nan")


def test_rays_are_sampled_by_the_given_numbers_only(small: tuple[Next3DModel, dict[str, np.ndarray]]) -> None:
    model, _ = small
    planes = torch.from_numpy(normals("small_planes", (1, 3, 32, 16, 16))).float()
    camera = look_at_camera(-0.2, 0.2, 4.26)

    def features(sampler: RandomSampler | CentredSampler | None) -> Tensor:
        image = model.render(planes, camera, 8, sampler)
        assert image.features is not None
        return image.features

    def seeded(seed: int) -> RandomSampler:
        return RandomSampler(np.random.default_rng(seed))

    assert torch.equal(features(seeded(1)), features(seeded(1)))
    assert not torch.equal(features(seeded(1)), features(seeded(2)))
    assert torch.equal(features(None), features(CentredSampler()))
    # Random positions scatter around what the middle of the steps sees.
    assert float((features(seeded(1)) - features(None)).abs().mean()) < 0.05


def test_samples_do_not_depend_on_the_batch(small: tuple[Next3DModel, dict[str, np.ndarray]]) -> None:
    model, head = small
    ws = torch.from_numpy(normals("small_ws", (2, 28, 512))).float()
    points = [torch.from_numpy(np.stack([head[name], 1.05 * head[name]])) for name in ("vertices", "landmarks")]
    both = model.make_planes(ws, *points).planes
    for number in range(2):
        alone = model.make_planes(ws[number : number + 1], *(item[number : number + 1] for item in points)).planes
        torch.testing.assert_close(both[number : number + 1], alone, rtol=0, atol=5e-4)


if __name__ == "__main__":
    arrays = run(*make_model())
    np.savez_compressed(FILE, **{name: arrays[name] for name in TOLERANCES})
    print(FILE, FILE.stat().st_size)
