"""Hair: an opaque layer near the scalp, and on it a few thousand ribbons that give it direction, locks and an outline.

All is drawn on a ``HairGround``. The layer ends a little inside the hairline; ribbons carry it on to a soft edge.
"""

from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.generators.graphics.hair_ground import ANCHOR_ROW, HairGround, lay_ground
from synthforge_hf.generators.graphics.hair_knots import knot_place, tie_knot
from synthforge_hf.generators.graphics.hair_layer import (
    SHARE_OF_HEIGHT,
    Coverage,
    cap_layer,
    curtain_layer,
    smooth_noise,
)
from synthforge_hf.generators.graphics.hair_strands import Strands, curl, load_hair_kernels, ribbons, unit
from synthforge_hf.generators.graphics.hair_styles import HairStyle, HairTones
from synthforge_hf.heads.anny import AnnyHead
from synthforge_hf.rendering.shading import ShadedMesh, merge
from synthforge_hf.warp_runtime import launch_on_cpu

# Polar angle of the hairline (from the crown) over the angle around the head (0 = forehead, 180 = nape), degrees.
HAIRLINE = np.array(
    [(0, 74.5), (22, 75), (40, 79), (54, 87), (66, 98), (79, 108), (86, 100), (93, 93)]
    + [(110, 95), (125, 112), (150, 120), (180, 125)]
)
WISPS, WISP_WIDTH = 70, 0.0007
NO_WISPS = 0.65
"""Detail up to which single hairs, half a pixel wide or less, are left out."""
GREY = np.array([0.42, 0.41, 0.40])
"""Reflectance of hair without pigment."""


@dataclass(frozen=True)
class Hair:
    """layer: the opaque ground. strands: the ribbons on it. Both are labelled hair. wisps: single hairs, too thin to be
    labelled; None in small pictures."""

    layer: ShadedMesh
    strands: ShadedMesh
    wisps: ShadedMesh | None


def grow_hair(
    head: AnnyHead,
    vertices: np.ndarray,
    normals: np.ndarray,
    style: HairStyle,
    colour: np.ndarray,
    random: np.random.Generator,
    seen_from: np.ndarray | None = None,
    detail: float = 1.0,
) -> Hair | None:
    """Grow the hair of a head with these (V, 3) vertices and normals (head frame, metres); None for a bald one.

    colour: (3,) linear reflectance of the hair, which mixed tones are relative to. seen_from: (3,) position of the
    camera; hair behind the head is left out, and nothing else depends on it. detail: see ``ribbons``.
    """
    if style.name == "bald":
        return None
    ground, coverage = _prepare(head, vertices, normals, style, random)
    flow = _flow(ground, style)
    meshes = [cap_layer(ground, coverage, standing=style.name in ("buzz", "afro"))]
    groups = [
        _body(ground, coverage, flow, style, random),
        _edge(ground, coverage, flow, style, random),
    ]
    if style.fringe > 0:
        groups.append(_bangs(ground, coverage, style, random))
    if style.falls:
        meshes.append(curtain_layer(ground, coverage))
        groups.append(_falling(ground, coverage, style, random))
    if style.flow == "tied":
        layer, knot = tie_knot(ground, style, random)
        meshes += layer
        groups.append(knot)
    coloured = [_coloured(group, style.tones, colour, random) for group in groups]
    strands = merge([ribbons(group, random, seen_from, detail) for group in coloured])
    wisps = None
    if detail > NO_WISPS:
        wisps = ribbons(_coloured(_wisps(groups, style, random), style.tones, colour, random), random, seen_from)
    # Where clumps part, the layer shows: as grey or as light as they are on the whole.
    opaque = merge(meshes)
    tint = np.append(coloured[0].tint.mean((0, 1)), 1).astype(np.float32)
    return Hair(replace(opaque, colours=np.tile(tint, (len(opaque.vertices), 1))), strands, wisps)


def _prepare(
    head: AnnyHead, vertices: np.ndarray, normals: np.ndarray, style: HairStyle, random: np.random.Generator
) -> tuple[HairGround, Coverage]:
    columns = head.hair_triangles.shape[1]
    azimuth = np.linspace(0, 360, columns, endpoint=False)
    away = np.minimum(azimuth, 360 - azimuth)
    line = np.interp(away, HAIRLINE[:, 0], HAIRLINE[:, 1])
    front = np.clip(1 - away / 65, 0, 1)
    temples = np.exp(-(((away - 38) / 14) ** 2))
    line = line + style.hairline * np.minimum(front * 2, 1) - style.recession * (temples + 0.35 * front)
    line = line + 0.7 * random.normal(size=columns)
    # The opening differs a little between the sides.
    opening = style.opening + random.normal(0, 5) * np.sign(np.sin(np.radians(azimuth)))
    hanging = (away > opening) if style.falls else np.zeros(columns, dtype=bool)
    anchor = np.minimum(0.9 * line, np.interp(away, [40, 90, 130], [66, 84, 96]))
    # Beside the face, hair hangs closer than the widest part of the head.
    inward = style.inward + 0.45 * np.clip((95 - away) / 25, 0, 1)
    ground = lay_ground(head, vertices, normals, anchor, hanging, style.length, style.forward, inward)

    volume = style.volume_side + (style.volume_top - style.volume_side) * np.clip(1.35 - ground.polar / 75.0, 0, 1)
    rows = len(ground.polar)
    cells = 11 if style.name in ("curly", "messy") else 5
    volume = volume * (1 + style.lumps * smooth_noise(rows, columns, cells, random))
    taper = np.clip((line - ground.polar) / 16, 0, 1) ** 0.6
    # Bare from the forehead to the crown; a ring at the sides and the back stays.
    start = np.where(style.bare_crown > 0, np.interp(away, [48, 72], [1, 0]) * (line - style.bare_crown), 0)
    start = start + style.bare_crown
    if style.bare_crown > 0:
        taper = taper * np.clip((ground.polar - start) / 14, 0, 1) ** 0.6
    falling = np.interp(np.arange(rows), [ANCHOR_ROW, rows - 1], [1.0, 0.85 if style.length > 0.1 else 0.3])[:, None]
    # What falls starts thin at its front edge.
    volume = volume * np.where(hanging, np.clip((away - opening) / 22 + 0.3, 0, 1), 1.0)
    height = np.where(hanging & (np.arange(rows) >= ANCHOR_ROW - 4)[:, None], volume * falling, volume * taper)
    if style.wave > 0:
        ground = _waved(ground, style, random)
    end = np.where(hanging, ANCHOR_ROW + 2, ground.row_of(line))
    table = np.concatenate([ground.points, ground.outward, height[..., None]], axis=-1).astype(np.float32)
    return ground, Coverage(ground.row_of(start), end, height, table)


def _waved(ground: HairGround, style: HairStyle, random: np.random.Generator) -> HairGround:
    """Waves go through all that falls, neighbours nearly in step."""
    rows, columns = ground.polar.shape
    step = style.length / (rows - 1 - ANCHOR_ROW)
    fallen = np.maximum(np.arange(rows) - ANCHOR_ROW, 0)[:, None] * step
    phase = 5 * smooth_noise(3, columns, 3, random)[1] + random.uniform(0, 2 * np.pi)
    angle = fallen / random.uniform(0.008, 0.016) + phase
    strength = style.wave * np.minimum(fallen / 0.05, 1) * ground.hanging
    along = unit(np.gradient(ground.points, axis=0))
    side = np.cross(along, ground.outward)
    moved = side * np.sin(angle)[..., None] + ground.outward * (0.7 + 0.7 * np.cos(angle))[..., None]
    return replace(ground, points=ground.points + moved * strength[..., None])


def _flow(ground: HairGround, style: HairStyle) -> np.ndarray:
    """(R, C, 2) unit vectors: the direction hair lies in, along rows and columns."""
    away = np.abs(ground.azimuth)
    front = np.clip((110 - away) / 40, 0, 1)
    if style.flow == "tied":
        towards = knot_place(ground, style)[0] - ground.points
        down = unit(np.gradient(ground.points, axis=0))
        around = unit(np.roll(ground.points, -1, axis=1) - np.roll(ground.points, 1, axis=1))
        flow = np.stack([(towards * down).sum(-1), (towards * around).sum(-1)], axis=-1)
        return flow / np.maximum(np.linalg.norm(flow, axis=-1, keepdims=True), 1e-9)
    if style.flow == "back":
        angle = np.interp(away, [0, 40, 75, 110, 150, 180], [172, 150, 108, 62, 25, 0]) * np.sign(ground.azimuth + 1e-3)
    elif style.flow == "parting":
        from_parting = (ground.azimuth - style.parting + 180) % 360 - 180
        angle = 82 * np.exp(-((from_parting / 48) ** 2)) * np.tanh(from_parting / 2.5) * front
        if style.falls:
            # In front of where it falls, hair is combed back over or behind the ears.
            tucked = np.clip((away - 30) / 15, 0, 1) * np.clip((style.opening + 12 - away) / 15, 0, 1)
            tucked *= np.clip((style.opening - 60) / 15, 0, 1)
            angle = angle * (1 - tucked) + 95 * np.sign(ground.azimuth) * tucked
    elif style.flow == "sweep":
        angle = 62 * np.exp(-((ground.azimuth / 75) ** 4)) * np.sign(-style.parting) * front
    else:
        angle = np.zeros_like(away)
    radians = np.radians(angle) * np.ones_like(ground.polar)
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def _trace(
    ground: HairGround,
    flow: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    length: np.ndarray,
    turn: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Follow the flow from (N,) rows and columns over (N,) metres, always ``turn`` radians off it. Returns (N, steps)
    rows and columns."""
    rows, columns = (np.empty((len(row), steps), np.float32) for _ in range(2))
    rows[:, 0], columns[:, 0] = row, column
    spacing = np.stack([ground.row_length, ground.column_length], axis=-1)
    inputs = [np.ascontiguousarray(values, dtype=np.float32) for values in (flow, spacing, length, turn)]
    launch_on_cpu(load_hair_kernels().follow_flow, [*inputs, rows, columns])
    return rows, columns


def _scatter(
    ground: HairGround, start: np.ndarray, end: np.ndarray, number: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(number,) rows and columns spread evenly over the surface between two rows per column."""
    rows, columns = ground.polar.shape
    inside = (np.arange(rows)[:, None] >= start - 0.5) & (np.arange(rows)[:, None] <= end) & (end - start > 1.5)
    area = np.cumsum((ground.row_length * ground.column_length * inside).ravel())
    cell = np.searchsorted(area, random.random(number) * area[-1])
    row, column = np.divmod(cell, columns)
    return np.minimum(row + random.random(number), end[column]), column + random.random(number)


def _body(
    ground: HairGround, coverage: Coverage, flow: np.ndarray, style: HairStyle, random: np.random.Generator
) -> Strands:
    """The hair on the head itself."""
    number = int(np.clip(2.2 / style.width, 540, 930)) if style.name != "afro" else 1300
    if style.name == "buzz":
        number = 1500
    row, column = _scatter(ground, coverage.start, coverage.end, number, random)
    length = style.strand * random.uniform(0.6, 1.25, number)
    turn = np.radians(style.disorder) * random.normal(size=number)
    steps = 9 if style.curl > 0 else 7
    row, column = _trace(ground, flow, row, column, length, turn, steps)
    # Hair on the head ends at the hairline, some a little beyond; or goes over into what falls.
    index = np.mod(column + 0.5, len(coverage.end)).astype(np.intp) % len(coverage.end)
    last = np.where(ground.hanging, ANCHOR_ROW + 18, coverage.end)
    row = np.minimum(row, last[index] + random.uniform(-0.5, 1.2, (number, 1)))
    return _lie(ground, coverage, row, column, style, random)


def _lie(
    ground: HairGround,
    coverage: Coverage,
    row: np.ndarray,
    column: np.ndarray,
    style: HairStyle,
    random: np.random.Generator,
    lowest: float = 0.0012,
    curled: float = 1.0,
) -> Strands:
    """Put clumps on paths over the ground, in layers within the hair's height."""
    number, steps = len(row), row.shape[1]
    along = np.linspace(0, 1, steps, dtype=np.float32)
    values = ground.at(coverage.table, row, column)
    outward = values[..., 3:6]
    layer = random.random(number, dtype=np.float32)
    rise = np.minimum(0.75 + 1.0 * along, 1.0)
    height = values[..., 6] * (SHARE_OF_HEIGHT + 0.24 * layer[:, None]) * rise
    height += lowest * (1 + layer[:, None])
    if style.lift > 0:
        height += style.lift * np.abs(random.standard_normal(number, np.float32))[:, None] * along**2
    points = values[..., :3] + outward * height[..., None]
    if style.curl > 0 and curled > 0:
        wavelength = style.curl_wave * random.uniform(0.75, 1.3, number)
        phase = random.uniform(0, 2 * np.pi, number)
        points = curl(
            points,
            outward,
            curled * style.curl * np.minimum(0.35 + along, 1.0) * np.ones((number, 1)),
            wavelength,
            phase,
        )
    return Strands(
        points,
        outward,
        style.width * random.uniform(0.5, 1.3, number),
        0.74 + 0.26 * layer,
        np.ones((1, 1, 3), np.float32),
        np.radians(16) * random.normal(size=number) * (2 if style.name in ("messy", "curly", "afro") else 1),
    )


def _edge(
    ground: HairGround, coverage: Coverage, flow: np.ndarray, style: HairStyle, random: np.random.Generator
) -> Strands:
    """Short fine hair along the hairline, so that it is no sharp line."""
    number = 320
    columns = len(coverage.end)
    haired = np.flatnonzero(coverage.end - coverage.start > 1.5)
    column = haired[random.integers(0, len(haired), number)] + random.random(number)
    end = coverage.end[column.astype(np.intp) % columns]
    row = end + random.uniform(-2.2, 0.6, number)
    length = random.uniform(0.004, 0.016, number) * (0.5 if style.name == "buzz" else 1)
    turn = 0.5 * random.normal(size=number)
    row, column = _trace(ground, flow, row, column, length, turn, 4)
    strands = _lie(ground, coverage, row, column, style, random, lowest=0.0006, curled=0.3)
    return replace(strands, width=random.uniform(0.0005, 0.0014, number))


def _bangs(ground: HairGround, coverage: Coverage, style: HairStyle, random: np.random.Generator) -> Strands:
    """Hair over the forehead, combed straight down or to a side."""
    number = 300
    column = random.normal(0, 9.0, number).clip(-15, 15)
    index = np.mod(column, len(coverage.end)).astype(np.intp)
    steps = 9
    along = np.linspace(0, 1, steps)
    reach = style.fringe / 150 * 45 * random.uniform(0.75, 1.15, number)
    start = coverage.end[index] - random.uniform(1, 9, number)
    row = start[:, None] + (coverage.end[index] + reach - start)[:, None] * along
    slant = np.radians(style.fringe_sweep + 0.4 * style.disorder * random.normal(size=number))
    shift = np.tan(np.clip(slant, -1.2, 1.2))[:, None] * (row - start[:, None]) * 0.9
    strands = _lie(ground, coverage, row, column[:, None] + shift * along, style, random, lowest=0.0035)
    arch = (0.004 + 0.35 * style.volume_top) * np.sin(np.pi * np.clip(along * 1.05, 0, 1))
    return replace(
        strands,
        points=strands.points + strands.outward * arch[:, None],
        width=1.25 * strands.width,
    )


def _falling(ground: HairGround, coverage: Coverage, style: HairStyle, random: np.random.Generator) -> Strands:
    """Hair that falls from the sides and the back."""
    rows = len(ground.polar)
    hanging = np.flatnonzero(ground.hanging)
    number = int(np.clip(1.5 / style.width, 330, 520))
    # Twice as dense at the front edges, where it frames the face.
    share = random.beta(0.75, 0.75, number)
    column = hanging[0] + share * (hanging[-1] - hanging[0])
    steps = 14 if style.curl > 0 else 11
    along = np.linspace(0, 1, steps)
    start = ANCHOR_ROW + random.triangular(-7, -2, 14, number)
    end = (rows - 1.1) * (1 - 0.5 * style.layers * random.random(number) ** 1.5)
    row = start[:, None] + np.maximum(end - start, 3)[:, None] * along
    wander = np.cumsum(random.normal(0, 0.18, (number, steps)), axis=1) * (1 + style.disorder / 10)
    column = np.clip(column[:, None] + wander, hanging[0], hanging[-1])
    strands = _lie(ground, coverage, row, column, style, random, lowest=0.002)
    return replace(strands, width=1.3 * strands.width)


def _wisps(groups: list[Strands], style: HairStyle, random: np.random.Generator) -> Strands:
    """Single hairs that leave the clumps, mostly seen against the background."""
    body = groups[0]
    number = WISPS
    chosen = random.integers(0, len(body.points), number)
    steps = body.points.shape[1]
    along = np.linspace(0, 1, steps)
    reach = min(0.15 * style.strand, 0.007)
    away = np.abs(random.normal(0, reach, number))[:, None] * along**1.5
    points = body.points[chosen] + body.outward[chosen] * away[..., None]
    points = points + np.cumsum(random.normal(0, 0.08 * reach, points.shape), axis=1)
    return Strands(
        points,
        body.outward[chosen],
        np.full(number, WISP_WIDTH),
        np.ones(number),
        np.ones((1, 1, 3), np.float32),
        random.uniform(0, np.pi, number),
    )


def _coloured(strands: Strands, tones: HairTones, colour: np.ndarray, random: np.random.Generator) -> Strands:
    number, steps = len(strands.points), strands.points.shape[1]
    gain = np.exp(tones.spread * random.standard_normal(number, np.float32))
    gain = np.where(random.random(number) < tones.highlights, gain * np.float32(tones.highlight_gain), gain)
    along = np.linspace(0, 1, steps, dtype=np.float32)
    # A clump holds coloured and grey hairs; its tone lies between.
    grey = np.clip(tones.grey * random.uniform(0.2, 2.0, number), 0, 1)[:, None] * (GREY / np.maximum(colour, 1e-3) - 1)
    shade = gain[:, None] * (1 + (tones.tips - 1) * along**2)
    return replace(strands, tint=shade[..., None] + grey.astype(np.float32)[:, None])
