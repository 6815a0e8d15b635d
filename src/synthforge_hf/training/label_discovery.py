"""What a label network must know of its labels before it can be built: how many there are, and which mirror which."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Subset

from synthforge_hf.models.label_finetuning.modeling_label_finetuning import (
    LandmarkLabelNetwork,
    SegmentationLabelNetwork,
    SynthForgeForLabelFinetuning,
    normalised_shape,
)
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.mirroring import landmark_mirror
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.segmentation_classes import mirrored_pairs
from synthforge_hf.training.augmentation import AugmentationSettings, CropMaker
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.stage_one import found_in
from synthforge_hf.training.window_cache import collate_windows

MARGIN = 1.75
"""Side of the windows over that of the crop."""

COMPARED_SAMPLES = 2000
"""From at most how many samples the relation between the backbone's landmarks and the labelled ones is found."""

COUNTED_SAMPLES = 500
"""The same for the relation between the backbone's classes and the labelled ones."""

RIDGES = tuple(10.0**power for power in range(-5, 2))
"""Strengths of regularisation that are tried for the shape correction."""


def found_in_labels(windows: Any, settings: FinetuningSettings, class_names: tuple[str, ...] | None) -> dict[str, Any]:
    """Return the fields of ``SynthForgeForLabelFinetuningConfig`` that follow from the training windows."""
    found = found_in(windows)
    if "segmentation" in settings.tasks:
        names = class_names or tuple(f"class {number}" for number in range(_count_classes(windows)))
        found["id2label"] = dict(enumerate(names))
        found["label2id"] = {name: number for number, name in enumerate(names)}
    if "landmarks" in settings.tasks:
        found["mirrored_landmarks"] = settings.mirrored_landmarks
    return found


def crop_maker(
    augmentation: AugmentationSettings,
    network: SynthForgeForLabelFinetuning,
    processor: SynthForgeImageProcessor,
    device: torch.device | str = "cpu",
    image_size: int | None = None,
) -> CropMaker:
    """Return what cuts crops for ``network``, on ``device``. image_size: their side, by default the network's.

    There is no mirroring where nobody said which landmarks change places.
    """
    config = network.config
    image_size = image_size or config.image_size
    order = landmark_mirror(config)
    if order is None:
        order = list(range(config.num_landmarks))
        augmentation = replace(augmentation, geometry=replace(augmentation.geometry, flip=0.0))
    names: dict[Any, Any] = dict(config.id2label or {})
    return CropMaker(
        augmentation,
        image_size,
        config.segmentation_size * image_size // config.image_size,
        MARGIN,
        processor.image_mean,
        processor.image_std,
        canonical_depth=config.depth_focal is not None,
        mirrored_classes=mirrored_pairs([str(names[number]) for number in range(len(names))]),
        mirrored_landmarks=order,
        device=device,
    )


@torch.no_grad()
def compare_landmarks(
    windows: Any, backbone: SynthForgeModel, processor: SynthForgeImageProcessor
) -> tuple[Tensor, Tensor]:
    """Return the backbone's (N, P', 2) and the labelled (N, P, 2) landmarks of nominal crops, in [0, 1] of the crop."""
    crops = _nominal_crops(backbone, processor)
    device = next(backbone.parameters()).device
    seen, labelled = [], []
    for batch in _some_of(windows, COMPARED_SAMPLES):
        crop = crops.nominal({name: batch[name] for name in ("image", "landmarks")})
        seen.append(backbone(crop["pixel_values"].to(device)).landmarks.cpu())
        labelled.append(crop["landmarks"])
    return torch.cat(seen), torch.cat(labelled)


def nearest_landmarks(seen: Tensor, labelled: Tensor) -> tuple[int, ...]:
    """Return, for each labelled point, the seen landmark that lies nearest to it on average.

    seen: (N, P', 2), labelled: (N, P, 2), NaN where missing.
    """
    return tuple(torch.cdist(labelled, seen).nanmean(dim=0).nan_to_num(nan=0.0).argmin(dim=1).tolist())


@torch.no_grad()
def fit_shape_correction(network: LandmarkLabelNetwork, seen: Tensor, labelled: Tensor) -> None:
    """Set the shape correction to the ridge regression of the labelled landmarks on the seen ones.

    Its strength is the one with the smallest leave-one-out error. A point that is labelled nowhere is not moved.
    """
    correction, nearest = network.shape_correction, network.nearest
    if correction is None or nearest is None:
        return
    shape, size = normalised_shape(seen.double())
    wanted = ((labelled.double() - seen[:, nearest].double()) / size).flatten(1)
    inputs = shape.flatten(1)
    # Outputs that are known in the same samples are solved for together.
    patterns, members = wanted.isfinite().unique(dim=1, return_inverse=True)
    for number, known in enumerate(patterns.unbind(dim=1)):
        if known.sum() > 1:
            outputs = members == number
            weight, bias = ridge_regression(inputs[known], wanted[known][:, outputs])
            correction.linear.weight[outputs], correction.linear.bias[outputs] = weight.float(), bias.float()


@torch.no_grad()
def fit_class_table(
    network: SegmentationLabelNetwork, windows: Any, backbone: SynthForgeModel, processor: SynthForgeImageProcessor
) -> None:
    """Set the class table to how often each labelled class goes with each class that the backbone sees."""
    if network.table is None:
        return
    crops = _nominal_crops(backbone, processor)
    counts = torch.zeros_like(network.table.given.weight, device="cpu", dtype=torch.float64)
    for batch in _some_of(windows, COUNTED_SAMPLES):
        crop = crops.nominal({name: batch[name] for name in ("image", "segmentation")})
        device = next(backbone.parameters()).device
        seen = backbone(crop["pixel_values"].to(device)).segmentation_logits.cpu().softmax(dim=1)
        known = crop["segmentation"] != IGNORED_CLASS
        labels = functional.one_hot(crop["segmentation"][known], len(counts)).double()
        counts += labels.T @ seen.permute(0, 2, 3, 1)[known].double()
    network.table.given.weight.copy_((counts + 1).log())


def ridge_regression(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (M, K) and bias (M,) of outputs (N, M) on inputs (N, K), float64."""
    input_mean, output_mean = inputs.mean(dim=0), outputs.mean(dim=0)
    left, singular, right = torch.linalg.svd(inputs - input_mean, full_matrices=False)
    centred = outputs - output_mean
    best, weight = float("inf"), torch.zeros(outputs.shape[1], inputs.shape[1], dtype=inputs.dtype)
    for strength in RIDGES:
        shrink = singular.square() / (singular.square() + strength * len(inputs))
        fitted = left @ (shrink[:, None] * (left.T @ centred))
        leverage = (left.square() @ shrink + 1 / len(inputs)).clamp(max=0.999)
        error = ((centred - fitted) / (1 - leverage)[:, None]).square().mean().item()
        if error < best:
            best, inverse = error, (shrink / singular.clamp(min=1e-12))[:, None]
            weight = (right.T @ (inverse * (left.T @ centred))).T
    return weight, output_mean - weight @ input_mean


def _nominal_crops(backbone: SynthForgeModel, processor: SynthForgeImageProcessor) -> CropMaker:
    config = backbone.config
    return CropMaker(
        AugmentationSettings(),
        config.image_size,
        config.segmentation_size,
        MARGIN,
        processor.image_mean,
        processor.image_std,
    )


def _some_of(windows: Any, count: int) -> DataLoader:
    """Batches of at most ``count`` windows, evenly spread."""
    chosen = np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(int)
    return DataLoader(Subset(windows, chosen.tolist()), batch_size=16, collate_fn=collate_windows)


def _count_classes(windows: Any) -> int:
    highest = 1
    for index in range(len(windows)):
        labels = np.asarray(windows[index]["segmentation"])
        highest = max(highest, int(labels[labels != IGNORED_CLASS].max(initial=0)))
    return highest + 1
