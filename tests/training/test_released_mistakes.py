"""One test for each mistake known of the training code that the paper's authors released."""

from pathlib import Path

import pytest
import torch
from test_loop import LineTask, make_loop, weights
from torch import nn
from torchmetrics.functional.classification import multiclass_stat_scores

from synthforge_hf.models.synthforge.heatmaps import Heatmaps, gaussian_marginals
from synthforge_hf.models.synthforge.losses import heatmap_loss
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.synthforge.supervision import equivariance_loss, move_maps
from synthforge_hf.models.testing import small_unet
from synthforge_hf.segmentation_classes import LAPA_CLASSES
from synthforge_hf.training.geometry import random_affines
from synthforge_hf.training.validation import mean_f1


def turns(count: int) -> torch.Tensor:
    return random_affines(count, torch.Generator().manual_seed(0))


def test_gradients_are_averaged_and_no_step_is_made_before_a_group_is_full(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, LineTask(), batch_size=2, accumulate=4, epochs=1, gradient_clip=0.0)
    start, seen = weights(loop), []
    inputs = list(loop._prepared(loop.loader))
    loop.fraction = 0.5
    for each in inputs[:4]:
        loop._step(each)
        seen.append(weights(loop))
    assert all(torch.equal(each, start) for each in seen[:3])
    # The first step is that of the mean of the four losses, whatever accumulate is.
    line = nn.Linear(3, 1)
    nn.init.constant_(line.weight, 0.5)
    nn.init.zeros_(line.bias)
    torch.stack([(line(each["x"]) - each["y"]).square().mean() for each in inputs[:4]]).mean().backward()
    rate = loop.optimizer.param_groups[0]["lr"]
    gradient = torch.cat([parameter.grad.flatten() for parameter in line.parameters()])
    assert torch.allclose(seen[3], start - rate * gradient, atol=1e-6)


def test_a_group_that_an_epoch_leaves_unfinished_goes_on_in_the_next(tmp_path: Path) -> None:
    # 16 batches an epoch in groups of 6, three epochs: 8 full groups, none of them smaller.
    loop = make_loop(tmp_path, LineTask(), batch_size=2, accumulate=6)
    assert loop.run()
    assert (loop.progress.step, loop.progress.batch) == (8, 48)


def test_heatmaps_are_compared_with_the_labels() -> None:
    target = torch.tensor([[[0.3, 0.6]]])
    logits = torch.zeros(1, 1, 16, 16, requires_grad=True)
    loss = heatmap_loss(Heatmaps.from_logits(logits), target, torch.ones(1, 1, dtype=torch.bool), 1.0)
    loss.backward()
    assert loss > 1.0
    row, column = divmod(int(logits.grad.argmin()), 16)
    assert (row, column) == (int(0.6 * 16), int(0.3 * 16))


def test_equivariance_is_of_features_and_trains_the_encoder_alone() -> None:
    config = small_unet(
        image_size=64,
        encoder_widths=(8, 16),
        feature_channels=8,
        segmentation_widths=(8,),
        landmark_channels=16,
        hourglass_levels=2,
        heatmap_size=16,
        equivariance_weight=0.5,
    )
    model = SynthForgeModel(config)
    output = model(torch.rand(2, 3, 64, 64), affine=turns(2))
    assert set(output.losses) == {"equivariance"}
    assert torch.allclose(output.loss, 0.5 * output.losses["equivariance"])
    output.loss.backward()
    reached = {name.split(".")[0] for name, each in model.named_parameters() if each.grad is not None}
    assert reached == {"stem", "encoder"}


def test_equivariance_vanishes_for_features_that_move_with_the_image() -> None:
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 4, 4), size=(32, 32), mode="bilinear")
    moved, inside = move_maps(smooth, turns(4))
    assert 0.2 < inside.float().mean() < 0.9
    pointwise = nn.Conv2d(3, 8, 1)
    moves = equivariance_loss(pointwise(moved), pointwise(smooth), turns(4))
    stays = equivariance_loss(pointwise(smooth), pointwise(smooth), turns(4))
    assert moves < 1e-5 < 0.02 < stays


def test_only_features_of_the_moved_image_are_trained() -> None:
    first, second = (torch.rand(2, 4, 8, 8, requires_grad=True) for _ in "ab")
    equivariance_loss(first, second, turns(2)).backward()
    assert first.grad.any()
    assert second.grad is None


def test_equivariance_is_a_mean() -> None:
    affine = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    for batch, channels, size in ((1, 2, 4), (6, 8, 32)):
        features = torch.rand(batch, channels, size, size)
        loss = equivariance_loss(features + 0.25, features, affine.expand(batch, 2, 3))
        assert loss.item() == pytest.approx(0.25, abs=1e-5)


def test_f1_leaves_the_background_out_and_needs_no_gpu() -> None:
    target = torch.tensor([[0] * 90 + [1] * 6 + [2] * 4])
    predicted = target.clone()
    predicted[0, 90:93] = 0
    scores = multiclass_stat_scores(predicted, target, 3, average="none")
    assert scores.device.type == "cpu"
    # Class 1: 3 of 6 found, nothing else taken for it; class 2: all found.
    assert mean_f1(scores) == pytest.approx((2 * 3 / (2 * 3 + 3) + 1) / 2)


@pytest.mark.parametrize("size", [16, 64])
def test_what_is_drawn_at_a_point_is_decoded_at_that_point(size: int) -> None:
    """Target and soft-argmax share one convention: cell i of n is centred on (i + 0.5) / n."""
    cell = (torch.arange(size) + 0.5) / size
    rows = gaussian_marginals(cell, size, 0.5)
    assert torch.equal(rows.argmax(dim=1), torch.arange(size))
    logits = torch.full((1, 1, size, size), -60.0)
    logits[0, 0, 3, size - 2] = 60.0
    decoded = Heatmaps.from_logits(logits).points()[0, 0]
    assert torch.allclose(decoded, torch.tensor([cell[size - 2], cell[3]]))


def test_lapa_has_eleven_classes() -> None:
    assert len(LAPA_CLASSES) == 11
