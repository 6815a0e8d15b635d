"""Light: a lamp or the sun from anywhere in front of or beside the head, and soft light from all around."""

import numpy as np

from synthforge_hf.generators.graphics.settings import LightSettings
from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.shading import Lighting

MIDDLE_GREY = 0.42
"""Light level (linear, on a white surface facing the camera) of a well exposed photo, before the tone curve."""


def sample_lighting(
    settings: LightSettings, camera: PinholeCamera, random: np.random.Generator
) -> tuple[Lighting, dict[str, float]]:
    """Return the light and its description (angles in degrees seen from the camera, exposure in stops)."""
    share = random.uniform(*settings.directional_share)
    azimuth = float(np.clip(random.normal(0, 55), -150, 150))
    elevation = float(np.clip(random.normal(25, 25), -35, 85))
    to_camera = -camera.world_to_camera[:3, :3].T @ np.array([0, 0, 1.0])
    facing = np.arctan2(to_camera[0], to_camera[2])
    a, e = facing + np.radians(azimuth), np.radians(elevation)
    direction = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])

    ambient = _ambient(random)
    key_colour = _temperature(random.uniform(-1, 1), random)
    # Both scaled so that a white sphere's side towards the camera comes out the same whatever the mixture.
    surround = max(float((ambient[0] + 0.6 * ambient[2] * to_camera[2]).mean()), 0.3)
    ambient = ambient * (1 - share) / surround
    lit = 0.35 + 0.65 * max(float(direction @ to_camera), 0.0)
    stops = float(random.uniform(*settings.exposure_stops))
    exposure = float(MIDDLE_GREY * 2**stops)
    colour = key_colour * share / lit * 1.35
    description = {
        "light_azimuth_deg": azimuth,
        "light_elevation_deg": elevation,
        "light_directional_share": float(share),
        "light_exposure_stops": stops,
    }
    # The constant keeps reflectances of light skin below the shoulder of the tone curve.
    return Lighting(ambient.astype(np.float32), direction, colour, exposure * 2.6), description


def _temperature(warmth: float, random: np.random.Generator) -> np.ndarray:
    tint = np.array([1 + 0.22 * warmth, 1.0, 1 - 0.28 * warmth]) * np.exp(random.normal(0, 0.03, 3))
    return tint / tint.mean()


def _ambient(random: np.random.Generator) -> np.ndarray:
    """Random but natural: brighter above, a gentle gradient sideways, each end with its own colour."""
    sky, ground = _temperature(random.uniform(-1, 0.8), random), _temperature(random.uniform(-0.5, 1), random)
    coefficients = np.zeros((9, 3))
    contrast = random.uniform(0.05, 0.6)
    coefficients[0] = 0.5 * (sky + ground)
    coefficients[1] = 0.5 * contrast * (sky + 0.6 * (sky - ground))
    coefficients[2] = random.normal(0.12, 0.22) * np.exp(random.normal(0, 0.1, 3))
    coefficients[3] = random.normal(0, 0.28) * np.exp(random.normal(0, 0.15, 3))
    coefficients[4:] = random.normal(0, 0.05, (5, 1)) * np.exp(random.normal(0, 0.2, (5, 3)))
    return coefficients
