"""Quick metrics during training, on nominal crops. Benchmarks with their protocols live in ``evaluation``."""

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchmetrics.functional.classification import multiclass_stat_scores

from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.synthforge.supervision import resize_labels
from synthforge_hf.training.augmentation import CropMaker
from synthforge_hf.training.window_cache import collate_windows

OUTER_EYE_CORNERS = (36, 45)


@torch.no_grad()
def validate(
    model: SynthForgeModel, windows: Dataset, crops: CropMaker, accelerator: Accelerator, batch_size: int
) -> dict[str, float]:
    """Measure a model on the nominal crops of ``windows``, shared between the processes.

    Returns nme_interocular (percent of the outer eye corners' distance) for 68 points, nme_crop (percent of the crop's
    side) for any other number, mean_f1 (percent, on the logit
    grid, background left out), depth_abs_rel; each only where there are labels.
    """
    model.eval()
    share = range(accelerator.process_index, len(windows), accelerator.num_processes)  # type: ignore[arg-type]
    device = accelerator.device
    classes = len(model.config.id2label or ())
    landmark_sums = torch.zeros(2, dtype=torch.float64, device=device)
    depth_sums = torch.zeros(2, dtype=torch.float64, device=device)
    scores = torch.zeros(classes, 5, dtype=torch.int64, device=device)
    for batch in DataLoader(Subset(windows, list(share)), batch_size=batch_size, collate_fn=collate_windows):
        labels = {name: value.to(device) for name, value in crops.nominal(batch).items()}
        with accelerator.autocast():
            output = model(labels["pixel_values"])
        if "landmarks" in labels:
            points = labels["landmarks"].shape[1]
            errors = (normalised_mean_errors if points == 68 else crop_errors)(output.landmarks, labels["landmarks"])
            landmark_sums += torch.stack([errors.sum(), errors.new_tensor(len(errors))]).double()
        if "segmentation" in labels:
            predicted = output.segmentation_logits.argmax(dim=1)
            target = resize_labels(labels["segmentation"].unsqueeze(1), predicted.shape[-2:]).squeeze(1)
            scores += multiclass_stat_scores(predicted, target, classes, average="none", ignore_index=IGNORED_CLASS)
        if "depth" in labels:
            target = resize_labels(labels["depth"].unsqueeze(1), output.depth.shape[-2:])
            known = target > 0
            relative = ((output.depth - target).abs() / target)[known]
            depth_sums += torch.stack([relative.sum(), relative.new_tensor(relative.numel())]).double()
    landmark_sums, depth_sums, scores = (
        accelerator.reduce(total, reduction="sum") for total in (landmark_sums, depth_sums, scores)
    )
    metrics: dict[str, float] = {}
    if landmark_sums[1] > 0:
        name = "nme_interocular" if model.config.num_landmarks == 68 else "nme_crop"
        metrics[name] = 100 * (landmark_sums[0] / landmark_sums[1]).item()
    if scores.sum() > 0:
        metrics["mean_f1"] = 100 * mean_f1(scores)
    if depth_sums[1] > 0:
        metrics["depth_abs_rel"] = (depth_sums[0] / depth_sums[1]).item()
    return metrics


def normalised_mean_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """(B, 68, 2) twice -> (N,) mean point distance over the distance of the outer eye corners.

    Missing points (NaN) are left out; so are samples without outer eye corners.
    """
    left, right = OUTER_EYE_CORNERS
    errors = (predicted - target).norm(dim=-1).nanmean(dim=1) / (target[:, left] - target[:, right]).norm(dim=-1)
    return errors[errors.isfinite()]


def crop_errors(predicted: Tensor, target: Tensor) -> Tensor:
    """(B, P, 2) twice -> (N,) mean distance of the points that are not missing (NaN), in sides of the crop."""
    errors = (predicted - target).norm(dim=-1).nanmean(dim=1)
    return errors[errors.isfinite()]


def mean_f1(scores: Tensor) -> float:
    """Mean F1 in [0, 1] over the classes that occur, without class 0. scores: (C, 5) tp, fp, tn, fn, support."""
    hits, false_hits, _, misses, support = scores[1:].double().unbind(dim=1)
    occurs = support > 0
    f1 = 2 * hits / (2 * hits + false_hits + misses).clamp(min=1)
    return f1[occurs].mean().item() if occurs.any() else 0.0
