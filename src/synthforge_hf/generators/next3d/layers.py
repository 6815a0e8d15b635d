"""The layers that all of Next3D's networks are made of: StyleGAN2's, in one float32 form for inference and gradients.

Images are (N, C, H, W), style vectors (N, 512). Parameter names are those of the published weights. The published
weights store each layer's resampling filter; it is always the outer product of (1, 3, 3, 1) / 8 with itself, which is
what ``resampling`` applies, so the stored copies are only kept.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from synthforge_hf.generators.next3d.resampling import blur, downsample, resample_filter, upsample

NoiseMode = Literal["const", "none"]
Activation = Literal["linear", "lrelu"]

SLOPE = 0.2
GAIN = {"linear": 1.0, "lrelu": math.sqrt(2.0)}
"""What an activation's output is multiplied by to keep its variance (He initialisation for the leaky ReLU)."""


class FullyConnected(nn.Module):
    """``activation(x W^T + b)`` with weights scaled at run time (equalised learning rate).

    lr_multiplier: factor of weights and bias, so that an optimiser steps slower on them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        activation: Activation = "linear",
        lr_multiplier: float = 1.0,
        bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.lr_multiplier = lr_multiplier
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        scale = self.lr_multiplier / math.sqrt(self.weight.shape[1])
        return activate(functional.linear(x, self.weight * scale, self.bias * self.lr_multiplier), self.activation)


class Convolution(nn.Module):
    """k x k convolution with equalised learning rate; ``down`` halves the image after a blur."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        activation: Activation = "linear",
        bias: bool = True,
        down: bool = False,
    ) -> None:
        super().__init__()
        self.activation: Activation = activation
        self.down = down
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", resample_filter())

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W), or to (N, outputs, H/2, W/2) if ``down``."""
        kernel = self.weight.shape[2]
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.down:
            x = functional.conv2d(blur(x, padding=2), weight, self.bias, stride=2)
        else:
            x = functional.conv2d(x, weight, self.bias, padding=kernel // 2)
        return activate(x, self.activation)


class SynthesisLayer(nn.Module):
    """3 x 3 convolution whose input channels are scaled by a style and whose output channels are normalised again,
    followed by noise, bias and leaky ReLU.

    up: double the resolution first. clamp: bound on the absolute value of the output.
    """

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool = False, clamp: float | None = None
    ) -> None:
        super().__init__()
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("resample_filter", resample_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """Map (N, inputs, H, W) and styles (N, w_dim) to (N, outputs, R, R), R the layer's resolution."""
        # The leaky ReLU is homogeneous, so its gain may be applied to all that it is given.
        gain = GAIN["lrelu"]
        weight = modulate(self.weight, self.affine(w))
        weight = weight * (torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8) * gain)
        x = convolve_each(x, weight, self.up)
        offset = (self.bias * gain).view(-1, 1, 1)
        if noise_mode == "const":
            x += self.noise_const * (self.noise_strength * gain)
        x += offset
        x = functional.leaky_relu(x, SLOPE, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """1 x 1 convolution with styled input channels, not normalised: features to an image of any number of channels."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map (N, inputs, H, W) and styles (N, w_dim) to (N, outputs, H, W)."""
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        x = convolve_each(x, modulate(self.weight, style)) + self.bias.view(-1, 1, 1)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """All layers of one resolution: ``conv0`` (from the resolution below), ``conv1``, ``torgb``.

    inputs: channels from the block below; 0 for the first block, which starts from a learnt constant. rgb: channels of
    the image that the blocks add up.
    """

    def __init__(
        self, inputs: int, outputs: int, rgb: int, w_dim: int, resolution: int, clamp: float | None = None
    ) -> None:
        super().__init__()
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, up=True, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, clamp=clamp)
        self.torgb = ToRGB(outputs, rgb, w_dim, clamp)
        self.register_buffer("resample_filter", resample_filter())

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise_mode: NoiseMode = "const"
    ) -> tuple[Tensor, Tensor]:
        """Map features (None for the first block) and the image so far to those of this resolution R.

        ws: (N, 3, w_dim) styles of conv0, conv1, torgb; the first block has no conv0 and takes (N, 2, w_dim).
        Returns ((N, outputs, R, R) features, (N, rgb, R, R) image).
        """
        x = self.const.expand(len(ws), -1, -1, -1) if x is None else self.conv0(x, ws[:, 0], noise_mode)
        x = self.conv1(x, ws[:, -2], noise_mode)
        rgb = self.torgb(x, ws[:, -1])
        return x, rgb if image is None else upsample(image) + rgb


class EncoderBlock(nn.Module):
    """One step of a conditioning image's encoder: adds the image, at this step's resolution, to the features from the
    step above, and halves them.

    downsample_image: halve the conditioning image first (all steps but the first).
    """

    def __init__(self, image_channels: int, inputs: int, outputs: int, downsample_image: bool) -> None:
        super().__init__()
        self.downsample_image = downsample_image
        self.fromrgb = Convolution(image_channels, inputs, 1, bias=False)
        self.conv1 = Convolution(inputs, inputs, 3, "lrelu")
        self.conv2 = Convolution(inputs, outputs, 3, "lrelu", down=True)
        self.register_buffer("resample_filter", resample_filter())

    def forward(self, image: Tensor, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map the conditioning image and the features from the block above to (image, features (N, outputs, R/2,
        R/2)), R being the image's side once halved.
        """
        if self.downsample_image:
            image = downsample(image)
        x = self.fromrgb(image)
        if features is not None:
            x = x + features
        return image, self.conv2(self.conv1(x))


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Leaky ReLU with its gain, or nothing."""
    return functional.leaky_relu(x, SLOPE) * GAIN["lrelu"] if activation == "lrelu" else x


def modulate(weight: Tensor, style: Tensor) -> Tensor:
    """(O, I, k, k) weights and (N, I) styles -> (N, O, I, k, k) weights of each sample."""
    return weight * style[:, None, :, None, None]


def convolve_each(x: Tensor, weight: Tensor, up: bool = False) -> Tensor:
    """Convolve every image with its own weights. x: (N, I, H, W). weight: (N, O, I, k, k).

    Returns (N, O, H, W), or (N, O, 2H, 2W) if ``up``.
    """
    batch, outputs, inputs, kernel, _ = weight.shape
    height, width = x.shape[2:]
    x = x.reshape(1, batch * inputs, height, width)
    if up:
        flat = weight.transpose(1, 2).reshape(batch * inputs, outputs, kernel, kernel)
        x = functional.conv_transpose2d(x, flat, stride=2, groups=batch)
        x = blur(x.view(batch, outputs, *x.shape[2:]), padding=1, gain=4.0)
    else:
        x = functional.conv2d(x, weight.flatten(0, 1), padding=kernel // 2, groups=batch)
        x = x.view(batch, outputs, height, width)
    return x
