"""What is behind the head: blurred rooms and landscapes made of gradients, blobs, boxes and lines."""

import colorsys

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

KINDS = ("plain", "gradient", "clutter", "blobs", "stripes")


def sample_background(resolution: int, random: np.random.Generator) -> tuple[np.ndarray, str]:
    """Return ((R, R, 3) float32 linear RGB as bright as it is to appear, its kind)."""
    kind = str(random.choice(KINDS, p=[0.12, 0.18, 0.4, 0.18, 0.12]))
    work = 96 if kind in ("plain", "gradient", "blobs") else 192
    palette = [_colour(random) for _ in range(5)]
    image = _gradient(work, palette[0], palette[1] if kind != "plain" else palette[0], random)
    draw = ImageDraw.Draw(image)
    if kind == "clutter":
        for _ in range(int(random.integers(6, 40))):
            _shape(draw, work, _colour(random) if random.random() < 0.5 else palette[int(random.integers(5))], random)
    elif kind == "blobs":
        for _ in range(int(random.integers(5, 25))):
            x, y = random.uniform(0, work, 2)
            radius = random.uniform(2, work / 5)
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=palette[int(random.integers(5))])
    elif kind == "stripes":
        _stripes(draw, work, palette, random)
    blur = work * float(random.choice([0.003, 0.01, 0.03, 0.06], p=[0.3, 0.25, 0.25, 0.2]))
    if kind != "plain":
        image = image.filter(ImageFilter.GaussianBlur(blur))
    image = image.resize((resolution, resolution), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, dtype=np.float32) / 255
    grain = random.normal(0, 1, (resolution // 2 + 1, resolution // 2 + 1, 1)).astype(np.float32)
    grain = np.repeat(np.repeat(grain, 2, 0), 2, 1)[:resolution, :resolution]
    pixels = np.clip(pixels + 0.012 * random.random() * grain, 0, 1)
    return pixels * pixels * (0.45 + 0.55 * pixels), kind  # close to sRGB decoding, and cheap


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    hue = random.choice([random.random(), random.normal(0.09, 0.04) % 1])
    red, green, blue = colorsys.hsv_to_rgb(hue, random.beta(1.2, 2.5), random.uniform(0.03, 1.0))
    return int(255 * red), int(255 * green), int(255 * blue)


def _gradient(
    size: int, first: tuple[int, int, int], second: tuple[int, int, int], random: np.random.Generator
) -> Image.Image:
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
    return Image.fromarray((np.array(first) * (1 - share) + np.array(second) * share).astype(np.uint8))


def _shape(draw: ImageDraw.ImageDraw, size: int, colour: tuple[int, int, int], random: np.random.Generator) -> None:
    x, y = random.uniform(-0.1 * size, 1.1 * size, 2)
    width, height = random.exponential(0.16 * size, 2) + 2
    kind = random.random()
    if kind < 0.5:
        draw.rectangle([x - width, y - height, x + width, y + height], fill=colour)
    elif kind < 0.75:
        draw.ellipse([x - width, y - height, x + width, y + height], fill=colour)
    elif kind < 0.9:
        end = (x + random.normal(0, size / 2), y + random.normal(0, size / 2))
        draw.line([(x, y), end], fill=colour, width=int(random.integers(1, 7)))
    else:
        corners = random.normal(0, 0.18 * size, (int(random.integers(3, 6)), 2)) + (x, y)
        draw.polygon([(float(a), float(b)) for a, b in corners], fill=colour)


def _stripes(
    draw: ImageDraw.ImageDraw, size: int, palette: list[tuple[int, int, int]], random: np.random.Generator
) -> None:
    upright = random.random() < 0.5
    at = 0.0
    while at < size:
        width = random.uniform(3, size / 4)
        colour = palette[int(random.integers(5))]
        box = [at, 0, at + width, size] if upright else [0, at, size, at + width]
        draw.rectangle(box, fill=colour)
        at += width * random.uniform(1.0, 2.5)
