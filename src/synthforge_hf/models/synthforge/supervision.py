"""From labels and predictions to the losses that a configuration asks for; the same for Stage I and Stage II."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from synthforge_hf.models.synthforge import losses
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.heatmaps import Heatmaps


@dataclass(frozen=True)
class Labels:
    """What a batch is supervised with; None where there is no such label.

    landmarks: (B, P, 2) x, y in [0, 1] of the crop; points outside the crop and NaN points take no part.
    landmarks_mask: (B, P) bool, True for points that count.
    segmentation: (B, H, W) int64 class ids, 255 = unknown. depth: (B, 1, H, W) or (B, H, W) float metres, 0 = no
    surface. Both of any size: they are read at the prediction grid's nearest pixel.
    """

    landmarks: Tensor | None = None
    landmarks_mask: Tensor | None = None
    segmentation: Tensor | None = None
    depth: Tensor | None = None


def supervised_losses(
    config: SynthForgeConfig,
    labels: Labels,
    heatmaps: Sequence[Heatmaps],
    points: Sequence[Tensor],
    segmentation_logits: Tensor,
    metres: Tensor,
    depth_scale: float,
) -> dict[str, Tensor]:
    """Return task -> () unweighted loss of every task that has labels.

    heatmaps, points: of each stack, points decoded as (B, P, 2). segmentation_logits: (B, C, H', W'). metres: (B, 1,
    D', D') predicted depth; its losses are in units of ``depth_scale`` metres.
    """
    result: dict[str, Tensor] = {}
    if labels.landmarks is not None:
        result |= _landmark_losses(config, heatmaps, points, labels.landmarks, labels.landmarks_mask)
    if labels.segmentation is not None:
        target = resize_labels(labels.segmentation.unsqueeze(1), segmentation_logits.shape[-2:]).squeeze(1)
        result["segmentation"] = losses.segmentation_loss(segmentation_logits, target.long(), config.segmentation_loss)
    if labels.depth is not None:
        depth = labels.depth if labels.depth.ndim == 4 else labels.depth.unsqueeze(1)
        target = losses.at_least_float32(resize_labels(depth, metres.shape[-2:]))
        result["depth"] = losses.depth_loss(metres, target) / depth_scale
        if config.depth_shape_weight:
            result["depth_shape"] = losses.depth_shape_loss(metres, target) / depth_scale
    return result


def weighted_sum(config: SynthForgeConfig, task_losses: dict[str, Tensor]) -> Tensor:
    """Return () the sum of losses with the configuration's weights."""
    weights = {
        "landmarks": config.landmark_weight,
        "heatmaps": config.heatmap_weight,
        "segmentation": config.segmentation_weight,
        "depth": config.depth_weight,
        "depth_shape": config.depth_shape_weight,
        "equivariance": config.equivariance_weight,
    }
    return torch.stack([weights[task] * value for task, value in task_losses.items()]).sum()


def equivariance_loss(moved_features: Tensor, features: Tensor, affine: Tensor) -> Tensor:
    """Return () the mean L1 distance between features of a moved image and the moved features of the image.

    moved_features, features: (B, F, H, W); only the first are trained. affine: (B, 2, 3), see ``move_maps``. Positions
    whose content lies outside the image do not count.
    """
    target, inside = move_maps(features.detach(), affine)
    return losses.masked_mean((moved_features.to(target.dtype) - target).abs(), inside.unsqueeze(1))


def move_maps(maps: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Resample (B, C, H, W) maps bilinearly where ``affine`` (B, 2, 3) says, zero outside.

    affine maps positions of the result to positions of ``maps``, both in [-1, 1] from edge to edge, and so is the same
    for an image and for maps of another resolution. Returns float32 or float64 maps and (B, H, W) bool: content known.
    """
    maps = losses.at_least_float32(maps)
    grid = functional.affine_grid(affine.to(maps), list(maps.shape), align_corners=False)
    moved = functional.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    # Within half a cell of the edge what is outside is blended in.
    edge = 1 - 1 / torch.tensor([maps.shape[3], maps.shape[2]], device=maps.device) + 1e-4
    return moved, (grid.abs() <= edge).all(dim=-1)


def _landmark_losses(
    config: SynthForgeConfig,
    heatmaps: Sequence[Heatmaps],
    points: Sequence[Tensor],
    target: Tensor,
    mask: Tensor | None,
) -> dict[str, Tensor]:
    # A missing point must not reach the loss as NaN: NaN times a mask of zero is NaN.
    target = torch.nan_to_num(target, nan=-1.0)
    inside = ((target >= 0.0) & (target <= 1.0)).all(dim=-1)
    mask = inside if mask is None else inside & mask.bool()
    result = {
        "landmarks": torch.stack([losses.landmark_loss(p, target, mask, config.landmark_loss) for p in points]).mean()
    }
    if config.heatmap_weight > 0:
        result["heatmaps"] = torch.stack(
            [losses.heatmap_loss(maps, target, mask, config.heatmap_sigma) for maps in heatmaps]
        ).mean()
    return result


def resize_labels(labels: Tensor, size: torch.Size) -> Tensor:
    """Read (B, 1, H, W) labels at the pixel nearest to each cell centre of another grid; never blends."""
    if labels.shape[-2:] == size:
        return labels
    return functional.interpolate(labels.float(), size=tuple(size), mode="nearest-exact").to(labels.dtype)
