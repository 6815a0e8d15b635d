"""What cameras, sensors and files do to a photo. Only colours change: nothing moves, so labels stay exact.

All lengths are shares of the image's width. Blurs are symmetric, and scaling keeps pixel centres aligned.
"""

import io
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from synthforge_hf.generators.graphics.settings import CameraEffectSettings
from synthforge_hf.randomness import random_stream

GREY = (0.299, 0.587, 0.114)
SEPIA = np.array([1.08, 0.96, 0.76])
NOISE_SIZE = 640
NOISE_GRAINS = 3
NOISE_UNIT = 32.0
"""Value of one standard deviation in the noise texture."""
REFERENCE_RESOLUTION = 512


@dataclass(frozen=True)
class CameraEffects:
    """What happens to one photo; the defaults do nothing.

    defocus: radius of the blur. motion: length of the shake; motion_angle: its direction, radians.
    noise: standard deviation in grey levels where the image is mid-grey; noise_grain: 0 fine to 2 coarse.
    tint: (3,) factors of the channels. gamma, contrast, lift: the tone curve; white: the value that becomes white.
    saturation: 0 grey to 1 as it was and beyond. sepia: share. vignette: how much darker the corners are. shrink: how
    many times fewer pixels across. jpeg_quality: 0 for none; jpeg_subsampling: "4:4:4" or "4:2:0".
    """

    names: tuple[str, ...] = ()
    defocus: float = 0.0
    motion: float = 0.0
    motion_angle: float = 0.0
    noise: float = 0.0
    noise_grain: int = 0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 0.0
    lift: float = 0.0
    white: float = 1.0
    saturation: float = 1.0
    sepia: float = 0.0
    vignette: float = 0.0
    shrink: float = 1.0
    jpeg_quality: int = 0
    jpeg_subsampling: str = "4:4:4"


def sample_camera_effects(settings: CameraEffectSettings, random: np.random.Generator) -> CameraEffects:
    """Draw each effect by its share."""
    chosen: dict[str, object] = {}
    names: list[str] = []

    def happens(name: str, share: float) -> bool:
        if random.random() < share:
            names.append(name)
            return True
        return False

    if happens("defocus", settings.defocus_share):
        chosen["defocus"] = float(np.exp(random.uniform(np.log(0.0008), np.log(0.0035))))
    if happens("motion_blur", settings.motion_blur_share):
        chosen |= {"motion": float(random.uniform(0.006, 0.03)), "motion_angle": float(random.uniform(0, np.pi))}
    if happens("noise", settings.noise_share):
        noise = float(np.exp(random.uniform(np.log(2.0), np.log(6.5))))
        chosen |= {"noise": noise, "noise_grain": int(random.integers(NOISE_GRAINS))}
    if happens("white_balance", settings.white_balance_share):
        warmth, green = random.normal(0.035, 0.05), random.normal(-0.025, 0.02)
        chosen["tint"] = tuple(float(np.exp(value)) for value in (warmth, green, -1.3 * warmth))
    if happens("contrast", settings.contrast_share):
        chosen |= {
            "gamma": float(np.exp(random.normal(0, 0.15))),
            "contrast": float(random.uniform(-0.1, 1.0)),
            "lift": float(random.uniform(-0.1, 0.01)),
            "white": float(random.uniform(0.8, 1.0)),
        }
    if happens("saturation", settings.saturation_share):
        chosen["saturation"] = float(random.uniform(0.5, 1.5))
    if happens("vignette", settings.vignette_share):
        chosen["vignette"] = float(random.uniform(0.15, 0.65))
    if happens("low_resolution", settings.low_resolution_share):
        chosen["shrink"] = float(np.exp(random.uniform(np.log(1.3), np.log(3.5))))
    if happens("jpeg", settings.jpeg_share):
        chosen["jpeg_quality"] = int(random.integers(22, 90))
        chosen["jpeg_subsampling"] = str(random.choice(["4:2:0", "4:4:4"]))
    if happens("greyscale", settings.greyscale_share):
        chosen["saturation"] = 0.0
    if happens("old_photo", settings.old_photo_share):
        chosen |= {
            "saturation": float(random.uniform(0.0, 0.4)),
            "sepia": float(random.uniform(0.2, 1.0)),
            "contrast": float(random.uniform(-0.25, 0.2)),
            "lift": float(random.uniform(0.02, 0.12)),
            "noise": float(random.uniform(4, 11)),
            "noise_grain": int(random.integers(1, NOISE_GRAINS)),
            "vignette": float(random.uniform(0.1, 0.6)),
        }
    return CameraEffects(names=tuple(names), **chosen)  # type: ignore[arg-type]


def apply_camera_effects(image: np.ndarray, effects: CameraEffects, random: np.random.Generator) -> np.ndarray:
    """Return a (H, W, 3) uint8 sRGB image of the same size, in the order of a camera: lens, sensor, development, file.

    ``random`` decides the noise only.
    """
    if replace(effects, names=()) == CameraEffects():
        return image
    height, width, _ = image.shape
    if effects.motion:
        image = _shake(image, effects.motion * width, effects.motion_angle)
    photo = Image.fromarray(image)
    if effects.defocus:
        photo = photo.filter(ImageFilter.BoxBlur(effects.defocus * width))
    if effects.shrink > 1:
        small = (max(round(width / effects.shrink), 8), max(round(height / effects.shrink), 8))
        photo = photo.resize(small, Image.Resampling.BOX)
    if effects.vignette:
        photo = Image.fromarray(_darken_corners(np.asarray(photo), effects.vignette))
    if effects.noise:
        photo = Image.fromarray(_add_noise(photo, effects, random))
    photo = _develop(photo, effects)
    if effects.jpeg_quality:
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=effects.jpeg_quality, subsampling=effects.jpeg_subsampling)
        photo = Image.open(buffer).convert("RGB")
    if effects.shrink > 1:
        photo = photo.resize((width, height), Image.Resampling.BILINEAR)
    return np.array(photo)


def _develop(photo: Image.Image, effects: CameraEffects) -> Image.Image:
    """Saturation, then white balance, sepia and tone curve as one table per channel."""
    if effects.saturation != 1:
        s = effects.saturation
        rows = [[(1 - s) * weight + s * (row == column) for column, weight in enumerate(GREY)] for row in range(3)]
        red, green, blue = ((*row, 0.0) for row in rows)
        photo = photo.convert("RGB", (*red, *green, *blue))
    tint = np.array(effects.tint) * (1 - effects.sepia + effects.sepia * SEPIA)
    if (tint == 1).all() and (effects.gamma, effects.contrast, effects.lift, effects.white) == (1.0, 0.0, 0.0, 1.0):
        return photo
    tables: list[int] = []
    for factor in tint:
        x = np.clip(np.arange(256) / 255 * factor / effects.white, 0, 1) ** effects.gamma
        # Between a straight line and a smooth step, which steepens the middle; negative contrast flattens it.
        curve = x + effects.contrast * ((x * x * (3 - 2 * x) - x) if effects.contrast > 0 else x - 0.5)
        tables += np.clip(np.rint(255 * (effects.lift + (1 - effects.lift) * curve)), 0, 255).astype(int).tolist()
    return photo.point(tables)


def _shake(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Mean over a straight line of whole-pixel shifts, as many one way as the other."""
    height, width, _ = image.shape
    half = max(int(np.ceil(length / 2)), 1)
    steps = np.unique(np.rint(np.linspace(0, half, min(half, 4) + 1)[1:]))
    shifts = [(round(step * np.sin(angle)), round(step * np.cos(angle))) for step in steps]
    margin = half + 1
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    total = image.astype(np.uint16)
    for down, right in shifts:
        for sign in (1, -1):
            top, left = margin + sign * down, margin + sign * right
            total += padded[top : top + height, left : left + width]
    count = 2 * len(shifts) + 1
    return ((total + count // 2) // count).astype(np.uint8)


def _darken_corners(image: np.ndarray, amount: float) -> np.ndarray:
    height, width, _ = image.shape
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    factor = 256 - (128 * amount) * (y[:, None] ** 2 + x[None] ** 2)
    darker = image * factor.astype(np.uint16)[..., None]
    darker >>= 8
    return darker.astype(np.uint8)


def _add_noise(photo: Image.Image, effects: CameraEffects, random: np.random.Generator) -> np.ndarray:
    """Noise whose variance grows with the light, as photons' does, on top of a constant part."""
    width, height = photo.size
    field = load_sensor_noise(effects.noise_grain)
    if max(height, width) > NOISE_SIZE:
        repeats = -(-max(height, width) // NOISE_SIZE)
        field = np.tile(field, (repeats, repeats, 1))
    top, left = random.integers(0, (len(field) - height + 1, len(field) - width + 1))
    field = field[top : top + height, left : left + width]
    # The same sensor with more pixels: noise per pixel grows as pixels shrink.
    strength = effects.noise * np.sqrt(width / REFERENCE_RESOLUTION)
    grey = np.arange(256) / 255
    # In sRGB values photon noise is about the same everywhere but next to black, where the curve is steep.
    table = np.rint(strength / NOISE_UNIT * 128 * np.sqrt(0.25 + 1.5 * grey * (1.25 - grey)))
    factor = photo.point(np.minimum(table, 255).astype(int).tolist() * 3)
    noisy = np.multiply(np.asarray(factor), field, dtype=np.int16)
    noisy >>= 7
    noisy += np.asarray(photo)
    return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


@lru_cache(maxsize=NOISE_GRAINS)
def load_sensor_noise(grain: int) -> np.ndarray:
    """Return (NOISE_SIZE, NOISE_SIZE, 3) int8 noise of one of NOISE_GRAINS, tileable, of standard deviation NOISE_UNIT;
    channels share half of it. Made on first use, in a fiftieth of a second."""
    random = random_stream(0, grain, "sensor noise")
    field = random.standard_normal((NOISE_SIZE, NOISE_SIZE, 3), dtype=np.float32)
    field += random.standard_normal((NOISE_SIZE, NOISE_SIZE, 1), dtype=np.float32)
    for _ in range(grain):
        for axis in (0, 1):
            half = 0.5 * field
            field += np.roll(half, 1, axis)
            field += np.roll(half, -1, axis)
    field *= NOISE_UNIT / field.std()
    return np.clip(np.rint(field, out=field), -127, 127, out=field).astype(np.int8)
