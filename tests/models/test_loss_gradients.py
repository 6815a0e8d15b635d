"""Every loss against finite differences, in float64."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from synthforge_hf.models.synthforge.heatmaps import Heatmaps
from synthforge_hf.models.synthforge.losses import (
    IGNORED_CLASS,
    depth_loss,
    heatmap_loss,
    landmark_loss,
    segmentation_loss,
)
from synthforge_hf.models.synthforge.supervision import equivariance_loss

MASK = torch.tensor([[True, False, True], [True, True, True]])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", ["l2", "l1", "smooth_l1", "wing"])
def test_landmarks(kind: str) -> None:
    target = drawn(2, 3, 2)
    near = (target + 0.02 * drawn(2, 3, 2, seed=1)).requires_grad_()
    assert gradcheck(lambda points: landmark_loss(points, target, MASK, kind), near)


def test_landmarks_decoded_from_heatmaps() -> None:
    target = drawn(2, 3, 2).sigmoid()
    logits = drawn(2, 3, 5, 4, seed=1).requires_grad_()
    assert gradcheck(lambda x: landmark_loss(Heatmaps.from_logits(x).points(), target, MASK, "l2"), logits)


def test_heatmaps() -> None:
    target = drawn(2, 3, 2).sigmoid()
    logits = drawn(2, 3, 5, 4, seed=1).requires_grad_()
    assert gradcheck(lambda x: heatmap_loss(Heatmaps.from_logits(x), target, MASK, 1.0), logits)


@pytest.mark.parametrize("kind", ["cross_entropy", "cross_entropy_dice"])
def test_segmentation(kind: str) -> None:
    target = torch.tensor([[[0, 1, 2], [IGNORED_CLASS, 2, 2]], [[1, 1, 0], [0, IGNORED_CLASS, 3]]])
    logits = drawn(2, 4, 2, 3).requires_grad_()
    assert gradcheck(lambda x: segmentation_loss(x, target, kind), logits)


def test_depth() -> None:
    target = drawn(2, 1, 3, 3).clamp(min=0)
    predicted = drawn(2, 1, 3, 3, seed=1).requires_grad_()
    assert gradcheck(lambda x: depth_loss(x, target), predicted)


def test_equivariance() -> None:
    features = drawn(2, 3, 4, 4)
    affine = torch.tensor([[[0.8, -0.6, 0.1], [0.6, 0.8, -0.2]]], dtype=torch.float64).expand(2, 2, 3)
    moved = drawn(2, 3, 4, 4, seed=1).requires_grad_()
    assert gradcheck(lambda x: equivariance_loss(x, features, affine), moved)
