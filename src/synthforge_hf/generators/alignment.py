"""A head mesh against the depth that a volumetric generator renders: how far apart they are, and a small correction.

Where the mesh lies in the generator's volume is known in closed form from how the generator was built; what is left
is small, so it is a shift and a scale, found by a few steps of robust least squares on the distance in depth, point to
plane. Nothing here knows the generator.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.rasterize import rasterize

ITERATIONS = 6
FAR_APART_M = 0.03
"""Distances beyond this are hair, hands or background before the face: they do not pull."""
SOFT_M = 0.004
"""Distances beyond this pull with constant force (Huber)."""
GRAZING = 0.3
"""Least cosine between a surface and the line of sight: beyond it depth says little about position."""
EXPECTED_SHIFT_M, EXPECTED_SCALE, EXPECTED_NOISE_M = 0.01, 0.03, 0.003
"""Spread of the correction, and of depth from pixel to pixel, that the fit assumes beforehand."""
LARGEST_SHIFT_M, LARGEST_SCALE = 0.025, 0.1
"""A correction beyond these is not the small one that was left to find: it is not made."""
FEWEST_PIXELS = 50


@dataclass(frozen=True)
class Alignment:
    """scale, shift_m: vertices -> centre + scale * (vertices - centre) + shift, centre their mean, world frame.

    error_before_m, error_after_m: median absolute difference of planar depth where mesh and volume are both seen, the
    surface is not grazed; infinite where there are fewer than ``FEWEST_PIXELS`` such pixels.
    """

    scale: float
    shift_m: np.ndarray
    error_before_m: float
    error_after_m: float


def align_to_depth(
    vertices: np.ndarray, faces: np.ndarray, camera: PinholeCamera, depth: np.ndarray, correct: bool = True
) -> tuple[np.ndarray, Alignment]:
    """Return corrected (V, 3) float32 vertices and what was done. A correction that does not help is not made.

    vertices: (V, 3) world frame, metres. faces: (F, 3), the triangles that count, counter-clockwise from outside.
    camera: of the depth image. depth: (H, W) planar z, metres; 0 = no surface. correct: False only measures.
    """
    vertices = vertices.astype(np.float64)
    centre = vertices.mean(0)
    before = _median_distance(_compare(vertices, faces, camera, depth))
    best = Alignment(1.0, np.zeros(3), before, before)
    current = best
    if correct and np.isfinite(before):
        for _ in range(ITERATIONS):
            step = _step(_moved(vertices, centre, current), faces, camera, depth, centre + current.shift_m, current)
            if step is None:
                break
            current = step
            if np.linalg.norm(step.shift_m) > LARGEST_SHIFT_M or abs(step.scale - 1.0) > LARGEST_SCALE:
                break
            error = _median_distance(_compare(_moved(vertices, centre, current), faces, camera, depth))
            if error < best.error_after_m:
                best = replace(current, error_before_m=before, error_after_m=error)
    return _moved(vertices, centre, best).astype(np.float32), best


def _moved(vertices: np.ndarray, centre: np.ndarray, alignment: Alignment) -> np.ndarray:
    return centre + alignment.scale * (vertices - centre) + alignment.shift_m


@dataclass(frozen=True)
class _Comparison:
    """Of P pixels: points (P, 3) on the mesh, camera frame; slopes (P, 3), change of the pixel's depth with a shift of
    the surface, camera frame; distance (P,) by which the volume is behind the mesh, metres."""

    points: np.ndarray
    slopes: np.ndarray
    distance: np.ndarray


def _compare(vertices: np.ndarray, faces: np.ndarray, camera: PinholeCamera, depth: np.ndarray) -> _Comparison:
    points = camera.to_camera(vertices)
    fragments = rasterize(
        torch.tensor(points, dtype=torch.float32)[None],
        torch.tensor(faces, dtype=torch.int32),
        torch.tensor(camera.intrinsics, dtype=torch.float32)[None],
        camera.height,
        camera.width,
    )
    triangle, mesh_depth = fragments.triangle[0].numpy(), fragments.depth[0].numpy().astype(np.float64)
    row, column = np.nonzero((triangle >= 0) & (depth > 0))
    corners = points[faces[triangle[row, column]]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    pixels = np.stack([column + 0.5, row + 0.5, np.ones(len(row))], 1)
    rays = pixels @ np.linalg.inv(camera.intrinsics).T
    facing = (normals * rays).sum(1)
    seen = np.abs(facing) > GRAZING * np.linalg.norm(rays, axis=1)
    row, column, normals, rays, facing = row[seen], column[seen], normals[seen], rays[seen], facing[seen]
    z = mesh_depth[row, column]
    return _Comparison(rays * z[:, None], normals / facing[:, None], depth[row, column] - z)


def _median_distance(comparison: _Comparison) -> float:
    if len(comparison.distance) < FEWEST_PIXELS:
        return float("inf")
    return float(np.median(np.abs(comparison.distance)))


def _step(
    vertices: np.ndarray,
    faces: np.ndarray,
    camera: PinholeCamera,
    depth: np.ndarray,
    centre: np.ndarray,
    current: Alignment,
) -> Alignment | None:
    """Improve an alignment by one reweighted least-squares step; None where too little is near."""
    found = _compare(vertices, faces, camera, depth)
    near = np.abs(found.distance) < FAR_APART_M
    if near.sum() < FEWEST_PIXELS:
        return None
    slopes, distance = found.slopes[near], found.distance[near]
    # A relative change of scale moves each point away from the centre.
    outward = (slopes * (found.points[near] - camera.to_camera(centre))).sum(1)
    design = np.concatenate([slopes @ camera.world_to_camera[:3, :3], outward[:, None]], 1)
    weights = np.minimum(1.0, SOFT_M / np.maximum(np.abs(distance), 1e-9)) / EXPECTED_NOISE_M**2
    # Neighbouring pixels see the same surface: they count as about a hundred independent looks altogether.
    weights *= min(1.0, 100.0 / len(distance))
    spread = np.array([EXPECTED_SHIFT_M] * 3 + [EXPECTED_SCALE])
    so_far = np.array([*current.shift_m, current.scale - 1.0])
    normal = design.T @ (weights[:, None] * design) + np.diag(spread**-2.0)
    change = np.linalg.solve(normal, design.T @ (weights * distance) - so_far / spread**2)
    return replace(current, scale=current.scale * (1.0 + float(change[3])), shift_m=current.shift_m + change[:3])
