"""A cover over the opening between FLAME's lips: without it, an open mouth shows the inside of the back of the head."""

from itertools import pairwise

import numpy as np

MAX_DISTANCE = 0.02
"""Metres between the centre of an opening's rim and that of the inner lips for the opening to be the mouth."""


def boundary_loops(faces: np.ndarray) -> list[np.ndarray]:
    """Return the rims of a mesh's openings, each a (K,) int32 loop of vertices, in the direction of its triangles.

    faces: (F, 3), consistently oriented. Rims that touch themselves are left out.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    known = {(start, end) for start, end in edges}
    follower: dict[int, int] = {}
    touching: set[int] = set()
    for start, end in edges:
        if (end, start) not in known:
            touching |= {start} & follower.keys()
            follower[start] = end
    loops = []
    while follower:
        first, vertex = follower.popitem()
        loop = [first]
        while vertex in follower:
            loop.append(vertex)
            vertex = follower.pop(vertex)
        if vertex == first and not touching.intersection(loop):
            loops.append(np.array(loop, dtype=np.int32))
    return loops


def mouth_rim(faces: np.ndarray, vertices: np.ndarray, inner_lips: np.ndarray) -> np.ndarray:
    """Return the (K,) rim of the opening at the inner lips; empty when the mesh is closed there.

    vertices: (V, 3) and inner_lips: (8, 3) landmarks 60 to 67 of the same neutral head, metres.
    """
    loops = boundary_loops(faces)
    distances = [float(np.linalg.norm(vertices[loop].mean(0) - inner_lips.mean(0))) for loop in loops]
    if not distances or min(distances) > MAX_DISTANCE:
        return np.empty(0, dtype=np.int32)
    return loops[int(np.argmin(distances))]


def cover_triangles(rim: np.ndarray, centre: int) -> np.ndarray:
    """Return (K, 3) int32 triangles between a rim and the vertex ``centre``, facing as the triangles around them do."""
    return np.array([(end, start, centre) for start, end in pairwise([*rim, *rim[:1]])], dtype=np.int32).reshape(-1, 3)
