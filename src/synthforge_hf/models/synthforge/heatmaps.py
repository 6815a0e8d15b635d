"""Landmarks to heatmaps and back.

Coordinates are in [0, 1] of the crop; the centre of cell i of n lies at (i + 0.5) / n. What decodes a heatmap is its
mean, which lies between the centres of the outermost cells: a landmark within half a cell of the crop's edge comes back
at the centre of its cell, all others come back where they were.
"""

from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

LOWEST_EXPONENT = -80.0
"""Below, exponentials leave float32's normal numbers and take a hundred times as long on CPU, to add nothing."""

KNOTS_PER_CELL = 64
"""How finely the Gaussians' centres are tabulated; between two knots they are interpolated."""


class Heatmaps(NamedTuple):
    """The spatial softmax of heatmap logits, in parts: one exponential serves decoding and loss.

    logits: (B, P, H, W) float32 (float64 stays). peak: (B, P) their largest values. exponentials: (B, P, H, W)
    exp(logits - peak). total: (B, P) their sums.
    """

    logits: Tensor
    peak: Tensor
    exponentials: Tensor
    total: Tensor

    @classmethod
    def from_logits(cls, logits: Tensor) -> Self:
        """logits: (B, P, H, W), any floating type."""
        # Sums over the last axes are several times faster in this layout than with channels last.
        logits = at_least_float32(logits).contiguous()
        peak = logits.detach().amax(dim=(2, 3))
        exponentials = (logits - peak[:, :, None, None]).clamp(min=LOWEST_EXPONENT).exp()
        return cls(logits, peak, exponentials, exponentials.sum(dim=(2, 3)))

    def probabilities(self) -> Tensor:
        """Return (B, P, H, W), each heatmap summing to 1."""
        return self.exponentials / self.total[:, :, None, None]

    def points(self) -> Tensor:
        """Return the expected position under each heatmap (soft-argmax), (B, P, 2) x, y in [0, 1]."""
        height, width = self.logits.shape[-2:]
        x = self.exponentials.sum(dim=2) @ cell_centres(width, self.total)
        y = self.exponentials.sum(dim=3) @ cell_centres(height, self.total)
        return torch.stack([x, y], dim=-1) / self.total.unsqueeze(-1)

    def cross_entropy(self, target: Tensor, sigma: float) -> Tensor:
        """Return (B, P): cross-entropy with a Gaussian of ``sigma`` cells around ``target`` (B, P, 2 in [0, 1])."""
        height, width = self.logits.shape[-2:]
        if height == width:  # one call is faster than two
            target_x, target_y = gaussian_marginals(target, width, sigma).unbind(dim=2)
        else:
            target_x = gaussian_marginals(target[..., 0], width, sigma)
            target_y = gaussian_marginals(target[..., 1], height, sigma)
        # The target sums to 1, so what is needed of the log-probabilities is the logits under it and one normaliser.
        under_target = ((target_y.unsqueeze(2) @ self.logits).squeeze(2) * target_x).sum(dim=-1)
        return self.peak + self.total.log() - under_target


def at_least_float32(values: Tensor) -> Tensor:
    """Return ``values`` as float32 unless they are float64 already."""
    return values if values.dtype == torch.float64 else values.float()


def cell_centres(size: int, like: Tensor) -> Tensor:
    """Return the (size,) coordinates of the cells' centres in [0, 1], with dtype and device of ``like``."""
    return (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size


def gaussian_marginals(coordinates: Tensor, size: int, sigma: float) -> Tensor:
    """Return the Gaussian of width ``sigma`` cells whose mean each coordinate is, sampled at the cells' centres.

    coordinates: (...,) in [0, 1]. Returns (..., size), each row summing to 1. The two-dimensional Gaussian of a
    landmark is the outer product of the rows of its y and its x. The mean is off by less than 0.01 cells; coordinates
    beyond the outermost cells' centres give the rows of these centres.
    """
    knots = torch.from_numpy(_centres_by_mean(size, float(sigma))).to(coordinates)
    position = (coordinates * size - 0.5).clamp(0, size - 1) * KNOTS_PER_CELL
    below = position.long().clamp(0, len(knots) - 2)
    centres = torch.lerp(knots[below], knots[below + 1], position - below)
    distance = (torch.arange(size, dtype=centres.dtype, device=centres.device) - centres.unsqueeze(-1)) / sigma
    return (-0.5 * distance.square()).softmax(dim=-1)


@lru_cache(maxsize=16)
def _centres_by_mean(size: int, sigma: float) -> np.ndarray:
    """Return where the centre of a Gaussian has to lie for its samples at ``size`` cells to have a given mean.

    Both in cells, 0 at the first cell's centre. Entry k, float64, is for the mean k / ``KNOTS_PER_CELL``. Inside, the
    two are the same. Near the border, where one side is cut off, the centre moves outwards, and without end for the
    mean 0: there it stops where the second cell has less than a thousandth of the first one's weight.
    """
    cells = np.arange(size)
    reach = 7 * sigma**2
    centres = np.linspace(-reach, size - 1 + reach, 4096)
    exponents = -0.5 * ((cells - centres[:, None]) / sigma) ** 2
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))
    means = weights @ cells / weights.sum(axis=1)
    return np.interp(np.arange(KNOTS_PER_CELL * (size - 1) + 2) / KNOTS_PER_CELL, means, centres)
