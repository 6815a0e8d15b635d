"""Small operations on triangle meshes."""

import numpy as np


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) float vertices, (F, 3) faces counter-clockwise from outside -> (V, 3) float32 normals, weighted by area.

    A vertex without area around it gets (0, 0, 1).
    """
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    face_normals = np.cross(second - first, third - first)
    normals = np.empty((len(vertices), 3))
    corners = faces.T.ravel()
    for axis in range(3):
        normals[:, axis] = np.bincount(corners, np.tile(face_normals[:, axis], 3), len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 1e-20, normals / np.maximum(length, 1e-20), (0.0, 0.0, 1.0)).astype(np.float32)
