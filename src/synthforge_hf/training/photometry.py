"""The photometric half of augmentation: what light, lens, sensor and compression do to a photo, in few batched
operations.

Images are (B, 3, S, S) float32 in [0, 1]. Rare effects are computed only for the samples that have them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from kornia.filters import filter2d, gaussian_blur2d, get_motion_kernel2d
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class PhotometrySettings:
    """Strengths (standard deviations or ranges) and shares of samples that have an effect.

    brightness, contrast, saturation, gamma: of the logarithm. white_balance: of each channel's logarithm. hue_deg: of
    the rotation of colours. grey, side_light, low_light, blur, motion_blur, resample, noise, jpeg, occluder: shares.
    """

    brightness: float = 0.2
    contrast: float = 0.25
    saturation: float = 0.35
    gamma: float = 0.25
    white_balance: float = 0.07
    hue_deg: float = 10.0
    grey: float = 0.1
    side_light: float = 0.3
    low_light: float = 0.06
    blur: float = 0.25
    motion_blur: float = 0.08
    resample: float = 0.25
    noise: float = 0.4
    jpeg: float = 0.3
    occluder: float = 0.35


class Photometry:
    """Random photometric changes of a batch."""

    def __init__(self, settings: PhotometrySettings, image_size: int) -> None:
        self.settings = settings
        centres = (2 * torch.arange(image_size) + 1) / image_size - 1
        self.y, self.x = torch.meshgrid(centres, centres, indexing="ij")
        blocks = [_dct_matrix(8)] * (image_size // 8)
        rest = image_size % 8
        self.dct = torch.block_diag(*blocks, *([_dct_matrix(rest)] if rest else []))
        steps = torch.arange(image_size) % 8
        # The standard luminance table is close to this plane; exact tables differ between cameras anyway.
        self.quantisation = (10 + 9 * (steps[:, None] + steps[None, :])).float() / 255

    def __call__(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return changed images and the (B, S, S) bool of pixels that an occluder hides."""
        settings = self.settings
        images, hidden = self._occlude(images, generator)
        images = _on_some(images, settings.side_light, generator, self._side_light)
        images = self._colour(images, generator).clamp_(0.0, 1.0)
        images = self._gamma(images, generator)
        images = _on_some(images, settings.blur, generator, _blur)
        images = _on_some(images, settings.motion_blur, generator, _motion)
        images = _on_some(images, settings.resample, generator, _resample)
        images = _on_some(images, settings.noise, generator, _noise)
        images = _on_some(images, settings.jpeg, generator, self._jpeg)
        return images.clamp_(0.0, 1.0), hidden

    def _side_light(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Darken one side: the exponential of a smooth ramp across the image, the other side brightened a little."""
        draw = torch.rand(len(images), 3, 1, 1, generator=generator)
        angle, sharpness, strength = 2 * torch.pi * draw[:, 0], 2 + 4 * draw[:, 1], 2.5 * draw[:, 2]
        ramp = torch.sigmoid(sharpness * (self.x * angle.cos() + self.y * angle.sin() + 0.3))
        return images * torch.exp(strength * (0.5 - ramp)).unsqueeze(1)

    def _colour(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Brightness, low light, contrast, saturation, hue, white balance, grey: one affine map of RGB per sample."""
        settings, batch = self.settings, images.shape[0]
        draw = torch.randn(batch, 7, generator=generator)
        brightness, contrast, saturation = (
            (draw[:, i] * strength).exp()
            for i, strength in enumerate((settings.brightness, settings.contrast, settings.saturation))
        )
        dim, dark = torch.rand(2, batch, generator=generator)
        brightness = brightness * torch.where(dark < settings.low_light, (-1.8 * dim).exp(), 1.0)
        saturation = saturation * (torch.rand(batch, generator=generator) >= settings.grey)
        luma = torch.tensor(LUMA)
        grey = luma.expand(3, 3)
        hue = _grey_axis_rotation(torch.deg2rad(draw[:, 3] * settings.hue_deg))
        colour = saturation[:, None, None] * (torch.eye(3) - grey) @ hue + grey
        balance = (draw[:, 4:7] * settings.white_balance).exp()
        matrix = (brightness * contrast)[:, None, None] * balance[:, :, None] * colour
        mean = (images.mean(dim=(2, 3)) @ luma)[:, None]
        offset = (1 - contrast)[:, None] * brightness[:, None] * mean * balance
        flat = torch.baddbmm(offset.unsqueeze(-1), matrix, images.flatten(2))
        return flat.view_as(images)

    def _gamma(self, images: Tensor, generator: torch.Generator) -> Tensor:
        exponent = (torch.randn(images.shape[0], 1, 1, 1, generator=generator) * self.settings.gamma).exp()
        return images.add_(1e-4).log_().mul_(exponent).exp_()

    def _occlude(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Cover a turned ellipse or rectangle with a flat colour, noise or a piece of another image."""
        batch, _, height, width = images.shape
        hidden = torch.zeros(batch, height, width, dtype=torch.bool)
        some = _choose(batch, self.settings.occluder, generator)
        if len(some) == 0:
            return images, hidden
        draw = torch.rand(len(some), 10, generator=generator)
        angle = 2 * torch.pi * draw[:, 0, None, None]
        x = self.x - (2.4 * draw[:, 1, None, None] - 1.2)
        y = self.y - (2.4 * draw[:, 2, None, None] - 1.2)
        # Mostly small, now and then a hand's or a scarf's size.
        half = 0.08 + 0.55 * draw[:, 3:5, None, None].square()
        u = (x * angle.cos() + y * angle.sin()) / half[:, 0]
        v = (y * angle.cos() - x * angle.sin()) / half[:, 1]
        ellipse = draw[:, 5, None, None] < 0.6
        distance = torch.where(ellipse, (u.square() + v.square()).sqrt(), torch.maximum(u.abs(), v.abs()))
        opacity = ((1 - distance) * half.amin(dim=1) * (0.5 * width) + 0.5).clamp(0, 1)
        partners = torch.randint(batch, (len(some),), generator=generator)
        piece = images[partners].roll((height // 3, width // 2), dims=(2, 3))
        colour = draw[:, 6:9, None, None]
        textured = torch.where(draw[:, 9, None, None, None] < 0.5, piece, colour + 0.15 * (piece - 0.5))
        fill = opacity.unsqueeze(1)
        images[some] = torch.lerp(images[some], textured, fill)
        hidden[some] = opacity > 0.5
        return images, hidden

    def _jpeg(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Quantise 8x8 block cosine coefficients of luma and chroma, as JPEG of quality 10 to 90 does."""
        quality = 10 + 80 * torch.rand(len(images), 1, 1, 1, generator=generator)
        factor = torch.where(quality < 50, 50 / quality, 2 - quality / 50).clamp(min=0.05)
        luma = torch.tensor(LUMA)
        grey = torch.einsum("bchw,c->bhw", images, luma).unsqueeze(1)
        planes = torch.cat([grey, images[:, 0:1] - grey, images[:, 2:3] - grey], dim=1)
        coefficients = self.dct @ planes @ self.dct.T
        steps = self.quantisation * factor * torch.tensor([1.0, 1.6, 1.6])[:, None, None]
        planes = self.dct.T @ (coefficients.div_(steps).round_().mul_(steps)) @ self.dct
        red, blue = planes[:, 0] + planes[:, 1], planes[:, 0] + planes[:, 2]
        green = (planes[:, 0] - luma[0] * red - luma[2] * blue) / luma[1]
        return torch.stack([red, green, blue], dim=1)


def _on_some(
    images: Tensor, share: float, generator: torch.Generator, change: Callable[[Tensor, torch.Generator], Tensor]
) -> Tensor:
    some = _choose(len(images), share, generator)
    if len(some):
        images[some] = change(images[some], generator)
    return images


def _choose(batch: int, share: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(batch, generator=generator) < share).nonzero().squeeze(1)


def _blur(images: Tensor, generator: torch.Generator) -> Tensor:
    sigma = 0.3 + 1.7 * torch.rand(len(images), 1, generator=generator).square().expand(-1, 2)
    return gaussian_blur2d(images, (9, 9), sigma, separable=True)


def _motion(images: Tensor, generator: torch.Generator) -> Tensor:
    length = 3 + 2 * int(torch.randint(3, (1,), generator=generator))
    angle = 180 * torch.rand(len(images), generator=generator)
    with torch.device("cpu"):  # where kornia turns kernels, whatever device it is asked for
        kernels = get_motion_kernel2d(length, angle.cpu(), torch.zeros(len(images)))
    return filter2d(images, kernels.to(images), border_type="replicate")


def _resample(images: Tensor, generator: torch.Generator) -> Tensor:
    """Take the photo at a lower resolution: antialiased down, smooth up again."""
    size = images.shape[-1]
    small = int(size * (0.2 + 0.6 * float(torch.rand(1, generator=generator))))
    low = functional.interpolate(images, size=(small, small), mode="bilinear", antialias=True)
    return functional.interpolate(low, size=(size, size), mode="bilinear", align_corners=False)


def _noise(images: Tensor, generator: torch.Generator) -> Tensor:
    """Sensor noise: a constant part and one that grows with the square root of the signal; for some samples alike in
    all channels."""
    batch, channels, height, width = images.shape
    strength = 0.08 * torch.rand(batch, 2, 1, 1, 1, generator=generator).square()
    noise = torch.randn(batch, channels, height, width, generator=generator)
    if torch.rand(1, generator=generator) < 0.3:
        noise = noise[:, :1]
    return images + noise * (strength[:, 0] + strength[:, 1] * images.clamp(min=0).sqrt())


def _dct_matrix(size: int) -> Tensor:
    """Orthonormal cosine transform (DCT-II), (size, size)."""
    k, n = torch.arange(size)[:, None], torch.arange(size)[None, :]
    matrix = torch.cos(torch.pi * (n + 0.5) * k / size) * (2 / size) ** 0.5
    matrix[0] *= 0.5**0.5
    return matrix


def _grey_axis_rotation(angle: Tensor) -> Tensor:
    """Rotate RGB around the grey axis; (B,) radians -> (B, 3, 3)."""
    axis = torch.full((3,), 3**-0.5)
    cross = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) * 3**-0.5
    outer = torch.outer(axis, axis)
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return cosine * (torch.eye(3) - outer) + outer + sine * cross
