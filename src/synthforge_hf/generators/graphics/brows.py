"""Eyebrows: many short strokes drawn on the chart, and the outline that annotators would draw around them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.generators.graphics.chart import HEIGHT, WIDTH, Chart
from synthforge_hf.rendering.strokes import draw_strokes
from synthforge_hf.segmentation_classes import CLASS_ID

TEXEL_MM = 0.33
"""Rough size of a texel at the brows."""
TWICE = 2
BROW_WINDOW = np.array([0.36, 0.24, 0.64, 0.42])
"""Part of the chart that holds all brows: least u and v, greatest u and v."""
BELOW_LANDMARKS = ([0.0, 0.35, 1.0], [2.2, 1.3, 1.2])
"""How far the middle of the brow lies below its landmarks, in half thicknesses, from the nose to the temple:
annotators of real photos follow its upper edge, and set the innermost points above it. With 0.35 all along, a model
trained on the pictures placed brows 3.5 percent of the eye distance too low on photos; with 1.2, the inner ends 2
percent.
"""
MARGIN = 40
"""Texels around the middle of a brow that its hairs may reach."""
LABEL_MARGIN = 1.5
"""Texels by which annotators' outlines lie outside the hairs."""


@dataclass(frozen=True)
class BrowStyle:
    """thickness_mm: at the thickest place. density: 0 (hardly any hair) to 1. fray: how far strokes stray.

    stroke_mm: length of hairs. strength: how dark they are against the skin, 0 to 1. inner: thickness at the nose as a
    share of the thickest. tail: length, as a share of the distance to the temple. unevenness: of density along the
    brow. coarse: thick hairs.
    """

    thickness_mm: float
    density: float
    fray: float
    stroke_mm: float = 7.5
    strength: float = 0.8
    inner: float = 0.6
    tail: float = 1.0
    unevenness: float = 0.2
    coarse: bool = False


def sample_brows(gender: float, age: float, random: np.random.Generator) -> BrowStyle:
    """gender, age as in the head's phenotypes. Thin and plucked to bushy; babies and the very old have little."""
    kind = str(
        random.choice(["usual", "thin", "bushy", "sparse"], p=[0.6, 0.18 - 0.12 * gender, 0.08 + 0.12 * gender, 0.14])
    )
    thickness = {
        "usual": random.uniform(4.5, 7.5) + 2.5 * gender * random.random(),
        "thin": random.uniform(2.6, 4.2),
        "bushy": random.uniform(8.0, 11.5),
        "sparse": random.uniform(4.0, 7.5),
    }[kind]
    density = {"usual": 0.7, "thin": 0.75, "bushy": 0.9, "sparse": 0.22}[kind] + random.normal(0, 0.15)
    young_or_old = 0.35 * max(0.19 - age, 0) / 0.19 + 0.3 * max(age - 0.75, 0)
    return BrowStyle(
        float(thickness),
        float(np.clip(density - young_or_old, 0.06, 1.0)),
        float(random.uniform(0.1, 0.3) + (0.25 if kind == "bushy" else 0)),
        stroke_mm=float(random.uniform(4.0, 9.0) + (2.0 if kind == "bushy" else 0)),
        strength=float(np.clip(random.normal(0.8, 0.16) - young_or_old, 0.2, 1.0)),
        inner=float(random.uniform(0.4, 1.0)),
        tail=float(random.uniform(0.86, 1.06)),
        unevenness=float(random.uniform(0.0, 0.6)),
        coarse=kind == "bushy" or random.random() < 0.15,
    )


def draw_brows(chart: Chart, style: BrowStyle, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return (alpha, labels): (HEIGHT, WIDTH) uint8 opacity of the brow hair, and the chart's labels with both brows
    drawn in."""
    labels = chart.labels.copy()
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for name, line in chart.brow_lines:
        share = np.linspace(0, 1, len(line))
        # Thin at the nose, thickest at a third, drawn out to a point at the temple.
        profile = np.interp(
            share / style.tail, [0, 0.12, 0.35, 0.75, 1.0], [style.inner, 0.5 + 0.5 * style.inner, 1.0, 0.7, 0.15]
        )
        half = 0.5 * style.thickness_mm / TEXEL_MM * profile
        line = line + np.stack([np.zeros_like(half), np.interp(share, *BELOW_LANDMARKS) * half], axis=1)
        tangent = np.gradient(line, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        across = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        across *= np.where(across[:, 1:] > 0, 1, -1)  # downwards in the chart
        window = _window(line)
        _draw_strokes(alpha, window, line, tangent, across, half, style, random)
        outline = np.concatenate(
            [line - across * (half + LABEL_MARGIN)[:, None], (line + across * (half + LABEL_MARGIN)[:, None])[::-1]]
        )
        left, top, right, bottom = window
        patch = Image.fromarray(labels[top:bottom, left:right])
        ImageDraw.Draw(patch).polygon((outline - (left, top)).ravel().tolist(), fill=CLASS_ID[name])
        labels[top:bottom, left:right] = np.asarray(patch)
    return alpha, labels


def _window(line: np.ndarray) -> tuple[int, int, int, int]:
    left, top = np.floor(line.min(0) - MARGIN).astype(int)
    right, bottom = np.ceil(line.max(0) + MARGIN).astype(int)
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
    count = int(15 + 45 * style.density * np.clip(style.thickness_mm, 4, 10) * (1 if style.coarse else 1.4))
    bare = np.interp(np.arange(len(line)), np.linspace(0, len(line) - 1, 6), random.random(6))
    chance = np.cumsum((1 - style.unevenness * bare) * (np.linspace(0, 1, len(line)) <= style.tail))
    place = np.searchsorted(chance, random.random(count) * chance[-1])
    offset = np.clip(random.normal(0, 0.5, count), -1.15, 1.15)
    length = style.stroke_mm * random.uniform(0.65, 1.35, count) / TEXEL_MM * 0.5
    stray = random.normal(0, style.fray, count)
    strength = (style.strength * random.uniform(150, 255, count)).astype(np.uint8)
    share = place / (len(line) - 1)
    roots = line[place] + across[place] * (offset * half[place])[:, None]
    # Hairs rise at the inner end and lie along the brow further out, upper ones pointing down, lower ones up.
    rise = np.interp(share, [0, 0.25, 1.0], [0.9, 0.25, 0.0]) + 0.25 * offset * share + stray
    directions = tangent[place] - across[place] * rise[:, None]
    directions *= (length / np.linalg.norm(directions, axis=1))[:, None]
    rows, columns = (bottom - top) * TWICE, (right - left) * TWICE
    thickness = 3 if style.coarse else 2
    drawn = draw_strokes((roots - (left, top)) * TWICE, directions * TWICE, strength, thickness, rows, columns)
    drawn = np.asarray(Image.fromarray(drawn).reduce(TWICE))
    alpha[top:bottom, left:right] = np.maximum(alpha[top:bottom, left:right], drawn)
