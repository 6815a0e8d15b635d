"""Which landmarks the camera sees."""

import numpy as np

DEPTH_TOLERANCE = 3e-3
"""Metres between a landmark's z and the depth rendered at its pixel for the two to be the same surface."""

NUM_JAW = 17
"""The first 17 of iBUG's 68 points lie on the contour of the face."""


def landmark_visibility(points_camera: np.ndarray, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Say of every landmark whether the camera sees it.

    points_camera: (68, 3) camera frame, metres. pixels: (68, 2) their continuous image coordinates.
    depth: (H, W) planar z, metres, 0 = no surface. Returns (68,) bool.

    An inner point is visible when it lies inside the image and the depth at the pixel that holds it is within 3 mm of
    its z. A jaw point lies on the very edge of the face, where the pixel that holds it may show what is behind, and
    where depth changes by more than 3 mm from one pixel to the next: it is visible when it lies inside the image and
    any of the 3 x 3 pixels around it shows nothing that is more than 3 mm in front of it.
    """
    height, width = depth.shape
    z = points_camera[:, 2]
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (pixels >= 0).all(axis=1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    column, row = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    visible = inside & (depth[row, column] > 0) & (np.abs(depth[row, column] - z) <= DEPTH_TOLERANCE)

    jaw = slice(0, NUM_JAW)
    offsets = np.array([-1, 0, 1])
    rows = np.clip(row[jaw, None] + offsets, 0, height - 1)[:, :, None]
    columns = np.clip(column[jaw, None] + offsets, 0, width - 1)[:, None, :]
    around = depth[rows, columns].reshape(-1, 9)
    around = np.where(around > 0, around, np.inf)
    visible[jaw] = inside[jaw] & (around >= z[jaw, None] - DEPTH_TOLERANCE).any(axis=1)
    return visible
