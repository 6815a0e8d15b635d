"""What a label network must know of its labels before it can be built: how many there are, and which mirror which."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.synthforge.pipeline_face_analysis import landmark_mirror
from synthforge_hf.segmentation_classes import mirrored_pairs
from synthforge_hf.training.augmentation import AugmentationSettings, CropMaker
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.stage_one import found_in

MARGIN = 1.75
"""Side of the windows over that of the crop."""

MATCHED_SAMPLES = 200
"""From how many samples the backbone's nearest landmarks are found."""


def found_in_labels(
    windows: Any,
    settings: FinetuningSettings,
    backbone: SynthForgeModel,
    processor: SynthForgeImageProcessor,
    class_names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Return the fields of ``SynthForgeForLabelFinetuningConfig`` that follow from the training windows."""
    found = found_in(windows)
    if "segmentation" in settings.tasks:
        names = class_names or tuple(f"class {number}" for number in range(_count_classes(windows)))
        found["id2label"] = dict(enumerate(names))
        found["label2id"] = {name: number for number, name in enumerate(names)}
    if "landmarks" in settings.tasks:
        found["mirrored_landmarks"] = settings.mirrored_landmarks
        if found["num_landmarks"] != backbone.config.num_landmarks:
            found["nearest_landmarks"] = nearest_landmarks(windows, backbone, processor)
    return found


def crop_maker(
    augmentation: AugmentationSettings, network: SynthForgeForLabelFinetuning, processor: SynthForgeImageProcessor
) -> CropMaker:
    """Return what cuts crops for ``network``; without mirroring where nobody said which landmarks change places."""
    config = network.config
    order = landmark_mirror(config)
    if order is None:
        order = list(range(config.num_landmarks))
        augmentation = replace(augmentation, geometry=replace(augmentation.geometry, flip=0.0))
    names: dict[Any, Any] = dict(config.id2label or {})
    return CropMaker(
        augmentation,
        config.image_size,
        config.grid_size,
        MARGIN,
        processor.image_mean,
        processor.image_std,
        canonical_depth=config.depth_focal is not None,
        mirrored_classes=mirrored_pairs([str(names[number]) for number in range(len(names))]),
        mirrored_landmarks=order,
    )


@torch.no_grad()
def nearest_landmarks(windows: Any, backbone: SynthForgeModel, processor: SynthForgeImageProcessor) -> tuple[int, ...]:
    """Return, for each labelled point, the backbone's landmark that lies nearest to it on average over the samples."""
    config = backbone.config
    crops = CropMaker(
        AugmentationSettings(), config.image_size, config.grid_size, MARGIN, processor.image_mean, processor.image_std
    )
    total: Tensor | None = None
    for index in np.linspace(0, len(windows) - 1, min(MATCHED_SAMPLES, len(windows))).astype(int).tolist():
        window = {name: torch.from_numpy(np.asarray(windows[index][name]))[None] for name in ("image", "landmarks")}
        crop = crops.nominal(window)
        distances = torch.cdist(crop["landmarks"], backbone(crop["pixel_values"]).landmarks)[0].nan_to_num(nan=1.0)
        total = distances if total is None else total + distances
    assert total is not None
    return tuple(total.argmin(dim=1).tolist())


def _count_classes(windows: Any) -> int:
    highest = 1
    for index in range(len(windows)):
        labels = np.asarray(windows[index]["segmentation"])
        highest = max(highest, int(labels[labels != IGNORED_CLASS].max(initial=0)))
    return highest + 1
