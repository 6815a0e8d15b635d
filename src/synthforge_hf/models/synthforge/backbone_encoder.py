"""Any backbone of transformers as feature encoder, and the decoder that brings its maps to one grid."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig

from synthforge_hf.models.synthforge.layers import ConvNormAct, DoubleConv


class BackboneEncoder(nn.Module):
    """A backbone, and a feature pyramid (Lin et al. 2017) from its deepest map up to the model's own grid.

    Backbones start with patches of 4 to 16 pixels; what they lose of outlines comes from two convolutions on the image.
    """

    def __init__(self, config: PreTrainedConfig, channels: int, inputs: int, stride: int) -> None:
        # At the top of the file it would import our model, which is registered with it, before this class exists.
        from transformers import AutoBackbone

        super().__init__()
        self.backbone = AutoBackbone.from_config(config)
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in self.backbone.channels)
        self.smooth = nn.ModuleList(DoubleConv(channels, channels) for _ in self.backbone.channels)
        self.detail = ConvNormAct(inputs, channels, kernel=5, stride=stride)
        self.join = DoubleConv(2 * channels, channels)
        self.exit = nn.Conv2d(channels, channels, 1)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Map (B, 3, S, S) to (B, channels, S / stride, S / stride)."""
        maps = self.backbone(pixel_values).feature_maps
        x: Tensor | None = None
        for lateral, smooth, found in reversed(list(zip(self.lateral, self.smooth, maps, strict=True))):
            here = lateral(found)
            x = smooth(here if x is None else here + _resized(x, here))
        detail = self.detail(pixel_values)
        assert x is not None
        return self.exit(self.join(torch.cat([_resized(x, detail), detail], dim=1)))


def _resized(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
