"""Changes of light, colour, sharpness and compression that leave geometry alone."""

import io

import numpy as np
from PIL import Image, ImageFilter


def shift_colours(image: np.ndarray, random: np.random.Generator, strength: float) -> np.ndarray:
    """Change gamma, contrast, brightness and white balance of (H, W, 3) uint8 by a random amount that grows with
    ``strength``."""
    levels = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    gamma = np.exp(random.normal(0, 0.35 * strength))
    gain = np.exp(random.normal(0, 0.25 * strength) + random.normal(0, 0.12 * strength, 3))
    offset = random.normal(0, 0.08 * strength)
    curve = np.clip((levels**gamma * gain + offset) * 255, 0, 255).astype(np.uint8)
    return np.stack([curve[:, channel][image[..., channel]] for channel in range(3)], axis=-1)


def relight(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Multiply (H, W, 3) uint8 by a smooth pattern of light and shade, from a soft lamp to a face half in the dark."""
    cells = int(random.integers(2, 5))
    depth = random.uniform(0.2, 1.0)
    pattern = np.clip(1 - depth * random.uniform(-0.3, 1.0, (cells, cells)), 0.1, 1.3).astype(np.float32)
    height, width = image.shape[:2]
    light = np.asarray(Image.fromarray(pattern).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(image * light[..., None], 0, 255).astype(np.uint8)


def degrade(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Make a finished (H, W, 3) uint8 scene look like a photo from anywhere: monochrome, toned, blurred, coarse, noisy,
    compressed."""
    if random.random() < 0.4:
        image = relight(image, random)
    image = shift_colours(image, random, strength=0.85)
    if random.random() < 0.25:
        grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
        tone = np.ones(3) if random.random() < 0.7 else random.uniform(0.75, 1.0, 3)
        image = np.clip(grey[..., None] * tone, 0, 255).astype(np.uint8)
    elif random.random() < 0.3:
        grey = (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
        image = np.clip(grey + random.uniform(0.2, 1.8) * (image - grey), 0, 255).astype(np.uint8)
    photo = Image.fromarray(image)
    if random.random() < 0.3:
        photo = photo.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.6)))
    if random.random() < 0.2:
        coarse = int(photo.width / random.uniform(1.2, 3.0))
        photo = photo.resize((coarse, coarse), Image.Resampling.BOX).resize(photo.size, Image.Resampling.BILINEAR)
    if random.random() < 0.3:
        grain = random.normal(0, random.uniform(2, 12), (photo.height, photo.width, 1 if random.random() < 0.5 else 3))
        photo = Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))
    if random.random() < 0.4:
        stream = io.BytesIO()
        photo.save(stream, "JPEG", quality=int(random.integers(15, 90)))
        photo = Image.open(stream)
    return np.asarray(photo)
