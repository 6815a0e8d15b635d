"""All labels of a generated face, from one rasterisation of its mesh. Knows nothing of the generator."""

from dataclasses import dataclass

import numpy as np

from synthforge_hf.annotation.depth_normals import depth_normals
from synthforge_hf.annotation.landmarks import landmarks
from synthforge_hf.annotation.normals import surface_normals
from synthforge_hf.annotation.segmentation import segmentation
from synthforge_hf.annotation.surface import see_through_surface, visible_surface
from synthforge_hf.annotation.visibility import landmark_visibility
from synthforge_hf.generators.base import GeneratedFace


@dataclass(frozen=True)
class Annotations:
    """Labels of one image of H x W pixels. Camera frame: x right, y down, z forward; a pixel's centre is at +0.5.

    depth: (H, W) float32 planar z, metres; 0 = no surface.
    normals: (H, W, 3) float32 unit vectors towards the camera's side, camera frame; 0 = no surface.
    segmentation: (H, W) uint8 ids of ``SEGMENTATION_CLASSES``.
    landmarks_2d: (68, 2) float32 continuous pixels, iBUG order; the jaw follows the visible contour.
    landmarks_3d: (68, 3) float32 metres, camera frame: the surface points that landmarks_2d are projections of.
    landmarks_visible: (68,) bool, see ``landmark_visibility``.
    intrinsics: (3, 3) float32 pixels. world_to_camera: (4, 4) float32 metres.
    """

    depth: np.ndarray
    normals: np.ndarray
    segmentation: np.ndarray
    landmarks_2d: np.ndarray
    landmarks_3d: np.ndarray
    landmarks_visible: np.ndarray
    intrinsics: np.ndarray
    world_to_camera: np.ndarray


def annotate(face: GeneratedFace) -> Annotations:
    """Label a face. The same face always gives the same bytes.

    Landmarks, their visibility and segmentation are the mesh's; depth and normals too, unless the face brings depth.
    """
    surface = visible_surface(face.mesh, face.camera)
    points, pixels = landmarks(face)
    classes = segmentation(surface, face.mesh, see_through_surface(face.mesh, face.camera))
    if face.depth is None:
        depth, normals = surface.depth, surface_normals(surface, face.mesh, face.camera)
    else:
        depth, normals = face.depth, depth_normals(face.depth, face.camera.intrinsics)
        classes = np.where(depth > 0, classes, np.uint8(0))
    return Annotations(
        depth=depth,
        normals=normals,
        segmentation=classes,
        landmarks_2d=pixels,
        landmarks_3d=points,
        landmarks_visible=landmark_visibility(points, pixels, surface.depth),
        intrinsics=face.camera.intrinsics.astype(np.float32),
        world_to_camera=face.camera.world_to_camera.astype(np.float32),
    )
