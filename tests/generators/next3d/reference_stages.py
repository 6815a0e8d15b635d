"""Every stage of the generator, under the names that the reference arrays have and with the pixels that they hold."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from stage_chain import Chain
from torch import Tensor
from weight_rule import normals

from synthforge_hf.generators.next3d import views
from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel, Planes, as_image
from synthforge_hf.generators.next3d.triplane import VolumeImage, sample_planes
from synthforge_hf.rendering import volume

NUM_VERTICES = 5023
INPUTS = {"z", "c", "march_ray_index", "probe_xyz", "pix_to_face", "raster_uv"}
"""What the other arrays were made from; the last two have a test of their own."""

TOLERANCES = (
    (r"ws", 1e-5, 1e-5),
    (r"iso_", 1e-4, 1e-4),
    (r"ray_", 1e-6, 1e-6),
    (r"lms2d", 1e-5, 1e-5),
    (r"mouth_box", 0.0, 0.0),
    (r"texture|static|view_|mouth_in|alpha_", 1e-4, 2e-4),
    (r"mouth_out|stitch_|planes", 5e-4, 2e-3),
    (r"probe_feat|probe_sigma|probe_mixed_sigma", 5e-4, 1e-3),
    (r"features|image_raw|weights64|probe_rgb|probe_mixed_rgb", 2e-4, 1e-3),
    (r"march_final_sigma", 3e-3, 1e-3),
    (r"march_", 5e-4, 1e-3),
    (r"depth64|image_depth", 1e-3, 1e-3),
    (r"image", 3e-4, 1e-3),
)
"""(how the name begins, tolerance with few channels, tolerance at full size), the first that matches counts. They are
the references' own, or stricter; they state none for rays, landmarks and, at full size, the march."""

PIXELS = (
    (r"texture|view_|mouth_out|stitch_|static|planes|iso_(?!rend)", (slice(3, None, 8), slice(5, None, 8))),
    (r"mouth_in", (slice(1, None, 2), slice(0, None, 2))),
    (r"features|image_raw", (slice(0, None, 2), slice(1, None, 2))),
    (r"image_patch", (slice(236, 276), slice(236, 276))),
    (r"image$", (slice(1, None, 4), slice(2, None, 4))),
)
FEWER_PIXELS = (
    (r"depth64|weights64|image_patch", 2),
    (r"texture|view_|mouth_out|stitch_|static|planes|features|image", 4),
)
"""At full size: of those pixels, every second or fourth."""


@dataclass(frozen=True)
class Inputs:
    """What the reference arrays were made from. z: (N, 512). c: (N, 25). vertices: (N, V, 3) and landmarks: (N, 68, 3),
    metres. points: (N, 96, 3), world frame. rays: (16,) numbers of rays of a 64 x 64 image. fragments: the mesh's four
    views as recorded, so that no edge pixel matters. ws: (N, 28, 512) as recorded."""

    z: Tensor
    c: Tensor
    vertices: Tensor
    landmarks: Tensor
    points: Tensor
    rays: Tensor
    fragments: views.ViewFragments
    ws: Tensor


def inputs_of(geometry: Mapping[str, np.ndarray], common: Mapping[str, np.ndarray], samples: slice) -> Inputs:
    """Take the inputs of some of the reference's two samples."""

    def get(name: str) -> Tensor:
        return torch.from_numpy(common[name][samples])

    mesh = torch.from_numpy(geometry["v"][samples])
    triangle = get("pix_to_face").int()
    return Inputs(
        get("z"),
        get("c"),
        mesh[:, :NUM_VERTICES],
        mesh[:, NUM_VERTICES:],
        get("probe_xyz"),
        torch.from_numpy(common["march_ray_index"]),
        views.ViewFragments(get("raster_uv").movedim(2, -1), triangle >= 0, triangle),
        get("ws"),
    )


def plane_stages(model: Next3DModel, inputs: Inputs) -> tuple[dict[str, Tensor], Planes]:
    """Return the stages up to the planes, all three of them rasterised, and what does not depend on the variant."""
    frame = (model.config.orth_scale, model.config.orth_shift)
    made = model.make_planes(inputs.ws, inputs.vertices, inputs.landmarks, "const", "all", inputs.fragments)
    origins, directions = _rays(inputs)
    colours, sigma = model.query(made.planes, inputs.points)
    projected = [views.project_to_view(inputs.landmarks, view, *frame)[..., :2] for view in range(4)]
    stages = {"ws_psi1": model.map(inputs.z, inputs.c), "ws": model.map(inputs.z, inputs.c, 0.7, 14)}
    stages |= {"texture": made.texture, "lms2d": torch.stack(projected, 1)}
    for name, image, alpha in zip(("front", "side", "top"), made.views.images, made.views.alphas, strict=True):
        stages |= {f"view_{name}": image, f"alpha_{name}": alpha}
    stages |= {"mouth_box": torch.tensor(made.boxes), "mouth_in": made.mouth_in, "mouth_out": made.mouth_out}
    stages |= {"stitch_in": made.stitched, "stitch_out": made.blended, "static": made.static}
    stages |= {"ray_origins": origins[:, :1], "ray_dirs": directions.unflatten(1, (64, 64))[:, ::2, ::2]}
    stages |= {"march_coarse_depths": _coarse_depths(len(inputs.z))}
    # The original query function blends all three planes, also where rendering does not.
    return stages | {"probe_mixed_rgb": colours, "probe_mixed_sigma": sigma.unsqueeze(-1)}, made


def planes_of(made: Planes, variant: str) -> Tensor:
    """(N, 3, C, 256, 256) planes of a variant: the front-only one, "sf", differs from "repo" in planes 1 and 2."""
    if variant == "repo":
        return made.planes
    return torch.cat([made.planes[:, :1], made.static.unflatten(1, (3, -1))[:, 1:]], 1)


def volume_stages(
    model: Next3DModel, inputs: Inputs, planes: Tensor, variant: str, with_image: bool = True
) -> dict[str, Tensor]:
    """Return the stages of a variant from its planes on; super-resolution takes most of the time."""
    colours, sigma = model.query(planes, inputs.points)
    stages = {"planes": planes, "probe_feat": sample_planes(planes, inputs.points, 1.0)}
    stages |= {"probe_rgb": colours, "probe_sigma": sigma.unsqueeze(-1)} | _marching(model, inputs, planes)

    image = model.render(planes, inputs.c, 64)
    assert image.features is not None
    features = as_image(image.features)
    stages |= {"features": features, "image_raw": features[:, :3], "weights64": as_image(image.weight.unsqueeze(-1))}
    stages |= {"depth64": _clamped_depth(image)}
    if with_image:
        # As published, the front-only variant renders its depth image once more, at twice the resolution.
        again = model.render(planes, inputs.c, 128, with_features=False) if variant == "sf" else image
        super_resolved = model.super_resolve(features, inputs.ws)
        stages |= {"image_depth": _clamped_depth(again), "image": super_resolved, "image_patch": super_resolved}
    return stages


def _rays(inputs: Inputs) -> tuple[Tensor, Tensor]:
    return volume.camera_rays(inputs.c[:, :16].view(-1, 4, 4), inputs.c[:, 16:].view(-1, 3, 3), 64)


def _coarse_depths(batch: int) -> Tensor:
    return volume.coarse_depths(2.25, 3.3, volume.CentredSampler().jitter(batch, 16, 48, torch.device("cpu")))


def _clamped_depth(image: VolumeImage) -> Tensor:
    return as_image(image.depth.clamp(image.nearest, image.farthest).unsqueeze(-1))


def _marching(model: Next3DModel, inputs: Inputs, planes: Tensor) -> dict[str, Tensor]:
    """The two passes along some rays, step by step."""
    origins, directions = (item[:, inputs.rays].unsqueeze(2) for item in _rays(inputs))

    def query(depths: Tensor) -> tuple[Tensor, Tensor]:
        along = origins + directions * depths.unsqueeze(-1)
        colours, sigma = model.query(planes, along.flatten(1, 2))
        return colours[..., 0].view_as(depths), sigma.view_as(depths)

    coarse = _coarse_depths(len(planes))
    coarse_colours, coarse_sigma = query(coarse)
    coarse_weights = volume.march_weights(coarse_sigma, coarse)
    quantiles = volume.CentredSampler().quantiles(len(planes), 16, 48, planes.device)
    final = torch.cat([coarse, volume.importance_depths(coarse, coarse_weights, quantiles)], -1).sort(-1).values
    colours, sigma = query(final)
    return {
        "march_coarse_sigma": coarse_sigma,
        "march_coarse_color0": coarse_colours,
        "march_coarse_weights": coarse_weights,
        "march_final_depths": final,
        "march_final_sigma": sigma,
        "march_final_color0": colours,
        "march_final_weights": volume.march_weights(sigma, final),
    }


def check_stages(
    chain: Chain, expected: Mapping[str, np.ndarray], stages: Mapping[str, Tensor], full: bool = False
) -> None:
    """Compare stages with the reference arrays of the same names, and with their channels' means and deviations."""
    for name, stage in stages.items():
        tolerance = tolerance_of(name, full)
        if name in expected:
            chain.check(name, _as_stored(name, stage, full), tolerance, expected[name])
        if f"{name}.chmean" in expected:
            chain.check(f"{name}.chmean", stage.mean((-1, -2)), tolerance, expected[f"{name}.chmean"])
            chain.check(f"{name}.chstd", stage.std((-1, -2)), tolerance, expected[f"{name}.chstd"])


def tolerance_of(name: str, full: bool) -> float:
    """Return the tolerance of a stage."""
    return next(tolerance[full] for begin, *tolerance in TOLERANCES if re.match(begin, name))


def _as_stored(name: str, stage: Tensor, full: bool) -> Tensor:
    pixels = next((pixels for begin, pixels in PIXELS if re.match(begin, name)), None)
    stage = stage if pixels is None else stage[..., pixels[0], pixels[1]]
    if full:
        step = next((step for begin, step in FEWER_PIXELS if re.match(begin, name)), None)
        stage = stage if step is None else stage[..., ::step, ::step]
        stage = stage[..., :4] if name == "probe_rgb" else stage
    return stage


def random_input(name: str, *shape: int) -> Tensor:
    """Return the random numbers that the reference's isolated networks were given."""
    return torch.from_numpy(normals(name, shape).astype(np.float32))
