"""Meshes whose picture is known in closed form, for the tests of rendering and annotation."""

import numpy as np


def sphere(
    rings: int = 80, radius: float = 0.1, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Return (V, 3) float32 vertices and (F, 3) int32 faces, counter-clockwise seen from outside, poles on y."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    around = np.linspace(0, 2 * np.pi, rings, endpoint=False)[None]
    unit = np.stack(
        [np.sin(polar) * np.cos(around), np.cos(polar) + 0 * around, np.sin(polar) * np.sin(around)], axis=-1
    ).reshape(-1, 3)
    ring, step = np.arange(rings)[:, None] * rings, np.arange(rings)[None]
    following = (step + 1) % rings
    a, b, c, d = (
        part.ravel() for part in (ring + step, ring + following, ring + rings + step, ring + rings + following)
    )
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])
    corners = unit[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    vertices = unit * radius + np.asarray(centre)
    return vertices.astype(np.float32), faces[area > 1e-9].astype(np.int32)


def rectangle(x0: float, y0: float, x1: float, y1: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (4, 3) float32 vertices and (2, 3) int32 faces; the diagonal runs from (x0, y0) to (x1, y1)."""
    vertices = np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], dtype=np.float32)
    return vertices, np.array([[0, 2, 1], [0, 3, 2]], dtype=np.int32)


def triangle_soup(random: np.random.Generator, count: int, size: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Return ``count`` triangles that share no vertices, around z = 1.5 in front of a camera with a wide view."""
    centres = random.uniform([-0.8, -0.8, 1.0], [0.8, 0.8, 2.0], (count, 1, 3))
    vertices = centres + random.normal(0, size, (count, 3, 3))
    vertices[..., 2] = np.maximum(vertices[..., 2], 0.2)
    return vertices.reshape(-1, 3).astype(np.float32), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)


def pixel_rays(intrinsics: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return (H, W, 3) float64 directions, z = 1, through the pixels' centres."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(np.asarray(intrinsics, dtype=np.float64)).T


def sphere_depth(rays: np.ndarray, radius: float, centre: np.ndarray, far: bool = False) -> np.ndarray:
    """Return planar z where rays (..., 3; z = 1) first (or last) meet a sphere, 0 where they miss it."""
    a, b = (rays**2).sum(-1), rays @ centre
    root = b**2 - a * (np.dot(centre, centre) - radius**2)
    return np.where(root > 0, (b + (1 if far else -1) * np.sqrt(np.maximum(root, 0))) / a, 0.0)
