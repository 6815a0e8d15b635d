"""Where the camera stands and what lens it has."""

import numpy as np

from synthforge_hf.generators.graphics.settings import CameraSettings
from synthforge_hf.rendering.camera import PinholeCamera, orbit_camera

REFERENCE_DISTANCE_M = 1.08
FACE_CENTRE = np.array([0.0, -0.03, -0.03])
"""Between eyes and mouth, a little inside the head: what the camera looks at."""


def sample_camera(
    settings: CameraSettings, resolution: int, random: np.random.Generator
) -> tuple[PinholeCamera, dict[str, float]]:
    """Return the camera of one photo, and its description (degrees, metres)."""
    draws = {}
    for name in ("azimuth_deg", "elevation_deg", "roll_deg"):
        low, high = getattr(settings, name)
        if settings.angle_distribution == "uniform" or low == high:
            draws[name] = float(random.uniform(low, high))
        else:
            draws[name] = float(np.clip(random.normal(0.5 * (low + high), 0.25 * (high - low)), low, high))
    field_of_view = np.radians(random.uniform(*settings.field_of_view_deg))
    low, high = np.log(settings.distance_m)
    distance = float(np.exp(random.uniform(low, high)))
    if settings.keep_framing:
        field_of_view = 2 * np.arctan(np.tan(0.5 * field_of_view) * REFERENCE_DISTANCE_M / distance)
    target = FACE_CENTRE + random.uniform(-1, 1, 3) * settings.offset_m
    angles = {name: np.radians(value) for name, value in draws.items()}
    camera = orbit_camera(
        angles["azimuth_deg"],
        angles["elevation_deg"],
        angles["roll_deg"],
        distance,
        float(field_of_view),
        resolution,
        (float(target[0]), float(target[1]), float(target[2])),
    )
    description = {f"camera_{name}": value for name, value in draws.items()}
    return camera, description | {
        "camera_distance_m": distance,
        "camera_field_of_view_deg": float(np.degrees(field_of_view)),
    }
