"""Light: photographed places, a studio, a flash, light from the side or from behind, coloured and dim light."""

import colorsys
from dataclasses import dataclass

import numpy as np

from synthforge_hf.generators.graphics.environments import (
    Environment,
    ambient_at,
    load_environments,
    rotate_ambient,
    rotation_about_y,
)
from synthforge_hf.generators.graphics.settings import LightSettings
from synthforge_hf.rendering.camera import PinholeCamera
from synthforge_hf.rendering.shading import Lighting

EXPOSURE = 1.09
"""Factor on everything of a well exposed photo: keeps light skin below the shoulder of the tone curve."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
USUAL_SKIN = 0.25
"""Luminance of a skin for which cameras choose the exposure that a white head would need."""


@dataclass(frozen=True)
class LitScene:
    """The light of one photo and what it means for the background.

    environment: the place whose light it is, None where it is of no place. turn: radians about y by which that place
    was turned. background_gain: (3,) factor from the place's radiance, or from a background picture as it would look by
    itself, to linear light in the photo. description: for the attributes; angles in degrees seen from the camera,
    exposure in stops.
    """

    lighting: Lighting
    environment: Environment | None
    turn: float
    background_gain: np.ndarray
    description: dict[str, str | float]


@dataclass
class _Light:
    """ambient: (9, 3), direction: (3,) towards the lamp, colour: (3,), all in one arbitrary unit."""

    ambient: np.ndarray
    direction: np.ndarray
    colour: np.ndarray

    def level(self, to_camera: np.ndarray) -> float:
        """How bright a white head is from the camera: root mean square over directions within 50 degrees of it, so that
        the brighter half decides as it does for a photographer."""
        normals = _around(to_camera)
        lamp = np.maximum(normals @ self.direction, 0)[:, None] * self.colour
        return float(np.sqrt((((ambient_at(self.ambient, normals) + lamp) @ LUMINANCE) ** 2).mean()))


def sample_lighting(
    settings: LightSettings, camera: PinholeCamera, random: np.random.Generator, skin: float = USUAL_SKIN
) -> LitScene:
    """Choose a kind of light by its share and draw one of that kind, exposed for the face up to
    ``settings.exposure_stops``. skin: luminance of the face, which cameras meter, too: darker skin gets more light."""
    to_camera = -camera.world_to_camera[:3, :3].T @ np.array([0, 0, 1.0])
    shares = np.array([getattr(settings, f"{name}_share") for name in KINDS[1:]])
    kind = str(random.choice(KINDS, p=[max(1 - shares.sum(), 0.0), *(shares / max(shares.sum(), 1.0))]))
    metered = np.clip(0.4 * np.log2(USUAL_SKIN / skin), -0.25, 1.0)
    stops = float(random.uniform(*settings.exposure_stops) + metered)
    environment, turn = None, 0.0
    if kind == "environment":
        environment, turn, light, tint = _environment(to_camera, random)
        background = tint
    else:
        light, background_stops, more_stops = SAMPLERS[kind](settings, to_camera, random)
        stops += more_stops
        background = np.full(3, 2.0**background_stops)
    level = max(light.level(to_camera), 1e-3)
    exposure = EXPOSURE * 2**stops
    if environment is not None:
        background = background / level * exposure * 2 ** random.normal(-0.2, 0.35)
    directional = float(light.colour @ LUMINANCE)
    facing = np.arctan2(to_camera[0], to_camera[2])
    azimuth = np.degrees(np.arctan2(light.direction[0], light.direction[2]) - facing)
    return LitScene(
        Lighting((light.ambient / level).astype(np.float32), light.direction, light.colour / level, exposure),
        environment,
        turn,
        background,
        {
            "light": kind,
            "light_environment": "none" if environment is None else environment.name,
            "light_azimuth_deg": float((azimuth + 180) % 360 - 180),
            "light_elevation_deg": float(np.degrees(np.arcsin(np.clip(light.direction[1], -1, 1)))),
            "light_directional_share": directional / (directional + float(light.ambient[0] @ LUMINANCE) + 1e-9),
            "light_exposure_stops": stops,
        },
    )


def _environment(to_camera: np.ndarray, random: np.random.Generator) -> tuple[Environment, float, _Light, np.ndarray]:
    places = load_environments()
    environment = places[int(random.integers(len(places)))]
    strength = float(np.exp(random.normal(0.0, 0.5)))
    # Cameras take most of a place's tint away, not all.
    tint = environment.ambient[0] + 0.25 * environment.lamp_colour
    tint = (tint / (tint @ LUMINANCE)) ** -random.uniform(0.6, 1.1)

    def turned(angle: float) -> _Light:
        rotation = rotation_about_y(angle)
        return _Light(
            rotate_ambient(environment.ambient, rotation) * tint,
            rotation @ environment.lamp_direction,
            environment.lamp_colour * tint * strength,
        )

    # People turn towards the light for a photo, often enough.
    first, second = random.uniform(-np.pi, np.pi, 2)
    choose = random.random() < 0.6
    lights = turned(first), turned(second)
    if choose and lights[1].level(to_camera) > lights[0].level(to_camera):
        return environment, float(second), lights[1], tint
    return environment, float(first), lights[0], tint


def _studio(settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator) -> tuple[_Light, float, float]:
    """A lamp or the sun from anywhere in front of or beside the head, and soft light from all around."""
    direction = _seen_from(to_camera, np.clip(random.normal(0, 55), -150, 150), np.clip(random.normal(25, 25), -35, 85))
    # Beside or behind a head a strong lamp leaves the face to the rest of the light: photographers see to that rest.
    share = random.uniform(*settings.directional_share) * (0.7 + 0.3 * max(float(direction @ to_camera), 0.0))
    return _mixture(to_camera, direction, share, _temperature(random.uniform(-1, 1), random), random), 0.0, 0.0


def _flash(settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator) -> tuple[_Light, float, float]:
    """The camera's own flash: flat, hard, little else; the room behind stays dark."""
    direction = _seen_from(to_camera, random.normal(0, 2.5), random.uniform(1, 6))
    share = random.uniform(0.65, 0.95)
    light = _mixture(to_camera, direction, share, _temperature(random.uniform(-0.6, 0.3), random), random)
    return light, random.uniform(-3, 0), random.uniform(-0.2, 0.5)


def _side(settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator) -> tuple[_Light, float, float]:
    """Half of the face lit, the other half dark."""
    direction = _seen_from(to_camera, random.choice([-1, 1]) * random.uniform(55, 110), random.uniform(-15, 45))
    share = random.uniform(0.5, 0.82)
    light = _mixture(to_camera, direction, share, _temperature(random.uniform(-1, 1), random), random)
    return light, random.uniform(-3, 0), random.uniform(-0.3, 0.3)


def _back(settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator) -> tuple[_Light, float, float]:
    """The lamp behind the head draws a bright rim; the face itself is dim, or the background too bright."""
    direction = _seen_from(to_camera, random.choice([-1, 1]) * random.uniform(120, 175), random.uniform(5, 60))
    light = _mixture(to_camera, direction, 0.0, np.ones(3), random)
    light.colour = _temperature(random.uniform(-0.5, 1), random) * random.uniform(0.8, 3.5)
    return light, random.uniform(0, 1.2), random.uniform(-0.3, 0.4)


def _dark(settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator) -> tuple[_Light, float, float]:
    """Far too little light."""
    light, _, _ = _studio(settings, to_camera, random)
    darker = random.uniform(-2.2, -0.9)
    return light, darker + random.uniform(-1, 1), darker


def _coloured(
    settings: LightSettings, to_camera: np.ndarray, random: np.random.Generator
) -> tuple[_Light, float, float]:
    """A stage or a bar: a strongly coloured lamp, often red, and another colour all around."""
    light, _, _ = _studio(settings, to_camera, random)
    red = random.random() < 0.5
    hue = random.normal(0.02, 0.03) % 1 if red else random.random()
    light.colour = light.colour * _saturated(hue, random.uniform(0.15, 0.5))
    other = hue if random.random() < 0.5 else random.random()
    light.ambient = light.ambient * _saturated(other, random.uniform(0.05, 0.3))
    return light, random.uniform(-2, 0), random.uniform(-0.7, 0.1)


SAMPLERS = {
    "studio": _studio,
    "flash": _flash,
    "side": _side,
    "back": _back,
    "dark": _dark,
    "coloured": _coloured,
}
KINDS = ("studio", "environment", *(name for name in SAMPLERS if name != "studio"))


def _mixture(
    to_camera: np.ndarray, direction: np.ndarray, share: float, colour: np.ndarray, random: np.random.Generator
) -> _Light:
    """``share`` of the light on a white sphere's side towards the camera from the lamp, the rest from all around."""
    ambient = _ambient(random)
    surround = max(float((ambient[0] + 0.6 * ambient[2] * to_camera[2]).mean()), 0.3)
    lit = 0.35 + 0.65 * max(float(direction @ to_camera), 0.0)
    return _Light(ambient * (1 - share) / surround, direction, colour * share / lit * 1.35)


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


def _temperature(warmth: float, random: np.random.Generator) -> np.ndarray:
    tint = np.array([1 + 0.22 * warmth, 1.0, 1 - 0.28 * warmth]) * np.exp(random.normal(0, 0.03, 3))
    return tint / tint.mean()


def _saturated(hue: float, saturation: float) -> np.ndarray:
    """A colour of light whose luminance stays within reach: pure blue would be next to black."""
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, 1.0)) ** 2.2
    return colour / max(float(colour @ LUMINANCE), 0.25)


def _seen_from(to_camera: np.ndarray, azimuth_deg: float, elevation_deg: float) -> np.ndarray:
    """Return the unit vector at these angles from the camera's side; above is above in the world."""
    azimuth = np.arctan2(to_camera[0], to_camera[2]) + np.radians(azimuth_deg)
    elevation = np.radians(elevation_deg)
    across = np.cos(elevation)
    return np.array([np.sin(azimuth) * across, np.sin(elevation), np.cos(azimuth) * across])


def _around(direction: np.ndarray) -> np.ndarray:
    """Return (7, 3): a direction and six at 50 degrees around it."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(direction, helper)
    right /= np.linalg.norm(right)
    up = np.cross(right, direction)
    angles = np.arange(6) * np.pi / 3
    ring = np.cos(angles)[:, None] * right + np.sin(angles)[:, None] * up
    return np.concatenate([direction[None], np.cos(np.radians(50)) * direction + np.sin(np.radians(50)) * ring])
