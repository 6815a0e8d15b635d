"""Stage I (paper, section 3.2): the multi-task backbone, trained on generated faces."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthforge_hf.checkpoints import resolve_model
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.models.synthforge.backbone_encoder import BackboneEncoder
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.training.augmentation import CropMaker
from synthforge_hf.training.card import write_card
from synthforge_hf.training.data_licenses import licenses_of_data
from synthforge_hf.training.geometry import random_affines
from synthforge_hf.training.loop import TrainingLoop, crop_device
from synthforge_hf.training.optimizer import optimizer_for
from synthforge_hf.training.progressive_crops import ProgressiveCrops
from synthforge_hf.training.runs import cache_windows, end_run, start_run, window_loader
from synthforge_hf.training.settings import TrainingSettings
from synthforge_hf.training.streaming import StreamedLoader, StreamedWindows, stream_splits
from synthforge_hf.training.validation import validate
from synthforge_hf.training.windows import CANONICAL_FOCAL, FaceWindows, WindowSettings, depth_to_metres

DEPTH_SAMPLES = 200
STREAMED_EXAMPLES = 50


def train_backbone(
    dataset: str, output_dir: str | Path, settings: TrainingSettings, resume: bool = False
) -> dict[str, float]:
    """Train a model and write it, its image processor and its card to ``output_dir``, a ``from_pretrained`` folder.

    dataset: what ``datasets.load_dataset`` takes (a folder or a Hub repository) with our columns.
    The model with the best validation metrics so far is kept in ``output_dir``/best, another such folder.
    Returns the last validation metrics: nme_interocular (percent), mean_f1 (percent), depth_abs_rel.
    Raises UsageError when ``output_dir`` holds another run, and SynthForgeError when the run was interrupted (it can
    be resumed).
    """
    output_dir = Path(output_dir)
    accelerator = start_run(output_dir, settings, resume)
    crop_scale = settings.crop_scale
    preset = settings.model_config()
    window_settings = WindowSettings.for_model(preset.image_size, crop_scale)
    source = (streamed_samples if settings.streaming else stored_samples)(
        dataset, settings, window_settings, accelerator
    )

    torch.manual_seed(settings.seed)
    earlier = load_initial(settings.initial) if settings.initial is not None else None
    found = found_in(source.examples)
    if earlier is not None:
        # Its depth output means metres in these terms.
        found |= {name: getattr(earlier.config, name) for name in ("depth_mean", "depth_scale", "depth_focal")}
    config = settings.model_config(**found)
    model = SynthForgeModel(config)
    if earlier is not None:
        for head in take_weights(model, earlier, settings.initial):
            accelerator.print(f"{head} of {settings.initial} has another form: it begins anew", file=sys.stderr)
    if settings.encoder is not None:
        load_encoder(model, settings.encoder)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    _freeze_heads_without_labels(model, source.labels)
    if settings.train_only:
        model.train_only(settings.train_only)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise UsageError(
                f"{dataset!r} has no labels for {' or '.join(settings.train_only)}, which train_only names"
            )
    if config.backbone_config is not None:
        freeze_idle_parameters(model)
    processor = SynthForgeImageProcessor.for_model(config, crop_scale=crop_scale)
    task = BackboneTask(config, processor, settings, window_settings, source.validation, accelerator)
    loop = TrainingLoop(
        accelerator,
        model,
        optimizer_for(model, settings),
        source.loader,
        task,
        settings,
        output_dir,
        beside=[processor],
    )
    accelerator.init_trackers("logs")
    if resume and not loop.resume():
        accelerator.print(f"no checkpoint under {output_dir} yet: starting from the beginning", file=sys.stderr)
    complete = loop.run()
    if not complete:
        end_run(accelerator)
        raise SynthForgeError(f"stopped at step {loop.progress.step}; continue with --resume")
    metrics = loop.validate()
    loop.log(metrics)
    result = {name.removeprefix("validation/"): value for name, value in metrics.items()}
    loop.save(output_dir)
    if accelerator.is_main_process:
        write_card(output_dir, dataset, settings, config, result, loop.progress, source.count, source.licenses)
        (output_dir / "metrics.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    accelerator.print(f"wrote {output_dir}: " + ", ".join(f"{name} {value:.3f}" for name, value in result.items()))
    end_run(accelerator)
    return result


@dataclass(frozen=True)
class Samples:
    """What a run is trained and validated on. examples: windows that show what the labels are like. count: samples of
    an epoch. licenses: what the data set states of its licence."""

    loader: DataLoader | StreamedLoader
    validation: Any
    examples: Any
    labels: tuple[str, ...]
    count: int
    licenses: tuple[str, ...]


def stored_samples(
    dataset: str, settings: TrainingSettings, window_settings: WindowSettings, accelerator: Accelerator
) -> Samples:
    """Download the data set where needed, decode its windows once, and read them in shuffled order."""
    with accelerator.main_process_first():
        splits = load_splits(dataset, settings.validation_samples)
        licenses = licenses_of_data(dataset, splits[0])
    train, validation = (
        cache_windows(FaceWindows(rows, window_settings), settings, accelerator, name)
        for rows, name in zip(splits, ("train", "validation"), strict=True)
    )
    loader = window_loader(train, settings, max(1, min(settings.batch_size, len(train) // accelerator.num_processes)))
    return Samples(loader, validation, train, train.labels, len(train), licenses)


def streamed_samples(
    dataset: str, settings: TrainingSettings, window_settings: WindowSettings, accelerator: Accelerator
) -> Samples:
    """Read the data set's shards where they are; each process its own."""
    train_rows, validation_rows, known = stream_splits(dataset, settings.validation_samples)
    count = settings.samples_per_epoch or known
    if count is None:
        raise UsageError(f"{dataset!r} does not say how many samples it has: set samples_per_epoch")
    position = (accelerator.process_index, accelerator.num_processes)
    train = StreamedWindows(train_rows, window_settings, *position, settings.seed, settings.shuffle_buffer)
    batches = count // (settings.batch_size * accelerator.num_processes)
    if batches < 1:
        raise UsageError(f"{count} samples do not fill one batch on each process: lower batch_size")
    loader = StreamedLoader(train, settings.batch_size, batches, settings.data_workers)
    validation = StreamedWindows(validation_rows, window_settings).first(settings.validation_samples)
    licenses = licenses_of_data(dataset, train_rows)
    return Samples(loader, validation, train.first(STREAMED_EXAMPLES), train.labels, count, licenses)


class BackboneTask:
    """Crops for training, metrics on nominal crops for validation."""

    def __init__(
        self,
        config: SynthForgeConfig,
        processor: SynthForgeImageProcessor,
        settings: TrainingSettings,
        window_settings: WindowSettings,
        validation_windows: Dataset,
        accelerator: Accelerator,
    ) -> None:
        self.validation_windows, self.accelerator, self.batch_size = (
            validation_windows,
            accelerator,
            settings.batch_size,
        )
        self.equivariance = config.equivariance_weight > 0

        def crops(image_size: int) -> CropMaker:
            return CropMaker(
                settings.augmentation,
                image_size,
                config.segmentation_size * image_size // config.image_size,
                window_settings.margin,
                processor.image_mean,
                processor.image_std,
                canonical_depth=config.depth_focal is not None,
                device=crop_device(accelerator),
            )

        self.crops = ProgressiveCrops(
            crops, config.image_size, config.coarsest_stride, settings.small_image_size, settings.small_share
        )

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        inputs = self.crops.augmented(batch, generator, fraction)
        if self.equivariance:
            with generator.device:
                inputs["affine"] = random_affines(len(inputs["pixel_values"]), generator)
        return inputs

    def validate(self, model: SynthForgeModel) -> dict[str, float]:
        return validate(model, self.validation_windows, self.crops.full, self.accelerator, self.batch_size)


def load_splits(dataset: str, validation_samples: int) -> tuple[datasets.Dataset, datasets.Dataset]:
    """Return the training rows and the validation rows of a data set.

    Where there is no split "validation" or "test", the last ``validation_samples`` rows (at most a tenth) are taken
    from "train".
    Raises UsageError when the data set cannot be loaded or is too small.
    """
    try:
        splits = datasets.load_dataset(dataset)
    except Exception as error:  # the many kinds that load_dataset raises for a wrong name, folder or file
        raise UsageError(f"cannot load the data set {dataset!r}: {' '.join(str(error).split())[:300]}") from error
    if "train" not in splits:
        raise UsageError(f"the data set {dataset!r} has no split 'train', only {', '.join(splits)}")
    train = splits["train"]
    for name in ("validation", "test"):
        if name in splits and len(splits[name]):
            rows = splits[name]
            return train, rows.select(range(min(len(rows), validation_samples)))
    held_out = max(1, min(validation_samples, len(train) // 10))
    if len(train) < 2:
        raise UsageError(f"the data set {dataset!r} has {len(train)} rows; training and validation need at least 2")
    return train.select(range(len(train) - held_out)), train.select(range(len(train) - held_out, len(train)))


def found_in(windows: Any) -> dict[str, Any]:
    """What the model must know about the data: the number of landmarks, and where depths lie."""
    found: dict[str, Any] = {}
    example = windows[0]
    if "landmarks" in example:
        found["num_landmarks"] = len(example["landmarks"])
    if "depth" in example:
        chosen = np.linspace(0, len(windows) - 1, min(DEPTH_SAMPLES, len(windows))).astype(int)
        depths = [depth_to_metres(windows[index]["depth"]) for index in chosen.tolist()]
        metres = np.concatenate([depth[depth > 0] for depth in depths])
        if len(metres):
            found["depth_focal"] = CANONICAL_FOCAL if windows.canonical_depth else None
            found["depth_mean"] = round(float(np.median(metres)), 3)
            found["depth_scale"] = round(max(float(np.abs(metres - np.median(metres)).mean()), 0.01), 3)
    return found


def load_initial(name: str) -> SynthForgeModel:
    """Return an earlier Stage I model. Raises UsageError when there is none of this name."""
    folder = resolve_model(name)
    try:
        return SynthForgeModel.from_pretrained(folder)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UsageError(f"initial: {' '.join(str(error).split())[:200]}") from error


def take_weights(model: SynthForgeModel, earlier: SynthForgeModel, name: str | None) -> list[str]:
    """Give ``model`` the weights of ``earlier`` and return which heads, being of another form, begin anew.

    Raises UsageError when the encoders differ.
    """
    anew = []
    for part, module in model.named_children():
        weights = getattr(earlier, part).state_dict()
        # Loading would take the tensors that fit before it refuses the others.
        if _shapes(weights) == _shapes(module.state_dict()):
            module.load_state_dict(weights)
        elif part.endswith("_head"):
            anew.append(part)
        else:
            raise UsageError(f"initial: {name} is another model: its {part} has other weights")
    return anew


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


def load_encoder(model: SynthForgeModel, name: str) -> None:
    """Give the model's backbone the weights of a folder or Hub repository. Raises UsageError when they do not fit."""
    assert isinstance(model.encoder, BackboneEncoder)
    try:
        pretrained, report = type(model.encoder.backbone).from_pretrained(
            name, config=model.config.backbone_config, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"encoder: {' '.join(str(error).split())[:200]}") from error
    # Norms that a backbone adds behind its stages are in no checkpoint.
    missing = [key for key in report["missing_keys"] if "norm" not in key]
    if missing:
        raise UsageError(
            f"encoder: {name} has no weights for {len(missing)} tensors of the backbone ({missing[0]}, ...)"
        )
    model.encoder.backbone.load_state_dict(pretrained.state_dict())


def freeze_idle_parameters(model: SynthForgeModel) -> None:
    """Stop training what the losses do not reach, such as a backbone's mask token: it would stall other processes."""
    size = model.config.image_size
    model.eval()  # the statistics of norms stay as they are
    output = model(torch.zeros(1, model.config.num_channels, size, size))
    (output.features.sum() + output.landmarks.sum() + output.segmentation_logits.sum() + output.depth.sum()).backward()
    for parameter in model.parameters():
        if parameter.grad is None:
            parameter.requires_grad_(False)
    model.zero_grad(set_to_none=True)
    model.train()


def _freeze_heads_without_labels(model: SynthForgeModel, labels: tuple[str, ...]) -> None:
    """Heads that get no gradient would stall distributed training."""
    heads = {"landmarks_2d": model.landmark_head, "segmentation": model.segmentation_head, "depth": model.depth_head}
    for label, head in heads.items():
        if label not in labels:
            head.requires_grad_(False)
