"""Things in front of the face: hands, phones, cups, microphones, food, masks and scarves.

They are laid on the face of the person: moved towards it until they touch, fingers one by one. All but scarves have no
class in CelebAMask-HQ and are background in the mask.
"""

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.fitting import HeadFit, smooth_around, spread
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.solids import (
    Solid,
    box,
    circle,
    ellipsoid,
    grid_faces,
    join,
    shaded,
    sweep,
    turn,
)
from synthforge_hf.segmentation_classes import CLASS_ID

KINDS = ("hand", "phone", "cup", "microphone", "food", "mask", "scarf")
SHARES = (0.38, 0.07, 0.11, 0.18, 0.09, 0.05, 0.12)
UP, FORWARD = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])

Heights = Callable[[np.ndarray, float], np.ndarray]
"""(N, 3) points, radius -> z of what lies below them."""

# A right hand seen from its back, fingers up, on an adult: metres across and along from the wrist.
FINGERS = ((-0.031, 0.083, 0.066), (-0.0105, 0.090, 0.078), (0.0105, 0.088, 0.073), (0.030, 0.078, 0.058))
PALM = np.array(  # along, half width, half thickness
    [(-0.30, 0.042, 0.038), (-0.12, 0.036, 0.030), (-0.01, 0.028, 0.020), (0.02, 0.034, 0.018), (0.05, 0.041, 0.016)]
    + [(0.08, 0.042, 0.013), (0.096, 0.038, 0.010), (0.103, 0.024, 0.006)]
)


@dataclass(frozen=True)
class OccluderStyle:
    """name: one of KINDS. side: 1 the subject's left, -1 right. place: (2,) metres on an adult's face, where the hand's
    knuckles or the thing's middle are. turn: radians from upright, towards the subject's left. size: factor. colour,
    second: (3,) linear RGB. skin: (3,) of the hand. sleeve: whether the arm is clothed."""

    name: str
    side: float
    place: np.ndarray
    turn: float
    size: float
    colour: np.ndarray
    second: np.ndarray
    gloss: float
    skin: np.ndarray
    sleeve: bool


def sample_occluder(share: float, skin: np.ndarray, random: np.random.Generator) -> OccluderStyle | None:
    """skin: (3,) linear RGB of the person, whose hand it mostly is."""
    if random.random() >= share:
        return None
    name = str(random.choice(KINDS, p=SHARES))
    side = float(random.choice([-1.0, 1.0]))
    turn = side * float(np.radians(random.uniform(-5, 60)))
    if name == "hand":
        # Mostly at chin, cheek and temple: who covers both eyes is seldom photographed.
        spots = [(0.065, -0.07), (0.0, -0.118), (0.03, -0.1), (0.035, 0.06), (0.055, -0.02), (0.082, -0.03)]
        weights = [0.3, 0.26, 0.2, 0.1, 0.02, 0.12]
        spot = np.array(spots[random.choice(len(spots), p=weights)]) * (side, 1) + random.normal(0, 0.008, 2)
        # From below; what lies on the forehead, from the side.
        turn = -side * float(np.radians(random.uniform(5, 75) if spot[1] < 0 else random.uniform(45, 75)))
    elif name == "phone":
        spot = np.array([side * random.uniform(0.045, 0.09), random.uniform(-0.1, 0.02)])
        turn = float(np.radians(random.normal(0, 15)))
    elif name == "microphone":
        spot = np.array([side * random.uniform(0, 0.03), random.uniform(-0.1, -0.07)])
    else:
        spot = np.array([side * random.uniform(0, 0.012), random.uniform(-0.085, -0.068)])
    hue = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0, 0.9), random.uniform(0.05, 0.9))) ** 2.2
    plain = np.full(3, random.choice([random.uniform(0.004, 0.05), random.uniform(0.4, 0.8)]))
    colour = hue if random.random() < 0.55 else plain
    if name == "mask":
        choices = [np.array([0.28, 0.52, 0.68]), np.array([0.7, 0.72, 0.72]), np.full(3, 0.012), hue]
        colour = choices[random.choice(4, p=[0.4, 0.2, 0.2, 0.2])]
    elif name == "food":
        colour = np.array(colorsys.hsv_to_rgb(random.uniform(0, 0.33), random.uniform(0.5, 0.95), 0.7)) ** 2.2
    elif name == "microphone":
        colour = np.full(3, random.uniform(0.01, 0.3))
    return OccluderStyle(
        name,
        side,
        spot,
        turn,
        float(random.uniform(0.9, 1.1)),
        np.clip(colour, 0.002, 0.9),
        np.clip(colour * random.uniform(0.3, 1.2), 0.002, 0.9),
        float(random.uniform(0.05, 0.9)),
        np.clip(skin * random.uniform(0.85, 1.1), 0.01, 0.95),
        bool(random.random() < 0.6),
    )


def build_occluder(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    """cloth: (3,) linear RGB of a sleeve."""
    build = {
        "hand": _bare_hand,
        "phone": _phone,
        "cup": _cup,
        "microphone": _microphone,
        "food": _food,
        "mask": _mask,
        "scarf": _scarf,
    }
    return build[style.name](fit, style, cloth)


def _bare_hand(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    return _hand(fit, style, style.place * fit.scale, style.turn, fit.height, cloth)


def _hand(
    fit: HeadFit, style: OccluderStyle, knuckles: np.ndarray, turn_: float, heights: Heights, cloth: np.ndarray
) -> list[Part]:
    """A hand with its knuckles at a place, fingers pointing up, turned; palm and every finger lie on what is below."""
    size = style.size * (0.35 + 0.65 * fit.scale)
    mirrored = style.side
    along = np.array([np.sin(turn_), np.cos(turn_), 0.0])
    across = np.array([np.cos(turn_), -np.sin(turn_), 0.0]) * mirrored
    wrist = np.array([*knuckles, 0.0]) - along * 0.09 * size

    def spot(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return wrist + (across * u[:, None] + along * v[:, None]) * size

    distance, width, thickness = PALM.T
    path = spot(np.zeros(len(PALM)), distance)
    flat = np.concatenate([spot(np.full(6, u), np.linspace(-0.01, 0.1, 6)) for u in (-0.035, 0.0, 0.035)])
    ground = heights(flat, 0.004)
    palm_z = ground.max() + 0.016 * size + 0.001
    # Palm and wrist are stiff, the forearm leads away from the body.
    path[:, 2] = palm_z + np.clip(-distance, 0, 1) * 0.45 * size
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    section = ring * np.stack([width, thickness], axis=1)[:, None] * size
    skin = np.tile(style.skin, (len(PALM), 1))
    solids = [sweep(path, section, skin, 0.25, FORWARD)]
    tips = style.skin * np.array([1.05, 0.9, 0.88])
    share = np.linspace(0, 1, 9)
    taper = np.array([1.0, 1.0, 0.96, 0.92, 0.95, 0.9, 0.86, 0.72, 0.3])
    for u, start, length in FINGERS:
        solids.append(
            _finger(
                spot(u * (1 + 0.22 * share), start - 0.012 + (length + 0.012) * share),
                0.0088 * size * taper,
                palm_z - 0.003 * size,
                heights,
                style.skin + (tips - style.skin) * share[:, None] ** 2,
            )
        )
    thumb = spot(-0.030 - 0.036 * share**0.7, 0.018 + 0.055 * share)
    solids.append(_finger(thumb, 0.0105 * size * taper, palm_z - 0.003 * size, heights, np.tile(style.skin, (9, 1))))
    parts = [Part(shaded(fit.place(join(solids))), CLASS_ID["background"])]
    if style.sleeve:
        sleeve = path[:2] + (path[2] - path[1]) * np.array([[0.0], [0.1]])
        section = circle(np.array([0.058, 0.046]) * size, 14)
        parts.append(Part(shaded(fit.place(sweep(sleeve, section, cloth, 0.0, FORWARD))), CLASS_ID["cloth"]))
    return parts


def _finger(path: np.ndarray, radii: np.ndarray, knuckle: float, heights: Heights, colour: np.ndarray) -> Solid:
    """A finger that bends down from the knuckle's height until it lies on what is below."""
    share = np.linspace(0, 1, len(path))
    ground = heights(path, 0.004) + radii + 0.001
    reach = knuckle - 0.055 * share**1.4
    lowest = np.maximum(ground, reach)
    # A finger is stiff: no point lies far below the line between its neighbours.
    for _ in range(3):
        lowest[1:-1] = np.maximum(lowest[1:-1], 0.5 * (lowest[:-2] + lowest[2:]) - 0.0015)
    lowest[0] = knuckle
    path = np.column_stack([path[:, :2], lowest])
    return sweep(path, circle(radii, 8), colour, 0.3, FORWARD)


def _held(fit: HeadFit, style: OccluderStyle, solid: Solid, heights: Heights, grip: np.ndarray, turn_: float,
          cloth: np.ndarray) -> list[Part]:  # fmt: skip
    hand = _hand(fit, style, grip, turn_, heights, cloth)
    return [Part(shaded(fit.place(solid)), CLASS_ID["background"]), *hand]


def _turned(solid: Solid, turn_: float) -> Solid:
    cosine, sine = np.cos(turn_), np.sin(turn_)
    return solid.moved(solid.points @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]]))


def _laid(fit: HeadFit, solid: Solid, place: np.ndarray, gap: float) -> Solid:
    """Move a thing over a place of the face and down to it."""
    solid = solid.moved(solid.points + np.array([*place, 0.0]))
    return solid.moved(solid.points + np.array([0, 0, fit.settle(solid.points, gap)]))


def _phone(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    width, height = 0.073 * style.size, 0.152 * style.size
    phone = box((width, height, 0.009), 0.01, style.colour, style.gloss)
    eyes = [
        ellipsoid(
            np.array([0.4 * width - 0.008, 0.42 * height - shift, 0.0045]),
            (0.006, 0.006, 0.001),
            np.full(3, 0.004),
            0.9,
            6,
        )
        for shift in (0.004, 0.02)
    ]
    place = style.place * fit.scale
    phone = _laid(fit, _turned(join([phone, *eyes]), style.turn), place, 0.004)
    front = phone.points[:, 2].max()
    down = np.array([-np.sin(style.turn), -np.cos(style.turn)])
    grip = place + down * 0.6 * height
    edge = np.array([np.cos(style.turn), -np.sin(style.turn)]) * style.side

    def heights(points: np.ndarray, radius: float) -> np.ndarray:
        beside = np.abs((points[:, :2] - place) @ edge) > 0.5 * width + 0.004
        return np.where(beside, fit.height(points, radius), front)

    return _held(fit, style, phone, heights, grip, style.turn - style.side * 0.25, cloth)


def _cup(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    radius, height = 0.036 * style.size, 0.095 * style.size
    shape = [(0.0, 0.0), (0.8, 0.0), (0.83, 0.02), (0.92, 0.5), (1.0, 0.97), (1.0, 1.0), (0.95, 1.0), (0.8, 0.1)]
    profile = np.array(shape) * (radius, height)
    cup = turn(profile, style.colour, style.gloss, 24)
    lean = np.radians(35)  # its rim towards the mouth
    tilt = np.array([[1, 0, 0], [0, np.cos(lean), np.sin(lean)], [0, -np.sin(lean), np.cos(lean)]])
    cup = cup.moved((cup.points - (0, height, 0)) @ tilt.T)
    place = fit.landmarks[57, :2] + (0.0, 0.004)
    cup = _laid(fit, cup, place, 0.001)
    middle = cup.points.mean(0)
    return _held(fit, style, cup, _over(fit, cup), middle[:2] + (style.side * 0.012, -0.005), -style.side * 1.25, cloth)


def _over(fit: HeadFit, solid: Solid) -> Heights:
    """Heights of the face with a thing before it."""
    points = solid.points

    def heights(spots: np.ndarray, radius: float) -> np.ndarray:
        distance = np.linalg.norm(spots[:, None, :2] - points[None, :, :2], axis=2)
        above = np.where(distance < radius + 0.006, points[:, 2], -1.0).max(1)
        return np.maximum(fit.height(spots, radius), above)

    return heights


def _microphone(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    ball = 0.025 * style.size
    shape = [(0.0, 1.0), (0.5, 0.86), (0.87, 0.5), (1.0, 0.0), (0.9, -0.45), (0.7, -0.8), (0.72, -0.9), (0.42, -2.0)]
    shape += [(0.36, -7.0), (0.0, -7.0)]
    dark = np.full(3, 0.008)
    colours = np.array([style.colour] * 5 + [dark] * 5)
    stick = turn(np.array(shape) * ball, colours, 0.35, 20)
    lean, swing = np.radians(40), 0.4 * style.side
    tilt = np.array([[1, 0, 0], [0, np.cos(lean), np.sin(lean)], [0, -np.sin(lean), np.cos(lean)]])
    stick = _turned(stick.moved(stick.points @ tilt.T), -swing)
    stick = _laid(fit, stick, style.place * fit.scale, 0.004 + 0.03 * style.gloss)
    grip = stick.points[-60:].mean(0)[:2] + (0.02 * style.side, 0.012)
    return _held(fit, style, stick, _over(fit, stick), grip, -style.side * 1.1, cloth)


def _food(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    radii = (0.036 * style.size, 0.022 + 0.012 * style.gloss, 0.03)
    food = ellipsoid(np.zeros(3), radii, style.colour, 0.3 * style.gloss, 10)
    place = fit.landmarks[57, :2] + (0.0, -0.006)
    food = _laid(fit, food, place, 0.001)
    grip = place + np.array([style.side * 0.04, -0.05]) * fit.scale
    return _held(fit, style, food, _over(fit, food), grip, -style.side * 0.7, cloth)


def _drape(surface: np.ndarray, cells: int, blur: int) -> np.ndarray:
    """Bridge the hollows of a map like ``HeadFit.skull``; nowhere below it."""
    return np.maximum(smooth_around(spread(surface, cells, wrap=True), blur), surface)


def _mask(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    """A surgical mask from the bridge of the nose to under the chin, with loops to the ears."""
    rows, columns = 26, 41
    azimuth, polar, _ = fit.around(fit.landmarks)
    jaw_azimuth = 0.5 * (azimuth[8:15] - azimuth[8:1:-1])
    jaw_polar = 0.5 * (polar[8:15] + polar[8:1:-1])
    side = 0.96 * jaw_azimuth[-1]
    across = np.linspace(-1, 1, columns)[None]
    down = np.linspace(0, 1, rows)[:, None]
    edge = np.abs(across)
    top = polar[28] + 0.02 + (polar[30] + 0.02 - polar[28]) * edge**1.8
    jaw = np.interp(edge * side, jaw_azimuth, jaw_polar)
    bottom = jaw + 0.12 * (1 - edge**2) - 0.04 * edge**4
    angle = top + (bottom - top) * down
    turn_ = np.broadcast_to(across * side, angle.shape)
    head = fit.wrap(fit.points, fit.fitter.head_faces)
    radius = fit.look_up(_drape(head, 3, 2), turn_, angle) + 0.0025
    radius = radius + 0.0012 * np.sin(down * 22) * (1 - edge**1.8)
    points = fit.ray(turn_, angle, radius)
    colours = np.tile(np.append(style.colour, 0.05), (rows * columns, 1))
    colours[np.arange(rows * columns) // columns < 1, :3] *= 0.8
    mask = Solid(points.reshape(-1, 3), grid_faces(rows, columns), colours)
    loops = []
    for column, ear in ((-1, "left"), (0, "right")):
        root = fit.points[fit.fitter.ear_roots[ear]]
        for row, target in ((1, root[root[:, 1].argmax()]), (-2, root[root[:, 1].argmin()])):
            line = points[row, column] + (target - points[row, column]) * np.linspace(0, 1, 7)[:, None]
            line_azimuth, line_polar, line_radius = fit.around(line)
            clear = fit.look_up(head, line_azimuth, line_polar) + 0.0012
            line = fit.ray(
                line_azimuth, line_polar, np.where(np.arange(7) < 5, np.maximum(clear, line_radius), line_radius)
            )
            loops.append(sweep(line, circle(0.0011, 5), np.full(3, 0.7) * (style.colour.max() > 0.1) + 0.01, 0.1, UP))
    return [
        Part(shaded(fit.place(mask)), CLASS_ID["background"]),
        Part(shaded(fit.place(join(loops))), None),
    ]


def _scarf(fit: HeadFit, style: OccluderStyle, cloth: np.ndarray) -> list[Part]:
    """A scarf wound around neck and chin."""
    rows, columns = 22, 72
    _, polar, _ = fit.around(fit.landmarks)
    height = {True: 51, False: 57}[style.turn > 0.5]
    front = np.cos(np.linspace(-np.pi, np.pi, columns))[None]
    turn_ = np.linspace(-np.pi, np.pi, columns)[None]
    down = np.linspace(0, 1, rows)[:, None]
    top = polar[height] + 0.05 - 0.12 * (1 - front)
    bottom = 2.74 - 0.05 * front
    angle = top + (bottom - top) * down
    turn_ = np.broadcast_to(turn_, angle.shape)
    base = np.minimum(fit.look_up(_drape(fit.skull, 3, 3), turn_, angle), 0.105 * fit.scale / np.sin(angle))
    folds = np.sin(down * 17 + 2.0 * np.sin(turn_ + style.place[0] * 40)) + 0.6 * np.sin(down * 31 + 3 * turn_)
    thick = np.sin(np.pi * np.clip(down * 1.05, 0, 1)) ** 0.4
    radius = base + 0.003 + thick * (0.012 + 0.004 * folds) * style.size
    points = fit.ray(turn_, angle, radius)
    stripes = np.where(np.sin(down * 60) > 0.5, 1.0, 0.0)[..., None] * (style.gloss > 0.5)
    colours = style.colour * (1 - stripes) + style.second * stripes
    colours = np.broadcast_to(colours, (rows, columns, 3)) * (1 + 0.12 * folds[..., None])
    colours = np.concatenate([np.clip(colours, 0, 1), np.zeros((rows, columns, 1))], axis=2)
    scarf = Solid(points.reshape(-1, 3), grid_faces(rows, columns), colours.reshape(-1, 4))
    return [Part(shaded(fit.place(scarf)), CLASS_ID["cloth"])]
