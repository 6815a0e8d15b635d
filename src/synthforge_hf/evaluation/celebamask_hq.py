"""CelebAMask-HQ: parsing accuracy of a model that predicts the data set's own 19 classes.

About one photo in fifteen of the data set was mirrored without exchanging its left and right class ids. The figures are
given against the masks as shipped and, with the suffix ``_mirrored_corrected``, against masks in which those photos'
ids are put right.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from synthforge_hf.data.name_split import NameSplit, held_out_only
from synthforge_hf.data.public.celebamask_hq import exchange_sides, is_mirrored, read_celebamask_hq
from synthforge_hf.errors import UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.evaluation.metrics import SegmentationScores
from synthforge_hf.evaluation.report import EvaluationResult
from synthforge_hf.models.face_detector import load_face_detector
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

SUFFIX = "_mirrored_corrected"

CORE_CLASSES = (
    "skin", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip", "hair", "neck",
)  # fmt: skip
"""The parts that nearly every portrait shows; ``mean_f1_core`` is the mean over these alone."""

PAPER_CLASSES = (
    "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip", "l_lip", "hair",
    "neck",
)  # fmt: skip
"""The 14 classes of the SynthForge paper's table; ``mean_f1_14`` is the mean over these."""


def evaluate_celebamask_hq(
    analyser: FaceAnalyser,
    directory: str | Path,
    subset: str | None = None,
    crop: str = "whole",
    split: NameSplit | None = None,
    limit: int | None = None,
    quiet: bool = True,
    scores: "ParsingScores | None" = None,
) -> EvaluationResult:
    """Measure parsing on CelebAMask-HQ, at the size of its masks.

    crop: "whole" shows the model the whole photo (these are aligned portraits); "detector" shows it the square around
    the largest detected face, what lies outside counts as background; a photo without a find is shown whole and counted
    in the protocol.
    split: only the photos whose names it holds out. limit: only the first photos. quiet: no progress bar.
    scores: where counting goes on, so that folds, each measured with a model of its own, give figures over all of them.
    Raises UsageError for a model with other classes, an unknown ``crop``, a folder that is not CelebAMask-HQ or
    a split that holds out none.
    """
    if not analyser.parses_our_classes:
        raise UsageError(f"{analyser.name} predicts {len(analyser.class_names)} classes, not CelebAMask-HQ's 19")
    if crop not in ("whole", "detector"):
        raise UsageError(f"the crop is '{crop}': it must be whole or detector")
    photos = read_celebamask_hq(directory, subset)
    photos = held_out_only(photos, (photo.image.stem for photo in photos), split)[:limit]
    detector = load_face_detector() if crop == "detector" else None
    scores = scores or ParsingScores()
    mirrored = missed = 0
    rows = []
    for photo in track(photos, description="CelebAMask-HQ", disable=quiet):
        target = photo.segmentation()
        height, width = target.shape
        image = to_rgb(open_photo(photo.image)).resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
        boxes = None
        if detector is not None:
            found = [np.array(face.box) for face in detector(image)]
            boxes = [max(found, key=lambda box: float((box[2:] - box[:2]).prod()))[None]] if found else None
            missed += not found
        predicted = analyser.analyse([image], boxes)[0]["segmentation"]
        exchanged = scores.update(predicted, target)
        mirrored += exchanged
        rows.append(
            {
                "image": photo.image.name,
                "pixel_accuracy": 100 * float((predicted == target).mean()),
                "mirrored": int(exchanged),
            }
        )
    where = (
        "whole photo" if crop == "whole" else f"crop around the largest find ({missed} photos without one shown whole)"
    )
    flip = "; averaged with the mirrored crop" if analyser.averages_mirrored else ""
    first = f", {split.of_held_out}" if split else ""
    first += f", first {limit}" if limit else ""
    return EvaluationResult(
        benchmark="celebamask-hq",
        protocol=(
            f"subset {subset or 'all photos'}{first}; F1 of pixels pooled over all photos at the masks' size; "
            f"mean over the 18 foreground classes that occur, core: over 11 of them, 14: over the "
            f"paper's 14; {where}{flip}; "
            f"{SUFFIX}: left and right exchanged in the {mirrored} mirrored photos"
        ),
        model=analyser.name,
        num_images=len(photos),
        metrics=scores.compute(),
        per_image=rows,
    )


class ParsingScores:
    """Pixels counted against masks as shipped and against those in which mirrored photos are put right."""

    def __init__(self) -> None:
        self.shipped = SegmentationScores(SEGMENTATION_CLASSES)
        self.corrected = SegmentationScores(SEGMENTATION_CLASSES)

    def update(self, predicted: np.ndarray, target: np.ndarray) -> bool:
        """Add a photo; return whether it was mirrored without exchanging left and right.

        predicted, target: (H, W) class ids; raises ValueError on different shapes or ids that are no class.
        """
        mirrored = is_mirrored(target)
        self.shipped.update(predicted, target)
        self.corrected.update(predicted, exchange_sides(target) if mirrored else target)
        return mirrored

    def compute(self) -> dict[str, Any]:
        """Return the metrics over all photos so far, in percent; those of corrected masks end in ``SUFFIX``."""
        return {**_with_means(self.shipped.compute(), ""), **_with_means(self.corrected.compute(SUFFIX), SUFFIX)}


def _with_means(metrics: dict[str, Any], suffix: str) -> dict[str, Any]:
    means = {}
    for mean, classes in (("core", CORE_CLASSES), ("14", PAPER_CLASSES)):
        values = [value for name, value in metrics[f"f1{suffix}"].items() if name in classes]
        means[f"mean_f1_{mean}{suffix}"] = float(np.mean(values)) if values else 0.0
    return {**metrics, **means}
