"""The geometric half of augmentation: one random homography per sample, applied alike to image, points and label maps.

Positions are normalised: [-1, 1] spans the window or the crop, edge to edge, so a pixel's centre i of n lies at
(2 i + 1) / n - 1. A homography maps positions of the crop to positions of the window.
"""

from dataclasses import dataclass

import torch
from kornia.geometry.linalg import transform_points
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class GeometrySettings:
    """How crops vary around the nominal one.

    shift: largest displacement of the centre, part of the crop's side, uniform. scale: range of the crop's side over
    the nominal one, log-uniform. rotation_deg: standard deviation; a part ``wide_rotation_share`` of samples has
    ``wide_rotation_deg``.
    aspect: largest stretch of one axis, log-uniform. shear: standard deviation. perspective: standard deviation of the
    two terms. flip: probability of mirroring.
    """

    shift: float = 0.12
    scale: tuple[float, float] = (0.8, 1.3)
    rotation_deg: float = 15.0
    wide_rotation_deg: float = 45.0
    wide_rotation_share: float = 0.05
    aspect: float = 1.12
    shear: float = 0.05
    perspective: float = 0.03
    flip: float = 0.5


def nominal_homographies(count: int, margin: float) -> Tensor:
    """Return (count, 3, 3) maps of the centred crop into windows ``margin`` times as wide."""
    return torch.diag(torch.tensor([1 / margin, 1 / margin, 1.0])).expand(count, 3, 3)


def random_homographies(
    count: int, margin: float, settings: GeometrySettings, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return (count, 3, 3) maps of random crops into windows and the (count,) bool that says which are mirrored."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def normal(deviation: float) -> Tensor:
        return deviation * torch.randn(count, generator=generator)

    wide = uniform(0, 1) < settings.wide_rotation_share
    deviation = torch.where(wide, settings.wide_rotation_deg, settings.rotation_deg)
    angle = torch.deg2rad(normal(1.0) * deviation)
    low, high = torch.tensor(settings.scale).log().tolist()
    scale = uniform(low, high).exp()
    stretch = (uniform(-0.5, 0.5) * torch.tensor(settings.aspect).log() * 2).exp().sqrt()
    mirrored = uniform(0, 1) < settings.flip
    sign = torch.where(mirrored, -1.0, 1.0)
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros(count), torch.ones(count)
    perspective = _matrices([one, zero, zero], [zero, one, zero], [*(normal(settings.perspective) for _ in "xy"), one])
    shape = _matrices([sign * stretch, normal(settings.shear), zero], [zero, 1 / stretch, zero], [zero, zero, one])
    rotation = _matrices([cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one])
    size = scale / margin
    # Twice the shift: the crop's side spans two units.
    shift_x, shift_y = (uniform(-2 * settings.shift, 2 * settings.shift) / margin for _ in "xy")
    placement = _matrices([size, zero, shift_x], [zero, size, shift_y], [zero, zero, one])
    return placement @ rotation @ shape @ perspective, mirrored


EQUIVARIANCE_ROTATION_DEG, EQUIVARIANCE_SHIFT = 57.3, 1 / 3
"""Largest turn, and largest shift as a part of the side, between the two images of the equivariance loss (paper)."""


def random_affines(count: int, generator: torch.Generator) -> Tensor:
    """Return (count, 2, 3) turns and shifts of whole images, from positions of the moved image to the image's."""
    angle = torch.deg2rad(EQUIVARIANCE_ROTATION_DEG * (2 * torch.rand(count, generator=generator) - 1))
    cosine, sine = angle.cos(), angle.sin()
    # Twice the part: the side spans two units.
    shift = 2 * EQUIVARIANCE_SHIFT * (2 * torch.rand(2, count, generator=generator) - 1)
    return _matrices([cosine, -sine, shift[0]], [sine, cosine, shift[1]])


def sampling_grid(homographies: Tensor, size: int) -> Tensor:
    """Return (B, size, size, 2): where in the window the centre of each crop pixel lies."""
    x = (2 * torch.arange(size) + 1) / size - 1
    y = x[:, None]
    h = homographies[:, :, :, None, None]
    # Written out: as a matrix product of points it takes five times as long.
    depth = h[:, 2, 0] * x + (h[:, 2, 1] * y + h[:, 2, 2])
    return torch.stack([(h[:, row, 0] * x + (h[:, row, 1] * y + h[:, row, 2])) / depth for row in (0, 1)], dim=-1)


def sample_images(images: Tensor, grid: Tensor) -> Tensor:
    """Resample (B, H, W, 3) uint8 windows bilinearly at ``grid``; returns (B, 3, S, S) float32 in [0, 1], black
    outside.

    Windows are about as fine as the crop, at most 1.3 times finer, so bilinear reading needs no filter in front.
    """
    channels_first = images.permute(0, 3, 1, 2).float()
    sampled = functional.grid_sample(channels_first, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.div_(255.0)


def sample_labels(labels: Tensor, grid: Tensor, outside: int | float) -> Tensor:
    """Read (B, H, W) windows of any dtype at the pixel nearest to each position of ``grid``; returns (B, S, S)."""
    batch, height, width = labels.shape
    columns = ((grid[..., 0] + 1) * (0.5 * width)).floor().long()
    rows = ((grid[..., 1] + 1) * (0.5 * height)).floor().long()
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    flat = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    values = labels.reshape(batch, -1).gather(1, flat.flatten(1)).view(flat.shape)
    return values.where(inside, torch.full_like(values, outside))


def move_points(points: Tensor, homographies: Tensor) -> Tensor:
    """Map (B, P, 2) points from [0, 1] of the window to [0, 1] of the crop."""
    return 0.5 * transform_points(torch.linalg.inv(homographies), 2 * points - 1) + 0.5


def _matrices(*rows: list[Tensor]) -> Tensor:
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
