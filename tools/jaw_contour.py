"""Lay lines of candidate points for the jaw contour over the base mesh.

In a photo the annotated jaw is no fixed set of surface points: on the far side it is the silhouette of the cheek, on
the near side the edge between face and neck and, further up, the front of the ear. So each jaw position gets a line
over the surface, from the point furthest back that an annotator would still call jaw (``LIMIT``), through the frontal
jaw point, to the front of the cheek (``FRONT``); ``annotation.landmarks`` chooses along it, per view.

Coordinates: head frame of the base mesh, centimetres, the subject's left half (x > 0); the right half is its mirror
image. Positions run from 0 (at the ear, eye level) to 8 (chin).
"""

import numpy as np

POSITIONS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8], dtype=float)
LIMIT = np.array(
    [
        [7.0, 0.15, -5.2],
        [7.0, -1.62, -5.3],
        [6.8, -3.83, -5.4],
        [6.4, -5.85, -5.1],
        [5.7, -7.2, -3.8],
        [4.7, -8.1, -2.3],
        [3.5, -9.1, -1.2],
        [1.8, -10.5, -0.2],
        [0.0, -10.8, 0.5],
    ]
)
# Lower than the frontal points: on the far side annotators begin further down, under the brow's overhang.
FRONT = np.array(
    [
        [3.8, -1.0, 0.5],
        [3.3, -2.8, 0.9],
        [2.9, -4.4, 1.1],
        [2.9, -6.0, 1.1],
        [2.8, -7.3, 1.1],
        [2.0, -8.2, 1.5],
        [1.2, -8.8, 1.8],
        [0.6, -9.2, 1.9],
        [0.0, -9.4, 1.9],
    ]
)
UPPER_AXIS = np.array([0.0, 0.0, -6.5])
LOWER_AXIS = np.array([0.0, -6.0, -4.0])
LINES_PER_HALF = 16
STEPS_BACK, STEPS_FRONT = 14, 18


def contour_lines(vertices: np.ndarray, triangles: np.ndarray, frontal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (33, 33, 3) vertex indices and barycentric weights, right ear to left ear; along a line from back to
    front.

    vertices: (V, 3) base mesh, metres, head frame. triangles: (F, 3) skin only. frontal: (17, 3) the fixed jaw points.
    """
    left_frontal = 100 * frontal[16:7:-1]
    rows_triangle, rows_weight = [], []
    for position in np.linspace(0, 8, LINES_PER_HALF + 1):
        control = [_at(position, values) for values in (LIMIT, left_frontal, FRONT)]
        axis = UPPER_AXIS + (LOWER_AXIS - UPPER_AXIS) * min(position / 6, 1.0)
        directions = [point - axis for point in control]
        path = [_slerp(directions[0], directions[1], step / STEPS_BACK) for step in range(STEPS_BACK)]
        path += [_slerp(directions[1], directions[2], step / STEPS_FRONT) for step in range(STEPS_FRONT + 1)]
        hits = [_outermost_hit(vertices, triangles, 0.01 * axis, direction) for direction in path]
        rows_triangle.append([triangles[face] for face, _ in hits])
        rows_weight.append([weights for _, weights in hits])
    left_triangle, left_weight = np.array(rows_triangle), np.array(rows_weight)
    mirror = _mirror_index(vertices)
    right_triangle = mirror[left_triangle]
    if (right_triangle < 0).any():
        raise SystemExit("the base mesh is not symmetric along the jaw")
    triangle = np.concatenate([right_triangle[:-1], left_triangle[::-1]])
    weight = np.concatenate([left_weight[:-1], left_weight[::-1]])
    return triangle.astype(np.int32), weight.astype(np.float32)


def _at(position: float, values: np.ndarray) -> np.ndarray:
    return np.array([np.interp(position, POSITIONS, values[:, axis]) for axis in range(3)])


def _slerp(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    angle = np.arccos(np.clip(start @ end, -1, 1))
    if angle < 1e-6:
        return start
    return (np.sin((1 - fraction) * angle) * start + np.sin(fraction * angle) * end) / np.sin(angle)


def ray_hits(
    vertices: np.ndarray, triangles: np.ndarray, origin: np.ndarray, direction: np.ndarray
) -> list[tuple[float, int, np.ndarray]]:
    """All (distance, triangle, barycentric weights) along a ray, nearest first (Moeller-Trumbore)."""
    first, second, third = (vertices[triangles[:, corner]] for corner in range(3))
    edge_one, edge_two = second - first, third - first
    cross = np.cross(direction, edge_two)
    determinant = (edge_one * cross).sum(1)
    determinant = np.where(np.abs(determinant) < 1e-12, np.nan, determinant)
    to_origin = origin - first
    u = (to_origin * cross).sum(1) / determinant
    other = np.cross(to_origin, edge_one)
    v = (direction * other).sum(1) / determinant
    distance = (edge_two * other).sum(1) / determinant
    tolerance = 1e-6
    hit = np.flatnonzero((u >= -tolerance) & (v >= -tolerance) & (u + v <= 1 + tolerance) & (distance > 0))
    found = [(float(distance[face]), int(face), np.array([1 - u[face] - v[face], u[face], v[face]])) for face in hit]
    return sorted(found, key=lambda item: item[0])


def _outermost_hit(
    vertices: np.ndarray, triangles: np.ndarray, origin: np.ndarray, direction: np.ndarray
) -> tuple[int, np.ndarray]:
    """The last triangle that a ray from inside the head leaves through."""
    hits = ray_hits(vertices, triangles, origin, direction)
    if not hits:
        raise SystemExit(f"no surface along {direction} from {origin}")
    return hits[-1][1], hits[-1][2]


def _mirror_index(vertices: np.ndarray) -> np.ndarray:
    """For every vertex the index of its mirror image, -1 where there is none within 0.1 mm."""
    lookup = {tuple(key): index for index, key in enumerate(np.round(vertices * 5000).astype(int))}
    result = np.full(len(vertices), -1)
    for index, vertex in enumerate(vertices * [-1, 1, 1]):
        base = np.round(vertex * 5000).astype(int)
        for shift in np.ndindex(3, 3, 3):
            found = lookup.get(tuple(base + np.array(shift) - 1))
            if found is not None and np.abs(vertices[found] - vertex).max() < 3e-4:
                result[index] = found
                break
    return result
