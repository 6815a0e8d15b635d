"""The two building blocks of the paper's model: UNet (Ronneberger et al. 2015) and hourglass (Newell et al. 2016)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; keeps the size at stride 1, halves it at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions with batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, middle: int | None = None) -> None:
        super().__init__(ConvNormAct(inputs, middle or outputs), ConvNormAct(middle or outputs, outputs))


class UNet(nn.Module):
    """UNet with max pooling down, bilinear upsampling, skip connections by concatenation and a 1x1 convolution at the
    end.

    widths: channels per level from full resolution down; ``len(widths) - 1`` halvings. With the widths
    (64, 128, 256, 512, 512) it is the paper's of 17.3M parameters.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.entry = DoubleConv(inputs, widths[0])
        self.down = nn.ModuleList(DoubleConv(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList()
        below = widths[-1]
        for level in reversed(range(len(widths) - 1)):
            joined = below + widths[level]
            below = widths[max(level - 1, 0)]
            self.up.append(DoubleConv(joined, below, joined // 2))
        self.exit = nn.Conv2d(below, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, outputs, H, W)."""
        x = self.entry(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(functional.max_pool2d(x, 2))
        for up in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = up(torch.cat([skips.pop(), x], dim=1))
        return self.exit(x)


class HierarchicalBlock(nn.Module):
    """Residual block of three 3x3 convolutions whose outputs are concatenated (Bulat and Tzimiropoulos 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, half, 3, padding=1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(half), nn.Conv2d(half, quarter, 3, padding=1, bias=False)
        self.norm3, self.conv3 = nn.BatchNorm2d(quarter), nn.Conv2d(quarter, quarter, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        first = self.conv1(functional.relu(self.norm1(x), inplace=True))
        second = self.conv2(functional.relu(self.norm2(first), inplace=True))
        third = self.conv3(functional.relu(self.norm3(second), inplace=True))
        return x + torch.cat([first, second, third], dim=1)


class Hourglass(nn.Module):
    """Recursive encoder-decoder with a residual block on every skip connection."""

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        self.skip = HierarchicalBlock(channels)
        self.before = HierarchicalBlock(channels)
        self.inner: nn.Module = Hourglass(channels, levels - 1) if levels > 1 else HierarchicalBlock(channels)
        self.after = HierarchicalBlock(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        low = self.after(self.inner(self.before(functional.max_pool2d(x, 2))))
        return self.skip(x) + functional.interpolate(low, scale_factor=2.0, mode="nearest")
