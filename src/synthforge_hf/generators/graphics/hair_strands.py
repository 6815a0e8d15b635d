"""Clumps of hair as ribbons: strips of triangles along a path, tapered to the tip, shaded as if they were round."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from synthforge_hf.rendering.mesh import cross
from synthforge_hf.rendering.shading import Material, ShadedMesh
from synthforge_hf.warp_runtime import launch_on_cpu, load_kernels

ROUNDNESS = 0.35
"""How far the normals of a ribbon's edges lean outwards, so that it catches the light like a thin cylinder."""
METRES_PER_V = 0.10
"""Length of hair over which the strand texture's v grows by 1."""
AWAY = 0.3
"""Cosine between line of sight and normal up to which a ribbon is drawn: some of the far side shows in the outline."""
FAR_AWAY = 0.5
"""The same for a whole clump, by all of the ground it lies on: its ribbon is turned a little from that."""
ALL = 2.0
"""A cosine that none exceeds."""
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

    seen_from: (3,) position; clumps that lie wholly on the far side of the head are left out, and of the others the
    triangles that turn away: half of them, and they cost most of a picture's time. detail: share of the
    clumps that are drawn, the wider the fewer they are: for pictures that would not show them all.
    """
    place = random.random((len(strands.points), 2), np.float32)
    number, steps = len(place), strands.points.shape[1]
    width = strands.width.astype(np.float32)
    if detail < 1:
        number = round(detail * number)
        width *= np.float32(detail**-WIDER)
    along = np.linspace(0, 1, steps, dtype=np.float32)
    profile = np.minimum(0.45 + 2.2 * along, 1.0) * (1 - (1 - strands.blunt) * along**2.5)
    # Roots lie deep between their neighbours.
    light = 0.75 + 0.25 * np.minimum(along * 3, 1)
    vectors = {name: np.empty((number, 2 * steps, 3), np.float32) for name in ("vertices", "normals", "directions")}
    uv = np.empty((number, 2 * steps, 2), np.float32)
    occlusion = np.empty((number, 2 * steps), np.float32)
    colours = np.empty((number, 2 * steps, 4), np.float32)
    faces = np.empty((2 * (steps - 1) * number, 3), np.int32)
    woven = np.zeros(2, np.int32)
    if number:
        clumps = (strands.points, strands.outward, width, strands.occlusion, strands.tint, strands.roll, place)
        inputs = [_floats(values if len(values) == 1 else values[:number]) for values in clumps]
        launch_on_cpu(
            load_hair_kernels().weave_ribbons,
            [
                *inputs,
                _floats(profile),
                _floats(light),
                ROUNDNESS,
                STRAND_WIDTH_U,
                METRES_PER_V,
                [0.0, 0.0, 0.0] if seen_from is None else seen_from.tolist(),
                *((ALL, ALL) if seen_from is None else (FAR_AWAY, AWAY)),
                vectors["vertices"],
                vectors["normals"],
                uv,
                vectors["directions"],
                occlusion,
                colours,
                faces,
                woven,
            ],
        )
    drawn, triangles = woven.tolist()
    faces = faces[:triangles]
    return ShadedMesh(
        faces=faces,
        materials=np.full(len(faces), Material.HAIR, dtype=np.uint8),
        uv=uv[:drawn].reshape(-1, 2),
        occlusion=occlusion[:drawn].ravel(),
        colours=colours[:drawn].reshape(-1, 4),
        **{name: values[:drawn].reshape(-1, 3) for name, values in vectors.items()},
    )


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def load_hair_kernels() -> ModuleType:
    """Return the kernels of all modules of hair."""
    return load_kernels("synthforge_hf.generators.graphics.hair_kernels")


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
