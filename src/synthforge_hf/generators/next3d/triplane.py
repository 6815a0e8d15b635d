"""Tri-planes: features of points in space, their decoding to density and colour, and the image of them (EG3D)."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthforge_hf.generators.next3d.layers import FullyConnected
from synthforge_hf.rendering.volume import (
    RaySampler,
    coarse_depths,
    expected_depth,
    importance_depths,
    march_weights,
    sample_weights,
)

PLANE_AXES = ((0, 1), (0, 2), (2, 1))
"""World axes along the columns and rows of each plane."""

RAYS_AT_ONCE = 4096
"""Bounds memory: the samples of these many rays are decoded together."""


class Decoder(nn.Module):
    """Features of a point to raw density and colour features (``net``: the published weights' name)."""

    HIDDEN = 64

    def __init__(self, features: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            FullyConnected(features, self.HIDDEN), nn.Softplus(), FullyConnected(self.HIDDEN, 1 + features)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (..., C) to colours (..., C) a little beyond [0, 1] and raw densities (...)."""
        decoded = self.net(features)
        return torch.sigmoid(decoded[..., 1:]) * 1.002 - 0.001, decoded[..., 0]

    def density(self, features: Tensor) -> Tensor:
        """Map (..., C) to raw densities (...) only."""
        last = cast(FullyConnected, self.net[2])
        return self.net[:2](features) @ (last.weight[0] / math.sqrt(self.HIDDEN)) + last.bias[0]


def sample_planes(planes: Tensor, points: Tensor, box: float) -> Tensor:
    """Read tri-planes at world points.

    planes: (N, 3, C, H, W). points: (N, P, 3), inside a cube of side ``box`` around the origin; outside reads zero.
    Returns (N, 3, P, C).
    """
    batch, count, channels, height, width = planes.shape
    axes = torch.tensor(PLANE_AXES, device=points.device)
    grid = (points * (2.0 / box))[:, None, :, axes].squeeze(1).transpose(1, 2)
    sampled = functional.grid_sample(
        planes.reshape(batch * count, channels, height, width),
        grid.reshape(batch * count, 1, -1, 2),
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    return sampled.view(batch, count, channels, -1).transpose(2, 3)


def mean_of_planes(planes: Tensor, points: Tensor, box: float) -> Tensor:
    """(N, 3, C, H, W) and (N, P, 3) -> (N, P, C): ``sample_planes`` averaged over the planes."""
    return sample_planes(planes, points, box).mean(1)


@dataclass(frozen=True)
class VolumeImage:
    """What rays see of a volume.

    features: (N, R, C) in about [-1, 1], -1 where the volume is empty; None if not asked for.
    depth: (N, R) expected distance along the ray; infinite where there is no weight at all.
    weight: (N, R) in [0, 1], how opaque the volume is along the ray.
    nearest, farthest: smallest and largest distance sampled.
    """

    features: Tensor | None
    depth: Tensor
    weight: Tensor
    nearest: Tensor
    farthest: Tensor


@dataclass(frozen=True)
class RayMarching:
    """samples_coarse, samples_fine: per ray. start, end: distances between which the coarse samples lie. box: side of
    the cube that the planes fill."""

    samples_coarse: int
    samples_fine: int
    start: float
    end: float
    box: float


def render_planes(
    planes: Tensor,
    decoder: Decoder,
    origins: Tensor,
    directions: Tensor,
    marching: RayMarching,
    sampler: RaySampler,
    with_features: bool = True,
) -> VolumeImage:
    """Render tri-planes (N, 3, C, H, W) along rays (N, R, 3), world frame, unit directions, in two passes."""
    batch, rays = origins.shape[:2]
    jitter = sampler.jitter(batch, rays, marching.samples_coarse, planes.device)
    quantiles = sampler.quantiles(batch, rays, marching.samples_fine, planes.device)
    parts = []
    for begin in range(0, rays, RAYS_AT_ONCE):
        part = slice(begin, begin + RAYS_AT_ONCE)
        parts.append(
            _render_rays(
                planes,
                decoder,
                origins[:, part],
                directions[:, part],
                marching,
                jitter[:, part],
                quantiles[:, part],
                with_features,
            )
        )
    return VolumeImage(
        torch.cat([part.features for part in parts if part.features is not None], 1) if with_features else None,
        torch.cat([part.depth for part in parts], 1),
        torch.cat([part.weight for part in parts], 1),
        torch.stack([part.nearest for part in parts]).min(),
        torch.stack([part.farthest for part in parts]).max(),
    )


def _render_rays(
    planes: Tensor,
    decoder: Decoder,
    origins: Tensor,
    directions: Tensor,
    marching: RayMarching,
    jitter: Tensor,
    quantiles: Tensor,
    with_features: bool,
) -> VolumeImage:
    def decode(depths: Tensor) -> tuple[Tensor | None, Tensor]:
        points = origins.unsqueeze(2) + directions.unsqueeze(2) * depths.unsqueeze(-1)
        features = mean_of_planes(planes, points.flatten(1, 2), marching.box)
        if not with_features:
            return None, decoder.density(features).view_as(depths)
        colours, sigma = decoder(features)
        return colours.view(*depths.shape, -1), sigma.view_as(depths)

    coarse = coarse_depths(marching.start, marching.end, jitter)
    coarse_colours, coarse_sigma = decode(coarse)
    fine = importance_depths(coarse, march_weights(coarse_sigma, coarse), quantiles)
    fine_colours, fine_sigma = decode(fine)
    depths, order = torch.cat([coarse, fine], -1).sort(-1)
    weights = march_weights(torch.cat([coarse_sigma, fine_sigma], -1).gather(-1, order), depths)
    depth, weight = expected_depth(depths, weights)
    features = None
    if coarse_colours is not None and fine_colours is not None:
        # Cheaper than sorting the colours: give every sample, where it is, the weight it has in order.
        shares = torch.zeros_like(depths).scatter(-1, order, sample_weights(weights)).unsqueeze(-2)
        split = marching.samples_coarse
        summed = shares[..., :split] @ coarse_colours + shares[..., split:] @ fine_colours
        features = 2.0 * summed.squeeze(-2) - 1.0
    return VolumeImage(features, depth, weight, depths.min(), depths.max())
