"""Settings of a training run, read strictly from YAML: unknown keys and impossible values are refused."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthforge_hf.data.strict_yaml import from_mapping, read_yaml
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.training.augmentation import AugmentationSettings


@dataclass(frozen=True)
class TrainingSettings:
    """One run of Stage I. The defaults are the paper's (section 4.1), for one of its four GPUs.

    preset, model: "paper" or "mini", and what to change in that ``SynthForgeConfig``. crop_scale: see ``square_crop``.
    epochs, max_minutes: the run ends with whichever comes first; the learning rate's cosine reaches its end then. Time
    spent before an
        interruption counts, time spent on preparing data does not.
    batch_size: per process. accumulate: batches per optimizer step.
    learning_rate, encoder_learning_rate: of the heads and of the feature encoder. final_learning_rate: where both
    cosines end. warmup: share of the run in which the rates rise from 0. weight_decay: not on biases and norms.
    gradient_clip: largest gradient norm, 0 = off. ema_decay: of the averaged weights that are saved in the end, 0 =
    off. mixed_precision: "auto" takes bf16 where the device multiplies bf16 matrices in hardware.
    validation_samples: taken from the end of the training split where a data set has no validation split.
    cache: keep decoded windows in memory-mapped files.
    """

    preset: Literal["paper", "mini"] = "paper"
    model: dict[str, Any] = field(default_factory=dict)
    crop_scale: float = 1.35
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    seed: int = 0
    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 16
    accumulate: int = 16
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
    cache: bool = True
    cache_folder: str | None = None
    data_workers: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "learning_rate", "encoder_learning_rate", "log_every_steps"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)}")
        if self.max_minutes is not None and self.max_minutes <= 0:
            raise UsageError(f"max_minutes must be positive, got {self.max_minutes}")
        if not 0 <= self.warmup < 1 or not 0 <= self.ema_decay < 1:
            raise UsageError(f"warmup and ema_decay must be in [0, 1), got {self.warmup} and {self.ema_decay}")
        if self.crop_scale < 1:
            raise UsageError(f"crop_scale must be at least 1 (the face box itself), got {self.crop_scale}")

    def model_config(self, **found: Any) -> SynthForgeConfig:
        """Build the model's configuration: preset, then what was ``found`` in the data, then ``model``."""
        make = SynthForgeConfig.mini if self.preset == "mini" else SynthForgeConfig
        known = set(SynthForgeConfig().to_dict()) | {"num_labels"}
        for key in self.model:
            if key not in known:
                raise UsageError(f"unknown key model.{key}; see SynthForgeConfig for the keys of a model")
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
