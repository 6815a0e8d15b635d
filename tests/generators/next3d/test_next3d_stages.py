"""The whole generator with few channels against the reference arrays, stage by stage, in both variants."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from reference_arrays import Reference
from stage_chain import Chain, LayerProbes
from torch import Tensor
from weight_rule import normals

from synthforge_hf.generators.next3d import views
from synthforge_hf.generators.next3d.modeling_next3d import NUM_WS, Next3DModel, Planes, RasterizedPlanes, as_image
from synthforge_hf.generators.next3d.triplane import VolumeImage, render_planes, sample_planes
from synthforge_hf.rendering import volume

CPU = torch.device("cpu")
NUM_VERTICES = 5023
VARIANTS: dict[str, RasterizedPlanes] = {"repo": "all", "sf": "front"}
EDGE_PIXELS = 8
"""Of a view's 65536 pixels, those whose centre lies on a triangle's edge to a thousandth of a pixel may go to its
neighbour."""


def as_tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def common(reference: Reference) -> dict[str, np.ndarray]:
    return reference.arrays("common")


@pytest.fixture(scope="module")
def mesh(geometry: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """(2, V, 3) vertices and (2, 68, 3) landmarks."""
    points = torch.from_numpy(geometry["v"])
    return points[:, :NUM_VERTICES], points[:, NUM_VERTICES:]


@pytest.fixture(scope="module")
def recorded_fragments(common: dict[str, np.ndarray]) -> views.ViewFragments:
    triangle = torch.from_numpy(common["pix_to_face"]).int()
    return views.ViewFragments(torch.from_numpy(common["raster_uv"]).movedim(2, -1), triangle >= 0, triangle)


@pytest.fixture(scope="module")
def made(
    tiny: Next3DModel,
    common: dict[str, np.ndarray],
    mesh: tuple[Tensor, Tensor],
    recorded_fragments: views.ViewFragments,
) -> Planes:
    """All three planes, from the recorded rasterisation, so that no edge pixel matters."""
    with torch.no_grad():
        return tiny.make_planes(torch.from_numpy(common["ws"]), *mesh, "const", "all", recorded_fragments)


@pytest.fixture(scope="module")
def planes_of(made: Planes) -> Callable[[str], Tensor]:
    """Planes (2, 3, 32, 256, 256) of a variant: the front-only one differs in planes 1 and 2."""

    def planes(variant: str) -> Tensor:
        if variant == "repo":
            return made.planes
        return torch.cat([made.planes[:, :1], made.static.unflatten(1, (3, -1))[:, 1:]], 1)

    return planes


@pytest.fixture(scope="module")
def rendered(
    tiny: Next3DModel, common: dict[str, np.ndarray], planes_of: Callable[[str], Tensor]
) -> dict[str, VolumeImage]:
    with torch.no_grad():
        return {name: tiny.render(planes_of(name), torch.from_numpy(common["c"]), 64) for name in VARIANTS}


def test_rasterisation(
    tiny: Next3DModel,
    common: dict[str, np.ndarray],
    mesh: tuple[Tensor, Tensor],
    recorded_fragments: views.ViewFragments,
) -> None:
    found = tiny.rasterize(mesh[0], "all")
    same = found.triangle == recorded_fragments.triangle
    assert int((~same).sum((-1, -2)).max()) <= EDGE_PIXELS
    difference = (found.texture_grid - recorded_fragments.texture_grid).abs().amax(-1)
    assert float(difference[same].max()) <= 5e-5
    front = tiny.rasterize(mesh[0], "front")
    assert torch.equal(front.texture_grid, found.texture_grid[:, :1])


def test_landmarks_and_mouth_box(common: dict[str, np.ndarray], mesh: tuple[Tensor, Tensor], tiny: Next3DModel) -> None:
    frame = (tiny.config.orth_scale, tiny.config.orth_shift)
    for view in range(4):
        found = views.project_to_view(mesh[1], view, *frame)[..., :2]
        np.testing.assert_allclose(found, common["lms2d"][:, view], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(views.mouth_box(mesh[1], *frame), common["mouth_box"])


def test_planes_stage_by_stage(
    tiny: Next3DModel, reference: Reference, common: dict[str, np.ndarray], made: Planes, planes_of: Callable
) -> None:
    chain = Chain(common)
    z, c = torch.from_numpy(common["z"]), torch.from_numpy(common["c"])
    chain.check("ws_psi1", tiny.map(z, c), 1e-5)
    chain.check("ws", tiny.map(z, c, 0.7, 14), 1e-5)
    chain.check_image("texture", made.texture, 1e-4)
    for number, name in enumerate(("front", "side", "top")):
        chain.check_image(f"view_{name}", made.views.images[number], 1e-4)
        chain.check(f"alpha_{name}", made.views.alphas[number], 1e-4)
    chain.check("mouth_box", np.array(made.boxes), 0)
    chain.check_image("mouth_in", made.mouth_in, 1e-4, (slice(1, None, 2), slice(0, None, 2)))
    chain.check_image("mouth_out", made.mouth_out, 5e-4)
    chain.check_image("stitch_in", made.stitched, 5e-4)
    chain.check_image("stitch_out", made.blended, 5e-4)
    chain.check_image("static", made.static, 1e-4)
    for variant in VARIANTS:
        chain.expected = reference.arrays(variant)
        chain.check_image("planes", planes_of(variant), 5e-4)
    assert chain.compared == 39
    assert not chain.report(), chain.report()


@pytest.mark.parametrize("variant", VARIANTS)
def test_rendering_stage_by_stage(
    tiny: Next3DModel,
    reference: Reference,
    common: dict[str, np.ndarray],
    planes_of: Callable[[str], Tensor],
    rendered: dict[str, VolumeImage],
    variant: str,
) -> None:
    planes, image = planes_of(variant), rendered[variant]
    chain = Chain(common)
    cameras = torch.from_numpy(common["c"])
    origins, directions = volume.camera_rays(cameras[:, :16].view(-1, 4, 4), cameras[:, 16:].view(-1, 3, 3), 64)
    chain.check("ray_origins", origins[:, :1], 1e-6)
    chain.check("ray_dirs", directions.unflatten(1, (64, 64))[:, ::2, ::2], 1e-6)
    points = torch.from_numpy(common["probe_xyz"])
    if variant == "repo":  # the original query function blends all three planes, also where rendering does not
        colours, sigma = tiny.query(planes, points)
        chain.check("probe_mixed_rgb", colours, 2e-4)
        chain.check("probe_mixed_sigma", sigma.unsqueeze(-1), 5e-4)

    rays = torch.from_numpy(common["march_ray_index"])
    coarse = volume.coarse_depths(2.25, 3.3, volume.CentredSampler().jitter(2, 16, 48, CPU))
    chain.check("march_coarse_depths", coarse, 5e-4)
    chain.expected = reference.arrays(variant)
    chain.check("probe_feat", sample_planes(planes, points, 1.0), 5e-4)
    colours, sigma = tiny.query(planes, points)
    chain.check("probe_rgb", colours, 2e-4)
    chain.check("probe_sigma", sigma.unsqueeze(-1), 5e-4)

    def query(depths: Tensor) -> tuple[Tensor, Tensor]:
        along = origins[:, rays].unsqueeze(2) + directions[:, rays].unsqueeze(2) * depths.unsqueeze(-1)
        colours, sigma = tiny.query(planes, along.flatten(1, 2))
        return colours[..., 0].view_as(depths), sigma.view_as(depths)

    colours, sigma = query(coarse)
    weights = volume.march_weights(sigma, coarse)
    chain.check("march_coarse_sigma", sigma, 5e-4)
    chain.check("march_coarse_color0", colours, 5e-4)
    chain.check("march_coarse_weights", weights, 5e-4)
    quantiles = volume.CentredSampler().quantiles(2, 16, 48, CPU)
    final = torch.cat([coarse, volume.importance_depths(coarse, weights, quantiles)], -1).sort(-1).values
    colours, sigma = query(final)
    chain.check("march_final_depths", final, 5e-4)
    chain.check("march_final_sigma", sigma, 3e-3)
    chain.check("march_final_color0", colours, 5e-4)
    chain.check("march_final_weights", volume.march_weights(sigma, final), 5e-4)

    features = as_image(image.features)
    every_second = (slice(0, None, 2), slice(1, None, 2))
    chain.check_image("features", features, 2e-4, every_second)
    chain.check_image("image_raw", features[:, :3], 2e-4, every_second)
    chain.check("weights64", as_image(image.weight.unsqueeze(-1)), 2e-4)
    clamped = as_image(image.depth.clamp(image.nearest, image.farthest).unsqueeze(-1))
    chain.check("depth64", clamped, 1e-3)
    if variant == "repo":
        chain.check("image_depth", clamped, 1e-3)
    assert chain.compared == {"repo": 22, "sf": 19}[variant]
    assert not chain.report(), chain.report()


def test_super_resolution_of_three_planes(
    tiny: Next3DModel, reference: Reference, common: dict[str, np.ndarray], rendered: dict[str, VolumeImage]
) -> None:
    """One sample, to save time; the other variant's is made by the next test."""
    expected = {name: array[1:] for name, array in reference.arrays("repo").items()}
    image = tiny.super_resolve(as_image(rendered["repo"].features[1:]), torch.from_numpy(common["ws"])[1:])
    chain = Chain(expected)
    check_final_image(chain, image)
    assert not chain.report(), chain.report()


def check_final_image(chain: Chain, image: Tensor) -> None:
    chain.check_image("image", image, 3e-4, (slice(1, None, 4), slice(2, None, 4)))
    chain.check("image_patch", image[..., 236:276, 236:276], 3e-4)


def test_forward_of_the_front_variant(
    tiny: Next3DModel,
    reference: Reference,
    common: dict[str, np.ndarray],
    mesh: tuple[Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All in one call, with our own rasteriser; one view, one sample, every layer probed."""
    inputs = [torch.from_numpy(common[name])[:1] for name in ("z", "c")]
    with LayerProbes(tiny) as probes:
        output = tiny(*inputs, *(points[:1] for points in mesh), truncation_psi=0.7, truncation_cutoff=14)
    table = reference.table("layer_probes")
    # The tables are of a batch of two; modules that are the same in both variants are listed under "repo" only.
    expected = table["repo"] | table["sf_only_differences"]
    assert len(expected) > 100
    assert not list(probes.differences(expected, 3e-3, shape_from=1))
    chain = Chain({name: array[:1] for name, array in reference.arrays("sf").items()})
    # Depths are kept within what the whole batch sampled, which one sample does not know.
    low, high = chain.expected["image_depth"].min(), chain.expected["image_depth"].max()
    chain.check("image_depth", output.image_depth.clamp(float(low), float(high)), 2e-3)
    check_final_image(chain, output.image)
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
    chain = Chain(reference.arrays("isolated"))
    chain.check_image(name, run(tiny, random_input("iso_ws", 1, NUM_WS, 512)), 1e-4)
    assert not chain.report(), chain.report()


def test_super_resolution_alone(tiny: Next3DModel, reference: Reference) -> None:
    features = random_input("iso_sr_in", 1, 32, 64, 64).clamp(-1, 1)
    image = tiny.superresolution(features[:, :3], features, random_input("iso_ws", 1, NUM_WS, 512)[:, -1])
    chain = Chain(reference.arrays("isolated"))
    chain.check_image("iso_sr", image, 1e-4, (slice(3, None, 8), slice(5, None, 8)))
    assert not chain.report(), chain.report()


def test_renderer_alone(tiny: Next3DModel, reference: Reference, common: dict[str, np.ndarray]) -> None:
    camera = torch.from_numpy(common["c"])[:1]
    rays = volume.camera_rays(camera[:, :16].view(-1, 4, 4), camera[:, 16:].view(-1, 3, 3), 16)
    planes = random_input("iso_planes", 1, 3, 32, 64, 64)
    image = render_planes(planes, tiny.decoder, *rays, tiny.marching(), volume.CentredSampler())
    chain = Chain(reference.arrays("isolated"))
    chain.check("iso_rend_features", image.features, 1e-4)
    chain.check("iso_rend_weight", image.weight.unsqueeze(-1), 1e-4)
    chain.check("iso_rend_depth", image.depth.clamp(image.nearest, image.farthest).unsqueeze(-1), 1e-4)
    assert not chain.report(), chain.report()


def random_input(name: str, *shape: int) -> Tensor:
    return torch.from_numpy(normals(name, shape).astype(np.float32))
