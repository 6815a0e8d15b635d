"""Configuration of the label fine-tuning model: a frozen backbone, and which of its outputs get new labels."""

from typing import Any, ClassVar, cast

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig

TASKS = ("landmarks", "segmentation", "depth")


@strict
class SynthForgeForLabelFinetuningConfig(PreTrainedConfig):
    r"""Label networks on top of a ``SynthForgeModel`` (paper, section 3.3). Losses are the backbone's.

    backbone_config (`SynthForgeConfig`):
        Of the backbone, whose weights this model holds too.
    tasks (`tuple[str, ...]`):
        Which outputs have a label network: "landmarks", "segmentation", "depth". The others stay the backbone's.
    use_features (`bool`, defaults to False):
        Whether the label networks see the backbone's feature map beside its prediction.
    train_encoder (`bool`, defaults to False):
        Whether training moves the backbone's encoder too, whose weights are frozen in the paper. Closer to the new
        labels; what the other outputs say then drifts.
    num_landmarks (`int`, defaults to 0):
        Points of the new scheme; 0: as many as the backbone has.
    nearest_landmarks (`tuple[int, ...]`, *optional*):
        For each new point the backbone's point whose heatmap it starts from. Unless given: the same point where both
        schemes have as many, none at all otherwise.
    fitted_start (`bool`, defaults to True):
        Whether a label network corrects a start that is fitted to the labels in closed form before training: heatmaps
        moved by a linear function of the backbone's landmarks, and classes translated by how often each goes with each.
        Not in the paper; most of what differs between two schemes is of these kinds.
    mirrored_landmarks (`tuple[int, ...]`, *optional*):
        Permutation of the new points in a mirrored image. None: unknown unless there are 68 (iBUG order).
    id2label (`dict[int, str]`), num_labels (`int`):
        Segmentation classes of the new scheme; the backbone's unless given.
    depth_mean, depth_scale (`float`, *optional*), depth_focal (`float`, *optional*):
        As in ``SynthForgeConfig``; for a task "depth" they describe the new labels, otherwise they are the backbone's.
    segmentation_widths, depth_widths (`tuple[int, ...]`, *optional*):
        Channels of the label networks' UNets; the backbone's ``encoder_widths`` unless given.
    landmark_channels, hourglass_stacks, hourglass_levels (`int`, defaults to 0):
        Of the landmark label network; 0: as the backbone's landmark head.
    """

    model_type = "synthforge_label_finetuning"
    sub_configs: ClassVar[dict[str, type]] = {"backbone_config": SynthForgeConfig}

    backbone_config: dict | PreTrainedConfig | None = None
    tasks: list[str] | tuple[str, ...] = ("landmarks",)
    use_features: bool = False
    train_encoder: bool = False
    num_landmarks: int = 0
    nearest_landmarks: list[int] | tuple[int, ...] | None = None
    fitted_start: bool = True
    mirrored_landmarks: list[int] | tuple[int, ...] | None = None
    depth_mean: float | int | None = None
    depth_scale: float | int | None = None
    depth_focal: float | int | None = None
    segmentation_widths: list[int] | tuple[int, ...] | None = None
    depth_widths: list[int] | tuple[int, ...] | None = None
    landmark_channels: int = 0
    hourglass_stacks: int = 0
    hourglass_levels: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        if self.backbone_config is None:
            self.backbone_config = SynthForgeConfig()
        elif isinstance(self.backbone_config, dict):
            self.backbone_config = SynthForgeConfig(**self.backbone_config)
        backbone = self.backbone
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(backbone.id2label or {})
            self.label2id = backbone.label2id
        super().__post_init__(**kwargs)
        self.tasks = tuple(self.tasks)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks) or set(self.tasks) - set(TASKS):
            raise UsageError(f"tasks must be one or more of {', '.join(TASKS)}, each once, got {self.tasks}")
        for name in ("num_landmarks", "landmark_channels", "hourglass_stacks", "hourglass_levels"):
            # A backbone may do without hourglasses, label networks have at least one.
            setattr(self, name, getattr(self, name) or getattr(backbone, name) or 1)
        for name in ("segmentation_widths", "depth_widths"):
            setattr(self, name, tuple(getattr(self, name) or backbone.encoder_widths))
        if "depth" not in self.tasks or self.depth_mean is None or self.depth_scale is None:
            self.depth_mean, self.depth_scale = backbone.depth_mean, backbone.depth_scale
            self.depth_focal = backbone.depth_focal
        self._check()

    @property
    def backbone(self) -> SynthForgeConfig:
        """``backbone_config`` with its type."""
        return cast(SynthForgeConfig, self.backbone_config)

    @property
    def image_size(self) -> int:
        """Side of the square input crop, pixels."""
        return self.backbone.image_size

    @property
    def segmentation_size(self) -> int:
        """Side of the square grid of segmentation logits."""
        return self.backbone.segmentation_size

    @property
    def coarsest_stride(self) -> int:
        """Of what the sides of inputs must be multiples: pixels per cell of the coarsest grid of any network."""
        backbone = self.backbone
        halved = {  # task -> side of its grid, how often its network halves it
            "landmarks": (backbone.heatmap_size, self.hourglass_levels),
            "segmentation": (backbone.segmentation_size, len(self.segmentation_widths or ()) - 1),
            "depth": (backbone.grid_size * backbone.depth_upsampling, len(self.depth_widths or ()) - 1),
        }
        strides = [self.image_size // grid * 2**times for grid, times in (halved[task] for task in self.tasks)]
        return max(backbone.coarsest_stride, *strides)

    def _check(self) -> None:
        points, known = self.num_landmarks, self.backbone.num_landmarks
        if points < 1:
            raise UsageError(f"num_landmarks must be at least 1, got {points}")
        if "landmarks" not in self.tasks and points != known:
            raise UsageError(f"{points} landmarks need the task 'landmarks': the backbone has {known}")
        if "segmentation" not in self.tasks and dict(self.id2label or {}) != dict(self.backbone.id2label or {}):
            raise UsageError("other classes than the backbone's need the task 'segmentation'")
        nearest, mirrored = self.nearest_landmarks, self.mirrored_landmarks
        if nearest is not None and (len(nearest) != points or not all(0 <= each < known for each in nearest)):
            raise UsageError(f"nearest_landmarks must name one of the backbone's {known} points for each of {points}")
        if mirrored is not None and sorted(mirrored) != list(range(points)):
            raise UsageError(f"mirrored_landmarks must be a permutation of 0 to {points - 1}")


AutoConfig.register(SynthForgeForLabelFinetuningConfig.model_type, SynthForgeForLabelFinetuningConfig, exist_ok=True)
