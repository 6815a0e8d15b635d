"""The face box: one definition for data, training, detection and evaluation, made from the 68 landmarks.

Boxes are (x0, y0, x1, y1) in continuous pixels (a pixel's centre is at +0.5).
"""

import numpy as np
from numpy.typing import ArrayLike

BOX_MARGIN = 0.1
"""By how much of its larger side the landmarks' bounding box is enlarged in width and in height (half of it on each
side)."""


def face_box(landmarks_2d: ArrayLike) -> np.ndarray:
    """Return the face boxes of landmarks.

    landmarks_2d: (N, P, 2) continuous pixels. Returns (N, 4) float64 x0, y0, x1, y1: the points' bounding box, its
    centre kept,
    width and height each grown by ``BOX_MARGIN`` times the larger of the two. Raises ValueError on any other shape.
    """
    points = np.asarray(landmarks_2d, dtype=np.float64)
    if points.ndim != 3 or points.shape[2] != 2 or points.shape[1] == 0:
        raise ValueError(f"landmarks_2d must have shape (N, P, 2) with P > 0, got {points.shape}")
    low, high = points.min(axis=1), points.max(axis=1)
    margin = 0.5 * BOX_MARGIN * (high - low).max(axis=1, keepdims=True)
    return np.concatenate([low - margin, high + margin], axis=1)


def square_crop(boxes: ArrayLike, scale: float) -> np.ndarray:
    """Return the square that a model sees of each box.

    boxes: (N, 4) x0, y0, x1, y1. Returns (N, 3) float64: centre x, centre y, side = ``scale`` times the box's larger
    side.
    Raises ValueError on any other shape or a scale that is not positive.
    """
    corners = _as_boxes(boxes)
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    centre = 0.5 * (corners[:, :2] + corners[:, 2:])
    side = scale * (corners[:, 2:] - corners[:, :2]).max(axis=1, keepdims=True)
    return np.concatenate([centre, side], axis=1)


def box_iou(a: ArrayLike, b: ArrayLike) -> np.ndarray:
    """Return the (N, M) float64 intersection over union of every box of a (N, 4) with every box of b (M, 4); 0 for
    empty boxes."""
    first, second = _as_boxes(a), _as_boxes(b)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    intersection = np.clip(high - low, 0.0, None).prod(axis=2)
    union = _area(first)[:, None] + _area(second)[None, :] - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)


def _as_boxes(boxes: ArrayLike) -> np.ndarray:
    corners = np.asarray(boxes, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise ValueError(f"boxes must have shape (N, 4): x0, y0, x1, y1; got {corners.shape}")
    return corners


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1)
