"""The multi-task model of the paper's Stage I: one feature encoder, three heads."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from synthforge_hf.models.synthforge.backbone_encoder import BackboneEncoder
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.heatmaps import Heatmaps
from synthforge_hf.models.synthforge.layers import ConvNormAct, Hourglass, UNet
from synthforge_hf.models.synthforge.residual_encoder import ResidualEncoder
from synthforge_hf.models.synthforge.supervision import (
    Labels,
    equivariance_loss,
    move_maps,
    supervised_losses,
    weighted_sum,
)


@dataclass
class SynthForgeOutput(ModelOutput):
    """What the model returns; H' = W' = ``config.grid_size``, S' = ``config.segmentation_size``, D' = H' *
    ``config.depth_upsampling``, h = w = ``config.heatmap_size``, P landmarks, C classes.

    loss: () weighted sum of ``losses``, when labels were given.
    losses: task -> () unweighted loss.
    landmarks: (B, P, 2) float32, x and y in [0, 1] of the input crop.
    landmark_heatmaps: (B, P, h, w) float32, each summing to 1.
    segmentation_logits: (B, C, S', S').
    depth: (B, 1, D', D') float32 metres, planar z.
    features: (B, feature_channels, H', W').
    backbone_landmarks, backbone_landmark_heatmaps: of a label fine-tuning model: what its backbone said in its own
    scheme, by which faces are framed and told from false finds.
    """

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    landmarks: Tensor = None  # type: ignore[assignment]
    landmark_heatmaps: Tensor = None  # type: ignore[assignment]
    segmentation_logits: Tensor = None  # type: ignore[assignment]
    depth: Tensor = None  # type: ignore[assignment]
    features: Tensor = None  # type: ignore[assignment]
    backbone_landmarks: Tensor | None = None
    backbone_landmark_heatmaps: Tensor | None = None


class LandmarkHead(nn.Module):
    """A convolution, then stacked hourglasses, each with its own heatmaps (intermediate supervision)."""

    def __init__(self, config: SynthForgeConfig) -> None:
        super().__init__()
        channels, stacks = config.landmark_channels, max(config.hourglass_stacks, 1)
        reduction = config.grid_size // config.heatmap_size
        self.pooling = reduction // 2
        self.stem = ConvNormAct(
            config.feature_channels, channels, config.landmark_stem_kernel, stride=min(reduction, 2)
        )
        self.hourglasses: nn.ModuleList
        self.readouts: nn.ModuleList
        if config.hourglass_stacks:
            self.hourglasses = nn.ModuleList(Hourglass(channels, config.hourglass_levels) for _ in range(stacks))
            self.readouts = nn.ModuleList(ConvNormAct(channels, channels, 1) for _ in range(stacks))
        else:
            self.hourglasses, self.readouts = nn.ModuleList([nn.Identity()]), nn.ModuleList([nn.Identity()])
        self.heatmaps = nn.ModuleList(nn.Conv2d(channels, config.num_landmarks, 1) for _ in range(stacks))
        self.merge_readouts = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(stacks - 1))
        self.merge_heatmaps = nn.ModuleList(nn.Conv2d(config.num_landmarks, channels, 1) for _ in range(stacks - 1))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Map features (B, F, H', W') to one (B, P, h, w) tensor of heatmap logits per stack."""
        x = self.stem(features)
        if self.pooling > 1:
            x = functional.max_pool2d(x, self.pooling)
        logits: list[Tensor] = []
        for stack, hourglass in enumerate(self.hourglasses):
            readout = self.readouts[stack](hourglass(x))
            logits.append(self.heatmaps[stack](readout))
            if stack < len(self.merge_readouts):
                x = x + self.merge_readouts[stack](readout) + self.merge_heatmaps[stack](logits[-1])
        return logits


class SynthForgePreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by the models of this folder."""

    config: SynthForgeConfig
    base_model_prefix = "synthforge"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    _no_split_modules = ["UNet", "LandmarkHead"]  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)


class SynthForgeModel(SynthForgePreTrainedModel):
    """Landmarks, parsing and depth from one face crop (paper, section 3.2)."""

    def __init__(self, config: SynthForgeConfig) -> None:
        super().__init__(config)
        inputs, channels = config.num_channels, config.feature_channels
        self.stem: nn.Module = nn.Identity()
        self.encoder: nn.Module
        if isinstance(config.backbone_config, PreTrainedConfig):
            self.encoder = BackboneEncoder(config.backbone_config, channels, inputs, config.stem_stride)
        elif config.encoder_type == "residual":
            self.encoder = ResidualEncoder(inputs, channels, config.encoder_widths, config.encoder_depths)
        else:
            if config.stem_stride == 2:
                inputs = config.encoder_widths[0]
                self.stem = ConvNormAct(config.num_channels, inputs, kernel=5, stride=2)
            self.encoder = UNet(inputs, channels, config.encoder_widths)
        self.landmark_head = LandmarkHead(config)
        classes = len(config.id2label or ()) * config.segmentation_upsampling**2
        self.segmentation_head = dense_head(channels, classes, config.segmentation_widths)
        self.finer = nn.PixelShuffle(config.segmentation_upsampling)
        self.depth_head = dense_head(channels, config.depth_upsampling**2, config.depth_widths)
        self.finer_depth = nn.PixelShuffle(config.depth_upsampling)
        self._frozen: list[nn.Module] = []
        self.post_init()

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What is trained at the encoder's own learning rate: stem and UNet, or the backbone without its decoder."""
        if isinstance(self.encoder, BackboneEncoder):
            return list(self.encoder.backbone.parameters())
        return [*self.stem.parameters(), *self.encoder.parameters()]

    def train_only(self, tasks: Sequence[str]) -> None:
        """Keep all but the heads of these tasks as they are, the statistics of their norms included.

        tasks: of "landmarks", "segmentation" and "depth".
        """
        heads = {"landmarks": self.landmark_head, "segmentation": self.segmentation_head, "depth": self.depth_head}
        trained = [heads[task] for task in tasks]
        self._frozen = [part for part in self.children() if not any(part is head for head in trained)]
        for part in self._frozen:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch all but what ``train_only`` keeps."""
        super().train(mode)
        for part in self._frozen:
            part.eval()
        return self

    def forward(
        self,
        pixel_values: Tensor,
        landmarks: Tensor | None = None,
        landmarks_mask: Tensor | None = None,
        segmentation: Tensor | None = None,
        depth: Tensor | None = None,
        affine: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> SynthForgeOutput | tuple:
        """Predict, and compute the losses of the labels that are given.

        pixel_values: (B, 3, S, S) with S = ``config.image_size``, as the image processor makes them. Another multiple
        of ``config.coarsest_stride`` will do; all grids of the output are then larger or smaller alike.
        landmarks: (B, P, 2) x, y in [0, 1] of the crop. Points outside the crop take no part in the loss.
        landmarks_mask: (B, P) bool, True for points that count.
        segmentation: (B, H, W) int64 class ids, 255 = unknown. Any size; read at the logit grid's nearest pixel.
        depth: (B, 1, H, W) or (B, H, W) float metres, 0 = no surface. Any size; read at the nearest pixel.
        affine: (B, 2, 3) random maps of the moved image's positions to the image's, [-1, 1] from edge to edge: asks for
        the equivariance loss (paper, section 3.2).
        Raises ValueError when ``pixel_values`` has no such size.
        """
        size, stride = self.config.image_size, self.config.coarsest_stride
        height, width = pixel_values.shape[-2:]
        if pixel_values.ndim != 4 or height != width or height % stride:
            raise ValueError(
                f"pixel_values must have shape (B, 3, {size}, {size}), or another multiple of {stride}, "
                f"got {tuple(pixel_values.shape)}"
            )
        # Convolutions on CPU and tensor cores are fastest with channels last; the layout follows the input through the
        # net.
        pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        features = self.encoder(self.stem(pixel_values))
        heatmap_logits = self.landmark_head(features)
        segmentation_logits = self.finer(self.segmentation_head(features))
        raw_depth = self.finer_depth(self.depth_head(features))
        moved_features = None
        if affine is not None:
            moved = move_maps(pixel_values, affine)[0].contiguous(memory_format=torch.channels_last)
            moved_features = self.encoder(self.stem(moved))

        # Mixed precision ends here: coordinates rounded to bfloat16 would be off by half a pixel.
        with full_precision(pixel_values.device):
            heatmaps = [Heatmaps.from_logits(logits) for logits in heatmap_logits]
            points = [maps.points() for maps in heatmaps]
            metres = self.config.depth_mean + self.config.depth_scale * raw_depth.float()
            labels = Labels(landmarks, landmarks_mask, segmentation, depth)
            task_losses = supervised_losses(
                self.config, labels, heatmaps, points, segmentation_logits, metres, self.config.depth_scale
            )
            if affine is not None and moved_features is not None:
                task_losses["equivariance"] = equivariance_loss(moved_features, features, affine)
            output = SynthForgeOutput(
                loss=weighted_sum(self.config, task_losses) if task_losses else None,
                losses=task_losses or None,
                landmarks=points[-1],
                landmark_heatmaps=heatmaps[-1].probabilities(),
                segmentation_logits=segmentation_logits,
                depth=metres,
                features=features,
            )
        return output if return_dict is not False else output.to_tuple()


def dense_head(channels: int, outputs: int, widths: Sequence[int]) -> nn.Module:
    """Return what reads maps off features: a UNet, or a 1x1 convolution where ``widths`` is empty."""
    return UNet(channels, outputs, widths) if widths else nn.Conv2d(channels, outputs, 1)


def full_precision(device: torch.device) -> AbstractContextManager:
    """Return a context in which autocast is off."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


AutoModel.register(SynthForgeConfig, SynthForgeModel, exist_ok=True)
