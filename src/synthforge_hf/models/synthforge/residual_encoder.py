"""A feature encoder for small machines: residual bottlenecks at a quarter of the image's resolution and below.

Most of a UNet's work is done on its finest grid with few channels, which CPUs do slowest. Here the image is brought to
a quarter of its side by two convolutions, and a feature pyramid (Lin et al. 2017) joins what coarser grids know.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from synthforge_hf.models.synthforge.layers import ConvNormAct


class Bottleneck(nn.Module):
    """Residual block of a 1x1, a 3x3 and a 1x1 convolution, the inner two half as wide (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvNormAct(channels, half, 1)
        self.conv = ConvNormAct(half, half, 3)
        self.expand = nn.Conv2d(half, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return functional.relu(x + self.norm(self.expand(self.conv(self.reduce(x)))), inplace=True)


class ResidualEncoder(nn.Module):
    """Image to features at a quarter of its side.

    widths: channels at strides 2, 4, 8, ...; depths: bottlenecks at strides 4, 8, ... (one fewer than widths).
    """

    STRIDE = 4

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = ConvNormAct(inputs, widths[0], stride=2)
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNormAct(before, width, stride=2), *(Bottleneck(width) for _ in range(depth)))
            for (before, width), depth in zip(pairwise(widths), depths, strict=True)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, outputs, 1, bias=False) for width in widths[1:])
        # Norm and activation come after the sum of a level and what lies below it.
        self.smooth = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU(inplace=True), ConvNormAct(outputs, outputs))
            for _ in widths[1:]
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, inputs, S, S) to (B, outputs, S / 4, S / 4); S is a multiple of the coarsest stride."""
        x = self.stem(image)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        features: Tensor | None = None
        for lateral, smooth, level in reversed(list(zip(self.lateral, self.smooth, levels, strict=True))):
            here = lateral(level)
            if features is not None:
                here = here + functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = smooth(here)
        assert features is not None
        return features
