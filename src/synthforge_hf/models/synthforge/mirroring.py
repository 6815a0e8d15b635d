"""Predictions for a crop and for the mirrored crop, brought together: their mean is more accurate than either."""

from typing import Any

import torch
from torch import Tensor

from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeOutput
from synthforge_hf.segmentation_classes import LAPA_CLASSES, SEGMENTATION_CLASSES, mirrored_pairs

MIRRORED = (
    "landmarks",
    "landmark_heatmaps",
    "segmentation_logits",
    "depth",
    "backbone_landmarks",
    "backbone_landmark_heatmaps",
)
"""What of a model's output there is a mirrored version of."""


def mirror_is_known(config: Any) -> bool:
    """Whether a model's landmarks have a known order in a mirrored image, and all its classes are CelebAMask-HQ's or
    LaPa's, so that it is known which of them change places as well."""
    names = set((config.id2label or {}).values())
    return landmark_mirror(config) is not None and names <= {*SEGMENTATION_CLASSES, *LAPA_CLASSES}


def landmark_mirror(config: Any) -> list[int] | None:
    """Return the order of a model's landmarks in a mirrored image, None where it is not known."""
    order = getattr(config, "mirrored_landmarks", None)
    if order is not None:
        return list(order)
    return MIRRORED_LANDMARKS.tolist() if config.num_landmarks == len(MIRRORED_LANDMARKS) else None


def run_both_ways(model: Any, pixel_values: Tensor) -> SynthForgeOutput:
    """Return the mean of a model's outputs for (B, C, H, W) crops and for the mirrored crops, without features.

    The model runs once, on a batch of 2 B, which takes less time than two runs. Raises UsageError where nobody said
    which landmarks change places.
    """
    count = len(pixel_values)
    both = model(pixel_values=torch.cat([pixel_values, pixel_values.flip(-1)]))
    names = [name for name in MIRRORED if both.get(name) is not None]
    plain, flipped = (
        SynthForgeOutput(**{name: both[name][part] for name in names})
        for part in (slice(None, count), slice(count, None))
    )
    return average(plain, mirror(flipped, model.config))


def mirror(output: SynthForgeOutput, config: Any) -> SynthForgeOutput:
    """Turn the output for a mirrored crop into one for the crop itself: flipped, left and right exchanged.

    config: of the model. Raises UsageError where nobody said which landmarks change places.
    """
    order = landmark_mirror(config)
    if order is None:
        raise UsageError(
            f"averaging with the mirrored crop needs config.mirrored_landmarks, the order of this model's "
            f"{config.num_landmarks} landmarks in a mirrored image"
        )
    names = config.id2label or {}
    classes = list(range(output.segmentation_logits.shape[1]))
    for left, right in mirrored_pairs([str(names.get(number, number)) for number in classes]):
        classes[left], classes[right] = right, left
    flipped = SynthForgeOutput(
        landmarks=_mirror_points(output.landmarks, order),
        landmark_heatmaps=output.landmark_heatmaps[:, order].flip(-1),
        segmentation_logits=output.segmentation_logits.flip(-1)[:, classes],
        depth=output.depth.flip(-1),
    )
    own = landmark_mirror(config.backbone_config) if "backbone_landmarks" in output else None
    if own is not None:
        flipped.backbone_landmarks = _mirror_points(output["backbone_landmarks"], own)
        flipped.backbone_landmark_heatmaps = output["backbone_landmark_heatmaps"][:, own].flip(-1)
    return flipped


def average(first: SynthForgeOutput, second: SynthForgeOutput) -> SynthForgeOutput:
    """Mean of what two outputs for the same crops both hold."""
    return SynthForgeOutput(**{name: 0.5 * (first[name] + second[name]) for name in second})


def _mirror_points(landmarks: Tensor, order: list[int]) -> Tensor:
    exchanged = landmarks[:, order] * landmarks.new_tensor([-1.0, 1.0])
    return exchanged + landmarks.new_tensor([1.0, 0.0])
