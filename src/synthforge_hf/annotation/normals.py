"""Surface normals in the camera frame (x right, y down, z forward), so a surface that faces the camera has z < 0."""

import numpy as np

from synthforge_hf.annotation.surface import VisibleSurface, launch_over_rows, load_label_kernels
from synthforge_hf.generators.base import LabelledMesh
from synthforge_hf.rendering.camera import PinholeCamera


def surface_normals(surface: VisibleSurface, mesh: LabelledMesh, camera: PinholeCamera) -> np.ndarray:
    """Interpolate the mesh's vertex normals: (H, W, 3) float32 unit vectors in the camera frame, 0 where no surface.

    They face the camera: where a triangle is seen from behind, its normals are turned round, and where interpolation
    near a silhouette tips a normal past the line of sight, it is brought back to a right angle with it.
    """
    rotation = camera.world_to_camera[:3, :3]
    vertex_normals = np.ascontiguousarray(mesh.vertex_normals @ rotation.T, dtype=np.float32)
    faces = np.ascontiguousarray(mesh.faces, dtype=np.int32)
    to_rays = np.linalg.inv(camera.intrinsics).astype(np.float32)
    normals = np.zeros((*surface.depth.shape, 3), dtype=np.float32)
    launch_over_rows(
        load_label_kernels().shade_normals,
        surface,
        [faces, surface.vertices, vertex_normals, to_rays.ravel().tolist(), normals],
    )
    return normals


def encode_normals(normals: np.ndarray) -> np.ndarray:
    """Encode (..., 3) unit vectors as uint8, n * 0.5 + 0.5 of full scale; (0, 0, 0) = no surface becomes 128."""
    return np.rint((np.asarray(normals) * 0.5 + 0.5) * 255).astype(np.uint8)


def decode_normals(encoded: np.ndarray) -> np.ndarray:
    """Decode (..., 3) uint8 to float32 unit vectors; mid-grey becomes 0 = no surface. Accurate to 0.4 degrees."""
    vectors = np.asarray(encoded).astype(np.float32) * np.float32(2 / 255) - 1
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 0.5, vectors / np.maximum(length, 0.5), np.float32(0))
