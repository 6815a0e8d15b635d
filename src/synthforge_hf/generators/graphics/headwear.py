"""Hats, hoods, scarves and headbands, fitted around the skull (and, where they cover them, ears and neck).

All are sheets in directions around the skull's centre: for every azimuth an edge, an angle from straight up, and above
it a distance from the skull. Hair above the edge is tucked under.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.fitting import HeadFit, smooth_around, spread
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.solids import Solid, ellipsoid, grid_faces, join, shaded
from synthforge_hf.segmentation_classes import CLASS_ID

KINDS = ("cap", "backward cap", "beanie", "brimmed hat", "hard hat", "hood", "headscarf", "headband", "turban", "beret")
SHARES = (0.2, 0.06, 0.18, 0.16, 0.05, 0.08, 0.11, 0.06, 0.05, 0.05)
ROWS, COLUMNS = 26, 72

Tuck = Callable[[np.ndarray], np.ndarray]
"""(N, 3) points of hair, head frame -> the same, those under the hat moved below its inside."""


@dataclass(frozen=True)
class HeadwearStyle:
    """name: one of KINDS. edge: (3,) radians from straight up of its edge in front, at the sides and behind. lift:
    metres above the skull. height: metres that the crown stands above that. brim: metres. curl: how far the brim bends,
    metres. colours: (2, 3) linear RGB. pattern: 0 plain, 1 rings, 2 panels, 3 knitted. gloss. tilt: radians it leans to
    one side. phase: where folds lie."""

    name: str
    edge: np.ndarray
    lift: float
    height: float
    brim: float
    curl: float
    colours: np.ndarray
    pattern: int
    gloss: float
    tilt: float
    phase: float

    @property
    def covers_neck(self) -> bool:
        return self.name in ("hood", "headscarf")


def sample_headwear(age: float, share: float, random: np.random.Generator) -> HeadwearStyle | None:
    wears = random.random() < share
    name = str(random.choice(KINDS, p=SHARES))
    if age < 0.1 and name in ("hard hat", "turban"):
        name = "beanie"
    front, side, back = {
        "cap": (71, 92, 104),
        "backward cap": (73, 93, 104),
        "beanie": (74, 96, 110),
        "turban": (71, 96, 108),
        "beret": (69, 88, 102),
    }.get(name, (72, 92, 103))
    edge = np.radians(np.array([front, side, back]) + random.normal(0, 2.5, 3) + random.normal(0, 2.5))
    if name == "headband":
        edge = np.radians([random.uniform(58, 72), random.uniform(78, 90), random.uniform(92, 106)])
    first, second = (_cloth_colour(random) for _ in range(2))
    if name == "hard hat":
        choices = [(0.8, 0.55, 0.03), (0.75, 0.75, 0.75), (0.7, 0.2, 0.03), (0.03, 0.1, 0.4), (0.02, 0.02, 0.02)]
        first = second = np.array(choices[random.integers(len(choices))])
    lift, height, brim = {
        "cap": (0.010, random.uniform(0.008, 0.026), random.uniform(0.06, 0.075)),
        "backward cap": (0.010, random.uniform(0.008, 0.02), random.uniform(0.06, 0.075)),
        "beanie": (random.uniform(0.006, 0.012), random.choice([0.006, random.uniform(0.01, 0.05)]), 0.0),
        "brimmed hat": (0.011, random.uniform(0.012, 0.045), random.uniform(0.035, 0.11)),
        "hard hat": (0.022, 0.018, 0.025),
        "hood": (random.uniform(0.014, 0.03), 0.012, 0.0),
        "headscarf": (random.uniform(0.005, 0.012), 0.004, 0.0),
        "headband": (0.010, 0.0, 0.0),
        "turban": (random.uniform(0.025, 0.035), random.uniform(0.005, 0.02), 0.0),
        "beret": (0.009, random.uniform(0.012, 0.025), 0.0),
    }[name]
    if not wears:
        return None
    return HeadwearStyle(
        name,
        edge,
        float(lift),
        float(height),
        float(brim),
        float(random.uniform(0.0, 0.02)),
        np.clip(np.stack([first, second]), 0.002, 0.9),
        3 if name == "beanie" else int(random.choice([0, 1, 2], p=[0.7, 0.15, 0.15])),
        float(random.uniform(0.3, 0.8)) if name == "hard hat" else float(random.uniform(0.0, 0.12)),
        float(random.normal(0, 0.03)),
        float(random.uniform(0, 2 * np.pi)),
    )


def _cloth_colour(random: np.random.Generator) -> np.ndarray:
    kind = random.random()
    if kind < 0.4:
        return np.full(3, random.uniform(0.006, 0.06))
    if kind < 0.55:
        return np.full(3, random.uniform(0.4, 0.8))
    return np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0.2, 0.95), random.uniform(0.1, 0.9))) ** 2.2


def build_headwear(fit: HeadFit, style: HeadwearStyle) -> tuple[list[Part], Tuck]:
    """Return the parts (all of class hat), and what keeps hair under them."""
    around = np.linspace(-np.pi, np.pi, COLUMNS + 1)
    covers_neck = style.covers_neck
    base = smooth_around(spread(fit.skull, 2, wrap=True), 3)
    base = np.maximum(base, fit.skull)
    if not covers_neck:
        # A hat sits on the skull: what the ears stand out below its edge does not widen it.
        base = np.minimum(base, base[int(np.radians(75) / np.pi * fit.skull.shape[0])].max() + 0.004)
    solids: list[Solid] = []
    if covers_neck:
        solids.append(_hood(fit, style, base))
        edge = np.full(COLUMNS + 1, np.pi)
    else:
        edge = _edge(style, around)
        solids.append(_crown(fit, style, base, around, edge))
        if style.brim > 0:
            solids.append(_brim(fit, style, base, around, edge))
        if style.name in ("cap", "backward cap"):
            top = fit.ray(
                np.zeros(1), np.zeros(1), _crown_radius(fit, style, base, np.zeros(1), np.zeros(1), np.ones(1))
            )
            solids.append(ellipsoid(top[0], (0.007, 0.004, 0.007), style.colours[0], style.gloss, 6))
    label = CLASS_ID["hat"]

    def tuck(points: np.ndarray) -> np.ndarray:
        local = fit.to_local(points)
        azimuth, polar, radius = fit.around(local)
        inside = fit.look_up(base, azimuth, polar) + style.lift - 0.004
        if covers_neck:
            limit = np.where(polar < 2.75, np.abs(azimuth) - _opening(fit, style, polar), -1.0)
        else:
            limit = np.interp(azimuth, around, edge) - polar
        if style.name == "headband":
            limit = np.minimum(limit, _band_width(style) - limit)
        # Hair bends in towards the edge, and well below its surface under the hat, where nobody sees it: between two of
        # its points, which may be 3 cm apart, it must not come out of the hat or lie on its brim.
        near = np.clip((-limit - 0.15) / 0.15, 0, 1)
        close = np.minimum(radius, inside + 0.04 * near - 0.012 * (limit > 0))
        held = np.where(near < 1, close, radius)
        return fit.to_world(fit.ray(azimuth, polar, held)).astype(points.dtype)

    return [Part(shaded(fit.place(join(solids))), label)], tuck


def _edge(style: HeadwearStyle, azimuth: np.ndarray) -> np.ndarray:
    front, side, back = style.edge
    away = np.abs(azimuth)
    return np.interp(
        away, [0, 0.7, 1.6, 2.4, np.pi], [front, 0.6 * front + 0.4 * side, side, 0.4 * side + 0.6 * back, back]
    ) + (style.tilt * np.sin(azimuth))


def _band_width(style: HeadwearStyle) -> float:
    return 0.30 + 0.25 * (style.phase / 6.3)


def _crown_radius(
    fit: HeadFit, style: HeadwearStyle, base: np.ndarray, azimuth: np.ndarray, polar: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Distance of the hat's surface from the skull's centre. share: 0 at the edge, 1 at the top."""
    radius = fit.look_up(base, azimuth, polar) + style.lift
    size = fit.scale
    if style.name == "brimmed hat":
        # Straight sides and a pinched top.
        wall = (radius[0] if radius.ndim > 1 else 0.1 * size) / np.maximum(np.sin(polar), 0.2)
        roof = (0.088 * size + style.height) / np.maximum(np.cos(polar), 0.05)
        pinch = 0.012 * np.exp(-((np.sin(azimuth) * np.sin(polar) / 0.25) ** 2)) * (share > 0.3)
        radius = np.maximum(np.minimum(np.maximum(radius, wall), roof - pinch), radius - 0.004)
    elif style.name == "beret":
        radius = radius + style.height * np.sin(np.pi * np.clip(share * 1.1, 0, 1)) ** 0.7 * (1.2 + np.sin(azimuth + 1))
    elif style.name == "turban":
        folds = np.sin(polar * 16 + 2.2 * np.abs(azimuth) + style.phase)
        radius = (
            radius + style.height * np.sin(np.pi * np.clip(share * 0.9 + 0.1, 0, 1)) + 0.0045 * folds * (1 - share**4)
        )
    elif style.name == "headband":
        radius = (
            radius
            - 0.004
            + 0.003 * np.sin(np.pi * share)
            + 0.001 * np.sin(azimuth * 23 + style.phase) * np.sin(azimuth * 5)
        )
    elif style.name == "beanie":
        radius = radius + style.height * share**2 * (3 - 2 * share) + 0.0006 * np.sin(azimuth * 72)
        radius = radius + 0.004 * (share < 0.28) * (style.phase > 2.5)
    else:
        radius = radius + style.height * (1 - (1 - share) ** 2)
        if style.name == "hard hat":
            radius = radius + 0.006 * np.exp(-((np.sin(azimuth) * np.sin(polar) / 0.10) ** 2)) * (share > 0.15)
    return radius


def _crown(fit: HeadFit, style: HeadwearStyle, base: np.ndarray, around: np.ndarray, edge: np.ndarray) -> Solid:
    share = np.linspace(0, 1, ROWS)[:, None]
    top = edge[None] * 0
    if style.name == "headband":
        top = edge[None] - _band_width(style)
    polar = edge[None] + (top - edge[None]) * share
    azimuth = np.broadcast_to(around[None], polar.shape)
    share = np.broadcast_to(share, polar.shape)
    radius = _crown_radius(fit, style, base, azimuth, polar, share)
    # The edge turns in, so that no light shows under it.
    inner = fit.look_up(fit.skull, azimuth[:1], polar[:1] - 0.01) + 0.0005
    polar = np.concatenate([polar[:1] - 0.01, polar])
    azimuth = np.concatenate([azimuth[:1], azimuth])
    radius = np.concatenate([np.minimum(inner, radius[:1]), radius])
    share = np.concatenate([share[:1], share])
    if style.name == "headband":
        last = fit.look_up(fit.skull, azimuth[-1:], polar[-1:]) + 0.0005
        polar, azimuth = np.concatenate([polar, polar[-1:]]), np.concatenate([azimuth, azimuth[-1:]])
        radius, share = np.concatenate([radius, last]), np.concatenate([share, share[-1:]])
    points = fit.ray(azimuth, polar, radius)
    colours = _colours(style, azimuth, polar, share)
    return Solid(points.reshape(-1, 3), grid_faces(*points.shape[:2]), colours)


def _colours(style: HeadwearStyle, azimuth: np.ndarray, polar: np.ndarray, share: np.ndarray) -> np.ndarray:
    first, second = style.colours
    amount = np.zeros(azimuth.shape)
    if style.pattern == 1:
        amount = (np.sin(polar * 26 + style.phase) > 0).astype(float)
    elif style.pattern == 2:
        amount = (
            (np.abs(azimuth) > 0.85).astype(float) if "cap" in style.name else (np.sin(azimuth * 9) > 0.3).astype(float)
        )
    if style.name == "brimmed hat":
        amount = (share < 0.2).astype(float)
    colour = first + (second - first) * amount[..., None]
    if style.pattern == 3:
        colour = colour * (0.82 + 0.18 * np.sin(azimuth * 36))[..., None]
    if "cap" in style.name:
        seam = np.abs(np.sin(azimuth * 3)) < 0.12
        colour = colour * np.where(seam, 0.75, 1.0)[..., None]
    colours = np.concatenate([colour, np.full((*azimuth.shape, 1), style.gloss)], axis=-1)
    return colours.reshape(-1, 4)


def _brim(fit: HeadFit, style: HeadwearStyle, base: np.ndarray, around: np.ndarray, edge: np.ndarray) -> Solid:
    """The visor of a cap or the brim all around a hat: a sheet that leads away from the crown's edge."""
    visor = style.name != "brimmed hat"
    turned = np.pi if style.name == "backward cap" else 0.0
    columns = 33 if visor else COLUMNS + 1
    azimuth = np.linspace(-1.05, 1.05, columns) if visor else around
    if style.name == "hard hat":
        azimuth = np.linspace(-1.5, 1.5, columns)
    actual = np.arctan2(np.sin(azimuth + turned), np.cos(azimuth + turned))
    polar = np.interp(actual, around, edge) - 0.02
    start = fit.ray(
        actual, polar, _crown_radius(fit, style, base, actual[None], polar[None], np.zeros((1, columns)))[0] - 0.002
    )
    out = np.linspace(0, 1, 8)[:, None]
    span = np.abs(azimuth).max()
    reach = style.brim * fit.scale * (np.sqrt(np.clip(1 - (azimuth / span) ** 2, 0, 1)) if visor else np.ones(columns))
    if visor:
        away = np.stack([0.25 * np.sin(actual), np.zeros(columns), np.cos(turned) * np.ones(columns)], axis=1)
    else:
        away = np.stack([np.sin(actual), np.zeros(columns), np.cos(actual)], axis=1)
    points = start[None] + away[None] * (out * reach)[..., None]
    if visor:
        sag = 0.16 * out * reach + style.curl * out * (azimuth / span) ** 2 + 0.004 * out**2
    else:
        bend = style.curl * np.cos(2 * actual) * 1.4 - 0.012 + style.curl
        sag = -bend * out**1.5 * np.sign(style.phase - 2.0) * -1
    points[..., 1] -= sag
    tint = style.colours[1] if style.pattern == 2 else style.colours[0]
    colours = np.tile(np.append(tint, style.gloss), (points.shape[0] * columns, 1))
    return Solid(points.reshape(-1, 3), grid_faces(points.shape[0], columns), colours)


def _opening(fit: HeadFit, style: HeadwearStyle, polar: np.ndarray) -> np.ndarray:
    """Half the width of a hood's opening for the face at an angle from straight up, radians of azimuth."""
    top, bottom = _opening_ends(fit, style)
    across = 1 - ((polar - 0.5 * (top + bottom)) / (0.5 * (bottom - top))) ** 2
    return (0.95 if style.name == "headscarf" else 1.1) * np.sqrt(np.clip(across, 0, 1)) ** 0.8


def _opening_ends(fit: HeadFit, style: HeadwearStyle) -> tuple[float, float]:
    _, chin, _ = fit.around(fit.landmarks[8:9])
    return float(style.edge[0]) - 0.08, float(chin[0]) + (0.07 if style.name == "headscarf" else 0.3)


def _hood(fit: HeadFit, style: HeadwearStyle, base: np.ndarray) -> Solid:
    """Cloth around head and neck with an opening for the face: every row runs around from one side of it to the
    other."""
    top, bottom = _opening_ends(fit, style)
    beside = 0.5 * (top + bottom) - 0.5 * (bottom - top) * np.cos(np.linspace(0, np.pi, 18))
    polar = np.concatenate([np.linspace(0.01, top, 8)[:-1], beside, np.linspace(bottom, 2.75, 10)[1:]])[:, None]
    width = _opening(fit, style, polar)
    share = np.linspace(-1, 1, COLUMNS + 1)[None]
    azimuth = np.pi + share * (np.pi - width)
    azimuth = np.where(azimuth > np.pi, azimuth - 2 * np.pi, azimuth)
    polar = np.broadcast_to(polar, azimuth.shape)
    surface = np.maximum(smooth_around(spread(base, 3, wrap=True), 3), fit.skull)
    folds = np.sin(7 * np.abs(azimuth) + 6 * polar + style.phase) * np.clip((polar - 1.0) * 1.5, 0, 1)
    rim = (1 - np.abs(share)) * (COLUMNS / 2)
    radius = fit.look_up(surface, azimuth, polar) + style.lift + 0.0035 * folds
    if style.name == "hood":
        radius = radius + style.height * np.exp(-((rim / 3) ** 2)) * np.clip(3 * width, 0, 1)
    # The shoulders come out of the cloth, and its rim turns in to the face.
    radius = np.minimum(radius, (0.15 * fit.scale + style.lift) / np.maximum(np.sin(polar), 0.3))
    # Under the chin it is drawn in to the throat before it falls over the chest.
    head = fit.wrap(fit.points, fit.fitter.head_faces)
    chin = float(fit.look_up(head, np.zeros(1), np.array([bottom - 0.1]))[0])
    front = np.clip(1.6 - np.abs(azimuth), 0, 1)
    throat = (chin * np.sin(bottom - 0.1) + style.lift + 0.1 * (polar - bottom) + 0.1 * (1 - front)) / np.sin(polar)
    throat = np.maximum(throat, fit.look_up(head, azimuth, polar) + 0.004)
    fallen = np.clip((polar - bottom - 0.12) / 0.3, 0, 1)
    drawn_in = np.minimum(radius, throat + (radius - throat) * fallen)
    radius = np.where(polar > bottom - 0.1, drawn_in, radius)
    turned_in = fit.look_up(head, azimuth, polar) + 0.001
    radius = np.where((rim < 0.5) & (width > 0.02), turned_in, radius)
    points = fit.ray(azimuth, polar, radius)
    colours = _colours(style, azimuth, polar, np.ones(polar.shape))
    return Solid(points.reshape(-1, 3), grid_faces(*points.shape[:2]), colours)
