"""Metrics, each defined once. NME and F1 are in percent; depth errors are ratios and log units.

Landmark metrics work on arrays of iBUG-68 points; sums over many images live in small accumulators that never hold the
images.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

OUTER_EYE_CORNERS = (36, 45)
JAW_POINTS = slice(0, 17)
INNER_POINTS = slice(17, 68)
NME_LIMIT = 10.0
"""Percent: the NME above which a face counts as a failure and up to which the area under the error curve is taken."""


def normalised_mean_errors(predicted: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Return {"nme_interocular", "nme_inner51", "nme_jaw"}, each (N,) float64 percent of the distance of the outer eye
    corners.

    predicted, target: (N, 68, 2) in the same frame. ``nme_interocular`` averages all 68 points, ``nme_inner51`` all but
    the 17 of the jaw. A prediction that is not finite gives infinity. Raises ValueError on other shapes or when a
    target's outer eye corners coincide.
    """
    predicted, target = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if predicted.shape != target.shape or target.ndim != 3 or target.shape[1:] != (68, 2):
        raise ValueError(f"both arrays must have shape (N, 68, 2), got {predicted.shape} and {target.shape}")
    distance = np.linalg.norm(target[:, OUTER_EYE_CORNERS[0]] - target[:, OUTER_EYE_CORNERS[1]], axis=-1)
    if (distance <= 0).any():
        raise ValueError("the outer eye corners of a target coincide: its error cannot be normalised")
    errors = 100 * np.linalg.norm(predicted - target, axis=-1) / distance[:, None]
    errors = np.where(np.isfinite(errors), errors, np.inf)
    return {
        "nme_interocular": errors.mean(axis=1),
        "nme_inner51": errors[:, INNER_POINTS].mean(axis=1),
        "nme_jaw": errors[:, JAW_POINTS].mean(axis=1),
    }


def failure_rate(errors: np.ndarray, limit: float = NME_LIMIT) -> float:
    """Percent of the (N,) errors above ``limit``."""
    return float(100 * np.mean(np.asarray(errors) > limit))


def area_under_curve(errors: np.ndarray, limit: float = NME_LIMIT) -> float:
    """Area under the cumulative distribution of the (N,) errors from 0 to ``limit``, in percent of the best possible.

    Exact for the empirical distribution: each face contributes the part of the interval that lies above its error.
    """
    return float(100 * np.mean(np.clip(limit - np.asarray(errors), 0, None)) / limit)


def summarise_landmark_errors(errors: dict[str, np.ndarray]) -> dict[str, float]:
    """Turn per-face errors into the metrics of a results file.

    The three means are over the faces with a finite error; a face without one (not found) counts as a failure and as
    nothing under the curve.
    """
    full = errors["nme_interocular"]
    found = np.isfinite(full)
    means = {name: float(values[found].mean()) if found.any() else float("inf") for name, values in errors.items()}
    return {**means, "failure_rate_10": failure_rate(full), "auc_10": area_under_curve(full)}


@dataclass
class SegmentationScores:
    """F1 per class from pixels pooled over all images (torchmetrics), and pixel accuracy."""

    class_names: tuple[str, ...]
    f1: MulticlassF1Score = field(init=False)
    accuracy: MulticlassAccuracy = field(init=False)
    present: Tensor = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.class_names)
        self.f1 = MulticlassF1Score(num_classes=count, average="none", validate_args=False)
        self.accuracy = MulticlassAccuracy(num_classes=count, average="micro", validate_args=False)
        self.present = torch.zeros(count, dtype=torch.bool)

    def update(self, predicted: np.ndarray, target: np.ndarray) -> None:
        """Add images. predicted, target: integer class ids of the same shape; every pixel counts.

        Raises ValueError on different shapes or a class id outside the list.
        """
        if predicted.shape != target.shape:
            raise ValueError(f"prediction and target differ in shape: {predicted.shape} and {target.shape}")
        ids = [
            torch.from_numpy(np.ascontiguousarray(array).astype(np.int64)).flatten() for array in (predicted, target)
        ]
        for each in ids:
            if len(each) and not 0 <= int(each.min()) <= int(each.max()) < len(self.class_names):
                raise ValueError(f"class ids must lie in 0 to {len(self.class_names) - 1}")
        self.f1.update(*ids)
        self.accuracy.update(*ids)
        self.present |= torch.bincount(ids[1], minlength=len(self.class_names)) > 0

    def compute(self, suffix: str = "") -> dict[str, object]:
        """Return {"mean_f1", "f1": {class: value}, "pixel_accuracy"} in percent, names with ``suffix``.

        Only classes that occur in the targets are listed; the mean is over those of them that are not the background
        (class 0).
        """
        scores = 100 * self.f1.compute()
        by_class = {name: float(scores[i]) for i, name in enumerate(self.class_names) if self.present[i]}
        foreground = [value for name, value in by_class.items() if name != self.class_names[0]]
        return {
            f"mean_f1{suffix}": float(np.mean(foreground)) if foreground else 0.0,
            f"f1{suffix}": by_class,
            f"pixel_accuracy{suffix}": 100 * float(self.accuracy.compute()),
        }


@dataclass
class DepthScores:
    """Mean over images of the absolute relative error, as it is and after one factor per image, and of the
    scale-invariant log error (Eigen et al. 2014).

    A crop does not say how large its person's head is, so how far away it is remains a guess; after one factor, the
    ratio of the medians, the error is that of the shape alone (as in Zhou et al. 2017).
    """

    relative: list[float] = field(default_factory=list)
    scaled: list[float] = field(default_factory=list)
    log: list[float] = field(default_factory=list)

    def update(self, predicted: np.ndarray, target: np.ndarray) -> None:
        """Add one image. predicted, target: (H, W) metres; pixels count where both are positive, 0 means no surface."""
        known = (target > 0) & (predicted > 0)
        if not known.any():
            return
        predicted, target = predicted[known].astype(np.float64), target[known].astype(np.float64)
        self.relative.append(float(np.mean(np.abs(predicted - target) / target)))
        scaled = predicted * (np.median(target) / np.median(predicted))
        self.scaled.append(float(np.mean(np.abs(scaled - target) / target)))
        self.log.append(float(np.std(np.log(predicted) - np.log(target))))

    def compute(self) -> dict[str, float]:
        """Return {"depth_abs_rel", "depth_abs_rel_scaled", "depth_si_log"}: two ratios, and the standard deviation of
        the log depth error per image."""
        if not self.relative:
            return {}
        return {
            "depth_abs_rel": float(np.mean(self.relative)),
            "depth_abs_rel_scaled": float(np.mean(self.scaled)),
            "depth_si_log": float(np.mean(self.log)),
        }
