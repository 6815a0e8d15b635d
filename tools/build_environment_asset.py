"""Turn the CC0 light environments of the npm package ``@pmndrs/assets`` into the one asset that ships with the package.

    npm pack @pmndrs/assets@1.7.0 && tar xzf pmndrs-assets-1.7.0.tgz
    pip install OpenEXR
    python tools/build_environment_asset.py package/hdri
    src/synthforge_hf/generators/graphics/assets/environments.safetensors

The environments are Poly Haven's, at 512x256. What is kept of each: the light on a white surface as spherical harmonics
without the strongest lamp, that lamp, and a panorama for backgrounds. Units: the mean light on all directions is 1.
"""

import argparse
import base64
import io
import re
import tempfile
from pathlib import Path

import numpy as np
import OpenEXR
from PIL import Image
from safetensors.numpy import save_file

from synthforge_hf.generators.graphics.environments import encode_radiance, panorama_directions

LAMP_RADIUS_DEG = 20
"""What lies this near to the brightest spot and outshines its surroundings is the lamp."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
# Convolution with the cosine lobe, divided by pi, for bands 0 to 2 (Ramamoorthi and Hanrahan 2001).
BANDS = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4])
NORMALISERS = np.array([0.282095, *[0.488603] * 3, 1.092548, 1.092548, 0.315392, 1.092548, 0.546274])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("asset", type=Path)
    arguments = parser.parse_args()
    tensors: dict[str, np.ndarray] = {}
    names = sorted(path.name.removesuffix(".exr.js") for path in arguments.folder.glob("*.exr.js"))
    rows = []
    for name in names:
        radiance = read_environment(arguments.folder / f"{name}.exr.js")
        rows.append(reduce_environment(radiance))
        scale, _, _, colour = rows[-1]
        tensors[f"panorama.{name}"] = encode_panorama(radiance * scale)
        share = colour @ LUMINANCE / 4
        print(f"{name:10} lamp {share:5.2f} of the light, panorama {len(tensors[f'panorama.{name}']) / 1000:.0f} kB")
    for number, field in enumerate(("ambient", "lamp_direction", "lamp_colour"), start=1):
        tensors[field] = np.stack([row[number] for row in rows]).astype(np.float32)
    arguments.asset.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, arguments.asset, metadata={"names": ",".join(names), "license": "CC0-1.0"})
    print(f"{arguments.asset}: {arguments.asset.stat().st_size / 1e6:.2f} MB")


def read_environment(path: Path) -> np.ndarray:
    """Return (256, 512, 3) float64 linear RGB radiance."""
    encoded = re.search(r"base64,([A-Za-z0-9+/=]+)", path.read_text())
    if encoded is None:
        raise SystemExit(f"{path} holds no base64 data")
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(encoded[1]))
        file.flush()
        channels = OpenEXR.File(file.name).channels()
    pixels = channels["RGB"].pixels if "RGB" in channels else np.stack([channels[c].pixels for c in "RGB"], axis=-1)
    return repair(np.maximum(pixels.astype(np.float64), 0))


def repair(radiance: np.ndarray) -> np.ndarray:
    """Fill blocks that compression left pure blue in the middle of the sun with the mean of what surrounds them."""
    broken = radiance[..., 2] > 20 * radiance[..., :2].max(-1) + 1
    if broken.any():
        rows, columns = np.nonzero(broken)
        around = np.s_[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3]
        radiance[broken] = radiance[around][~broken[around]].mean(0)
    return radiance


def reduce_environment(radiance: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return (scale to mean light 1, ambient (9, 3), lamp direction (3,), lamp colour (3,)), scaled."""
    height, width, _ = radiance.shape
    directions = panorama_directions(height, width)
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * np.pi
    solid_angle = np.repeat((np.cos(latitude) * (np.pi / height) * (2 * np.pi / width))[:, None], width, axis=1)
    flat = directions.reshape(-1, 3)
    weight = solid_angle.reshape(-1)
    light = radiance.reshape(-1, 3)
    luminance = light @ LUMINANCE

    # The brightest spot: most light within some degrees, looked for on a grid of directions.
    candidates = panorama_directions(24, 48).reshape(-1, 3)
    near = candidates @ flat.T > np.cos(np.radians(8))
    brightest = candidates[np.argmax(near @ (luminance * weight))]
    cosine = flat @ brightest
    inside = cosine > np.cos(np.radians(LAMP_RADIUS_DEG))
    ring = ~inside & (cosine > np.cos(np.radians(1.8 * LAMP_RADIUS_DEG)))
    surroundings = 2 * np.average(luminance[ring], weights=weight[ring])
    excess = np.where(inside, np.clip(luminance - surroundings, 0, None) / np.maximum(luminance, 1e-9), 0)[:, None]
    lamp = light * excess * weight[:, None]
    direction = (lamp @ LUMINANCE) @ flat
    direction = brightest if np.linalg.norm(direction) < 1e-9 else direction / np.linalg.norm(direction)
    colour = lamp.sum(0) / np.pi

    basis = NORMALISERS[:, None] * polynomials(flat)
    projected = (basis * weight) @ (light * (1 - excess))
    ambient = BANDS[:, None] * NORMALISERS[:, None] * projected
    scale = 1 / float((ambient[0] + colour / 4) @ LUMINANCE)
    return scale, ambient * scale, direction, colour * scale


def polynomials(n: np.ndarray) -> np.ndarray:
    """Return (9, N): the polynomials of ``Lighting.ambient`` at (N, 3) unit vectors."""
    x, y, z = n.T
    return np.stack([np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y])


def encode_panorama(radiance: np.ndarray) -> np.ndarray:
    """Return the bytes of a JPEG, (N,) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(encode_radiance(radiance)).save(buffer, "JPEG", quality=90, subsampling="4:4:4", optimize=True)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


if __name__ == "__main__":
    main()
