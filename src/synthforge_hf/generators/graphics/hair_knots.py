"""Hair tied together at the back: a bun or a ponytail."""

import numpy as np

from synthforge_hf.generators.graphics.hair_ground import HairGround
from synthforge_hf.generators.graphics.hair_strands import Strands, unit
from synthforge_hf.generators.graphics.hair_styles import HairStyle
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh

NAPE_COLUMN = 48


def knot_place(ground: HairGround, style: HairStyle) -> tuple[np.ndarray, np.ndarray]:
    """Where hair is tied: (3,) point on the scalp at the back, metres, and (3,) unit vector off it."""
    row = np.interp(style.tie, ground.polar[:, NAPE_COLUMN], np.arange(len(ground.polar)))
    place = np.array([row]), np.array([float(NAPE_COLUMN)])
    return ground.at(ground.points, *place)[0], unit(ground.at(ground.outward, *place)[0])


def tie_knot(ground: HairGround, style: HairStyle, random: np.random.Generator) -> tuple[list[ShadedMesh], Strands]:
    """Return the opaque core of the knot and the clumps around it."""
    place, outward = knot_place(ground, style)
    if style.name == "bun":
        radius = random.uniform(0.020, 0.034)
        centre = place + outward * (0.75 * radius + style.volume_side)
        return [_ball(centre, 0.92 * radius)], _wound(centre, radius, outward, style, random)
    return [], _tail(place + outward * style.volume_side, outward, style, random)


def _ball(centre: np.ndarray, radius: float) -> ShadedMesh:
    polar, around = np.meshgrid(np.linspace(0, np.pi, 11), np.linspace(0, 2 * np.pi, 21), indexing="ij")
    normals = np.stack([np.sin(polar) * np.cos(around), np.cos(polar), -np.sin(polar) * np.sin(around)], axis=-1)
    rows, columns = polar.shape
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    below, right = first + columns, first + 1
    faces = np.concatenate([np.stack([first, below, right], 1), np.stack([right, below, below + 1], 1)]).astype(
        np.int32
    )
    vertices = (centre + radius * normals).reshape(-1, 3).astype(np.float32)
    number = len(vertices)
    return ShadedMesh(
        vertices,
        faces,
        np.full(len(faces), Material.HAIR, dtype=np.uint8),
        vertex_normals(vertices, faces),
        np.stack([around / (2 * np.pi), polar], axis=-1).reshape(-1, 2).astype(np.float32),
        np.stack([np.sin(around), np.zeros_like(around), np.cos(around)], axis=-1).reshape(-1, 3).astype(np.float32),
        np.full(number, 0.7, dtype=np.float32),
        np.zeros((number, 4), dtype=np.float32),
    )


def _wound(
    centre: np.ndarray, radius: float, axis: np.ndarray, style: HairStyle, random: np.random.Generator
) -> Strands:
    """Clumps wound around an axis that sticks out of the head, as a bun is."""
    number, steps = 240, 9
    right = unit(np.cross(axis, [0.0, 1.0, 0.2]))
    up = np.cross(right, axis)
    tilt = random.normal(0, 0.25, (number, 1))
    height = random.uniform(-0.9, 0.95, (number, 1)) + tilt * np.linspace(-1, 1, steps)
    angle = random.uniform(0, 2 * np.pi, (number, 1)) + np.linspace(0, random.uniform(1.2, 2.2), steps)
    height = np.clip(height, -0.99, 0.99)
    ring = np.sqrt(1 - height**2)
    normal = (
        (ring * np.cos(angle))[..., None] * right + (ring * np.sin(angle))[..., None] * up + height[..., None] * axis
    )
    layer = random.random(number)
    points = centre + normal * (radius * (0.94 + 0.14 * layer))[:, None, None]
    return Strands(
        points,
        normal,
        style.width * random.uniform(0.7, 1.4, number),
        0.6 + 0.4 * layer,
        np.ones((number, steps, 3)),
        np.radians(20) * random.normal(size=number),
    )


def _tail(place: np.ndarray, outward: np.ndarray, style: HairStyle, random: np.random.Generator) -> Strands:
    """Clumps that leave the knot outwards and fall."""
    number, steps = 260, 11
    along = np.linspace(0, 1, steps)
    length = random.uniform(0.16, 0.30) * random.uniform(0.8, 1.05, number)
    angle, spread = random.uniform(0, 2 * np.pi, number), np.sqrt(random.random(number))
    side = unit(np.cross(outward, [0.0, 1.0, 0.2]))
    over = np.cross(side, outward)
    thickness = 0.007 + 0.018 * np.sin(np.pi * np.minimum(along * 0.9 + 0.05, 1))
    disc = np.cos(angle)[:, None, None] * side + np.sin(angle)[:, None, None] * over
    out = outward * (0.035 * (1 - np.exp(-along * 6)))[:, None] + np.array([0, 0, -0.015]) * along[:, None]
    down = np.array([0, -1.0, 0]) * (length[:, None] * np.maximum(along - 0.05, 0) ** 1.15)[..., None]
    points = place + out + down + disc * (spread[:, None] * thickness)[..., None]
    facing = unit(disc + 0.3 * outward) * np.ones((1, steps, 1))
    return Strands(
        points,
        facing,
        1.4 * style.width * random.uniform(0.7, 1.3, number),
        0.5 + 0.5 * spread,
        np.ones((number, steps, 3)),
        np.radians(25) * random.normal(size=number),
    )
