"""Glasses and sunglasses, fitted to the nose, the temples and the ears of one face."""

import colorsys
from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.fitting import HeadFit
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.solids import (
    Solid,
    circle,
    ellipsoid,
    grid_faces,
    join,
    rounded_rectangle,
    shaded,
    sweep,
)
from synthforge_hf.rendering.shading import Material
from synthforge_hf.segmentation_classes import CLASS_ID

OUTLINE_POINTS = 40
GROWN_UP = 0.35
"""Age from which people count as adults here."""
UP, FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])

SHAPES = ("round", "oval", "rectangular", "square", "wayfarer", "aviator", "cat-eye")
RIMS = ("plastic", "wire", "half", "rimless")
LENSES = ("clear", "tinted", "gradient", "dark")


@dataclass(frozen=True)
class GlassesStyle:
    """name: "glasses" or "sunglasses". shape, rim, lens: one of the names above. Lengths in metres on an adult's head.

    aspect: height of a lens over its width. fill: width of a lens as a share of the room it has. rim_width: seen from
    the front. arm_height: of the temple arms. bridge: between the lenses. colours: (2, 3) linear RGB, frame and its
    second tone. tortoise: the two are mixed in patches; else the second is that of the arms. gloss: of the frame.
    glass: (4,) what the lens lets through and how strongly it mirrors (dark: colour and gloss). wrap: curvature radius
    of the front. tilt: radians the top leans forward. slide: how far down the nose. nod: radians to one side. overhang:
    how much wider than the temples.
    """

    name: str
    shape: str
    rim: str
    lens: str
    aspect: float
    fill: float
    rim_width: float
    arm_height: float
    bridge: float
    colours: np.ndarray
    tortoise: bool
    gloss: float
    glass: np.ndarray
    wrap: float
    tilt: float
    slide: float
    nod: float
    overhang: float
    double_bridge: bool


def sample_glasses(
    age: float, share: float, sunglasses_share: float, random: np.random.Generator
) -> GlassesStyle | None:
    """share: of adults who wear any (a fifth of that of children); sunglasses_share: of those."""
    wears = random.random() < share * (1.0 if age > GROWN_UP else 0.2)
    dark = random.random() < sunglasses_share
    if not wears:
        return None
    shape = str(random.choice(SHAPES, p=[0.12, 0.16, 0.24, 0.14, 0.14, 0.12, 0.08]))
    rim = str(random.choice(RIMS, p=[0.75, 0.21, 0.02, 0.02] if dark else [0.5, 0.26, 0.12, 0.12]))
    if shape == "aviator" and rim == "plastic" and random.random() < 0.7:
        rim = "wire"
    low, high = {
        "round": (0.88, 1.0),
        "oval": (0.58, 0.74),
        "rectangular": (0.45, 0.66),
        "square": (0.72, 0.9),
        "wayfarer": (0.64, 0.8),
        "aviator": (0.78, 0.92),
        "cat-eye": (0.56, 0.76),
    }[shape]
    lens = "clear"
    if dark:
        lens = str(random.choice(["dark", "gradient", "tinted"], p=[0.72, 0.18, 0.1]))
    elif random.random() < 0.08:
        lens = "tinted"
    roomy = random.uniform(0.78, 0.94) if not dark else random.uniform(0.85, 0.98)
    heavy = rim == "plastic" and random.random() < 0.55
    return GlassesStyle(
        name="sunglasses" if dark else "glasses",
        shape=shape,
        rim=rim,
        lens=lens,
        aspect=float(random.uniform(low, high)),
        fill=float(roomy if shape not in ("round", "oval") else roomy * random.uniform(0.85, 1.0)),
        rim_width=float(
            (random.uniform(0.0045, 0.007) if heavy else random.uniform(0.0025, 0.0045))
            if rim == "plastic"
            else random.uniform(0.0011, 0.002)
        ),
        arm_height=float(
            random.uniform(0.004, 0.009 if not dark else 0.016) if rim == "plastic" else random.uniform(0.0016, 0.004)
        ),
        bridge=float(random.uniform(0.016, 0.021)),
        colours=_frame_colours(rim, random),
        tortoise=bool(random.random() < 0.25),
        gloss=float(random.uniform(0.15, 0.9)),
        glass=_glass(lens, random),
        wrap=float(random.uniform(0.16, 0.3) if dark else random.uniform(0.25, 0.6)),
        tilt=float(np.radians(random.uniform(3, 12))),
        slide=float(max(random.normal(0.002, 0.003), -0.002) + random.uniform(0.004, 0.008) * (random.random() < 0.08)),
        nod=float(np.radians(random.normal(0, 1.2))),
        overhang=float(random.uniform(-0.002, 0.005)),
        double_bridge=bool(shape == "aviator" or random.random() < 0.06),
    )


def _frame_colours(rim: str, random: np.random.Generator) -> np.ndarray:
    kind = random.random()
    if rim != "plastic":
        metal = [(0.55, 0.4, 0.16), (0.5, 0.5, 0.5), (0.03, 0.03, 0.032), (0.16, 0.15, 0.14), (0.4, 0.25, 0.2)]
        first = np.array(metal[random.integers(len(metal))]) * random.uniform(0.6, 1.2)
    elif kind < 0.5:
        first = np.full(3, random.uniform(0.004, 0.02))
    elif kind < 0.75:
        first = np.array([0.13, 0.055, 0.02]) * random.uniform(0.2, 1.6)
    else:
        first = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0.0, 0.9), 1.0)) * random.uniform(
            0.05, 0.8
        )
    if random.random() < 0.6:
        second = first
    else:
        second = first * random.uniform(0.1, 0.5) if random.random() < 0.5 else np.array([0.3, 0.14, 0.04])
    return np.clip(np.stack([first, second]), 0.002, 0.9)


def _glass(lens: str, random: np.random.Generator) -> np.ndarray:
    mirror = float(random.choice([random.uniform(0.1, 0.5), random.uniform(0.5, 1.0)], p=[0.7, 0.3]))
    if lens == "clear":
        return np.append(np.full(3, random.uniform(0.86, 0.96)), mirror)
    hue = np.array(colorsys.hsv_to_rgb(random.choice([0.08, 0.12, 0.3, 0.58, 0.95]), random.uniform(0.1, 0.6), 1.0))
    if lens == "dark":
        mirrored = random.random() < 0.15
        shade = hue * (random.uniform(0.12, 0.4) if mirrored else random.uniform(0.002, 0.02))
        return np.append(shade, random.uniform(0.7, 1.0))
    strength = random.uniform(0.3, 0.75) if lens == "tinted" else random.uniform(0.55, 0.85)
    return np.append(hue * strength, mirror)


def lens_outline(shape: str, half_width: float, half_height: float) -> np.ndarray:
    """(OUTLINE_POINTS, 2) outline of the left lens around its centre, counter-clockwise from the temple side."""
    angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    power = {"round": 2.0, "oval": 2.2, "rectangular": 5.0, "square": 4.0, "wayfarer": 3.6, "aviator": 2.5}.get(
        shape, 2.8
    )
    cosine, sine = np.cos(angle), np.sin(angle)
    x = np.sign(cosine) * np.abs(cosine) ** (2 / power)
    y = np.sign(sine) * np.abs(sine) ** (2 / power)
    lower, upper = np.clip(-y, 0, 1), np.clip(y, 0, 1)
    if shape == "wayfarer":
        x = x * (1 + 0.12 * y)
        y = y + 0.10 * x * upper
    elif shape == "aviator":
        x = x * (1 + 0.10 * y) + 0.10 * lower
        y = np.where(y > 0, y * 0.86 + 0.06 * x, y * 1.12) - 0.10 * lower * np.clip(x, -1, 1)
    elif shape == "cat-eye":
        y = y + 0.42 * upper * np.clip(x, 0, 1.2) ** 1.6 - 0.04 * upper
        x = x * (1 + 0.14 * upper)
    elif shape in ("rectangular", "square"):
        x = x * (1 + 0.04 * y)
    x = x / np.abs(x).max()
    return np.stack([x * half_width, y * half_height], axis=1)


def build_glasses(fit: HeadFit, style: GlassesStyle, random: np.random.Generator) -> list[Part]:
    """Return frame with temple arms, bridge and lenses. The bridge is drawn, but what is under it keeps its name, as
    CelebAMask-HQ draws the nose through between clear lenses."""
    temple = _temple_width(fit)
    size = temple / 0.068
    half = temple + style.overhang * size
    half_bridge = 0.5 * style.bridge * size
    endpiece = 0.5 * style.rim_width + 0.001
    room = 0.5 * (half - endpiece - half_bridge - style.rim_width)
    half_width = min(room * style.fill, 0.0265 * size)
    half_height = half_width * style.aspect * (1.12 if style.lens == "dark" else 1.0)
    # Lenses that do not fill their room keep near the nose only a little: the eye looks through their middle.
    centre_x = half_bridge + style.rim_width + half_width + 0.55 * (room - half_width)
    centre_y = -0.12 * half_height - 0.001 - style.slide * size
    flat = lens_outline(style.shape, half_width, half_height) + (centre_x, centre_y)

    def bent(points: np.ndarray) -> np.ndarray:
        """(N, 2) of the front's plane -> (N, 3) on the curved, tilted front."""
        x, y = points.T
        lift = np.sin(style.nod) * x
        return np.stack([x, y + lift, -(x**2) / (2 * style.wrap) + np.tan(style.tilt) * (y - centre_y)], axis=1)

    mirror = np.array([-1.0, 1.0])
    outlines = [bent(flat), bent((flat * mirror)[::-1])]
    bridge_y = centre_y + (0.45 if style.shape != "aviator" else 0.25) * half_height
    inner = flat[flat[:, 0] < centre_x]
    bridge_start = inner[np.abs(inner[:, 1] - bridge_y).argmin()]
    share = np.linspace(-1, 1, 9)
    bridge_flat = np.stack([share * bridge_start[0], bridge_start[1] + 0.003 * size * (1 - share**2)], axis=1)
    bridge = bent(bridge_flat)
    bridge[:, 2] += 0.002 * (1 - share**2)

    depth = 0.5 * (0.0035 if style.rim == "plastic" else style.rim_width)
    back = np.concatenate([*outlines, bridge]) - np.array([0, 0, depth])
    move = np.array([0.0, 0.0, fit.settle(back, 0.0008)])
    outlines = [outline + move for outline in outlines]
    bridge = bridge + move

    first, second = style.colours
    frame = [_rim(outline, style, random) for outline in outlines if style.rim != "rimless"]
    frame += _nose_pads(fit, outlines, style, size)
    hinge_y = centre_y + {"aviator": 0.55, "round": 0.2}.get(style.shape, 0.6) * half_height
    outer = flat[flat[:, 0] > centre_x]
    hinge = outer[np.abs(outer[:, 1] - hinge_y).argmin()]
    for side, sign in (("left", 1.0), ("right", -1.0)):
        start = bent(np.array([[sign * hinge[0], hinge[1]], [sign * half, hinge[1]]])) + move
        frame.append(_arm(fit, side, start, style, size))

    thickness = style.rim_width if style.rim == "plastic" else max(style.rim_width, 0.0014)
    section = rounded_rectangle(0.0035, 0.8 * thickness) if style.rim == "plastic" else circle(0.5 * thickness)
    bars = [sweep(bridge, section, first, style.gloss, UP)]
    if style.double_bridge:
        top = inner[np.abs(inner[:, 1] - (centre_y + 0.75 * half_height)).argmin()]
        bar = bent(np.stack([share * top[0], np.full(9, top[1])], axis=1)) + move
        bars.append(sweep(bar, circle(0.0008), second, style.gloss, UP))
    opaque = style.lens == "dark"
    lenses = join([_lens(outline, style) for outline in outlines])
    label = CLASS_ID["eye_g"]
    return [
        Part(shaded(fit.place(join(frame))), label),
        Part(shaded(fit.place(join(bars))), label if opaque else None),
        Part(shaded(fit.place(lenses), Material.COLOURED if opaque else Material.LENS), label, see_through=not opaque),
    ]


def _temple_width(fit: HeadFit) -> float:
    """Half the width of the head at the temples, metres."""
    _, y, z = (fit.points / fit.scale).T
    beside = (y > -0.008) & (y < 0.018) & (z > -0.05) & (z < -0.02)
    return float(np.abs(fit.points[beside, 0]).max())


def _rim(outline: np.ndarray, style: GlassesStyle, random: np.random.Generator) -> Solid:
    """The rim around one lens; half rims hold only its upper edge."""
    first, second = style.colours
    colour = np.tile(first, (len(outline), 1))
    if style.tortoise and style.rim == "plastic":
        patches = np.repeat(random.random(len(outline) // 2), 2)[:, None]
        colour = first + (second - first) * (patches > 0.55)
    if style.rim == "plastic":
        return sweep(outline, rounded_rectangle(style.rim_width, 0.0035), colour, style.gloss, FORWARD, closed=True)
    if style.rim == "wire":
        return sweep(outline, circle(0.5 * style.rim_width), colour, style.gloss, FORWARD, closed=True)
    height = outline[:, 1] - outline[:, 1].mean()
    upper = np.flatnonzero(height > -0.15 * np.ptp(height))
    gap = np.flatnonzero(np.diff(upper) > 1)
    if len(gap):
        upper = np.roll(upper, -(gap[0] + 1))
    return sweep(outline[upper], rounded_rectangle(1.4 * style.rim_width, 0.0022), colour[upper], style.gloss, FORWARD)


def _lens(outline: np.ndarray, style: GlassesStyle) -> Solid:
    centre = outline.mean(0)
    share = np.array([0.0, 0.12, 0.4, 0.7, 1.0])[:, None, None]
    points = centre + (outline - centre) * share

    # Curved as the rim is and a little further out, smoothly: straight lines to the centre would make a cone, which
    # shines like a star.
    def bend(at: np.ndarray) -> np.ndarray:
        x, y = at[..., 0] - centre[0], at[..., 1] - centre[1]
        return np.stack([np.ones_like(x), x, y, x * x], axis=-1)

    curve = np.linalg.lstsq(bend(outline), outline[:, 2], rcond=None)[0]
    points[:-1, :, 2] = (bend(points) @ curve + 0.0014 * (1 - share[..., 0] ** 2))[:-1]
    points = points.reshape(-1, 3)
    colours = np.tile(style.glass, (len(points), 1))
    low, high = outline[:, 1].min(), outline[:, 1].max()
    height = ((points[:, 1] - low) / (high - low))[:, None]
    if style.lens == "gradient":
        colours[:, :3] *= 1 - 0.9 * height
    elif style.lens == "dark":  # a bright sky over dark ground, mirrored
        colours[:, :3] *= 0.4 + 1.2 * height**2
    faces = grid_faces(len(share), len(outline), around=True)
    turned = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    return Solid(points, faces if turned[:, 2].sum() > 0 else faces[:, ::-1], colours)


def _nose_pads(fit: HeadFit, outlines: list[np.ndarray], style: GlassesStyle, size: float) -> list[Solid]:
    """Pads that rest on the flanks of the nose, where frame and nose do not touch anyway."""
    pads = []
    clear = np.array([0.6, 0.58, 0.55])
    for outline, sign in zip(outlines, (1.0, -1.0), strict=True):
        rim = outline[np.abs(outline[:, 0]).argmin()]
        place = np.array([sign * max(abs(rim[0]) - 0.003 * size, 0.005), rim[1] - 0.004 * size, 0.0])
        place[2] = fit.height(place[None])[0] + 0.0012
        if not 0.0015 < rim[2] - place[2] < 0.03:
            continue
        colour = style.colours[0] if style.rim == "plastic" else clear
        pads.append(ellipsoid(place, (0.0016, 0.0038 * size, 0.0022), colour, 0.6, rings=5))
        path = np.stack([rim, 0.5 * (rim + place) - (0.001 * sign, 0, 0), place])
        pads.append(sweep(path, circle(0.0005 if style.rim != "plastic" else 0.0012, 5), style.colours[0], 0.6, UP))
    return pads


def _arm(fit: HeadFit, side: str, start: np.ndarray, style: GlassesStyle, size: float) -> Solid:
    """Temple arm from the front's edge, (2, 3) points, back over the ear."""
    sign = 1.0 if side == "left" else -1.0
    root = fit.points[fit.fitter.ear_roots[side]]
    top = root[root[:, 1].argmax()]
    height = style.arm_height * size
    corner = start[1] - (0, 0, 0.002)
    rest = np.array([top[0] + sign * 0.001, top[1] + 0.25 * height, top[2]])
    straight = corner + (rest - corner) * np.linspace(0, 1, 8)[:, None]
    hook = rest + np.array([(0, -0.003, -0.006), (0, -0.011, -0.010), (0, -0.020, -0.011)]) * size
    path = np.concatenate([straight, hook])
    near = fit.points[fit.fitter.beside[side]]
    distance = np.hypot(path[:, None, 1] - near[None, :, 1], path[:, None, 2] - near[None, :, 2])
    closest = np.argpartition(distance, 4, axis=1)[:, :4]
    skin = (near[closest, 0] * sign).max(1)
    clear = np.maximum(path[:, 0] * sign, np.where(np.arange(len(path)) < len(straight), skin + 0.0018, skin + 0.001))
    path[:, 0] = sign * clear
    path = np.concatenate([start[:1], path])
    taper = np.interp(np.arange(len(path)), [0, 2, len(path) - 1], [1.0, 1.0, 0.55])
    width = 0.0026 if style.rim == "plastic" else 0.0014
    section = rounded_rectangle(1.0, 1.0) * np.stack([np.full(len(path), width), height * taper], axis=1)[:, None]
    colour = style.colours[1] if not style.tortoise else style.colours[0]
    return sweep(path, section, colour, style.gloss, UP)
