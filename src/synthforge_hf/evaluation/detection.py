"""How well a face detector does on photos of which one face each is annotated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthforge_hf.annotation.face_box import box_iou, face_box
from synthforge_hf.models.face_detector import DetectedFace

MATCH_IOU = 0.5


@dataclass(frozen=True)
class PhotoFinds:
    """path: the photo. truth: (4,) face box of its annotated landmarks. scores: (N,) of all finds, best first. ious:
    (N,) of each find with ``truth``. boxes: (N, 4)."""

    path: Path
    truth: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    ious: np.ndarray


def search_photos(
    detector: Callable[..., list[DetectedFace]],
    samples: Iterable[tuple[Path, np.ndarray]],
    lowest_score: float = 0.05,
) -> list[PhotoFinds]:
    """Run ``detector`` on every photo and compare its finds with the one annotated face.

    samples: (path, (68, 2) landmarks in continuous pixels) per photo. ``lowest_score`` is handed to the detector as its
    threshold, so that any higher threshold can be judged from the result.
    """
    results = []
    for path, landmarks in samples:
        truth = face_box(np.asarray(landmarks)[None])[0]
        found = detector(path, score_threshold=lowest_score)
        boxes = np.array([face.box for face in found], np.float64).reshape(-1, 4)
        scores = np.array([face.score for face in found], np.float64)
        results.append(PhotoFinds(Path(path), truth, boxes, scores, box_iou(boxes, truth[None])[:, 0]))
    return results


def summarise_finds(results: list[PhotoFinds], threshold: float) -> dict[str, float]:
    """Return, at one score threshold, {"recall", "false_finds_per_photo", "median_iou"}.

    recall: percent of photos whose annotated face has a find with IoU of at least 0.5. false_finds_per_photo: finds
    without such an overlap; people who are in the photo but not annotated count as false, too. median_iou: over the
    faces found.
    """
    best = [result.ious[result.scores >= threshold].max(initial=0.0) for result in results]
    false = [int(((result.scores >= threshold) & (result.ious < MATCH_IOU)).sum()) for result in results]
    matched = [iou for iou in best if iou >= MATCH_IOU]
    return {
        "recall": 100 * len(matched) / max(1, len(results)),
        "false_finds_per_photo": float(np.mean(false)) if false else 0.0,
        "median_iou": float(np.median(matched)) if matched else 0.0,
    }
