"""Building blocks of things worn or held: surfaces swept, turned and joined, with a colour per vertex."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from synthforge_hf.rendering.mesh import cross, vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh


@dataclass(frozen=True)
class Solid:
    """points: (N, 3) metres. faces: (M, 3) counter-clockwise seen from outside. colours: (N, 4) linear RGB and gloss
    (of lenses: share of light let through, and mirror strength)."""

    points: np.ndarray
    faces: np.ndarray
    colours: np.ndarray

    def moved(self, points: np.ndarray) -> "Solid":
        """The same thing with other (N, 3) points."""
        return Solid(points, self.faces, self.colours)


def join(solids: list[Solid]) -> Solid:
    offsets = np.cumsum([0] + [len(solid.points) for solid in solids[:-1]])
    return Solid(
        np.concatenate([solid.points for solid in solids]),
        np.concatenate([solid.faces + offset for solid, offset in zip(solids, offsets, strict=True)]),
        np.concatenate([solid.colours for solid in solids]),
    )


def shaded(solid: Solid, material: Material = Material.COLOURED, occlusion: float = 1.0) -> ShadedMesh:
    points = solid.points.astype(np.float32)
    faces = solid.faces.astype(np.int32)
    return ShadedMesh(
        points,
        faces,
        np.full(len(faces), material, dtype=np.uint8),
        vertex_normals(points, faces),
        (points[:, :2] * 4).astype(np.float32),
        np.zeros_like(points),
        np.full(len(points), occlusion, dtype=np.float32),
        colours=solid.colours.astype(np.float32),
    )


def dye(colour: np.ndarray, gloss: float, count: int) -> np.ndarray:
    """(count, 4) of one (3,) linear RGB colour."""
    return np.tile(np.append(np.clip(colour, 0, 1), gloss), (count, 1))


@lru_cache(maxsize=256)
def grid_faces(rows: int, columns: int, around: bool = False) -> np.ndarray:
    """Two triangles per cell of a (rows, columns) grid of points; ``around`` joins the last column to the first. Shared
    by all who ask for the same grid, and so not to be written to."""
    row, column = np.meshgrid(np.arange(rows - 1), np.arange(columns if around else columns - 1), indexing="ij")
    here = (row * columns + column).ravel()
    right = (row * columns + (column + 1) % columns).ravel()
    faces = np.concatenate(
        [np.stack([here, here + columns, right], 1), np.stack([right, here + columns, right + columns], 1)]
    )
    faces.setflags(write=False)
    return faces


def outward(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces of a closed surface, turned so that they look outwards."""
    centred = points - points.mean(0)
    first, second, third = (centred.take(faces[:, corner], axis=0) for corner in range(3))
    volume = np.einsum("fa,fa->", first, cross(second, third))
    return faces if volume >= 0 else faces[:, ::-1]


def sweep(
    path: np.ndarray, section: np.ndarray, colour: np.ndarray, gloss: float, up: np.ndarray, closed: bool = False
) -> Solid:
    """A section carried along a path.

    path: (N, 3). section: (K, 2) or (N, K, 2), metres sideways and along ``up`` ((3,) or (N, 3), about perpendicular to
    the path). closed: the path runs into its own start; else both ends are capped. colour: (3,) or (N, 3).
    """
    count = len(path)
    along = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = cross(along, np.asarray(up))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    rise = cross(side, along)
    section = np.broadcast_to(section, (count, *section.shape[-2:]))
    rings = path[:, None] + side[:, None] * section[..., :1] + rise[:, None] * section[..., 1:]
    corners = section.shape[1]
    points = rings.reshape(-1, 3)
    tint = np.repeat(np.broadcast_to(colour, (count, 3)), corners, axis=0)
    if closed:
        rows = np.concatenate([rings, rings[:1]]).shape[0]
        faces = grid_faces(rows, corners, around=True) % (count * corners)
    else:
        faces = grid_faces(count, corners, around=True)
        ring = np.arange(corners)
        following = (ring + 1) % corners
        last = (count - 1) * corners
        start, end = len(points), len(points) + 1
        points = np.concatenate([points, path[:1], path[-1:]])
        tint = np.concatenate([tint, tint[:1], tint[-1:]])
        faces = np.concatenate(
            [
                faces,
                np.stack([np.full(corners, start), ring, following], 1),
                np.stack([np.full(corners, end), last + following, last + ring], 1),
            ]
        )
    colours = np.concatenate([np.clip(tint, 0, 1), np.full((len(points), 1), gloss)], axis=1)
    return Solid(points, outward(points, faces), colours)


def circle(radius: float | np.ndarray, corners: int = 6) -> np.ndarray:
    """(K, 2) section of a tube, or (N, K, 2) for (N,) radii."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(radius)[..., None, None] * ring


def rounded_rectangle(width: float, height: float) -> np.ndarray:
    """(8, 2) section with bevelled corners."""
    x, y = 0.5 * width, 0.5 * height
    bevel = 0.55 * min(x, y)
    return np.array(
        [(x, y - bevel), (x - bevel, y), (bevel - x, y), (-x, y - bevel)]
        + [(-x, bevel - y), (bevel - x, -y), (x - bevel, -y), (x, bevel - y)]
    )


def turn(profile: np.ndarray, colour: np.ndarray, gloss: float, corners: int = 20) -> Solid:
    """A surface of revolution around y. profile: (N, 2) radius and height, from end to end. colour: (3,) or (N, 3)."""
    path = np.stack([np.zeros(len(profile)), profile[:, 1], np.zeros(len(profile))], axis=1)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.stack([np.cos(angle), np.zeros(corners), np.sin(angle)], axis=1)
    points = (path[:, None] + profile[:, 0, None, None] * ring).reshape(-1, 3)
    faces = outward(points, grid_faces(len(profile), corners, around=True))
    tint = np.repeat(np.broadcast_to(colour, (len(profile), 3)), corners, axis=0)
    return Solid(points, faces, np.concatenate([tint, np.full((len(points), 1), gloss)], axis=1))


def ellipsoid(
    centre: np.ndarray, radii: tuple[float, float, float], colour: np.ndarray, gloss: float, rings: int = 8
) -> Solid:
    angle = np.linspace(0, np.pi, rings)
    ball = turn(np.stack([np.sin(angle), -np.cos(angle)], axis=1), colour, gloss, 2 * rings - 2)
    return ball.moved(ball.points * radii + centre)


def box(size: tuple[float, float, float], bevel: float, colour: np.ndarray, gloss: float) -> Solid:
    """A box around the origin with bevelled edges (x and y outline rounded, then the front and back edge)."""
    x, y, z = (0.5 * value for value in size)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False) + np.pi / 24
    centre = np.stack([np.sign(np.cos(angle)) * (x - bevel), np.sign(np.sin(angle)) * (y - bevel)], axis=1)
    outline = centre + bevel * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lip = min(0.3 * z, 0.5 * bevel)
    shrink = 1 - lip / max(x, y)
    layers = [(0.0, -z), (shrink, -z), (1.0, -z + lip), (1.0, z - lip), (shrink, z), (0.0, z)]
    points = np.concatenate([np.column_stack([outline * scale, np.full(24, depth)]) for scale, depth in layers])
    faces = outward(points, grid_faces(len(layers), 24, around=True))
    return Solid(points, faces, dye(colour, gloss, len(points)))
