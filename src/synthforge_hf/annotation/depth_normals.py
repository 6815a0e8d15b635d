"""Normals of a surface that is known by its depth image only, as volumetric generators give it."""

import numpy as np


def depth_normals(depth: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) float32 unit vectors towards the camera's side, camera frame; 0 where there is no surface.

    depth: (H, W) planar z, metres, 0 = no surface. intrinsics: (3, 3) pixels. Slopes are taken between a pixel's
    neighbours on either side, or between it and the one that there is; a pixel alone faces the camera.
    """
    height, width = depth.shape
    row, column = np.mgrid[:height, :width] + 0.5
    rays = np.stack([column, row, np.ones_like(row)], -1) @ np.linalg.inv(intrinsics.astype(np.float64)).T
    points = rays * depth[..., None]
    slopes = []
    for axis in (1, 0):
        ahead, behind = _neighbour(points, depth, axis, 1), _neighbour(points, depth, axis, -1)
        slopes.append(ahead - behind)
    normals = np.cross(slopes[1], slopes[0])
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = np.where(length > 1e-20, normals / np.maximum(length, 1e-20), (0.0, 0.0, -1.0))
    return np.where(depth[..., None] > 0, normals, 0.0).astype(np.float32)


def _neighbour(points: np.ndarray, depth: np.ndarray, axis: int, step: int) -> np.ndarray:
    """Return each pixel's neighbour, or the pixel itself at the image's border and where the neighbour is empty."""
    moved, known = np.roll(points, -step, axis), np.roll(depth > 0, -step, axis)
    border = [slice(None)] * 2
    border[axis] = slice(-1, None) if step > 0 else slice(0, 1)
    known[tuple(border)] = False
    return np.where(known[..., None], moved, points)
