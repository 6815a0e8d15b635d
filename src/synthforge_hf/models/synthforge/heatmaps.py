"""Landmarks to heatmaps and back. Coordinates are in [0, 1] of the crop; the centre of cell i of n lies at (i + 0.5) /
n."""

import torch
from torch import Tensor


def cell_centres(size: int, like: Tensor) -> Tensor:
    """Return the (size,) coordinates of the cells' centres in [0, 1], with dtype and device of ``like``."""
    return (torch.arange(size, dtype=like.dtype, device=like.device) + 0.5) / size


def soft_argmax(heatmaps: Tensor) -> Tensor:
    """Return the expected position under each heatmap.

    heatmaps: (B, P, H, W) non-negative, each summing to 1. Returns (B, P, 2) x, y in [0, 1].
    """
    height, width = heatmaps.shape[-2:]
    x = heatmaps.sum(dim=-2) @ cell_centres(width, heatmaps)
    y = heatmaps.sum(dim=-1) @ cell_centres(height, heatmaps)
    return torch.stack([x, y], dim=-1)


def spatial_softmax(logits: Tensor) -> Tensor:
    """Turn (B, P, H, W) logits into float32 heatmaps that sum to 1."""
    return logits.float().flatten(2).softmax(dim=-1).view(logits.shape)


def gaussian_marginals(coordinates: Tensor, size: int, sigma: float) -> Tensor:
    """Return the Gaussian of width ``sigma`` cells around each coordinate, sampled at the cells' centres.

    coordinates: (...,) in [0, 1]. Returns (..., size), each row summing to 1. The two-dimensional Gaussian target of a
    landmark is the outer product of the rows of its y and its x.
    """
    distance = (cell_centres(size, coordinates) - coordinates.unsqueeze(-1)) * (size / sigma)
    return (-0.5 * distance.square()).softmax(dim=-1)
