"""Next3D's cameras: the label the networks take, and the same camera in metres around the head mesh."""

import numpy as np

from synthforge_hf.generators.next3d.configuration_next3d import Next3DConfig
from synthforge_hf.rendering.camera import PinholeCamera

RADIUS = 2.7
TARGET = (0.0, 0.0, 0.2)
"""World units: distance of the camera from the origin, and the point it looks at."""

ALMOST_PI, ALMOST_ROOT_2 = 3.14159, 1.414
"""The published code has these digits."""


def camera_label(azimuth: float, elevation: float, field_of_view_deg: float) -> np.ndarray:
    """Return the (25,) float64 label of a camera: camera-to-world 4 x 4, intrinsics 3 x 3 of an image of side 1.

    azimuth, elevation: radians, > 0 to the subject's left and up. The network's own scale of elevation is kept: the
    published code's pitch enters through the arccosine of a share of pi.
    """
    yaw, pitch = 0.5 * np.pi + azimuth, 0.5 * np.pi - elevation
    polar = np.arccos(1.0 - 2.0 * np.clip(pitch, 1e-5, np.pi - 1e-5) / np.pi)
    origin = RADIUS * np.array(
        [np.sin(polar) * np.cos(np.pi - yaw), np.cos(polar), np.sin(polar) * np.sin(np.pi - yaw)]
    )
    forward = np.array(TARGET) - origin
    forward /= np.linalg.norm(forward)
    right = -np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = origin
    focal = 1.0 / (np.tan(field_of_view_deg * ALMOST_PI / 360.0) * ALMOST_ROOT_2)
    return np.concatenate([pose.ravel(), [focal, 0.0, 0.5, 0.0, focal, 0.5, 0.0, 0.0, 1.0]])


def metric_camera(label: np.ndarray, origin: np.ndarray, config: Next3DConfig, resolution: int) -> PinholeCamera:
    """Return the camera of a label in metres and in the head frame.

    origin: (3,) of the head frame in FLAME's own, metres. The map between world and mesh follows from the views and
    planes showing the same cube: world = (mesh + shift) / ``metres_per_unit``.
    """
    pose, intrinsics = label[:16].reshape(4, 4), label[16:].reshape(3, 3)
    x, y, z = config.orth_shift
    rotation = pose[:3, :3].T
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = rotation
    world_to_camera[:3, 3] = rotation @ (origin + np.array([x, -y, z]) - pose[:3, 3] * config.metres_per_unit)
    pixels = intrinsics * np.array([[resolution], [resolution], [1.0]])
    return PinholeCamera(pixels, world_to_camera, resolution, resolution)
