"""LaPa: parsing accuracy of a model that predicts the data set's 11 classes, or ours, which a table maps to them.

Photos are cut as in training: the square crop around the face box of the 106 annotated points. What lies outside the
crop counts as background.
"""

from pathlib import Path

import numpy as np
from rich.progress import track

from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.data.name_split import NameSplit, held_out_only
from synthforge_hf.data.public.lapa import read_lapa
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.metrics import SegmentationScores
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.models.synthforge.photos import open_photo
from synthforge_hf.segmentation_classes import LAPA_CLASSES, TO_LAPA

LEFT_EYE, RIGHT_EYE = LAPA_CLASSES.index("left_eye"), LAPA_CLASSES.index("right_eye")


def evaluate_lapa(
    analyser: FaceAnalyser,
    directory: str | Path,
    subset: str | None = None,
    split: NameSplit | None = None,
    limit: int | None = None,
    quiet: bool = True,
) -> EvaluationResult:
    """Measure parsing on LaPa, at the size of its photos.

    subset: "train", "val" or "test" (the default). split: only the photos whose names it holds out.
    limit: only the first photos. quiet: no progress bar.
    Raises UsageError for a model with other classes than LaPa's or ours, a folder that is not LaPa or a split
    that holds out none.
    """
    table = class_table(analyser)
    photos = read_lapa(directory, subset)
    photos = held_out_only(photos, (photo.image.stem for photo in photos), split)[:limit]
    scores, rows = SegmentationScores(LAPA_CLASSES), []
    both_eyes = left_on_the_left = 0
    for sample in track(photos, description="LaPa", disable=quiet):
        photo, target = open_photo(sample.image), sample.segmentation()
        if target.shape != (photo.height, photo.width):
            raise SynthForgeError(f"{sample.mask} is of another size than its photo")
        box = face_box(sample.landmarks()[None])
        predicted = table[analyser.analyse([photo], [box])[0]["segmentation"]]
        scores.update(predicted, target)
        rows.append({"image": sample.image.name, "pixel_accuracy": 100 * float((predicted == target).mean())})
        eyes = [np.nonzero(target == number)[1] for number in (LEFT_EYE, RIGHT_EYE)]
        if len(eyes[0]) and len(eyes[1]):
            both_eyes += 1
            left_on_the_left += bool(eyes[0].mean() < eyes[1].mean())
    how = "the model's own classes" if analyser.class_names == LAPA_CLASSES else "zero-shot, 19 classes mapped by table"
    parts = [
        f"subset {subset or 'test'}"
        + (f", {split.of_held_out}" if split else "")
        + (f", first {limit}" if limit else ""),
        how,
        f"ground-truth boxes, square crop {analyser.processor.crop_scale:g} x face box, background outside",
        "F1 of pixels pooled over all photos at their size, mean over the foreground classes that occur (10 in LaPa)",
        f"left_eye lies left of right_eye in {left_on_the_left} of {both_eyes} masks with both",
    ]
    if analyser.averages_mirrored:
        parts.append("averaged with the mirrored crop")
    return EvaluationResult("lapa", "; ".join(parts), analyser.name, len(photos), scores.compute(), rows)


def class_table(analyser: FaceAnalyser) -> np.ndarray:
    """Return (C,) uint8: the id of LaPa's class for each of the model's. Raises UsageError for unknown classes."""
    if analyser.class_names == LAPA_CLASSES:
        return np.arange(len(LAPA_CLASSES), dtype=np.uint8)
    if not analyser.parses_our_classes:
        raise UsageError(
            f"{analyser.name} predicts {len(analyser.class_names)} classes, neither LaPa's 11 nor the 19 that a table "
            "maps to them"
        )
    return np.array([LAPA_CLASSES.index(TO_LAPA.get(name, "background")) for name in analyser.class_names], np.uint8)
