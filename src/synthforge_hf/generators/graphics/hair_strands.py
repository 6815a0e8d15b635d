"""Clumps of hair as ribbons: strips of triangles along a path, tapered to the tip, shaded as if they were round."""

from dataclasses import dataclass, replace

import numpy as np

from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.shading import Material, ShadedMesh

ROUNDNESS = 0.35
"""How far the normals of a ribbon's edges lean outwards, so that it catches the light like a thin cylinder."""
METRES_PER_V = 0.10
"""Length of hair over which the strand texture's v grows by 1."""
AWAY = 0.3
"""Cosine between line of sight and normal from which on a ribbon is taken to lie on the far side."""
FAR_AWAY = 0.5
"""The same for a whole clump, by the ground it lies on: its ribbon is turned a little from that."""
CORNERS = np.array([0, 1, 2, 1, 3, 2], np.int32)
"""Of a ribbon's two triangles between one point and the next. Drawn one after the other they share cache lines."""
WIDER = 0.7
"""How clumps widen as they get fewer; at 1 they would cover the same area, but as they lie over each other they need
not."""
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


def ribbons(
    strands: Strands, random: np.random.Generator, seen_from: np.ndarray | None = None, detail: float = 1.0
) -> ShadedMesh:
    """Turn clumps into one mesh of ``Material.HAIR`` with 2 K vertices and 2 (K - 1) triangles each.

    seen_from: (3,) position; clumps that lie wholly on the far side of the head are left out. detail: share of the
    clumps that are drawn, the wider the fewer they are: for pictures that would not show them all.
    """
    place = random.random((len(strands.points), 2), np.float32)
    if detail < 1:
        fewer = _chosen(strands, np.arange(round(detail * len(place))))
        strands, place = replace(fewer, width=fewer.width * detail**-WIDER), place[: len(fewer.points)]
    if seen_from is not None:
        kept = _near_side(strands, seen_from)
        strands, place = _chosen(strands, kept), place[kept]
    points = strands.points.astype(np.float32, copy=False)
    number, steps = len(points), points.shape[1]
    tangent = np.empty_like(points)
    np.subtract(points[:, 2:], points[:, :-2], out=tangent[:, 1:-1])
    tangent[:, 0], tangent[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    tangent = unit(tangent)
    flat = unit(cross(tangent, strands.outward.astype(np.float32, copy=False)))
    up = cross(flat, tangent)
    roll = strands.roll.astype(np.float32)[:, None, None]
    cosine, sine = np.cos(roll), np.sin(roll)
    side = flat * cosine + up * sine
    normal = up * cosine - flat * sine

    along = np.linspace(0, 1, steps, dtype=np.float32)
    profile = np.minimum(0.45 + 2.2 * along, 1.0) * (1 - (1 - strands.blunt) * along**2.5)
    half = side * (0.5 * strands.width.astype(np.float32)[:, None, None] * profile[:, None])
    vertices = np.empty((number, steps, 2, 3), np.float32)
    np.subtract(points, half, out=vertices[:, :, 0])
    np.add(points, half, out=vertices[:, :, 1])
    normal *= np.float32(1 / np.hypot(1, ROUNDNESS))
    side *= np.float32(ROUNDNESS / np.hypot(1, ROUNDNESS))
    normals = np.empty_like(vertices)
    np.subtract(normal, side, out=normals[:, :, 0])
    np.add(normal, side, out=normals[:, :, 1])

    step = np.diff(points, axis=1)
    length = np.sqrt(np.einsum("nka,nka->nk", step, step))
    v = np.concatenate([np.zeros((number, 1), np.float32), np.cumsum(length, axis=1)], axis=1) / METRES_PER_V
    uv = np.empty((number, steps, 2, 2), np.float32)
    uv[..., 0] = place[:, 0, None, None] + np.array([-0.5, 0.5], np.float32) * STRAND_WIDTH_U
    uv[..., 1] = (v + place[:, 1:])[:, :, None]
    colours = np.ones((number, steps, 2, 4), np.float32)
    colours[..., :3] = strands.tint[:, :, None]
    # Roots lie deep between their neighbours.
    depth = strands.occlusion.astype(np.float32)[:, None] * (0.75 + 0.25 * np.minimum(along * 3, 1))

    first = (np.arange(number)[:, None] * 2 * steps + 2 * np.arange(steps - 1)).astype(np.int32).reshape(-1, 1)
    faces = (first + CORNERS).reshape(-1, 3)
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
    sight = mesh.vertices - position.astype(np.float32)
    towards = np.einsum("va,va->v", mesh.normals, sight)
    near = towards <= AWAY * np.sqrt(np.einsum("va,va->v", sight, sight))
    kept = np.flatnonzero(near.take(mesh.faces[:, 0]))
    return replace(mesh, faces=mesh.faces.take(kept, axis=0), materials=mesh.materials.take(kept))


def _near_side(strands: Strands, position: np.ndarray) -> np.ndarray:
    """Numbers of the clumps of which some part lies on ground that can be seen from a (3,) position, or nearly."""
    sight = strands.points[:, ::2] - position.astype(np.float32)
    away = np.einsum("nka,nka->nk", strands.outward[:, ::2], sight)
    distance = np.sqrt(np.einsum("nka,nka->nk", sight, sight))
    return np.flatnonzero((away < FAR_AWAY * distance).any(1))


def _chosen(strands: Strands, kept: np.ndarray) -> Strands:
    tint = strands.tint
    return replace(
        strands,
        points=strands.points[kept],
        outward=strands.outward[kept],
        width=strands.width[kept],
        occlusion=strands.occlusion[kept],
        tint=tint if len(tint) == 1 else tint[kept],
        roll=strands.roll[kept],
    )


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


def unit(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) scaled to length 1; a zero vector stays zero."""
    squared = np.einsum("...a,...a->...", vectors, vectors)[..., None]
    return vectors / np.sqrt(np.maximum(squared, 1e-20))
