"""The losses of the three tasks (paper, section 3.2). Every one is a mean, so batches of any size weigh the same.

A task whose mask is empty gives a zero that is still connected to the graph.
"""

import torch
from torch import Tensor
from torch.nn import functional

from synthforge_hf.models.synthforge.heatmaps import LOWEST_EXPONENT, Heatmaps, at_least_float32

IGNORED_CLASS = 255
"""Segmentation pixels with this id take no part in the loss."""

SMOOTH_L1_BETA = 0.01
WING_WIDTH, WING_CURVATURE = 0.08, 0.016
"""Wing loss (Feng et al. 2018): w = 10 and epsilon = 2 pixels of a 256-pixel crop, in [-1, 1]."""


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` (same shape or broadcastable) is set; 0 where nothing is."""
    weights = mask.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)


def landmark_loss(predicted: Tensor, target: Tensor, mask: Tensor, kind: str) -> Tensor:
    """Distance of landmarks, averaged over points and coordinates.

    predicted, target: (B, P, 2) in [0, 1]; the loss is taken in [-1, 1] as in the paper. mask: (B, P) bool, points
    that count.
    """
    difference = 2.0 * (predicted - target).abs()
    if kind == "l2":
        values = difference.square()
    elif kind == "l1":
        values = difference
    elif kind == "smooth_l1":
        values = functional.smooth_l1_loss(
            difference, torch.zeros_like(difference), reduction="none", beta=SMOOTH_L1_BETA
        )
    elif kind == "wing":
        offset = WING_WIDTH - WING_WIDTH * torch.log1p(torch.tensor(WING_WIDTH / WING_CURVATURE)).item()
        curved = WING_WIDTH * torch.log1p(difference / WING_CURVATURE)
        values = torch.where(difference < WING_WIDTH, curved, difference - offset)
    else:
        raise ValueError(f"unknown landmark loss {kind!r}")
    return masked_mean(values, mask.unsqueeze(-1))


def heatmap_loss(heatmaps: Heatmaps, target: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Cross-entropy between heatmaps and a Gaussian of ``sigma`` cells around the true landmark.

    target: (B, P, 2) in [0, 1]. mask: (B, P) bool.
    """
    return masked_mean(heatmaps.cross_entropy(target, sigma), mask)


def segmentation_loss(logits: Tensor, target: Tensor, kind: str) -> Tensor:
    """Unweighted cross-entropy, for ``cross_entropy_dice`` plus one minus the mean Dice score of the classes present.

    logits: (B, C, H, W). target: (B, H, W) int64 class ids, ``IGNORED_CLASS`` where unknown.
    """
    if kind not in ("cross_entropy", "cross_entropy_dice"):
        raise ValueError(f"unknown segmentation loss {kind!r}")
    classes = logits.shape[1]
    # One row per pixel: what channels-last memory is already.
    log_probabilities = at_least_float32(logits.permute(0, 2, 3, 1).reshape(-1, classes)).log_softmax(dim=1)
    labels = target.flatten()
    known = labels != IGNORED_CLASS
    labels = labels.where(known, torch.zeros_like(labels))
    picked = log_probabilities.gather(1, labels.unsqueeze(1)).squeeze(1)
    loss = masked_mean(-picked, known)
    if kind == "cross_entropy":
        return loss
    weights = known.to(picked.dtype)
    predicted = weights @ log_probabilities.clamp(min=LOWEST_EXPONENT).exp()
    counts = torch.zeros_like(predicted).scatter_add(0, labels, weights)
    overlap = torch.zeros_like(predicted).scatter_add(0, labels, picked.exp() * weights)
    dice = 2.0 * overlap / (predicted + counts).clamp(min=1.0)
    return loss + 1.0 - masked_mean(dice, counts > 0)


def depth_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """L1 distance where there is a surface. predicted, target: (B, 1, H, W), same unit; target 0 where there is
    none."""
    return masked_mean((at_least_float32(predicted) - target).abs(), target > 0)


def depth_shape_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """As ``depth_loss`` after one factor per image, the ratio of the means where there is a surface."""
    predicted, surface = at_least_float32(predicted), (target > 0).float()
    means = [(depth * surface).sum((1, 2, 3), keepdim=True) for depth in (predicted, target)]
    # A prediction near or below zero has no such ratio: then as it is.
    factor = torch.where(means[0] > 0.1 * means[1], means[1] / means[0].clamp(min=1e-6), 1.0)
    return depth_loss(predicted * factor, target)
