"""Stage II (paper, section 3.3): label networks on a frozen backbone, trained on anybody's labels."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Subset

from synthforge_hf.checkpoints import resolve_model
from synthforge_hf.data.strict_yaml import from_mapping, read_yaml
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.training.finetuning_card import write_finetuning_card
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.label_discovery import (
    MARGIN,
    compare_landmarks,
    crop_maker,
    fit_class_table,
    fit_shape_correction,
    found_in_labels,
    nearest_landmarks,
)
from synthforge_hf.training.label_windows import FaceFinder, LabelWindows
from synthforge_hf.training.loop import TrainingLoop, crop_device
from synthforge_hf.training.optimizer import optimizer_for
from synthforge_hf.training.own_labels import open_labels
from synthforge_hf.training.progressive_crops import ProgressiveCrops
from synthforge_hf.training.runs import cache_windows, end_run, start_run, window_loader
from synthforge_hf.training.validation import validate
from synthforge_hf.training.windows import WindowSettings


def finetune_labels(
    model: str, dataset: str, output_dir: str | Path, settings: FinetuningSettings, resume: bool = False
) -> dict[str, float]:
    """Train label networks and write the model, its image processor and its card to ``output_dir``.

    model: the backbone: an embedded checkpoint, a folder or a Hub repository. dataset: see ``open_labels``.
    Returns the last validation metrics: nme_interocular (percent, for 68 points) or nme_crop (percent of the crop's
    side, for others), mean_f1 (percent), depth_abs_rel.
    Raises UsageError for a wrong request, SynthForgeError for a sample that cannot be used (naming it) and when the run
    was interrupted (it can be resumed).
    """
    output_dir = Path(output_dir)
    accelerator = start_run(output_dir, settings, resume)
    backbone, processor = load_backbone(model)
    if settings.crop_scale is not None:
        processor.crop_scale = settings.crop_scale
    train, validation, class_names = _open_windows(dataset, settings, accelerator, backbone, processor)

    torch.manual_seed(settings.seed)
    found = found_in_labels(train, settings, class_names)
    compared = None
    if "landmarks" in settings.tasks:
        compared = compare_landmarks(train, backbone.to(accelerator.device), processor)
        if found["num_landmarks"] != backbone.config.num_landmarks:
            found["nearest_landmarks"] = nearest_landmarks(*compared)
    try:
        network = SynthForgeForLabelFinetuning.from_backbone(
            backbone,
            settings.tasks,
            use_features=settings.use_features,
            train_encoder=settings.train_encoder,
            **(found | settings.network),
        )
    except UsageError:
        raise
    except Exception as error:  # huggingface_hub's strict dataclasses raise their own kinds
        raise UsageError(f"network: {' '.join(str(error).split())}") from error
    if compared is not None and network.landmark_network is not None:
        fit_shape_correction(network.landmark_network, *compared)
    if network.segmentation_network is not None:
        fit_class_table(network.segmentation_network, train, backbone.to(accelerator.device), processor)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    processor.depth_focal = network.config.depth_focal  # type: ignore[assignment]
    crops = ProgressiveCrops(
        lambda size: crop_maker(settings.augmentation, network, processor, crop_device(accelerator), size),
        network.config.image_size,
        network.config.coarsest_stride,
        settings.small_image_size,
        settings.small_share,
    )
    task = LabelTask(crops, validation, accelerator, settings.batch_size)
    loader = window_loader(train, settings, min(settings.batch_size, max(1, len(train) // accelerator.num_processes)))
    loop_settings = settings.for_loop()
    optimizer = optimizer_for(network.train(), settings)
    loop = TrainingLoop(accelerator, network, optimizer, loader, task, loop_settings, output_dir, beside=[processor])
    accelerator.init_trackers("logs")
    if resume and not loop.resume():
        accelerator.print(f"no checkpoint under {output_dir} yet: starting from the beginning", file=sys.stderr)
    if not loop.run():
        end_run(accelerator)
        raise SynthForgeError(f"stopped at step {loop.progress.step}; continue with --resume")
    metrics = loop.validate()
    loop.log(metrics)
    result = {name.removeprefix("validation/"): value for name, value in metrics.items()}
    loop.save(output_dir)
    if accelerator.is_main_process:
        write_finetuning_card(output_dir, model, dataset, settings, network.config, result, loop.progress, len(train))
        (output_dir / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    accelerator.print(f"wrote {output_dir}: " + ", ".join(f"{name} {value:.3f}" for name, value in result.items()))
    end_run(accelerator)
    return result


def read_finetuning_settings(path: str | Path | None, **overrides: Any) -> FinetuningSettings:
    """Read a YAML file (or take the defaults) and lay ``overrides`` that are not None over it. Raises UsageError."""
    mapping = read_yaml(Path(path)) if path is not None else {}
    mapping |= {name: value for name, value in overrides.items() if value is not None}
    return from_mapping(FinetuningSettings, mapping)


def load_backbone(model: str) -> tuple[SynthForgeModel, SynthForgeImageProcessor]:
    """Return a Stage I model in evaluation mode and its image processor. Raises UsageError or SynthForgeError."""
    folder = Path(resolve_model(model))
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
        if kind != SynthForgeConfig.model_type:
            raise UsageError(f"'{model}' is a model of type '{kind}'; label networks are trained on a Stage I backbone")
        backbone = SynthForgeModel.from_pretrained(folder).eval()
        return backbone, SynthForgeImageProcessor.from_pretrained(folder)
    except UsageError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise SynthForgeError(f"the model '{model}' is incomplete or damaged: {reason}") from error


class LabelTask:
    """Augmented crops for training, metrics on nominal crops for validation."""

    def __init__(self, crops: ProgressiveCrops, validation: Any, accelerator: Accelerator, batch_size: int) -> None:
        self.crops, self.validation, self.accelerator, self.batch_size = crops, validation, accelerator, batch_size

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        return self.crops.augmented(batch, generator, fraction)

    def validate(self, model: Any) -> dict[str, float]:
        return validate(model, self.validation, self.crops.full, self.accelerator, self.batch_size)


def _open_windows(
    dataset: str,
    settings: FinetuningSettings,
    accelerator: Accelerator,
    backbone: SynthForgeModel,
    processor: SynthForgeImageProcessor,
) -> tuple[Any, Any, tuple[str, ...] | None]:
    """Return the windows of the training and the validation samples, and the names of their classes, where known."""
    with accelerator.main_process_first():
        sources = open_labels(
            dataset, settings.tasks, settings.columns, settings.class_names, settings.name_split(), settings.depth_unit
        )
    crop = sources[0].crop if settings.crop == "auto" else settings.crop
    cut = WindowSettings.for_model(backbone.config.image_size, processor.crop_scale, MARGIN)
    finder = FaceFinder(backbone, processor)
    windows = [LabelWindows(source, settings.tasks, cut, crop, finder) for source in sources]
    train, validation = (
        cache_windows(each, settings, accelerator, name)
        for each, name in zip(windows, ("train", "validation"), strict=True)
    )
    if "landmarks" in settings.tasks:
        missing = np.array([int(np.isnan(train[index]["landmarks"][:, 0]).sum()) for index in range(len(train))])
        if missing.any():
            accelerator.print(
                f"{missing.sum()} of {len(train) * len(train[0]['landmarks'])} landmarks, in {(missing > 0).sum()} of "
                f"{len(train)} training samples, are missing (NaN or negative): left out of the loss",
                file=sys.stderr,
            )
    kept = range(min(len(validation), settings.validation_samples))
    return train, Subset(validation, kept), sources[0].class_names
