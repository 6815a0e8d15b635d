"""Photos as people have them, to square crops as models need them.

Photos may be of any size and mode (grey, palette, alpha, CMYK, 16 bit) and carry an EXIF orientation. They are cut
first and converted afterwards, so a face in a large photo costs no more than its crop.
"""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.image_limits import MAXIMUM_PIXELS

MAXIMUM_CROP_SIDE = 16_384
"""Largest square, in photo pixels, that is cut around a face."""

EXIF_ORIENTATION = 0x0112


def open_photo(source: Any, name: str | None = None) -> Image.Image:
    """Return an upright PIL image of any mode.

    source: path, http(s) address, bytes, PIL image, numpy array or torch tensor. Arrays are (H, W), (H, W, C) or (C,
    H, W) with 1, 3
    or 4 channels: uint8, uint16 (full range), bool, or float in [0, 1]. name: what to call the photo in messages.
    Raises SynthForgeError when it cannot be read as an image or is larger than ``MAXIMUM_PIXELS``.
    """
    if isinstance(source, Image.Image):
        name, image = name or getattr(source, "filename", "") or "the image", source
    elif isinstance(source, str | Path | bytes):
        name = name or ("the image" if isinstance(source, bytes) else str(source))
        image = _open_encoded(source, name)
    else:
        name = name or "the image"
        image = _from_array(source, name)
    if image.width * image.height > MAXIMUM_PIXELS:
        raise SynthForgeError(_too_large(name, f"{image.width} x {image.height} pixels"))
    if image.width == 0 or image.height == 0:
        raise SynthForgeError(f"{name} has no pixels ({image.width} x {image.height})")
    try:
        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
            return ImageOps.exif_transpose(image)
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise SynthForgeError(f"{name} is damaged and cannot be read: {error}") from error
    return image


def cut_square(image: Image.Image, centre_x: float, centre_y: float, side: float, size: int) -> np.ndarray:
    """Cut a square out of an upright photo and resize it with antialiasing.

    centre_x, centre_y, side: continuous photo pixels; what lies outside the photo becomes black.
    Returns (size, size, 3) uint8. Raises UsageError when the square is empty or larger than ``MAXIMUM_CROP_SIDE``.
    """
    if not (np.isfinite([centre_x, centre_y, side]).all() and 0 < side <= MAXIMUM_CROP_SIDE):
        raise UsageError(
            f"cannot cut a square of {side:.6g} pixels around ({centre_x:.6g}, {centre_y:.6g}): "
            f"its side must be between 0 and {MAXIMUM_CROP_SIDE}"
        )
    x0, y0 = centre_x - 0.5 * side, centre_y - 0.5 * side
    # The resampling filter reads one output pixel's width beyond the square.
    border = int(np.ceil(max(1.0, side / size))) + 1
    left, top = int(np.floor(x0)) - border, int(np.floor(y0)) - border
    right, bottom = int(np.ceil(x0 + side)) + border, int(np.ceil(y0 + side)) + border
    if right <= 0 or bottom <= 0 or left >= image.width or top >= image.height:
        return np.zeros((size, size, 3), dtype=np.uint8)
    # Convert only the visible part: a palette's or an inverted mode's zero would not be black.
    visible = (max(left, 0), max(top, 0), min(right, image.width), min(bottom, image.height))
    part = to_rgb(image.crop(visible))
    part = part.crop((left - visible[0], top - visible[1], right - visible[0], bottom - visible[1]))
    box = (x0 - left, y0 - top, x0 - left + side, y0 - top + side)
    return np.array(part.resize((size, size), Image.Resampling.BILINEAR, box=box))


def cut_labels(
    labels: np.ndarray, centre_x: float, centre_y: float, side: float, size: int, outside: int | float
) -> np.ndarray:
    """Read (H, W) labels at the centres of a square's cells, never blending; returns (size, size) of the same dtype.

    centre_x, centre_y, side: continuous pixels of ``labels``. outside: the value of cells whose centre is not in the
    array.
    """
    steps = (np.arange(size) + 0.5) / size - 0.5
    columns = np.floor(centre_x + side * steps).astype(np.int64)
    rows = np.floor(centre_y + side * steps).astype(np.int64)
    height, width = labels.shape
    cells = labels[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
    return np.where(inside, cells, np.asarray(outside, dtype=labels.dtype))


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to 8-bit RGB: depth by range instead of clipping, transparency over white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_uint8(np.asarray(image)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _open_encoded(source: str | Path | bytes, name: str) -> Image.Image:
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        from transformers.image_utils import load_image

        return load_image(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAXIMUM_PIXELS is the limit here
            return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except Image.DecompressionBombError as error:
        raise SynthForgeError(_too_large(name, "too many pixels")) from error
    except UnidentifiedImageError as error:
        raise SynthForgeError(f"{name} is not an image that can be read (JPEG, PNG, TIFF, WebP, ...)") from error
    except OSError as error:
        raise SynthForgeError(f"cannot read {name}: {error.strerror or error}") from error


def _from_array(source: Any, name: str) -> Image.Image:
    array = np.asarray(source.detach().cpu() if hasattr(source, "detach") else source)
    channels = (1, 3, 4)
    if array.ndim == 3 and array.shape[0] in channels and array.shape[2] not in channels:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in channels) or array.dtype == object:
        raise SynthForgeError(
            f"{name} must be a path, a PIL image or an array (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, "
            f"got {type(source).__name__} of shape {array.shape}"
        )
    return Image.fromarray(_to_uint8(array))


def _to_uint8(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    values = np.nan_to_num(array.astype(np.float32))
    peak = float(values.max(initial=0.0))
    if array.dtype == np.uint16:
        full_range = 65535.0
    elif np.issubdtype(array.dtype, np.integer):
        full_range = 255.0 if peak <= 255 else 65535.0
    else:
        full_range = 1.0 if peak <= 1.0 else 255.0 if peak <= 255.0 else 65535.0
    return np.rint(np.clip(values * (255.0 / full_range), 0.0, 255.0)).astype(np.uint8)


def _too_large(name: str, size: str) -> str:
    return (
        f"{name} has {size}; photos of up to {MAXIMUM_PIXELS // 1_000_000} million pixels are read: downscale it first"
    )
