"""Next3D's networks: plane and texture generators, their variants with a conditioning image, and super-resolution."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthforge_hf.generators.next3d.layers import Convolution, EncoderBlock, NoiseMode, SynthesisBlock
from synthforge_hf.generators.next3d.mapping import MappingNetwork

RESOLUTIONS = (4, 8, 16, 32, 64, 128, 256)
NUM_WS = 2 * len(RESOLUTIONS)
"""Style vectors of one network: a block's torgb shares its vector with the next block's conv0."""


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Feature channels at a resolution."""
    return min(channel_base // resolution, channel_max)


def block_styles(ws: Tensor, block: int) -> Tensor:
    """(N, NUM_WS, w_dim) -> the styles of block number ``block`` (0 at 4 x 4), as ``SynthesisBlock`` takes them."""
    return ws[:, max(2 * block - 1, 0) : 2 * block + 2]


class SynthesisNetwork(nn.Module):
    """Style vectors to an image of 256 x 256 with ``rgb`` channels, from a learnt constant up."""

    def __init__(self, rgb: int, w_dim: int, channel_base: int, channel_max: int) -> None:
        super().__init__()
        inputs = 0
        for resolution in RESOLUTIONS:
            outputs = channels_at(resolution, channel_base, channel_max)
            self.add_module(f"b{resolution}", SynthesisBlock(inputs, outputs, rgb, w_dim, resolution))
            inputs = outputs

    def block(self, resolution: int) -> SynthesisBlock:
        """Return the block of a resolution."""
        return cast(SynthesisBlock, getattr(self, f"b{resolution}"))

    def forward(self, ws: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """Map (N, 14, w_dim) to (N, rgb, 256, 256)."""
        x: Tensor | None = None
        image: Tensor | None = None
        for number, resolution in enumerate(RESOLUTIONS):
            x, image = self.block(resolution)(x, image, block_styles(ws, number), noise_mode)
        return cast(Tensor, image)


class ConditionedSynthesisNetwork(SynthesisNetwork):
    """The same blocks, started from an encoded conditioning image instead of the constant.

    input_size: side of the conditioning image. encoded_size: side of its smallest feature map; blocks up to that
    resolution, and the last fusion, are part of the published weights but unused.
    """

    def __init__(
        self, rgb: int, w_dim: int, channel_base: int, channel_max: int, input_size: int, encoded_size: int
    ) -> None:
        super().__init__(rgb, w_dim, channel_base, channel_max)
        self.input_size = input_size
        self.encoded_size = encoded_size

        def channels(resolution: int) -> int:
            return channels_at(resolution, channel_base, channel_max)

        down = [resolution for resolution in reversed(RESOLUTIONS) if encoded_size < resolution <= input_size]
        self.encoder = nn.ModuleList(
            EncoderBlock(rgb, channels(resolution), channels(resolution // 2), resolution < input_size)
            for resolution in down
        )
        fused = [resolution for resolution in RESOLUTIONS if encoded_size <= resolution <= input_size]
        self.fusion = nn.ModuleList(
            Convolution(channels(resolution) * (1 if resolution == encoded_size else 2), channels(resolution), 3)
            for resolution in fused
        )

    def encode(self, condition: Tensor) -> list[Tensor]:
        """Return the feature maps of (N, rgb, S, S), S = ``input_size``, from ``encoded_size`` up to S / 2."""
        maps: list[Tensor] = []
        for block in self.encoder:
            condition, features = block(condition, maps[-1] if maps else None)
            maps.append(features)
        return maps[::-1]

    def forward(  # type: ignore[override]
        self, ws: Tensor, condition: Tensor, noise_mode: NoiseMode = "const"
    ) -> Tensor:
        """Map (N, 14, w_dim) and the conditioning image (N, rgb, S, S) to (N, rgb, 256, 256)."""
        x: Tensor | None = None
        image: Tensor | None = None
        encoded = self.encode(condition)
        first = RESOLUTIONS.index(self.encoded_size) + 1
        for step, number in enumerate(range(first, len(RESOLUTIONS))):
            if step < len(encoded):
                fused = encoded[step] if x is None else torch.cat([x, encoded[step]], dim=1)
                x = self.fusion[step](fused)
            x, image = self.block(RESOLUTIONS[number])(x, image, block_styles(ws, number), noise_mode)
        return cast(Tensor, image)


class Backbone(nn.Module):
    """A synthesis network with its mapping network. Only the static backbone's mapping is used; the others' are in the
    published weights."""

    def __init__(self, mapping: MappingNetwork, synthesis: SynthesisNetwork) -> None:
        super().__init__()
        self.mapping = mapping
        self.synthesis = synthesis


class SuperResolution(nn.Module):
    """32 feature channels of any size to 512 x 512 RGB, by two blocks that share one style vector and use no noise."""

    INPUT_SIZE = 128

    def __init__(
        self, features: int, channels: Sequence[int], w_dim: int, clamp: float, antialias: bool = True
    ) -> None:
        super().__init__()
        self.num_blocks = len(channels)
        self.antialias = antialias
        inputs, resolution = features, self.INPUT_SIZE
        for number, outputs in enumerate(channels):
            resolution *= 2
            self.add_module(f"block{number}", SynthesisBlock(inputs, outputs, 3, w_dim, resolution, clamp))
            inputs = outputs

    def forward(self, rgb: Tensor, features: Tensor, w: Tensor) -> Tensor:
        """Map (N, 3, n, n), (N, features, n, n) and styles (N, w_dim) to (N, 3, 512, 512), nominally in [-1, 1]."""
        image, x = self._resize(rgb), self._resize(features)
        ws = w[:, None].expand(-1, 3, -1)
        for number in range(self.num_blocks):
            x, image = cast(SynthesisBlock, getattr(self, f"block{number}"))(x, image, ws, "none")
        return image

    def _resize(self, image: Tensor) -> Tensor:
        if image.shape[-1] == self.INPUT_SIZE:
            return image
        size = (self.INPUT_SIZE, self.INPUT_SIZE)
        return functional.interpolate(image, size, mode="bilinear", align_corners=False, antialias=self.antialias)
