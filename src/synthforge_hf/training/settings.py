"""Settings of a training run, read strictly from YAML: unknown keys and impossible values are refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedConfig

from synthforge_hf.data.strict_yaml import from_mapping, read_yaml
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.training.augmentation import AugmentationSettings


@dataclass(frozen=True)
class TrainingSettings:
    """One run of Stage I. The defaults are the paper's (section 4.1), for one of its four GPUs.

    preset, model: "paper" or "mini", and what to change in that ``SynthForgeConfig``. encoder: folder or Hub repository
    of a pretrained transformers backbone that takes the UNet's place; its weights are trained on at
    ``encoder_learning_rate``. crop_scale: see ``square_crop``.
    initial: an earlier model (an embedded checkpoint, folder or Hub repository) whose weights training begins with. Its
    encoder must be the same but for ``image_size`` and the grids that follow from it; heads of another form (classes,
    landmarks, widths) begin anew.
    train_only: tasks whose heads alone are trained; all else stays as ``initial`` has it.
    epochs, max_minutes: the run ends with whichever comes first; the learning rate's cosine reaches its end then. Time
    spent before an
        interruption counts, time spent on preparing data does not.
    batch_size: per process. accumulate: batches per optimizer step; a group of them may span two epochs.
    small_image_size, small_share: in this first part of the run crops are cut at this side, below the model's, which is
        faster (progressive resizing, as of EfficientNetV2); 0 = off.
    learning_rate, encoder_learning_rate: of the heads and of the feature encoder. final_learning_rate: where both
    cosines end. warmup: share of the run in which the rates rise from 0. weight_decay: not on biases and norms.
    gradient_clip: largest gradient norm, 0 = off. ema_decay: of the averaged weights that are saved in the end, 0 =
    off. mixed_precision: "auto" takes bf16 where the device multiplies bf16 matrices in hardware.
    validation_samples: taken from the end of the training split where a data set has no validation split.
    best_by: the validation metric by which the best model so far is kept beside the last one; "auto" takes the first
    of those measured: NME, mean F1, relative depth error.
    cache: keep decoded windows in memory-mapped files.
    streaming: read shards where they are (disk or Hub) in every epoch and keep nothing; samples pass through a buffer
    of ``shuffle_buffer``. samples_per_epoch: where the data set's card does not say how many it has.
    data_workers: processes that read and decode samples, and as many threads that make crops of them ahead of the
    model. 0: in turn with the model, which is fastest where the model itself keeps all cores busy.
    """

    preset: Literal["paper", "mini"] = "paper"
    model: dict[str, Any] = field(default_factory=dict)
    encoder: str | None = None
    initial: str | None = None
    train_only: tuple[Literal["landmarks", "segmentation", "depth"], ...] = ()
    crop_scale: float = 1.35
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    seed: int = 0
    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 16
    accumulate: int = 16
    small_image_size: int = 0
    small_share: float = 0.5
    learning_rate: float = 1e-4
    encoder_learning_rate: float = 1e-5
    final_learning_rate: float = 1e-5
    warmup: float = 0.02
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.0
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    validation_samples: int = 500
    validate_every_minutes: float = 10.0
    checkpoint_every_minutes: float = 5.0
    log_every_steps: int = 20
    best_by: Literal["auto", "nme_interocular", "nme_crop", "mean_f1", "depth_abs_rel"] = "auto"
    cache: bool = True
    cache_folder: str | None = None
    data_workers: int = 0
    streaming: bool = False
    shuffle_buffer: int = 1000
    samples_per_epoch: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "learning_rate", "encoder_learning_rate", "log_every_steps"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")
        if self.shuffle_buffer < 1 or self.data_workers < 0 or (self.samples_per_epoch or 1) < 1:
            raise UsageError("shuffle_buffer and samples_per_epoch must be positive, data_workers not negative")
        if self.encoder is not None and "backbone_config" in self.model:
            raise UsageError("encoder and model.backbone_config both name the backbone: keep one of them")
        if self.encoder is not None and self.initial is not None:
            raise UsageError("encoder and initial both give first weights: keep one of them")
        if self.train_only and self.initial is None:
            raise UsageError("train_only keeps the weights of an earlier model: name it as initial")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise UsageError(f"max_minutes must be positive, got {self.max_minutes}")
        if not 0 <= self.warmup < 1 or not 0 <= self.ema_decay < 1:
            raise UsageError(f"warmup and ema_decay must be in [0, 1), got {self.warmup} and {self.ema_decay}")
        if self.small_image_size < 0 or not 0 <= self.small_share < 1:
            raise UsageError(
                "small_image_size must not be negative and small_share in [0, 1), got "
                f"{self.small_image_size} and {self.small_share}"
            )
        if self.crop_scale < 1:
            raise UsageError(f"crop_scale must be at least 1 (the face box itself), got {self.crop_scale}")

    def model_config(self, **found: Any) -> SynthForgeConfig:
        """Build the model's configuration: preset, then what was ``found`` in the data, then ``model``."""
        make = SynthForgeConfig.mini if self.preset == "mini" else SynthForgeConfig
        known = set(SynthForgeConfig().to_dict()) | {"num_labels"}
        for key in self.model:
            if key not in known:
                raise UsageError(f"unknown key model.{key}; see SynthForgeConfig for the keys of a model")
        if self.encoder is not None:
            found["backbone_config"] = _backbone_config(self.encoder)
        try:
            return make(**(found | self.model))
        except UsageError:
            raise
        except Exception as error:  # huggingface_hub's strict dataclasses raise their own kinds
            raise UsageError(f"model: {' '.join(str(error).split())}") from error


def read_settings(path: str | Path | None, **overrides: Any) -> TrainingSettings:
    """Read a YAML file (or take the defaults) and lay ``overrides`` that are not None over it. Raises UsageError."""
    mapping = read_yaml(Path(path)) if path is not None else {}
    mapping |= {name: value for name, value in overrides.items() if value is not None}
    return from_mapping(TrainingSettings, mapping)


def _backbone_config(name: str) -> dict[str, Any]:
    try:
        return PreTrainedConfig.get_config_dict(name)[0]
    except (OSError, ValueError) as error:
        raise UsageError(f"encoder: {' '.join(str(error).split())[:200]}") from error
