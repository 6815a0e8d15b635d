"""Configuration of the multi-task model: sizes, output grids and losses."""

from typing import Any, ClassVar, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from synthforge_hf.errors import UsageError
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES


@strict
class SynthForgeConfig(PreTrainedConfig):
    r"""Sizes and losses of ``SynthForgeModel``. The defaults are the paper's (section 4.1); ``mini()`` trains on two
    CPU cores.

    image_size (`int`, defaults to 256):
        Side of the square input crop, pixels.
    encoder_type (`"unet" | "residual"`, defaults to `"unet"`):
        The paper's UNet, or residual bottlenecks with a feature pyramid, several times faster on CPU.
    stem_stride (`int`, defaults to 1):
        Side of the input over that of the grid of features: 1 or 2 for the UNet, whose finest level it sets, 4 for the
        residual encoder, any of these for a transformers backbone.
    encoder_widths (`tuple[int, ...]`):
        Channels of the feature encoder: of the UNet at each level, from its finest grid down; of the residual encoder
        at strides 2, 4, 8, ...
    encoder_depths (`tuple[int, ...]`, defaults to `()`):
        Bottlenecks of the residual encoder at strides 4, 8, ...
    backbone_config (`PreTrainedConfig` or `dict`, *optional*):
        A transformers backbone that takes the UNet's place as feature encoder, with a small decoder up to the feature
        grid; ``{"model_type": "convnext"}`` and so on. Unless it names its ``out_features`` or ``out_indices``, all
        stages are used (of plain transformers such as DINOv2 four of the layers).
    feature_channels (`int`, defaults to 64):
        Channels of the feature map that all heads read.
    segmentation_widths, depth_widths (`tuple[int, ...]`):
        Channels of the head UNets at each level. One level makes a plain double convolution, none a 1x1 convolution.
    segmentation_upsampling, depth_upsampling (`int`, defaults to 1):
        Side of the segmentation logits and of the depth over that of the features; the last layer of each makes the
        finer cells.
    landmark_stem_kernel (`int`, defaults to 7), landmark_channels (`int`, defaults to 64), hourglass_stacks (`int`,
    defaults to 2), hourglass_levels (`int`, defaults to 4), heatmap_size (`int`, defaults to 64):
        The landmark head: one convolution, of stride 2 where ``heatmap_size`` is below the feature grid, pooling down
        to ``heatmap_size``, then stacked hourglasses. Without a stack the heatmaps are read from the convolution.
    num_landmarks (`int`, defaults to 68):
        Number of landmarks.
    id2label (`dict[int, str]`), num_labels (`int`):
        Segmentation classes; CelebAMask-HQ's 19 unless given.
    depth_mean, depth_scale (`float`):
        The network's depth output is ``depth_mean + depth_scale * raw`` metres.
    depth_focal (`float`, *optional*):
        Focal length, in sides of the crop, of the camera for which the depth output holds; with a photo's focal length
        the image processor turns it into metres of that photo. None: the output is in metres as it is.
    landmark_loss (`"l2" | "l1" | "smooth_l1" | "wing"`):
        On coordinates in [-1, 1], averaged over points, coordinates and stacks.
    heatmap_sigma (`float`, defaults to 1.0):
        Width, in cells, of the Gaussian that heatmaps are compared with when ``heatmap_weight`` is positive.
    segmentation_loss (`"cross_entropy" | "cross_entropy_dice"`):
        Unweighted; pixels of class 255 are ignored.
    landmark_weight, heatmap_weight, segmentation_weight, depth_weight, depth_shape_weight, equivariance_weight
    (`float`):
        Factors of the losses in their sum. The depth loss is the masked L1 distance in units of ``depth_scale``; that
        of the depth's shape the same after one factor per image, since how large a head is, a crop hardly tells. The
        equivariance loss compares features of a moved image with moved features, at the cost of a second pass through
        the encoder.
    """

    model_type = "synthforge"
    sub_configs: ClassVar[dict[str, type]] = {"backbone_config": AutoConfig}

    image_size: int = 256
    num_channels: int = 3
    encoder_type: Literal["unet", "residual"] = "unet"
    stem_stride: int = 1
    encoder_widths: list[int] | tuple[int, ...] = (64, 128, 256, 512, 512)
    encoder_depths: list[int] | tuple[int, ...] = ()
    backbone_config: dict | PreTrainedConfig | None = None
    feature_channels: int = 64
    segmentation_widths: list[int] | tuple[int, ...] = (64, 128, 256, 512, 512)
    segmentation_upsampling: int = 1
    depth_upsampling: int = 1
    depth_widths: list[int] | tuple[int, ...] = (64, 128, 256, 512, 512)
    landmark_stem_kernel: int = 7
    landmark_channels: int = 64
    hourglass_stacks: int = 2
    hourglass_levels: int = 4
    heatmap_size: int = 64
    num_landmarks: int = 68
    depth_mean: float | int = 1.2
    depth_scale: float | int = 0.1
    depth_focal: float | int | None = None
    landmark_loss: Literal["l2", "l1", "smooth_l1", "wing"] = "l2"
    heatmap_sigma: float | int = 1.0
    segmentation_loss: Literal["cross_entropy", "cross_entropy_dice"] = "cross_entropy"
    landmark_weight: float | int = 1.0
    heatmap_weight: float | int = 0.0
    segmentation_weight: float | int = 1.0
    depth_weight: float | int = 1.0
    depth_shape_weight: float | int = 0.0
    equivariance_weight: float | int = 1.0

    def __post_init__(self, **kwargs: Any) -> None:
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(enumerate(SEGMENTATION_CLASSES))
            self.label2id = {name: number for number, name in self.id2label.items()}
        if self.backbone_config is not None:
            self.backbone_config = read_backbone_config(self.backbone_config)
        super().__post_init__(**kwargs)
        for name in ("encoder_widths", "encoder_depths", "segmentation_widths", "depth_widths"):
            widths = tuple(getattr(self, name))
            setattr(self, name, widths)
            if any(width < 1 for width in widths):
                raise UsageError(f"{name} must hold positive numbers, got {widths}")
        self._check_encoder()
        self._check_grids()

    @property
    def grid_size(self) -> int:
        """Side of the square grid of features."""
        return self.image_size // self.stem_stride

    @property
    def segmentation_size(self) -> int:
        """Side of the square grid of segmentation logits."""
        return self.grid_size * self.segmentation_upsampling

    @property
    def coarsest_stride(self) -> int:
        """Of what the sides of inputs must be multiples: pixels per cell of the coarsest grid of encoder or heads."""
        if not self.hourglass_stacks:
            return self._dense_stride
        return max(self._dense_stride, self.image_size // self.heatmap_size * 2**self.hourglass_levels)

    @property
    def _dense_stride(self) -> int:
        """The same without the hourglasses."""
        heads = max(len(self.segmentation_widths), len(self.depth_widths), 1) - 1
        levels = 0 if self.backbone_config is not None else len(self.encoder_widths) - 1
        if self.encoder_type == "residual" and self.backbone_config is None:
            return max(2 ** (levels + 1), self.stem_stride * 2**heads)
        return int(self.stem_stride * 2 ** max(levels, heads))

    def _check_encoder(self) -> None:
        kind = "backbone" if self.backbone_config is not None else self.encoder_type
        strides = STRIDES[kind]
        if self.stem_stride not in strides:
            allowed = " or ".join(map(str, strides))
            raise UsageError(f"stem_stride must be {allowed} for this encoder ({kind}), got {self.stem_stride}")
        residual = kind == "residual"
        if residual and (len(self.encoder_depths) != len(self.encoder_widths) - 1 or len(self.encoder_widths) < 2):
            raise UsageError(
                "the residual encoder needs one depth fewer than widths (its stem has none), got widths "
                f"{self.encoder_widths} and depths {self.encoder_depths}"
            )
        if not self.encoder_widths:
            raise UsageError(f"encoder_widths must hold at least one number of channels, got {self.encoder_widths}")
        for name, least in (("segmentation_upsampling", 1), ("depth_upsampling", 1), ("hourglass_stacks", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be {least} or more, got {getattr(self, name)}")

    def _check_grids(self) -> None:
        if self.image_size % self._dense_stride:
            raise UsageError(
                f"image_size {self.image_size} must be a multiple of {self._dense_stride}, the pixels per cell of "
                "the coarsest grid in encoder and heads"
            )
        if self.hourglass_stacks and self.heatmap_size % 2**self.hourglass_levels:
            raise UsageError(
                f"heatmap_size {self.heatmap_size} must be a multiple of {2**self.hourglass_levels} "
                f"({self.hourglass_levels} hourglass levels)"
            )
        reduction, rest = divmod(self.grid_size, self.heatmap_size)
        if rest or reduction < 1 or reduction & (reduction - 1):
            raise UsageError(
                f"heatmap_size {self.heatmap_size} must be the feature grid's {self.grid_size} divided by 1, 2, 4, ..."
            )
        if self.landmark_channels % 4 or self.landmark_stem_kernel % 2 == 0:
            raise UsageError(
                "landmark_channels must be a multiple of 4 and landmark_stem_kernel odd, "
                f"got {self.landmark_channels} and {self.landmark_stem_kernel}"
            )

    @classmethod
    def mini(cls, **overrides: Any) -> Self:
        """A model that trains on two CPU cores: 128-pixel input, 64x64 segmentation and depth grid, 32x32 heatmaps."""
        return cls(**(MINI | overrides))


STRIDES = {"unet": (1, 2), "residual": (4,), "backbone": (1, 2, 4)}
"""Pixels per cell of the feature grid that each kind of encoder can make."""

MOST_STAGES = 5
"""Hierarchical backbones have no more; of the many equal layers of plain transformers four are taken."""


def read_backbone_config(given: dict[str, Any] | PreTrainedConfig) -> PreTrainedConfig:
    """Return a backbone's configuration; where a dictionary does not say which stages it gives, choose them.

    Chosen are all stages behind the stem, of a plain transformer four evenly spread over its depth.
    Raises UsageError when transformers has no backbone of this ``model_type`` or refuses a value.
    """
    if isinstance(given, PreTrainedConfig):
        return given
    values = dict(given)
    kind = values.pop("model_type", None)
    try:
        config = AutoConfig.for_model(kind, **values)
    except Exception as error:  # an unknown type raises ValueError, a wrong value one of several kinds
        raise UsageError(f"backbone_config: {' '.join(str(error).split())[:160]}") from error
    stages = getattr(config, "stage_names", None)
    if not stages:
        raise UsageError(f"backbone_config: model_type {kind!r} is not one of transformers' backbones")
    if values.get("out_features") is None and values.get("out_indices") is None:
        last = len(stages) - 1
        chosen = range(1, last + 1) if len(stages) <= MOST_STAGES else [round(last * part / 4) for part in (1, 2, 3, 4)]
        config.out_indices = sorted(set(chosen))
    return config


MINI: dict[str, Any] = {
    "image_size": 128,
    "encoder_type": "residual",
    "stem_stride": 4,
    "encoder_widths": (24, 64, 160, 256, 384),
    "encoder_depths": (2, 3, 4, 3),
    "feature_channels": 64,
    "segmentation_widths": (48,),
    "segmentation_upsampling": 2,
    "depth_widths": (32,),
    "depth_upsampling": 2,
    "landmark_stem_kernel": 3,
    "landmark_channels": 64,
    "hourglass_stacks": 0,
    "heatmap_size": 32,
    "landmark_loss": "l1",
    "landmark_weight": 10.0,
    "heatmap_weight": 0.5,
    "segmentation_loss": "cross_entropy_dice",
    "depth_weight": 0.5,
    "depth_shape_weight": 1.0,
    "equivariance_weight": 0.0,
}
"""What ``SynthForgeConfig.mini()`` changes; chosen by measuring throughput and accuracy on CPU."""


AutoConfig.register(SynthForgeConfig.model_type, SynthForgeConfig, exist_ok=True)
