"""Depth of a volume that answers density queries: what a 3D-aware generator of any make can be asked for."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from synthforge_hf.rendering.camera import PinholeCamera

DensityQuery = Callable[[Tensor], Tensor]
"""(P, 3) float32 points, world frame, metres -> (P,) how much light is absorbed there, per metre, not below 0."""

POINTS_AT_ONCE = 2**20
"""Bounds memory."""


@torch.no_grad()
def planar_depth(
    density: DensityQuery,
    camera: PinholeCamera,
    nearest: float,
    farthest: float,
    samples: int = 128,
    opacity: float = 0.5,
) -> np.ndarray:
    """Return (H, W) float32 planar z of the surface that a volume shows, metres; 0 where rays pass through.

    It is the mean depth at which light is absorbed. nearest, farthest: planar z between which the volume lies, metres.
    samples: queries along a ray, equally spaced. opacity: how much of the light must be absorbed for the ray to show a
    surface. Points are on the CPU; what comes back may be on any device.
    """
    step = (farthest - nearest) / samples
    begin = nearest + step * torch.arange(samples, dtype=torch.float64)
    row, column = np.indices((camera.height, camera.width)).reshape(2, -1) + 0.5
    rays = torch.from_numpy(np.stack([column, row, np.ones_like(row)], 1) @ np.linalg.inv(camera.intrinsics).T)
    rotation, position = torch.from_numpy(camera.world_to_camera[:3, :3].copy()), torch.from_numpy(camera.position)
    parts = []
    for some in rays.split(max(1, POINTS_AT_ONCE // samples)):
        points = (some[:, None] * (begin + 0.5 * step)[:, None]) @ rotation + position
        found = density(points.float().flatten(0, 1)).cpu().double().view(len(some), samples)
        thickness = found * step * some.norm(dim=1, keepdim=True)
        passed = torch.exp(-thickness.cumsum(1))
        absorbed = -torch.diff(passed, dim=1, prepend=torch.ones_like(passed[:, :1]))
        total = absorbed.sum(1)
        mean = (absorbed * (begin + step * _share_of_step(thickness))).sum(1) / total.clamp_min(1e-12)
        parts.append(torch.where(total > opacity, mean, 0.0))
    return torch.cat(parts).view(camera.height, camera.width).float().numpy()


def _share_of_step(thickness: Tensor) -> Tensor:
    """Where within a step of even density light is absorbed on average: in the middle of thin fog, at the front of a
    wall. Taking the middle always would put walls half a step too far away.
    """
    safe = thickness.clamp_min(1e-4)
    return torch.where(thickness < 1e-4, 0.5, 1 / safe - 1 / torch.expm1(safe))
