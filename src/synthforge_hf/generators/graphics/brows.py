"""Eyebrows: many short strokes drawn on the chart, and the outline that annotators would draw around them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.generators.graphics.chart import HEIGHT, WIDTH, Chart, smooth_curve
from synthforge_hf.segmentation_classes import CLASS_ID

TEXEL_MM = 0.33
"""Rough size of a texel at the brows."""
TWICE = 2


@dataclass(frozen=True)
class BrowStyle:
    """thickness_mm: at the thickest place. density: 0 (hardly any hair) to 1. fray: how far strokes stray."""

    thickness_mm: float
    density: float
    fray: float


def sample_brows(gender: float, age: float, random: np.random.Generator) -> BrowStyle:
    thickness = random.uniform(5.0, 8.0) + 3.5 * gender * random.random()
    density = float(np.clip(random.normal(0.7, 0.2) - 0.25 * max(age - 0.75, 0), 0.15, 1.0))
    return BrowStyle(float(thickness), density, float(random.uniform(0.1, 0.35)))


def draw_brows(chart: Chart, style: BrowStyle, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, labels): (HEIGHT, WIDTH) uint8 opacity of the brow hair, and the chart's labels with both brows
    drawn in."""
    labels = chart.labels.copy()
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for points, name in ((chart.landmarks[17:22][::-1], "r_brow"), (chart.landmarks[22:27], "l_brow")):
        line = smooth_curve(points, steps=12)
        share = np.linspace(0, 1, len(line))
        # Thin at the nose, thickest at a third, drawn out to a point at the temple.
        profile = np.interp(share, [0, 0.12, 0.35, 0.75, 1.0], [0.6, 0.9, 1.0, 0.7, 0.15])
        half = 0.5 * style.thickness_mm / TEXEL_MM * profile
        line = line + np.stack([np.zeros_like(half), 0.35 * half], axis=1)
        tangent = np.gradient(line, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        across = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        across *= np.where(across[:, 1:] > 0, 1, -1)  # downwards in the chart
        window = _window(line)
        _draw_strokes(alpha, window, line, tangent, across, half, style, random)
        outline = np.concatenate([line - across * (half + 2)[:, None], (line + across * (half + 2)[:, None])[::-1]])
        left, top, right, bottom = window
        patch = Image.fromarray(labels[top:bottom, left:right])
        ImageDraw.Draw(patch).polygon([(float(x - left), float(y - top)) for x, y in outline], fill=CLASS_ID[name])
        labels[top:bottom, left:right] = np.asarray(patch)
    return alpha, labels


def _window(line: np.ndarray) -> tuple[int, int, int, int]:
    left, top = np.floor(line.min(0) - 40).astype(int)
    right, bottom = np.ceil(line.max(0) + 40).astype(int)
    return int(left), int(top), int(right), int(bottom)


def _draw_strokes(
    alpha: np.ndarray,
    window: tuple[int, int, int, int],
    line: np.ndarray,
    tangent: np.ndarray,
    across: np.ndarray,
    half: np.ndarray,
    style: BrowStyle,
    random: np.random.Generator,
) -> None:
    left, top, right, bottom = window
    image = Image.new("L", ((right - left) * TWICE, (bottom - top) * TWICE), 0)
    draw = ImageDraw.Draw(image)
    count = int(120 + 420 * style.density)
    place = random.integers(0, len(line), count)
    offset = np.clip(random.normal(0, 0.5, count), -1.15, 1.15)
    length = random.uniform(5, 10, count) / TEXEL_MM * 0.5
    stray = random.normal(0, style.fray, count)
    strength = random.integers(150, 250, count)
    share = place / (len(line) - 1)
    roots = line[place] + across[place] * (offset * half[place])[:, None]
    # Hairs rise at the inner end and lie along the brow further out, upper ones pointing down, lower ones up.
    rise = np.interp(share, [0, 0.25, 1.0], [0.9, 0.25, 0.0]) + 0.25 * offset * share + stray
    directions = tangent[place] - across[place] * rise[:, None]
    directions *= (length / np.linalg.norm(directions, axis=1))[:, None]
    ends = (np.stack([roots, roots + directions], axis=1) - (left, top)) * TWICE
    for line_ends, opacity in zip(ends.reshape(-1, 4).tolist(), strength.tolist(), strict=True):
        draw.line(line_ends, fill=opacity, width=2)
    drawn = np.asarray(image.resize((right - left, bottom - top), Image.Resampling.BOX))
    alpha[top:bottom, left:right] = np.maximum(alpha[top:bottom, left:right], drawn)
