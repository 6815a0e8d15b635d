"""Pinhole cameras, the one place where the conventions of frames and pixels live.

Camera frame: OpenCV (x right, y down, z forward), metres. Image coordinates are continuous: (0, 0) is the top-left
corner of the top-left pixel and a pixel's centre is at +0.5.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PinholeCamera:
    """One perspective camera.

    intrinsics: (3, 3) float64, pixels. world_to_camera: (4, 4) float64, metres. width, height: pixels.
    """

    intrinsics: np.ndarray
    world_to_camera: np.ndarray
    width: int
    height: int

    @property
    def position(self) -> np.ndarray:
        """(3,) where the camera stands, world frame, metres."""
        return np.asarray(-self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3])

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Map (..., 3) world points to the camera frame; float32 stays float32."""
        kind = np.float32 if points.dtype == np.float32 else np.float64
        # Contiguous, or numpy does without its fast matrix product.
        rotation = np.ascontiguousarray(self.world_to_camera[:3, :3].T, dtype=kind)
        moved = points @ rotation
        moved += self.world_to_camera[:3, 3].astype(kind)
        return moved

    def project(self, points: np.ndarray) -> np.ndarray:
        """Map (..., 3) world points to (..., 2) continuous pixel coordinates."""
        return project(self.to_camera(points), self.intrinsics)


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Project (..., 3) points of the camera frame to (..., 2) continuous pixel coordinates."""
    homogeneous = points @ intrinsics.T
    return homogeneous[..., :2] / homogeneous[..., 2:]


def orbit_camera(
    azimuth: float,
    elevation: float,
    roll: float,
    distance: float,
    field_of_view: float,
    resolution: int,
    target: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> PinholeCamera:
    """Look at ``target`` (world frame, metres) from ``distance`` metres away.

    All angles in radians. azimuth > 0 moves the camera to the subject's left, elevation > 0 moves it up, roll > 0
    turns the image content clockwise. ``field_of_view`` spans the image's width. The image is square, the principal
    point its centre.
    """
    direction = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    forward = -direction
    right = np.cross(forward, np.array([0.0, 1.0, 0.0]))
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    rotation = np.stack([right, down, forward])
    cosine, sine = np.cos(roll), np.sin(roll)
    rotation = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]]) @ rotation
    position = np.asarray(target, dtype=np.float64) + distance * direction
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = rotation
    world_to_camera[:3, 3] = -rotation @ position
    focal = 0.5 * resolution / np.tan(0.5 * field_of_view)
    intrinsics = np.array([[focal, 0.0, 0.5 * resolution], [0.0, focal, 0.5 * resolution], [0.0, 0.0, 1.0]])
    return PinholeCamera(intrinsics, world_to_camera, resolution, resolution)
