"""The 68 points of a face as annotators of real photos place them: 51 fixed surface points and a jaw that follows the
visible contour.

The released SynthForge code always draws the frontal jaw, which the paper names as its difference to 300-W; here the
17 jaw points move with the view. On the far side they lie on the cheek's silhouette; on the near side they slide back
over the cheek to the edge of the lower jaw and the front of the ear.
"""

import numpy as np

from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.heads.base import LandmarkModel
from synthforge_hf.rendering.camera import project

MIRRORED_LANDMARKS: np.ndarray = np.array(
    [*range(16, -1, -1)]
    + [*range(26, 16, -1)]
    + [27, 28, 29, 30, 35, 34, 33, 32, 31]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65],
    dtype=np.int64,
)
"""(68,) int64: ``points[MIRRORED_LANDMARKS]`` puts the points of a mirrored image back into iBUG order."""

JAW = slice(0, 17)
CHIN, NOSE_BRIDGE = 8, 27

OUTWARD_ANGLES = np.radians([0, 0, 3, 10, 28, 45, 62, 80, 90])
"""Direction in which "further out" is measured at jaw positions 0 (ear) to 8 (chin), from sideways (0) to down (90
degrees):
the normals of the frontal jaw line."""

BACKWARD_COST = 0.18
"""How much further out (metres per metre) a candidate behind the frontal jaw point must lie to be preferred. Heads go
on widening
behind the frontal jaw; annotators do not follow that in frontal views."""

CHIN_LEAD = 0.07
"""How far annotators put a turned head's chin towards the far side, as a part of how much longer the near half of the
jaw is in the image than the far half."""

EVEN_SHARES = np.arange(9) / 8
NEAR_SHARES = np.array([0, 0.109, 0.238, 0.366, 0.495, 0.618, 0.745, 0.874, 1])
FAR_SHARES = 0.97 * np.array([0, 0.118, 0.247, 0.374, 0.504, 0.636, 0.764, 0.884, 1])
"""Distances along the contour from the chin, as shares of the half: in frontal views, and where the halves differ by
``FULLY_TURNED`` of the whole. Medians of 300-W's training images; on the far side annotators end a little earlier."""
FULLY_TURNED = 0.15


def landmarks(face: GeneratedFace) -> tuple[np.ndarray, np.ndarray]:
    """Return the 68 points as ((68, 3) float32 camera frame, metres; (68, 2) float32 continuous pixels).

    The jaw follows the contour visible in this view; every point lies on the head's surface (jaw: within the flatness
    of a 2 mm step).
    """
    vertices = face.camera.to_camera(face.head_vertices.astype(np.float64))
    points = surface_points(vertices, face.landmark_model.triangles, face.landmark_model.barycentric)
    points[JAW] = visible_jaw(vertices, face.landmark_model, points)
    points = points.astype(np.float32)
    return points, project(points.astype(np.float64), face.camera.intrinsics).astype(np.float32)


def surface_points(vertices: np.ndarray, triangles: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """(V, 3) vertices, (..., 3) indices and weights -> (..., 3) points."""
    return np.einsum("...ka,...k->...a", vertices[triangles], barycentric)


def visible_jaw(vertices: np.ndarray, model: LandmarkModel, fixed: np.ndarray) -> np.ndarray:
    """Return the (17, 3) jaw points of this view.

    vertices: (V, 3) camera frame. fixed: (68, 3) the static points in the camera frame, which give the head's upright
    direction and where the frontal jaw runs.
    """
    candidates = surface_points(vertices, model.contour_triangles, model.contour_barycentric)
    lines = len(candidates)
    pixels = candidates[..., :2] / candidates[..., 2:] * fixed[CHIN, 2]
    flat = fixed[:, :2] / fixed[:, 2:] * fixed[CHIN, 2]

    up = flat[NOSE_BRIDGE] - flat[CHIN]
    up /= np.linalg.norm(up)
    subject_left = np.array([-up[1], up[0]])
    position = np.linspace(0, 16, lines)
    angle = np.interp(8 - np.abs(position - 8), np.arange(9), OUTWARD_ANGLES)
    side = np.sign(position - 8)
    outward = side[:, None] * np.cos(angle)[:, None] * subject_left - np.sin(angle)[:, None] * up

    score = np.einsum("lka,la->lk", pixels, outward) - BACKWARD_COST * _distance_behind(
        candidates, fixed[JAW], position
    )
    contour = candidates[np.arange(lines), score.argmax(1)]
    contour_flat = contour[:, :2] / contour[:, 2:] * fixed[CHIN, 2]
    return _spread(contour, contour_flat, lines // 2)


def _distance_behind(candidates: np.ndarray, frontal: np.ndarray, position: np.ndarray) -> np.ndarray:
    """(L, K) metres along each line from its frontal jaw point back to the candidate; 0 in front of it."""
    anchor = np.stack([np.interp(position, np.arange(17), frontal[:, axis]) for axis in range(3)], axis=1)
    nearest = np.linalg.norm(candidates - anchor[:, None], axis=2).argmin(1)
    steps = np.linalg.norm(np.diff(candidates, axis=1), axis=2)
    length = np.concatenate([np.zeros((len(candidates), 1)), np.cumsum(steps, axis=1)], axis=1)
    return np.maximum(length[np.arange(len(length)), nearest][:, None] - length, 0)


def _spread(contour: np.ndarray, flat: np.ndarray, chin: int) -> np.ndarray:
    """Place the chin and 8 points on each side of it along the contour, as annotators do in the image.

    contour: (L, 3) points from the right ear to the left, metres; flat: (L, 2) the same in the image; chin: index of
    the head's own chin. Returns (17, 3).
    """
    length = _running_length(flat)
    middle, end = length[chin], length[-1]
    difference = end - 2 * middle  # left half less right half; the longer one is the near one
    middle -= CHIN_LEAD * difference
    turned = min(abs(difference) / (FULLY_TURNED * end), 1.0)
    right, left = (FAR_SHARES, NEAR_SHARES) if difference > 0 else (NEAR_SHARES, FAR_SHARES)
    right, left = (EVEN_SHARES + turned * (shares - EVEN_SHARES) for shares in (right, left))
    wanted = middle + np.concatenate([-middle * right[:0:-1], (end - middle) * left])
    return np.stack([np.interp(wanted, length, contour[:, axis]) for axis in range(3)], axis=1)


def _running_length(points: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
