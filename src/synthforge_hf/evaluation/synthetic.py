"""Our own data sets: landmarks, parsing and depth on the validation split, where every label is exact."""

from itertools import islice
from pathlib import Path

import numpy as np
from datasets import Image as ImageFeature
from datasets import get_dataset_split_names, load_dataset
from PIL import Image
from rich.progress import track

from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.data.schema import decode_row
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.metrics import (
    DepthScores,
    SegmentationScores,
    normalised_mean_errors,
    summarise_landmark_errors,
)
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES


def evaluate_synthetic(
    analyser: FaceAnalyser,
    directory: str | Path,
    subset: str | None = None,
    limit: int | None = None,
    quiet: bool = True,
) -> EvaluationResult:
    """Measure all three tasks on a data set made by ``synthforge generate``.

    directory: folder or Hub repository. subset: split, by default "validation". limit: only the first samples.
    Landmarks are scored where the model has 68 points, classes where it has our 19. Pixels count inside the crop that
    the model saw, depth where both the label and the prediction show a surface.
    Raises UsageError when there is no such split, SynthForgeError when the data set cannot be read.
    """
    split = subset or "validation"
    try:
        available = get_dataset_split_names(str(directory))
        if split not in available:
            raise UsageError(f"{directory} has no split '{split}', only {', '.join(available)}: name one as the subset")
        data = load_dataset(str(directory), split=split)
    except (OSError, ValueError, RuntimeError) as problem:
        if isinstance(problem, SynthForgeError):
            raise
        raise SynthForgeError(
            f"{directory} cannot be loaded as a data set: {str(problem).splitlines()[0]}"
        ) from problem
    for name, feature in data.features.items():
        if isinstance(feature, ImageFeature):
            data = data.cast_column(name, ImageFeature(decode=False))
    count = min(limit or len(data), len(data))
    scores, depths = SegmentationScores(SEGMENTATION_CLASSES), DepthScores()
    points, truths, names = [], [], []
    for row in track(islice(data, count), total=count, description="synthforge", disable=quiet):
        sample = decode_row(row)
        photo, boxes = Image.fromarray(sample.image), face_box(sample.landmarks_2d[None])
        result = analyser.analyse([photo], [boxes], focal_lengths=[float(sample.intrinsics[0, 0])])[0]
        names.append(sample.sample_id)
        if analyser.model.config.num_landmarks == 68:
            points.append(result["landmarks"])
            truths.append(sample.landmarks_2d)
        seen = _inside(result["crop"], sample.segmentation.shape)
        if analyser.parses_our_classes:
            scores.update(result["segmentation"][seen], sample.segmentation[seen])
        depths.update(result["depth"], np.where(seen, sample.depth, 0))
    metrics: dict[str, object] = {}
    rows: list[dict[str, object]] = [{"image": name} for name in names]
    if points:
        errors = normalised_mean_errors(np.stack(points), np.stack(truths))
        metrics |= summarise_landmark_errors(errors)
        rows = [
            {"image": name, **{metric: float(values[number]) for metric, values in errors.items()}}
            for number, name in enumerate(names)
        ]
    if analyser.parses_our_classes:
        metrics |= scores.compute()
    metrics |= depths.compute()
    first = f", first {limit}" if limit else ""
    flip = "averaged with the mirrored crop; " if analyser.averages_mirrored else ""
    return EvaluationResult(
        benchmark="synthforge",
        protocol=(
            f"split {split}{first}; ground-truth boxes, square crop {analyser.processor.crop_scale:g} x face box; "
            f"{flip}F1 of pixels pooled over all crops, mean over the foreground classes that occur; "
            "depth where label and prediction show a surface"
        ),
        model=analyser.name,
        num_images=count,
        metrics=metrics,
        per_image=rows,
    )


def _inside(crop: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: pixels whose centre lies in the crop x0, y0, x1, y1."""
    rows, columns = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
    inside_rows = (rows >= crop[1]) & (rows < crop[3])
    inside_columns = (columns >= crop[0]) & (columns < crop[2])
    return inside_rows[:, None] & inside_columns[None, :]
