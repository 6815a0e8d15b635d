"""Landmarks to heatmaps and back.

Coordinates are in [0, 1] of the crop; the centre of cell i of n lies at (i + 0.5) / n.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

LOWEST_EXPONENT = -80.0
"""Below, exponentials leave float32's normal numbers and take a hundred times as long on CPU, to add nothing."""


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
    """Return the Gaussian of width ``sigma`` cells around each coordinate, sampled at the cells' centres.

    coordinates: (...,) in [0, 1]. Returns (..., size), each row summing to 1. The two-dimensional Gaussian of a
    landmark is the outer product of the rows of its y and its x.
    """
    distance = (cell_centres(size, coordinates) - coordinates.unsqueeze(-1)) * (size / sigma)
    return (-0.5 * distance.square()).softmax(dim=-1)
