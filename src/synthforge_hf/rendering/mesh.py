"""Small operations on triangle meshes."""

import numpy as np

from synthforge_hf.warp_runtime import launch_on_cpu, load_kernels


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float vertices, (F, 3) faces counter-clockwise from outside -> (V, 3) float32 normals, weighted by area.

    A vertex without area around it gets (0, 0, 1).
    """
    normals = np.zeros((len(vertices), 3), dtype=np.float32)
    inputs = [np.ascontiguousarray(vertices, dtype=np.float32), np.ascontiguousarray(faces, dtype=np.int32), normals]
    launch_on_cpu(load_kernels("synthforge_hf.rendering.mesh_kernels").add_face_normals, inputs)
    return normals


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross product over the last axis of arrays that broadcast; ``numpy.cross`` takes several times as long."""
    a, b, c = first[..., 0], first[..., 1], first[..., 2]
    x, y, z = second[..., 0], second[..., 1], second[..., 2]
    result = np.empty(np.broadcast_shapes(first.shape, second.shape), np.result_type(first, second))
    result[..., 0] = b * z - c * y
    result[..., 1] = c * x - a * z
    result[..., 2] = a * y - b * x
    return result


def used_vertices(faces: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``number`` vertices (F, 3) faces use, ascending, and the faces as (F, 3) int32 into these."""
    seen = np.zeros(number, dtype=bool)
    seen[faces.ravel()] = True
    place = np.cumsum(seen, dtype=np.int32) - 1
    return np.flatnonzero(seen), place[faces]
