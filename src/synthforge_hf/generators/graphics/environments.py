"""Light environments: what falls on a head from all around, and what is seen behind it.

The asset holds 18 photographed places (CC0), reduced by ``tools/build_environment_asset.py``.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from PIL import Image
from safetensors import safe_open

BRIGHTEST_RADIANCE = 8.0
"""What a panorama can hold, as a multiple of the mean light."""


@dataclass(frozen=True)
class Environment:
    """One place. The mean light from all directions is 1; frame as the world's, x right of who looks along -z.

    ambient: (9, 3) float64, as in ``rendering.shading.Lighting``, without the lamp. lamp_direction: (3,) unit vector
    towards it. lamp_colour: (3,) its light on a surface that faces it. panorama: (H, W, 3) uint8, see
    ``decode_radiance``; its middle column lies along -z, the top row at +y.
    """

    name: str
    ambient: np.ndarray
    lamp_direction: np.ndarray
    lamp_colour: np.ndarray
    panorama: np.ndarray


@lru_cache(maxsize=1)
def load_environments() -> tuple[Environment, ...]:
    """Return all environments, in alphabetical order."""
    path = resources.files("synthforge_hf.generators.graphics") / "assets" / "environments.safetensors"
    with resources.as_file(path) as file, safe_open(file, framework="numpy") as asset:
        names = asset.metadata()["names"].split(",")
        ambient, direction, colour = (
            asset.get_tensor(name).astype(np.float64) for name in ("ambient", "lamp_direction", "lamp_colour")
        )
        panoramas = [
            np.asarray(Image.open(io.BytesIO(asset.get_tensor(f"panorama.{name}").tobytes()))) for name in names
        ]
    return tuple(
        Environment(name, ambient[number], direction[number], colour[number], panoramas[number])
        for number, name in enumerate(names)
    )


def encode_radiance(radiance: np.ndarray) -> np.ndarray:
    """Return uint8 codes of linear radiance: its cube root, for eyes and backgrounds alike fine enough."""
    return np.rint(255 * np.cbrt(np.clip(radiance, 0, BRIGHTEST_RADIANCE) / BRIGHTEST_RADIANCE)).astype(np.uint8)


def decode_radiance(codes: np.ndarray) -> np.ndarray:
    """Return float32 linear radiance of codes in 0..255, which may be fractions."""
    root = codes.astype(np.float32) * np.float32(1 / 255)
    return root * root * root * np.float32(BRIGHTEST_RADIANCE)


def panorama_directions(height: int, width: int) -> np.ndarray:
    """Return (height, width, 3) unit vectors of a panorama's pixel centres."""
    latitude = (0.5 - (np.arange(height) + 0.5) / height)[:, None] * np.pi
    longitude = ((np.arange(width) + 0.5) / width - 0.5)[None] * 2 * np.pi
    across = np.cos(latitude)
    return np.stack(
        [across * np.sin(longitude), np.broadcast_to(np.sin(latitude), (height, width)), -across * np.cos(longitude)],
        axis=-1,
    )


def rotation_about_y(angle: float) -> np.ndarray:
    """Return the (3, 3) matrix that turns a place by ``angle`` radians, counter-clockwise seen from above."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def rotate_ambient(ambient: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Turn (9, 3) coefficients by a (3, 3) rotation: the constant stays, the linear part turns as a vector does, the
    rest as a symmetric matrix does."""
    turned = np.empty_like(ambient)
    turned[0] = ambient[0]
    turned[[3, 1, 2]] = rotation @ ambient[[3, 1, 2]]
    xy, yz, zz, xz, difference = ambient[4:]
    matrix = np.array(
        [
            [difference - zz, xy / 2, xz / 2],
            [xy / 2, -difference - zz, yz / 2],
            [xz / 2, yz / 2, 2 * zz],
        ]
    )
    matrix = np.einsum("ia,abc,jb->ijc", rotation, matrix, rotation)
    turned[4] = 2 * matrix[0, 1]
    turned[5] = 2 * matrix[1, 2]
    turned[6] = matrix[2, 2] / 2
    turned[7] = 2 * matrix[0, 2]
    turned[8] = (matrix[0, 0] - matrix[1, 1]) / 2
    return turned


def ambient_at(ambient: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return (N, 3) light on white surfaces with (N, 3) unit normals, as the shader computes it."""
    x, y, z = normals.T
    basis = np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])
    return np.maximum(basis.T @ ambient, 0)
