import math

import pytest
import torch

from synthforge_hf.models.synthforge.heatmaps import Heatmaps, gaussian_marginals
from synthforge_hf.models.synthforge.losses import (
    IGNORED_CLASS,
    depth_loss,
    heatmap_loss,
    landmark_loss,
    segmentation_loss,
)


def test_a_heatmap_decodes_to_the_point_it_was_made_of() -> None:
    points = torch.rand(4, 68, 2, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    heatmaps = torch.einsum("bph,bpw->bphw", *(gaussian_marginals(points[..., axis], 32, 1.0) for axis in (1, 0)))
    assert torch.allclose(Heatmaps.from_logits(heatmaps.log()).points(), points, atol=2e-4)


def test_a_single_cell_decodes_to_its_centre() -> None:
    logits = torch.full((1, 1, 8, 16), -50.0)
    logits[0, 0, 2, 13] = 50.0
    heatmaps = Heatmaps.from_logits(logits)
    assert torch.allclose(heatmaps.points(), torch.tensor([[[13.5 / 16, 2.5 / 8]]]))
    assert torch.allclose(heatmaps.probabilities(), logits.flatten(2).softmax(-1).view(logits.shape))


@pytest.mark.parametrize("kind", ["l2", "l1", "smooth_l1", "wing"])
def test_landmark_losses_vanish_at_the_target_and_grow_away_from_it(kind: str) -> None:
    target = torch.rand(2, 5, 2)
    mask = torch.ones(2, 5, dtype=torch.bool)
    values = [landmark_loss(target + shift, target, mask, kind).item() for shift in (0.0, 0.01, 0.05, 0.2)]
    assert values[0] == pytest.approx(0.0, abs=1e-7)
    assert values == sorted(values)
    moved = (target + 0.03).requires_grad_()
    landmark_loss(moved, target, mask, kind).backward()
    assert (moved.grad > 0).all()


def test_l2_is_the_mean_square_in_units_of_half_the_crop() -> None:
    target = torch.zeros(1, 2, 2)
    mask = torch.tensor([[True, False]])
    assert landmark_loss(target + 0.1, target, mask, "l2").item() == pytest.approx(0.04)
    assert landmark_loss(target + 0.1, target, mask, "l1").item() == pytest.approx(0.2)


def test_the_heatmap_loss_is_least_for_the_gaussian_itself() -> None:
    target = torch.tensor([[[0.4, 0.6]]])
    mask = torch.ones(1, 1, dtype=torch.bool)
    gaussian = torch.einsum("bph,bpw->bphw", *(gaussian_marginals(target[..., axis], 16, 1.0) for axis in (1, 0)))
    logits = gaussian.clamp(min=1e-30).log()
    best = heatmap_loss(Heatmaps.from_logits(logits), target, mask, 1.0)
    entropy = -(gaussian * gaussian.clamp(min=1e-30).log()).sum()
    assert best.item() == pytest.approx(entropy.item(), abs=1e-3)
    assert heatmap_loss(Heatmaps.from_logits(logits.roll(1, -1)), target, mask, 1.0) > best + 0.1
    assert heatmap_loss(Heatmaps.from_logits(torch.zeros(1, 1, 16, 16)), target, mask, 1.0).item() == pytest.approx(
        math.log(256), abs=1e-4
    )


def test_cross_entropy_is_torchs_and_ignores_the_unknown() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 8, 8, generator=generator)
    target = torch.randint(0, 4, (2, 8, 8), generator=generator)
    target[:, :2] = IGNORED_CLASS
    expected = torch.nn.functional.cross_entropy(logits, target, ignore_index=IGNORED_CLASS)
    assert torch.allclose(segmentation_loss(logits, target, "cross_entropy"), expected, atol=1e-6)
    changed = logits.clone()
    changed[:, :, :2] += torch.randn(2, 4, 2, 8, generator=generator)
    for kind in ("cross_entropy", "cross_entropy_dice"):
        assert torch.allclose(
            segmentation_loss(changed, target, kind), segmentation_loss(logits, target, kind), atol=1e-6
        )


def test_dice_adds_nothing_when_every_pixel_is_right_and_one_when_all_are_wrong() -> None:
    target = torch.randint(0, 3, (1, 16, 16), generator=torch.Generator().manual_seed(0))
    right = 60.0 * torch.nn.functional.one_hot(target, 5).permute(0, 3, 1, 2).float()
    wrong = right.roll(1, dims=1)
    difference = {
        name: segmentation_loss(logits, target, "cross_entropy_dice")
        - segmentation_loss(logits, target, "cross_entropy")
        for name, logits in (("right", right), ("wrong", wrong))
    }
    assert difference["right"].item() == pytest.approx(0.0, abs=1e-4)
    assert difference["wrong"].item() == pytest.approx(1.0, abs=1e-4)


def test_depth_counts_only_where_there_is_a_surface() -> None:
    target = torch.tensor([[[[0.0, 1.0], [2.0, 0.0]]]])
    predicted = torch.tensor([[[[9.0, 1.5], [2.25, 9.0]]]])
    assert depth_loss(predicted, target).item() == pytest.approx(0.375)
    assert depth_loss(predicted, torch.zeros_like(target)).item() == 0.0


def test_losses_of_nothing_known_are_zero_with_finite_gradients() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.full((1, 4, 4), IGNORED_CLASS), "cross_entropy")
    loss.backward()
    assert loss.item() == 0.0
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_heatmaps_of_64_cells_carry_points_within_a_tenth_of_a_cell(sigma: float) -> None:
    # From edge to edge, every value in x and in y; a point of its own for each corner.
    along = torch.linspace(0, 1, 64 * 64 + 1)
    across = along[torch.randperm(len(along), generator=torch.Generator().manual_seed(0))]
    corners = torch.cartesian_prod(*2 * [torch.tensor([0.0, 0.5, 0.6, 1.0, 63.0, 63.4, 63.5, 64.0]) / 64])
    points = torch.cat([torch.stack([along, across], dim=-1), corners])[None]
    marginals = [gaussian_marginals(points[..., axis], 64, sigma).clamp(min=1e-30).log() for axis in (1, 0)]
    decoded = Heatmaps.from_logits(marginals[0].unsqueeze(-1) + marginals[1].unsqueeze(-2)).points()
    assert decoded.dtype == torch.float32
    # No mean lies beyond the centre of the outermost cell.
    nearest = points.clamp(0.5 / 64, 63.5 / 64)
    assert (64 * (decoded - nearest).abs()).max() < 0.02
    inside = (points == nearest).all(dim=-1)
    assert inside.float().mean() > 0.9
    assert (64 * (decoded - points).abs())[inside].max() < 0.1


@pytest.mark.parametrize("shape", [(5, 4), (6, 6)])
def test_cross_entropy_is_that_with_the_drawn_target(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    target, logits = torch.rand(2, 3, 2, generator=generator), torch.randn(2, 3, *shape, generator=generator)
    rows, columns = (gaussian_marginals(target[..., axis], shape[1 - axis], 1.0) for axis in (1, 0))
    drawn = rows.unsqueeze(-1) * columns.unsqueeze(-2)
    expected = -(drawn * logits.flatten(2).log_softmax(-1).view(logits.shape)).sum(dim=(2, 3))
    assert torch.allclose(Heatmaps.from_logits(logits).cross_entropy(target, 1.0), expected, atol=1e-5)
