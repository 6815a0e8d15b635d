"""Volume rendering along rays: cameras' rays, depths to sample at, and compositing (EG3D, NeRF's two passes).

Rays are (N, R, 3); samples along them (N, R, S). Depth here is the distance along a ray of unit direction.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


class RaySampler(Protocol):
    """Where rays are sampled within the steps of a grid. Both methods return float32 in [0, 1) on ``device``."""

    def jitter(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        """Return (batch, rays, samples): position of each coarse sample within its step."""
        ...

    def quantiles(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        """Return (batch, rays, samples): the quantiles of the coarse density at which the fine samples lie."""
        ...


class CentredSampler:
    """The middle of every step and equally spaced quantiles: no random numbers at all."""

    def jitter(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        return torch.full((batch, rays, samples), 0.5, device=device)

    def quantiles(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        steps = (torch.arange(samples, dtype=torch.float32, device=device) + 0.5) / samples
        return steps.expand(batch, rays, samples)


class RandomSampler:
    """Uniform random numbers from a given stream; the same on every device."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random

    def jitter(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        return torch.from_numpy(self.random.random((batch, rays, samples), dtype=np.float32)).to(device)

    def quantiles(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        return self.jitter(batch, rays, samples, device)


class SamplerPerVolume:
    """For a batch: each volume's own sampler, so that each is rendered with the numbers it has when rendered alone."""

    def __init__(self, samplers: Sequence[RaySampler]) -> None:
        self.samplers = samplers

    def jitter(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        self._check(batch)
        return torch.cat([sampler.jitter(1, rays, samples, device) for sampler in self.samplers])

    def quantiles(self, batch: int, rays: int, samples: int, device: torch.device) -> Tensor:
        self._check(batch)
        return torch.cat([sampler.quantiles(1, rays, samples, device) for sampler in self.samplers])

    def _check(self, batch: int) -> None:
        if batch != len(self.samplers):
            raise ValueError(f"there are {len(self.samplers)} samplers for a batch of {batch}")


def camera_rays(camera_to_world: Tensor, intrinsics: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
    """Return origins and unit directions, both (N, n * n, 3) in the world frame, row by row, of the pixels' centres.

    camera_to_world: (N, 4, 4), camera frame x right, y down, z forward. intrinsics: (N, 3, 3) of an image of side 1,
    with or without skew. resolution: n.
    """
    centre = (torch.arange(resolution, dtype=torch.float32, device=camera_to_world.device) + 0.5) / resolution
    y, x = (axis.flatten() for axis in torch.meshgrid(centre, centre, indexing="ij"))
    fx, fy = intrinsics[:, 0, 0, None], intrinsics[:, 1, 1, None]
    cx, cy, skew = intrinsics[:, 0, 2, None], intrinsics[:, 1, 2, None], intrinsics[:, 0, 1, None]
    lifted_x = (x - cx + cy * skew / fy - skew * y / fy) / fx
    lifted_y = (y - cy) / fy
    points = torch.stack([lifted_x, lifted_y, torch.ones_like(lifted_x)], -1)
    directions = functional.normalize(points @ camera_to_world[:, :3, :3].mT, dim=-1)
    return camera_to_world[:, None, :3, 3].expand_as(directions), directions


def coarse_depths(start: float, end: float, jitter: Tensor) -> Tensor:
    """Stratified depths (N, R, S) between ``start`` and ``end``, each moved on by ``jitter`` (N, R, S) of a step."""
    samples = jitter.shape[-1]
    return torch.linspace(start, end, samples, device=jitter.device) + jitter * ((end - start) / (samples - 1))


def march_weights(sigma: Tensor, depths: Tensor) -> Tensor:
    """Weights (N, R, S - 1) of the stretches between neighbouring samples.

    sigma: (N, R, S) raw density; softplus(. - 1) of the two ends' mean counts. depths: (N, R, S), ascending.
    """
    density = functional.softplus(0.5 * (sigma[..., 1:] + sigma[..., :-1]) - 1.0)
    alpha = 1.0 - torch.exp(-density * depths.diff(dim=-1))
    passed = torch.cumprod(1.0 - alpha[..., :-1] + 1e-10, dim=-1)
    return alpha * functional.pad(passed, (1, 0), value=1.0)


def importance_depths(depths: Tensor, weights: Tensor, quantiles: Tensor) -> Tensor:
    """Draw depths (N, R, Q) where the coarse pass found weight.

    depths: (N, R, S) and weights: (N, R, S - 1) of the coarse pass. quantiles: (N, R, Q) in [0, 1).
    """
    weights = weights.detach()
    flat = weights.flatten(0, 1).unsqueeze(1)
    smooth = functional.avg_pool1d(functional.max_pool1d(flat, 2, stride=1, padding=1), 2, stride=1)
    smooth = smooth.squeeze(1).view_as(weights) + 0.01
    middle = 0.5 * (depths[..., 1:] + depths[..., :-1])
    inner = smooth[..., 1:-1] + 1e-5
    cumulative = functional.pad((inner / inner.sum(-1, keepdim=True)).cumsum(-1), (1, 0))
    above = torch.searchsorted(cumulative, quantiles.contiguous(), right=True)
    below = (above - 1).clamp_min(0)
    above = above.clamp_max(cumulative.shape[-1] - 1)
    low, high = cumulative.gather(-1, below), cumulative.gather(-1, above)
    width = high - low
    width = torch.where(width < 1e-5, torch.ones_like(width), width)
    left, right = middle.gather(-1, below), middle.gather(-1, above)
    return left + (quantiles - low) / width * (right - left)


def expected_depth(depths: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean depth of rays and their total weight, both (N, R). Depth is infinite where there is no weight.

    depths: (N, R, S). weights: (N, R, S - 1).
    """
    total = weights.sum(-1)
    depth = (depths * sample_weights(weights)).sum(-1) / total
    return depth.nan_to_num(nan=float("inf")), total


def sample_weights(weights: Tensor) -> Tensor:
    """Share the weights of stretches (..., S - 1) between the samples (..., S) at their ends."""
    return 0.5 * (functional.pad(weights, (0, 1)) + functional.pad(weights, (1, 0)))
