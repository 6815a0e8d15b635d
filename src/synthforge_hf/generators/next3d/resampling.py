"""Blurred doubling and halving of images with the filter (1, 3, 3, 1)."""

import torch
from torch import Tensor
from torch.nn import functional

TAPS = (1.0, 3.0, 3.0, 1.0)


def resample_filter() -> Tensor:
    """Return the (4, 4) filter with sum 1."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) / taps.sum() ** 2


def blur(x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """Pad (N, C, H, W) with ``padding`` zeros on every side and correlate with ``gain`` times the filter.

    Returns (N, C, H + 2 padding - 3, W + 2 padding - 3).
    """
    channels = x.shape[1]
    weight = (resample_filter() * gain).to(x).expand(channels, 1, -1, -1)
    return functional.conv2d(x, weight, padding=padding, groups=channels)


def upsample(x: Tensor) -> Tensor:
    """Double (N, C, H, W): zeros between samples, then the filter with gain 4. Outside is zero."""
    for dim in (2, 3):
        size = x.shape[dim]
        edge = (0, 0, 1, 1) if dim == 2 else (1, 1)
        padded = functional.pad(x, edge)
        even = padded.narrow(dim, 0, size).add(x, alpha=3.0)
        odd = padded.narrow(dim, 2, size).add(x, alpha=3.0)
        x = torch.stack([even, odd], dim + 1).flatten(dim, dim + 1).mul_(0.25)
    return x


def downsample(x: Tensor) -> Tensor:
    """Halve (N, C, H, W), H and W even: the filter, then every second pixel. Outside is zero."""
    return blur(x, padding=1)[:, :, ::2, ::2]
