"""A limit on the size of images that others made: a file of a few kilobytes can unfold to gigabytes of pixels."""

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from synthforge_hf.errors import SynthForgeError

MAXIMUM_PIXELS = 178_000_000
"""Largest image that is decoded (13,300 x 13,300), where no smaller limit is known; Pillow refuses any larger."""


def open_limited(source: Path | BinaryIO, name: str, maximum_pixels: int = MAXIMUM_PIXELS) -> Image.Image:
    """Open an image, whose pixels are not decoded yet, and refuse it when it has more than ``maximum_pixels``.

    name: what to call it in the message. Raises SynthForgeError when it is too large, otherwise what Pillow raises.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is ours
            image = Image.open(source)
    except Image.DecompressionBombError as error:
        raise SynthForgeError(_too_large(name, "more pixels than can be right", maximum_pixels)) from error
    if image.width * image.height > maximum_pixels:
        size = f"{image.width} x {image.height} pixels"
        image.close()
        raise SynthForgeError(_too_large(name, size, maximum_pixels))
    return image


def _too_large(name: str, size: str, maximum_pixels: int) -> str:
    return f"{name} has {size}: images of up to {maximum_pixels / 1e6:.0f} million are read here"
