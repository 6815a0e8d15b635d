"""A small fully convolutional, anchor-free face detector: a heatmap of face centres and a box at every centre, at
stride 8."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from synthforge_hf.models.face_detector.configuration_face_detector import SynthForgeFaceDetectorConfig
from synthforge_hf.models.face_detector.loss import detection_loss

STRIDE = 8
"""Pixels of the input per cell of the output."""

INPUT_MULTIPLE = 32
"""Height and width of the input must be multiples of this."""


@dataclass
class FaceDetectorOutput(ModelOutput):
    """
    loss: scalar, when boxes were given; losses: its parts by name.
    centre_logits: (B, H / 8, W / 8) logit that a face's centre lies in the cell.
    log_distances: (B, 4, H / 8, W / 8) log of the distances, in cells, from the cell's centre to the box's left, top,
    right and
        bottom side.
    """

    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    centre_logits: Tensor | None = None
    log_distances: Tensor | None = None


class ConvolutionNorm(nn.Sequential):
    """Convolution, batch normalisation and, if ``activate``, a ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activate: bool = True):
        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if activate else []))


class DenseBlock(nn.Module):
    """Residual block of two dense 3x3 convolutions: the cheaper kind where channels are few and the image is large."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            ConvolutionNorm(channels, channels, 3), ConvolutionNorm(channels, channels, 3, activate=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


class SeparableBlock(nn.Module):
    """Residual block of a depthwise 5x5 and two pointwise convolutions: wide sight for few parameters at coarse
    strides."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            ConvolutionNorm(channels, channels, 5, groups=channels, activate=False),
            ConvolutionNorm(channels, 2 * channels, 1),
            ConvolutionNorm(2 * channels, channels, 1, activate=False),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class SynthForgeFaceDetectorModel(PreTrainedModel):
    """The network alone: pixels in, heatmap and boxes out. ``load_face_detector`` wraps it for use on photos."""

    config: SynthForgeFaceDetectorConfig
    config_class = SynthForgeFaceDetectorConfig
    base_model_prefix = "face_detector"
    main_input_name = "pixel_values"
    input_modalities = ("image",)  # type: ignore[assignment]
    _no_split_modules = [  # noqa: RUF012
        "DenseBlock",
        "SeparableBlock",
    ]

    def __init__(self, config: SynthForgeFaceDetectorConfig):
        super().__init__(config)
        channels, depths, neck = config.channels, config.depths, config.neck_channels
        blocks = (DenseBlock, DenseBlock, SeparableBlock, SeparableBlock)
        self.stem = ConvolutionNorm(3, channels[0], 7, 4)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *([ConvolutionNorm(channels[level - 1], channels[level], 3, 2)] if level else []),
                *(blocks[level](channels[level]) for _ in range(depths[level])),
            )
            for level in range(4)
        )
        self.laterals = nn.ModuleList(ConvolutionNorm(count, neck, 1, activate=False) for count in channels[1:])
        self.mix = ConvolutionNorm(neck, neck, 3)
        self.predict = nn.Conv2d(neck, 5, 1)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if module is self.predict:
            # Start from "almost no cell is a centre" (Lin et al. 2017, focal loss) and boxes of about 8 cells.
            init.normal_(module.weight, std=0.01)
            init.copy_(cast(Tensor, module.bias), torch.tensor([-4.6, 1.4, 1.4, 1.4, 1.4]))
        elif isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        else:
            super()._init_weights(module)

    def forward(
        self,
        pixel_values: Tensor,
        boxes: list[Tensor] | None = None,
        ignored: list[Tensor] | None = None,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> FaceDetectorOutput | tuple:
        """Find face centres.

        pixel_values: (B, 3, H, W) float, normalised RGB; H and W multiples of 32.
        boxes: per image (N, 4) float x0, y0, x1, y1 of its faces in input pixels; adds the loss to the output.
        ignored: per image (M, 4) boxes in which neither finding nor missing a face is punished.
        Raises ValueError when H or W is not a multiple of 32.
        """
        if pixel_values.shape[-2] % INPUT_MULTIPLE or pixel_values.shape[-1] % INPUT_MULTIPLE:
            raise ValueError(f"height and width must be multiples of {INPUT_MULTIPLE}, got {tuple(pixel_values.shape)}")
        features = self.stem(pixel_values)
        pyramid = []
        for stage in self.stages:
            features = stage(features)
            pyramid.append(features)
        context = self.laterals[2](pyramid[3])
        for level in (1, 0):
            context = functional.interpolate(context, scale_factor=2.0, mode="nearest") + self.laterals[level](
                pyramid[level + 1]
            )
        prediction = self.predict(self.mix(context))
        centre_logits, log_distances = prediction[:, 0], prediction[:, 1:]
        loss, losses = None, None
        if boxes is not None:
            losses = detection_loss(centre_logits, log_distances, boxes, ignored, STRIDE)
            loss = losses["centre"] + losses["box"]
        output = FaceDetectorOutput(loss=loss, losses=losses, centre_logits=centre_logits, log_distances=log_distances)
        return output if return_dict else output.to_tuple()


__all__ = ["FaceDetectorOutput", "SynthForgeFaceDetectorModel"]
