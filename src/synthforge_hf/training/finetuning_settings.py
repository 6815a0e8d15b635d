"""Settings of a label fine-tuning run, read strictly from YAML and the command line."""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from synthforge_hf.data.name_split import NameSplit
from synthforge_hf.data.schema import DEPTH_UNIT
from synthforge_hf.errors import UsageError
from synthforge_hf.models.label_finetuning.configuration_label_finetuning import TASKS
from synthforge_hf.training.augmentation import AugmentationSettings
from synthforge_hf.training.settings import TrainingSettings


@dataclass(frozen=True)
class FinetuningSettings:
    """One run of Stage II. The defaults are the paper's.

    tasks: which outputs get a label network. use_features: whether it sees the backbone's features too. train_encoder:
    whether the backbone's encoder is trained along, at ``encoder_learning_rate``, instead of frozen.
    class_names: of the segmentation, by id; where they are not given, there are as many as the training labels use.
    mirrored_landmarks: the landmarks' order in a mirrored image. None: known for 68 points (iBUG), else no mirroring.
    network: what to change in ``SynthForgeForLabelFinetuningConfig`` (widths, stacks, ...).
    columns: task or "image" -> column of the data set, where it is not called image, landmarks_2d, segmentation, depth.
    depth_unit: metres per step of the depth images.
    crop: what frames a face, see ``label_windows``; "auto": as suits the set. crop_scale: None: the backbone's.
    train_share: train on this share of the samples, chosen by the hash of their names, validate on the others.
    fold: "K/N": train on all but the K-th of N parts, by the same hash, validate on that part. At most one of the two.
    The others are as in ``TrainingSettings``.
    """

    tasks: tuple[str, ...] = ()
    use_features: bool = False
    train_encoder: bool = False
    class_names: tuple[str, ...] | None = None
    mirrored_landmarks: tuple[int, ...] | None = None
    network: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    depth_unit: float = DEPTH_UNIT
    crop: Literal["auto", "face_box", "landmarks", "detector", "whole"] = "auto"
    crop_scale: float | None = None
    train_share: float | None = None
    fold: str | None = None
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    seed: int = 0
    epochs: int = 20
    max_minutes: float | None = None
    batch_size: int = 16
    accumulate: int = 1
    small_image_size: int = 0
    small_share: float = 0.5
    learning_rate: float = 1e-4
    encoder_learning_rate: float = 1e-4
    final_learning_rate: float = 1e-6
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
        if not self.tasks or len(set(self.tasks)) < len(self.tasks) or set(self.tasks) - set(TASKS):
            raise UsageError(f"tasks must be one or more of {', '.join(TASKS)}, each once, got {list(self.tasks)}")
        for name in set(self.columns) - {"image", *self.tasks}:
            raise UsageError(f"columns names '{name}', which is neither image nor one of this run's tasks")
        for name in (
            "tasks",
            "use_features",
            "train_encoder",
            "num_landmarks",
            "id2label",
            "num_labels",
            "backbone_config",
        ):
            if name in self.network:
                raise UsageError(f"network.{name} follows from the data and the other settings: leave it out")
        self.name_split()
        if self.depth_unit <= 0:
            raise UsageError(f"depth_unit must be positive, got {self.depth_unit}")
        if self.class_names is not None and not 2 <= len(self.class_names) <= 255:
            raise UsageError(f"there must be 2 to 255 classes, got {len(self.class_names)}")
        if self.crop_scale is not None and self.crop_scale < 1:
            raise UsageError(f"crop_scale must be at least 1 (the face box itself), got {self.crop_scale}")
        self.for_loop()

    def name_split(self) -> NameSplit | None:
        """Which samples are held out, where the settings say so. Raises UsageError for impossible values."""
        return NameSplit.from_request(self.train_share, self.fold)

    def for_loop(self) -> TrainingSettings:
        """What the training loop needs, in its own terms. Raises UsageError for impossible values."""
        shared = {each.name for each in fields(TrainingSettings)} & {each.name for each in fields(self)}
        return TrainingSettings(**{name: getattr(self, name) for name in shared - {"crop_scale"}})
