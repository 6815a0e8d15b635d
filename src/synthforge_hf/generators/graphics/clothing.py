"""Clothes: layers cut from the torso's surface along necklines, with collars, lapels, ties and rolled hoods."""

import colorsys
from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.generators.graphics.fitting import HeadFit
from synthforge_hf.generators.graphics.parts import Part
from synthforge_hf.generators.graphics.solids import Solid, grid_faces, join, shaded
from synthforge_hf.generators.graphics.torso import Torso, clip_faces
from synthforge_hf.rendering.mesh import used_vertices, vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh
from synthforge_hf.segmentation_classes import CLASS_ID

KINDS = (
    "t-shirt",
    "v-neck",
    "wide neck",
    "turtleneck",
    "shirt",
    "suit",
    "jacket",
    "hoodie",
    "tank top",
    "off-shoulder",
)
WOMEN = (0.2, 0.15, 0.08, 0.09, 0.13, 0.08, 0.12, 0.06, 0.06, 0.03)
MEN = (0.23, 0.06, 0.01, 0.06, 0.17, 0.27, 0.1, 0.09, 0.01, 0.0)
CHILDREN = (0.4, 0.08, 0.05, 0.07, 0.14, 0.02, 0.05, 0.14, 0.05, 0.0)
COLLAR_COLUMNS = 49


@dataclass(frozen=True)
class Outfit:
    """name: one of KINDS. neckline: height at the sides of the neck on the mean body, metres. drop: how much lower it
    is in front. point: 0 round to 1 pointed. width: of the neckline, metres. thickness: metres. collar: height of a
    collar or roll, metres. tie: whether one is worn; open_by: metres a collar stands open. colours: (3, 3) linear RGB
    of jacket, shirt and tie. phase: where folds lie."""

    name: str
    neckline: float
    drop: float
    point: float
    width: float
    thickness: float
    collar: float
    tie: bool
    open_by: float
    colours: np.ndarray
    phase: float

    @property
    def has_collar(self) -> bool:
        """Whether it closes around the neck, where a necklace would lie."""
        return self.name in ("turtleneck", "shirt", "suit", "jacket", "hoodie")


def sample_outfit(gender: float, age: float, random: np.random.Generator) -> Outfit:
    shares = CHILDREN if age < 0.3 else (MEN if gender > 0.5 else WOMEN)
    name = str(random.choice(KINDS, p=np.array(shares) / sum(shares)))
    neckline, drop, point, width = {
        "t-shirt": (random.uniform(-0.15, -0.128), random.uniform(0.008, 0.035), random.uniform(0, 0.2), 0.065),
        "v-neck": (random.uniform(-0.16, -0.135), random.uniform(0.05, 0.14), random.uniform(0.6, 1.0), 0.062),
        "wide neck": (random.uniform(-0.19, -0.17), random.uniform(0.02, 0.1), random.uniform(0.0, 0.3), 0.11),
        "turtleneck": (-0.125, 0.01, 0.0, 0.065),
        "hoodie": (random.uniform(-0.15, -0.135), random.uniform(0.02, 0.05), 0.1, 0.065),
        "tank top": (random.uniform(-0.17, -0.15), random.uniform(0.06, 0.13), random.uniform(0, 0.4), 0.085),
        "off-shoulder": (random.uniform(-0.25, -0.225), random.uniform(0.0, 0.03), 0.3, 0.08),
    }.get(name, (-0.132, random.uniform(0.02, 0.05), 0.7, 0.05))
    hue = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0.2, 0.9), random.uniform(0.1, 0.8))) ** 2.2
    dark = np.array([(0.006, 0.006, 0.007), (0.012, 0.016, 0.04), (0.035, 0.035, 0.04), (0.04, 0.025, 0.015)])
    jacket = dark[random.choice(4, p=[0.4, 0.28, 0.2, 0.12])] * random.uniform(0.6, 1.6)
    if random.random() < (0.15 if name == "suit" else 0.45):
        jacket = hue if name == "jacket" else np.full(3, random.uniform(0.08, 0.4))
    light = np.array([(0.75, 0.75, 0.75), (0.45, 0.58, 0.78), (0.012, 0.012, 0.013)])[
        random.choice(3, p=[0.7, 0.15, 0.15])
    ]
    shirt = light if name == "suit" or random.random() < 0.4 else hue[::-1]
    tie = np.array(colorsys.hsv_to_rgb(random.random(), random.uniform(0, 0.9), random.uniform(0.05, 0.7))) ** 2.2
    has_tie = name == "suit" and bool(random.random() < 0.65)
    return Outfit(
        name,
        float(neckline),
        float(drop),
        float(point),
        float(width),
        float(random.uniform(0.004, 0.008)),
        float(random.uniform(0.8, 1.5)),
        has_tie,
        0.0 if has_tie else float(random.uniform(0.15, 0.6)),
        np.clip(np.stack([jacket, shirt, tie]), 0.003, 0.85),
        float(random.uniform(0, 2 * np.pi)),
    )


class Wardrobe:
    """Dresses bodies of one head model."""

    def __init__(self, torso: Torso) -> None:
        self.torso = torso

    def dress(self, vertices: np.ndarray, fit: HeadFit, outfit: Outfit) -> list[Part]:
        """Return the clothes of a body with these (V, 3) vertices (head frame, metres), and bare arms' lower ends."""
        torso = self.torso
        points = torso.points(vertices)
        body = _Body(torso, points, vertex_normals(points, torso.faces))
        jacketed = outfit.name in ("suit", "jacket")
        label = CLASS_ID["cloth"]
        cut = _neckline(torso.rest, outfit)
        if outfit.name in ("tank top", "off-shoulder"):
            cut = np.minimum(cut, _armholes(torso.rest)) if outfit.name == "tank top" or outfit.point > 0.5 else cut
        if jacketed:  # what a jacket covers is left out
            cut = np.minimum(cut, 0.11 - np.abs(torso.rest[:, 0]))
        shirt_colour = outfit.colours[1] if jacketed else None
        parts = [Part(body.layer(cut, outfit.thickness, shirt_colour), label)]
        if outfit.name == "tank top":
            parts.append(Part(body.arms(), CLASS_ID["neck"]))
        pieces: list[Solid] = []
        if jacketed:
            parts.append(Part(body.layer(_jacket(torso.rest), outfit.thickness + 0.006, outfit.colours[0]), label))
            pieces += [_lapel(body, outfit, side) for side in (1.0, -1.0)]
            if outfit.tie:
                pieces += _tie(body, outfit)
        neck = fit.neck if outfit.has_collar else fit
        if outfit.name == "suit" or (outfit.name == "shirt") or (jacketed and outfit.phase > 3):
            pieces.append(_shirt_collar(neck, outfit))
        if jacketed:
            pieces.append(_jacket_collar(neck, outfit))
        if outfit.name in ("turtleneck", "hoodie"):
            pieces.append(_roll(neck, outfit))
        plain = [piece for piece in pieces if not np.isnan(piece.colours).any()]
        if plain:
            parts.append(Part(shaded(join(plain)), label))
        cloth = [
            replace(piece, colours=np.zeros_like(piece.colours)) for piece in pieces if np.isnan(piece.colours).any()
        ]
        if cloth:
            parts.append(Part(shaded(join(cloth), Material.CLOTH), label))
        return parts


@dataclass(frozen=True)
class _Body:
    torso: Torso
    points: np.ndarray
    normals: np.ndarray

    def layer(self, inside: np.ndarray, thickness: float, colour: np.ndarray | None) -> ShadedMesh:
        """The surface where ``inside`` (N,) is above 0, pushed out, with a hem. colour: (3,), None: patterned cloth."""
        torso = self.torso
        faces, between, share, edges = clip_faces(torso.faces, inside)
        first, second = between.T

        def with_cuts(values: np.ndarray) -> np.ndarray:
            blend = share[:, None]
            cuts = values[first] * (1 - blend) + values[second] * blend
            return np.concatenate([values, cuts]).astype(np.float32)

        skin, normals, rest = with_cuts(self.points), with_cuts(self.normals), with_cuts(torso.rest)
        occlusion = with_cuts(torso.occlusion[:, None])[:, 0]
        # Near its edge cloth lies closer; folds wander over the rest.
        depth = np.concatenate([np.clip(inside / 0.03, 0, 1), np.zeros(len(between))])
        shell = skin + normals * (thickness * (0.6 + 0.4 * depth))[:, None].astype(np.float32)
        # The hem: the cut once more, just below the skin.
        hem = np.arange(len(torso.rest), len(skin)) - len(torso.rest) + len(skin)
        below = np.concatenate([np.arange(len(torso.rest)), hem])
        shell = np.concatenate([shell, (skin - 0.001 * normals)[len(torso.rest) :]])
        strips = np.concatenate(
            [
                np.stack([edges[:, 0], below[edges[:, 0]], edges[:, 1]], 1),
                np.stack([edges[:, 1], below[edges[:, 0]], below[edges[:, 1]]], 1),
            ]
        )
        cuts = slice(len(torso.rest), None)
        faces = np.concatenate([faces, strips]).astype(np.int32)
        used, faces = used_vertices(faces, len(shell))

        def kept(values: np.ndarray) -> np.ndarray:
            return np.ascontiguousarray(np.concatenate([values, values[cuts]])[used])

        tint = np.zeros(4) if colour is None else np.append(colour, 0.03)
        colours = np.tile(tint, (len(used), 1)).astype(np.float32)
        material = Material.CLOTH if colour is None else Material.COLOURED
        return ShadedMesh(
            np.ascontiguousarray(shell[used]),
            faces,
            np.full(len(faces), material, dtype=np.uint8),
            kept(normals),
            kept(rest[:, :2] * 4),
            np.zeros((len(used), 3), dtype=np.float32),
            kept(occlusion),
            colours=colours,
        )

    def arms(self) -> ShadedMesh:
        """The added lower ends of bare arms."""
        torso = self.torso
        used, faces = used_vertices(torso.faces[torso.arms], len(self.points))
        return ShadedMesh(
            self.points[used],
            faces,
            np.full(len(faces), Material.SKIN, dtype=np.uint8),
            self.normals[used],
            torso.uv[used],
            np.zeros((len(used), 3), dtype=np.float32),
            torso.occlusion[used],
        )

    def front(self, places: np.ndarray, lift: np.ndarray | float) -> np.ndarray:
        return self.torso.front(self.points, self.normals, places, np.broadcast_to(lift, places.shape[:-1]))


def _neckline(rest: np.ndarray, outfit: Outfit) -> np.ndarray:
    """(N,) metres below the neckline."""
    x, y, z = rest.T
    # 0 at the neck's sides, 1 in the middle of the chest; the back of the neck stays high.
    front = np.clip((z + 0.11) / 0.06, 0, 1)
    spread = outfit.width * (1 - 0.4 * outfit.point)
    shape = np.exp(-(np.abs(x / spread) ** (2 - 0.8 * outfit.point)))
    return outfit.neckline - outfit.drop * front * shape - y


def _armholes(rest: np.ndarray) -> np.ndarray:
    """(N,) metres inside the armholes of a sleeveless garment."""
    x, y, _ = rest.T
    return np.interp(y, [-0.29, -0.15], [0.18, 0.115]) - np.abs(x)


def _opening(y: np.ndarray) -> np.ndarray:
    """Half width of a jacket's opening at a height of the mean body, metres."""
    return np.interp(y, [-0.46, -0.38, -0.155, -0.12], [-0.02, 0.004, 0.060, 0.066])


def _jacket(rest: np.ndarray) -> np.ndarray:
    x, y, z = rest.T
    front = np.abs(x) - _opening(y)
    behind = np.maximum(np.abs(x) - 0.064, -0.13 - y)
    return np.where(z > -0.085, front, behind)


def _cloth_sheet(points: np.ndarray, colour: np.ndarray | None) -> Solid:
    """colour: (3,); None for the patterned cloth of the main garment, marked by NaN."""
    count = points.shape[0] * points.shape[1]
    tint = np.full(4, np.nan) if colour is None else np.append(colour, 0.03)
    return Solid(points.reshape(-1, 3), grid_faces(*points.shape[:2]), np.tile(tint, (count, 1)))


def _lapel(body: _Body, outfit: Outfit, side: float) -> Solid:
    """The front edge of a jacket, folded back, with a notch."""
    share = np.linspace(0, 1, 33)
    y = -0.155 - share * 0.222
    inner = np.stack([_opening(y) - 0.002, y], axis=1)
    broad = 0.8 + 0.35 * outfit.collar
    width = np.interp(
        share, [0, 0.14, 0.19, 0.20, 0.24, 1.0], np.array([0.030, 0.034, 0.036, 0.022, 0.050, 0.004]) * broad
    )
    rise = np.interp(share, [0, 0.19, 0.2, 0.26, 1.0], [-0.006, -0.004, 0.0, 0.010, 0.0])
    across = np.linspace(0, 1, 5)[None, :, None]
    outer = inner + np.stack([width, rise], axis=1)
    places = inner[:, None] * (1 - across) + outer[:, None] * across
    places[..., 0] *= side
    lift = outfit.thickness + 0.007 + 0.0035 * np.sin(np.pi * np.clip(across[..., 0] * 0.7 + 0.1, 0, 1))
    return _cloth_sheet(body.front(places, np.broadcast_to(lift, places.shape[:2])), outfit.colours[0] * 1.12)


def _tie(body: _Body, outfit: Outfit) -> list[Solid]:
    share = np.linspace(0, 1, 16)[:, None]
    y = -0.158 - 0.34 * share
    half = np.interp(share, [0, 0.06, 0.14, 1.0], [0.016, 0.014, 0.011, 0.040])
    across = np.linspace(-1, 1, 5)[None]
    places = np.stack(np.broadcast_arrays(across * half, y), axis=-1)
    # Under the closed jacket it lies flat.
    thick = (
        np.interp(share, [0, 0.06, 0.1, 0.5, 0.65], [0.014, 0.014, 0.006, 0.005, -0.001]) * (1 - 0.35 * across**2)
        + 0.002
    )
    sheet = _cloth_sheet(body.front(places, outfit.thickness + thick), outfit.colours[2])
    stripes = np.sin((places[..., 0] + places[..., 1]).reshape(-1) * 260 + outfit.phase) > 0.4
    if outfit.phase > 2.5:
        sheet.colours[stripes, :3] = outfit.colours[1] * 0.6
    return [sheet]


def _neck_radius(neck: HeadFit) -> tuple[np.ndarray, np.ndarray]:
    """(COLLAR_COLUMNS,) azimuths from front around to front, and distance of the neck's skin from its middle."""
    azimuth = np.linspace(0, 2 * np.pi, COLLAR_COLUMNS)
    azimuth = np.where(azimuth > np.pi, azimuth - 2 * np.pi, azimuth)
    polar = np.radians([84.0, 88.0, 92.0])[:, None]
    radius = neck.look_up(
        neck.throat, np.broadcast_to(azimuth, (3, COLLAR_COLUMNS)), np.broadcast_to(polar, (3, COLLAR_COLUMNS))
    )
    radius = np.minimum(radius.min(0), 0.085 * neck.scale)
    for _ in range(3):
        radius = np.maximum(radius, 0.5 * (np.roll(radius, 1) + np.roll(radius, -1)))
    return azimuth, radius


def _ring(azimuth: np.ndarray, radius: np.ndarray, height: np.ndarray) -> np.ndarray:
    return np.stack(np.broadcast_arrays(np.sin(azimuth) * radius, height, np.cos(azimuth) * radius), axis=-1)


def _shirt_collar(neck: HeadFit, outfit: Outfit) -> Solid:
    """A stand around the neck and the leaf that falls over it, down to two points in front."""
    azimuth, radius = _neck_radius(neck)
    away = np.abs(azimuth)
    opened = outfit.open_by * np.exp(-((away / 0.6) ** 2)) * 0.06
    top = 0.006 - 0.018 * np.cos(azimuth) - opened
    size = 0.031 * outfit.collar**0.5
    points_ = np.exp(-(((away - 0.25 - 0.4 * outfit.open_by) / 0.45) ** 2))
    drop = 0.75 * size + 0.5 * size * points_
    # Beside the neck the leaf lies on the sloping shoulder; steeper, its edge would run in and out of the cloth.
    slope = 1 + 0.7 * np.sin(azimuth) ** 2
    # Rows: inside of the stand, its top edge, and the leaf outwards and down.
    stand = radius + 0.002 + 0.5 * opened
    rows = [
        (stand, top - 0.035),
        (stand + 0.001, top),
        (stand + 0.0045, top + 0.0015),
        (stand + 0.007 + 0.1 * slope * drop, top - 0.35 * drop),
        (stand + 0.008 + 0.22 * slope * drop, top - 0.7 * drop),
        (stand + 0.009 + 0.38 * slope * drop, top - drop),
    ]
    # The leaf does not meet in front.
    gap = np.linspace(0.0, 1.0, len(rows))[:, None] * (0.10 + 0.6 * outfit.open_by)
    sign = np.ones(COLLAR_COLUMNS)
    sign[COLLAR_COLUMNS // 2 + 1 :] = -1
    turn = sign * (gap + away * (np.pi - gap) / np.pi)
    rings = np.stack([_ring(turn[k], r, h) for k, (r, h) in enumerate(rows)])
    colour = outfit.colours[1] if outfit.name != "shirt" else None
    return _cloth_sheet(neck.to_world(rings.reshape(-1, 3)).reshape(rings.shape), colour)


def _jacket_collar(neck: HeadFit, outfit: Outfit) -> Solid:
    """Behind the neck, from one lapel around to the other."""
    azimuth = np.linspace(0.95, 2 * np.pi - 0.95, 41)
    azimuth = np.where(azimuth > np.pi, azimuth - 2 * np.pi, azimuth)
    _, radius = _neck_radius(neck)
    radius = np.interp(azimuth % (2 * np.pi), np.linspace(0, 2 * np.pi, COLLAR_COLUMNS), radius)
    behind = 0.5 - 0.5 * np.cos(azimuth)
    top = -0.030 + 0.032 * behind
    rows = [(0.006, -0.03), (0.008, 0.0), (0.013, 0.001), (0.024, -0.02), (0.036, -0.045)]
    rings = np.stack([_ring(azimuth, radius + out + 0.006, top + down) for out, down in rows])
    return _cloth_sheet(neck.to_world(rings.reshape(-1, 3)).reshape(rings.shape), outfit.colours[0])


def _roll(neck: HeadFit, outfit: Outfit) -> Solid:
    """A turtleneck's tube, or a hood that lies on the shoulders."""
    azimuth, radius = _neck_radius(neck)
    down = np.linspace(0, 1, 12)[:, None]
    front = np.cos(azimuth)[None]
    if outfit.name == "turtleneck":
        height = 0.050 * outfit.collar
        rise = height * (1 - 0.12 * front) - 0.02 - (height + 0.03) * down
        bulge = 0.004 + 0.006 * np.sin(np.pi * np.clip(down * 1.1, 0, 1)) ** 0.5 + 0.02 * down**2
        bulge = bulge + 0.0012 * np.sin(8 * np.pi * down + np.sin(azimuth * 3 + outfit.phase))
        bulge = np.where(down == 0, 0.001, bulge)
    else:
        behind = 0.5 - 0.5 * front
        angle = np.pi * (1.15 * down - 0.1)
        thick = (0.012 + 0.035 * behind**1.5) * outfit.collar
        bulge = 0.008 + thick * (1 - np.cos(angle)) * 0.9
        rise = -0.030 + 0.022 * behind + thick * np.sin(angle) * 1.1 - 0.05 * np.clip(down - 0.6, 0, 1)
        bulge = bulge * (1 + 0.06 * np.sin(5 * azimuth + outfit.phase))
    rings = _ring(np.broadcast_to(azimuth, (12, COLLAR_COLUMNS)), radius + bulge, rise)
    return _cloth_sheet(neck.to_world(rings.reshape(-1, 3)).reshape(rings.shape), None)
