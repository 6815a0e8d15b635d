"""300-W: landmark accuracy on photos as their authors ship them.

Boxes of test faces decide a good part of this benchmark's figures, so the protocol names them. "ground-truth" takes the
face box of the annotated landmarks, as the tables of the literature do; "detector" takes the detector's find that
overlaps it best.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from synthforge_hf.annotation.face_box import box_iou, face_box
from synthforge_hf.data.name_split import NameSplit, held_out_only
from synthforge_hf.data.public.three_hundred_w import read_300w
from synthforge_hf.errors import UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.metrics import normalised_mean_errors, summarise_landmark_errors
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.models.face_detector import load_face_detector
from synthforge_hf.models.synthforge.photos import open_photo
from synthforge_hf.randomness import random_stream

DETECTION_IOU = 0.3
"""With boxes from the detector: a find that overlaps the true face box by less does not count as this face."""


def evaluate_300w(
    analyser: FaceAnalyser,
    directory: str | Path,
    subset: str | None = None,
    boxes: str = "ground-truth",
    box_noise: float = 0.0,
    seed: int = 0,
    split: NameSplit | None = None,
    limit: int | None = None,
    quiet: bool = True,
) -> EvaluationResult:
    """Measure landmarks on 300-W photos.

    box_noise: standard deviation of the box's displacement in x and y, relative to its larger side, and of the log of
    its size.
    seed: of that noise. split: only the photos whose names it holds out.
    limit: only the first photos. quiet: no progress bar.
    Raises UsageError for a model without 68 points, unknown ``boxes``, a folder that is not 300-W or a split
    that holds out none.
    """
    if analyser.model.config.num_landmarks != 68:
        raise UsageError(f"300-W has 68 landmarks, {analyser.name} predicts {analyser.model.config.num_landmarks}")
    if boxes not in ("ground-truth", "detector"):
        raise UsageError(f"boxes are '{boxes}': they must be ground-truth or detector")
    if box_noise < 0:
        raise UsageError(f"box noise is {box_noise}: it must not be negative")
    samples = read_300w(directory, subset)
    samples = held_out_only(samples, (path.stem for path, _ in samples), split)[:limit]
    truth = np.stack([landmarks for _, landmarks in samples])
    chosen = face_box(truth)
    detector = load_face_detector() if boxes == "detector" else None
    if box_noise:
        chosen = np.stack([_shake(box, box_noise, seed, number) for number, box in enumerate(chosen)])
    predicted = np.full_like(truth, np.nan)
    batches = list(_batches(len(samples), analyser.batch_size))
    for rows in track(batches, description="300-W", disable=quiet):
        photos = [open_photo(samples[row][0]) for row in rows]
        own = [chosen[row] for row in rows]
        if detector is not None:
            own = [_best_find(detector(photo), box) for photo, box in zip(photos, own, strict=True)]
        found = [place for place, box in enumerate(own) if np.isfinite(box).all()]
        if found:
            crops = [own[place][None] for place in found]
            predicted[[rows[place] for place in found]] = analyser.landmarks([photos[place] for place in found], crops)
    errors = normalised_mean_errors(predicted, truth)
    rows_of_table = [
        {"image": _short_name(path, directory), **{name: float(values[row]) for name, values in errors.items()}}
        for row, (path, _) in enumerate(samples)
    ]
    missed = int((~np.isfinite(errors["nme_interocular"])).sum())
    return EvaluationResult(
        benchmark="300w",
        protocol=_protocol(analyser, subset, boxes, box_noise, split, limit, missed),
        model=analyser.name,
        num_images=len(samples),
        metrics=summarise_landmark_errors(errors),
        per_image=rows_of_table,
    )


def _protocol(
    analyser: FaceAnalyser,
    subset: str | None,
    boxes: str,
    box_noise: float,
    split: NameSplit | None,
    limit: int | None,
    missed: int,
) -> str:
    parts = [
        f"subset {subset or 'all photos'}"
        + (f", {split.of_held_out}" if split else "")
        + (f", first {limit}" if limit else ""),
        "68 points, normalised by the outer eye corners (36, 45)",
        f"{boxes} boxes"
        + (f" ({missed} faces not found: failures, left out of the means)" if boxes == "detector" else ""),
        f"square crop {analyser.processor.crop_scale:g} x face box",
    ]
    if box_noise:
        parts.append(f"box noise {box_noise:g}")
    if analyser.averages_mirrored:
        parts.append("averaged with the mirrored crop")
    if analyser.refine:
        parts.append("cropped a second time around the first landmarks")
    return "; ".join(parts)


def _shake(box: np.ndarray, noise: float, seed: int, number: int) -> np.ndarray:
    """Move and resize a (4,) box at random."""
    random = random_stream(seed, number, "box-noise")
    centre, half = 0.5 * (box[:2] + box[2:]), 0.5 * (box[2:] - box[:2])
    centre = centre + random.normal(0, noise, 2) * 2 * half.max()
    half = half * np.exp(random.normal(0, noise))
    return np.concatenate([centre - half, centre + half])


def _best_find(faces: Sequence, truth: np.ndarray) -> np.ndarray:
    """The (4,) find that overlaps the true box best, or NaN when none does enough."""
    boxes = np.array([face.box for face in faces], np.float64).reshape(-1, 4)
    overlap = box_iou(boxes, truth[None])[:, 0]
    if not len(boxes) or overlap.max() < DETECTION_IOU:
        return np.full(4, np.nan)
    return boxes[overlap.argmax()]


def _batches(count: int, size: int) -> Iterator[list[int]]:
    for start in range(0, count, size):
        yield list(range(start, min(start + size, count)))


def _short_name(path: Path, directory: str | Path) -> str:
    return path.relative_to(directory).as_posix()
