"""Clumps of hair as ribbons: strips of triangles along a path, tapered to the tip, shaded as if they were round."""

from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.rendering.shading import Material, ShadedMesh

ROUNDNESS = 0.55
"""How far the normals of a ribbon's edges lean outwards, so that it catches the light like a thin cylinder."""
METRES_PER_V = 0.10
"""Length of hair over which the strand texture's v grows by 1."""
AWAY = 0.3
"""Cosine between line of sight and normal from which on a ribbon is taken to lie on the far side."""
STRAND_WIDTH_U = 0.006
"""Share of the strand texture that lies across a ribbon."""


@dataclass(frozen=True)
class Strands:
    """N clumps of hair of K points each.

    points: (N, K, 3) head frame, metres, from root to tip. outward: (N, K, 3) unit vectors off the surface the hair
    lies on. width: (N,) at the thickest place, metres. occlusion: (N,) share of the light that reaches the clump.
    tint: factors on the hair's colour, broadcast to (N, K, 3). roll: (N,) angle about the path, radians; 0 lies flat.
    blunt: width of the tip as a share of the thickest place.
    """

    points: np.ndarray
    outward: np.ndarray
    width: np.ndarray
    occlusion: np.ndarray
    tint: np.ndarray
    roll: np.ndarray
    blunt: float = 0.12


def ribbons(strands: Strands, random: np.random.Generator) -> ShadedMesh:
    """Turn clumps into one mesh of ``Material.HAIR`` with 2 K vertices and 2 (K - 1) triangles each."""
    points = strands.points.astype(np.float32)
    number, steps = len(points), points.shape[1]
    tangent = np.empty_like(points)
    tangent[:, 1:-1] = points[:, 2:] - points[:, :-2]
    tangent[:, 0], tangent[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    tangent = unit(tangent)
    flat = unit(cross(tangent, strands.outward.astype(np.float32)))
    up = cross(flat, tangent)
    roll = strands.roll.astype(np.float32)[:, None, None]
    cosine, sine = np.cos(roll), np.sin(roll)
    side = flat * cosine + up * sine
    normal = up * cosine - flat * sine

    along = np.linspace(0, 1, steps, dtype=np.float32)
    profile = np.minimum(0.45 + 2.2 * along, 1.0) * (1 - (1 - strands.blunt) * along**2.5)
    half = side * (0.5 * strands.width.astype(np.float32)[:, None, None] * profile[:, None])
    vertices = np.stack([points - half, points + half], axis=2)
    normals = np.stack([normal - ROUNDNESS * side, normal + ROUNDNESS * side], axis=2) / float(np.hypot(1, ROUNDNESS))

    length = np.linalg.norm(np.diff(points, axis=1), axis=-1)
    v = np.concatenate([np.zeros((number, 1), np.float32), np.cumsum(length, axis=1)], axis=1) / METRES_PER_V
    u = random.random(number).astype(np.float32)
    uv = np.empty((number, steps, 2, 2), np.float32)
    uv[..., 0] = u[:, None, None] + np.array([-0.5, 0.5], np.float32) * STRAND_WIDTH_U
    uv[..., 1] = (v + random.random((number, 1), np.float32))[:, :, None]
    colours = np.ones((number, steps, 2, 4), np.float32)
    colours[..., :3] = strands.tint[:, :, None]
    # Roots lie deep between their neighbours.
    depth = strands.occlusion.astype(np.float32)[:, None] * (0.75 + 0.25 * np.minimum(along * 3, 1))

    first = (np.arange(number)[:, None] * 2 * steps + 2 * np.arange(steps - 1)).ravel()
    faces = np.concatenate(
        [np.stack([first, first + 1, first + 2], 1), np.stack([first + 1, first + 3, first + 2], 1)]
    ).astype(np.int32)
    return ShadedMesh(
        vertices=vertices.reshape(-1, 3),
        faces=faces,
        materials=np.full(len(faces), Material.HAIR, dtype=np.uint8),
        normals=normals.reshape(-1, 3),
        uv=uv.reshape(-1, 2),
        directions=np.repeat(tangent, 2, axis=1).reshape(-1, 3),
        occlusion=np.repeat(depth, 2, axis=1).ravel(),
        colours=colours.reshape(-1, 4),
    )


def facing(mesh: ShadedMesh, position: np.ndarray) -> ShadedMesh:
    """The ribbons on the side of the head that can be seen from a (3,) position, with a little of the far side for the
    outline: about half of them, and they cost most of a picture's time."""
    root = mesh.faces[:, 0]
    sight = mesh.vertices[root] - position.astype(np.float32)
    away = np.einsum("fa,fa->f", mesh.normals[root], sight) > AWAY * np.linalg.norm(sight, axis=1)
    return replace(mesh, faces=mesh.faces[~away], materials=mesh.materials[~away])


def curl(
    points: np.ndarray,
    outward: np.ndarray,
    radius: np.ndarray,
    wavelength: np.ndarray,
    phase: np.ndarray,
) -> np.ndarray:
    """Wind (N, K, 3) paths around themselves: circles of ``radius`` (N, K) metres, one turn per ``wavelength`` (N,)
    metres, starting at ``phase`` (N,) radians."""
    steps = np.diff(points, axis=1)
    length = np.linalg.norm(steps, axis=-1)
    travelled = np.concatenate([np.zeros((len(points), 1)), np.cumsum(length, axis=1)], axis=1)
    side = unit(cross(np.gradient(points, axis=1), outward))
    angle = (travelled / wavelength[:, None] * 2 * np.pi + phase[:, None])[..., None].astype(np.float32)
    radius = radius.astype(np.float32)
    return points + (side * np.sin(angle) + 0.6 * outward * (np.cos(angle) + 0.4)) * radius[..., None]


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross product over the last axis of arrays that broadcast; ``numpy.cross`` takes several times as long."""
    (a, b, c), (x, y, z) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x], axis=-1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) scaled to length 1; a zero vector stays zero."""
    squared = np.einsum("...a,...a->...", vectors, vectors)[..., None]
    return vectors / np.sqrt(np.maximum(squared, 1e-20))
