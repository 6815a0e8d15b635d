"""What is behind the head: photographed places, the user's own pictures, walls and made-up scenes, other people."""

import colorsys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from synthforge_hf.generators.graphics import colours
from synthforge_hf.generators.graphics.environments import Environment, decode_radiance, load_environments
from synthforge_hf.generators.graphics.lighting import LUMINANCE, LitScene
from synthforge_hf.generators.graphics.pictures import load_pictures
from synthforge_hf.generators.graphics.settings import BackgroundSettings
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.camera import PinholeCamera

KINDS = ("plain", "gradient", "clutter", "blobs", "stripes", "wall")
SHARES = (0.12, 0.2, 0.28, 0.1, 0.1, 0.2)
SMALL, MIDDLE, LARGE = 64, 128, 256
"""Pixels across while a background is drawn; how many, its blur decides."""
SMOOTH = 2.0
"""Pixels of blur from which on half as many pixels each way show the same."""


@dataclass
class _Backdrop:
    """image: square roots of linear light (near enough to sRGB), any size. gain: factor on the light."""

    image: Image.Image
    gain: float


def sample_background(
    settings: BackgroundSettings, camera: PinholeCamera, scene: LitScene, random: np.random.Generator
) -> tuple[np.ndarray, str]:
    """Return ((H, W, 3) float32 linear RGB as bright as it is to appear, its kind).

    Raises UsageError or SynthForgeError when the pictures that the settings name cannot be read or have changed.
    """
    resolution = camera.height
    pictures_share = settings.pictures_share if settings.pictures else 0.0
    own, place = random.random(2)
    sharp = random.random() < settings.sharp_share
    blur = random.uniform(0.0, 0.004) if sharp else float(np.exp(random.uniform(np.log(0.008), np.log(0.07))))
    if own < pictures_share:
        kind = "picture"
        backdrop = _Backdrop(_picture(settings, resolution if sharp else LARGE, random), _gain(scene))
    elif place < settings.environment_share:
        kind = "environment"
        blur = min(blur, 0.02)  # panoramas are soft by themselves
        backdrop = _place(camera, scene, MIDDLE if sharp else SMALL, random)
    else:
        kind = str(random.choice(KINDS, p=SHARES))
        backdrop = _Backdrop(_scene(kind, _scene_size(blur), random), _gain(scene))
    image = backdrop.image
    if random.random() < settings.people_share:
        kind += "+people"
        _draw_people(image, random)
        blur = max(blur, 0.02)
    while blur * image.width > SMOOTH:
        image = image.reduce(2)
    if kind != "plain" and blur * image.width > 0.3:
        image = image.filter(ImageFilter.GaussianBlur(blur * image.width))
    codes = np.asarray(image.resize((resolution, resolution), Image.Resampling.BILINEAR))
    light = codes.astype(np.float32)
    light *= light
    light *= np.float32(backdrop.gain / 255**2)
    return light, kind


def _scene_size(blur: float) -> int:
    """Pixels across that are enough for a scene with so much blur."""
    for size in (SMALL, MIDDLE):
        if blur * 2 * size > SMOOTH:
            return size
    return LARGE


def _gain(scene: LitScene) -> float:
    """Factor on a picture that looks right by itself: where the light is a place's, exposure has nothing to say."""
    return 1.0 if scene.environment is not None else float(scene.background_gain.mean())


def _place(camera: PinholeCamera, scene: LitScene, size: int, random: np.random.Generator) -> _Backdrop:
    """What the camera sees of a place, ``size`` pixels across: of the one that lights the head, else of any."""
    places = load_environments()
    other = places[int(random.integers(len(places)))]
    turn = float(random.uniform(-np.pi, np.pi))
    # A long lens shows a few pixels of a panorama; a wider view behind the head looks as varied as photos do.
    widening = float(np.exp(random.uniform(0, np.log(5))))
    if scene.environment is not None:
        return _develop(_view(scene.environment, scene.turn, camera, widening, size), scene.background_gain)
    view = _view(other, turn, camera, widening, size)
    level = 0.18 * 2 ** random.normal(0, 0.8)
    return _develop(view, level / max(float((view @ LUMINANCE).mean()), 1e-3) * scene.background_gain)


def _develop(radiance: np.ndarray, gain: np.ndarray) -> _Backdrop:
    """Keep what is at most twice as bright as white paper."""
    light = np.clip(radiance * (0.5 * gain), 0, 1)
    return _Backdrop(Image.fromarray(np.rint(255 * np.sqrt(light)).astype(np.uint8)), 2.0)


def _view(environment: Environment, turn: float, camera: PinholeCamera, widening: float, size: int) -> np.ndarray:
    """(size, size, 3) float32 radiance of a place turned by ``turn``, through a lens ``widening`` times as wide."""
    pixel = ((np.arange(size) + 0.5) / size - 0.5) * camera.width / camera.intrinsics[0, 0] * widening
    rays = np.stack([*np.meshgrid(pixel, pixel), np.ones((size, size))], axis=-1)
    rays = rays.astype(np.float32) @ camera.world_to_camera[:3, :3].astype(np.float32)
    longitude = np.arctan2(rays[..., 0], -rays[..., 2]) + turn
    latitude = np.arctan2(rays[..., 1], np.hypot(rays[..., 0], rays[..., 2]))
    height, width, _ = environment.panorama.shape
    x = (longitude / (2 * np.pi) + 0.5) * width - 0.5
    y = np.clip((0.5 - latitude / np.pi) * height - 0.5, 0, height - 1.001)
    column, row = np.floor(x).astype(int), y.astype(int)
    fx, fy = (x - column)[..., None].astype(np.float32), (y - row)[..., None].astype(np.float32)
    left, right = column % width, (column + 1) % width
    panorama = environment.panorama
    above = panorama[row, left] * (1 - fx) + panorama[row, right] * fx
    below = panorama[row + 1, left] * (1 - fx) + panorama[row + 1, right] * fx
    return decode_radiance(above * (1 - fy) + below * fy)


def _picture(settings: BackgroundSettings, size: int, random: np.random.Generator) -> Image.Image:
    """A random square of a random picture, mirrored half of the time."""
    pictures = load_pictures(settings.pictures, settings.pictures_sha256)
    picture = pictures.open(int(random.integers(len(pictures))), size)
    side = min(picture.size) * random.uniform(0.5, 1.0)
    left, top = (random.uniform(0, length - side) for length in picture.size)
    square = picture.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return square.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else square


def _scene(kind: str, size: int, random: np.random.Generator) -> Image.Image:
    palette = [_colour(random) for _ in range(5)]
    if kind == "wall":
        return _wall(size, palette, random)
    image = _gradient(size, palette[0], palette[1] if kind != "plain" else palette[0], random)
    draw = ImageDraw.Draw(image)
    if kind == "clutter":
        for _ in range(int(random.integers(6, 40))):
            _shape(draw, size, _colour(random) if random.random() < 0.5 else palette[int(random.integers(5))], random)
    elif kind == "blobs":
        for _ in range(int(random.integers(5, 25))):
            x, y = random.uniform(0, size, 2)
            radius = random.uniform(0.02, 0.2) * size
            draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=palette[int(random.integers(5))])
    elif kind == "stripes":
        _stripes(draw, size, palette, random)
    return image


def _wall(size: int, palette: list[tuple[int, int, int]], random: np.random.Generator) -> Image.Image:
    """Plaster, stone, leaves, cloth: noise of any grain, coloured between two or three colours, brighter to one
    side."""
    field = load_wall_noise()[int(random.integers(3))]
    cut = int(np.exp(random.uniform(np.log(24), np.log(field.shape[0]))))
    left, top = random.integers(0, field.shape[0] - cut + 1, 2)
    piece = Image.fromarray(field).resize(
        (size, size), Image.Resampling.BICUBIC, (int(left), int(top), int(left) + cut, int(top) + cut)
    )
    contrast = random.beta(1.2, 2.5) * 2.5
    stops = np.sort(random.uniform(0.1, 0.9, 3))
    near = np.array(palette[0], dtype=np.float64)
    tones = [near * random.uniform(0.3, 0.8), near, near + (255 - near) * random.uniform(0.1, 0.5)]
    if random.random() < 0.35:
        tones[2] = np.array(palette[1], dtype=np.float64)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    angle = random.uniform(0, 2 * np.pi)
    shade = 1 + random.uniform(0, 0.7) * (x * np.cos(angle) + y * np.sin(angle))
    level = (np.arange(256) / 255 - 0.5) * contrast + 0.5
    table = np.stack([np.interp(level, stops, [tone[channel] for tone in tones]) for channel in range(3)], axis=-1)
    pixels = table.astype(np.float32)[np.asarray(piece)] * shade[..., None].astype(np.float32)
    return Image.fromarray(np.minimum(pixels, 255).astype(np.uint8))


@lru_cache(maxsize=1)
def load_wall_noise() -> np.ndarray:
    """Return (3, 384, 384) uint8 fields of noise: cloudy, grainy, stretched."""
    random = random_stream(0, 0, "background noise")
    size = 384
    v, u = np.meshgrid(np.fft.fftfreq(size), np.fft.rfftfreq(size), indexing="ij")
    fields = []
    for exponent, stretch in ((1.6, 1.0), (0.7, 1.0), (1.2, 5.0)):
        spectrum = random.normal(size=(*v.shape, 2)).view(np.complex128)[..., 0]
        spectrum /= (1 + np.hypot(u, v * stretch) * (size / 2)) ** exponent
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum)
        fields.append(np.clip(127.5 + 50 * field / field.std(), 0, 255))
    return np.stack(fields).astype(np.uint8)


def _draw_people(image: Image.Image, random: np.random.Generator) -> None:
    """One to three others at the edges: hair, face, neck, shoulders. They have no landmarks and no class."""
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 4))):
        size = image.width * random.uniform(0.12, 0.4)
        x = image.width * random.choice([random.uniform(-0.1, 0.16), random.uniform(0.84, 1.1)])
        y = image.width * random.uniform(0.1, 0.75)
        light = float(np.exp(random.normal(-0.3, 0.5)))
        melanin = random.random()
        skin = _code(colours.skin_colour(melanin, random.normal(0, 0.5), random.normal(0, 0.5)) * light)
        shaded = _code(np.square(np.array(skin) / 255) * random.uniform(0.4, 0.9))
        hair = _code(colours.sample_hair_colour(melanin, random.uniform(0.3, 0.9), random)[1] * light)
        cloth = _code(colours.sample_cloth_colour(random) * light)
        tall, lean = size * random.uniform(1.2, 1.4), random.normal(0, 0.08) * size
        long = random.uniform(0.5, 1.25)

        def ellipse(
            across: float, down: float, width: float, height: float, fill: tuple[int, int, int], size: float = size
        ) -> None:
            draw.ellipse([across - width, down - height, across + width, down + height], fill=fill)

        ellipse(x, y + 0.1 * tall * long, 0.6 * size, 0.55 * tall * long, hair)
        draw.rectangle([x - 0.24 * size, y, x + 0.24 * size, y + 0.8 * tall], fill=shaded)
        ellipse(x, y + 1.35 * tall, 1.1 * size, 0.75 * tall, cloth)
        ellipse(x + lean, y + 0.06 * tall, 0.45 * size, 0.45 * tall, skin)
        ellipse(x + lean, y + 0.28 * tall, 0.16 * size, 0.03 * tall, shaded)
        for side in (-0.2, 0.2):
            ellipse(x + lean + side * size, y - 0.04 * tall, 0.09 * size, 0.03 * tall, shaded)
        ellipse(x, y - 0.36 * tall, 0.44 * size, 0.16 * tall, hair)


def _code(light: np.ndarray) -> tuple[int, int, int]:
    """Linear RGB -> square roots in 0..255."""
    red, green, blue = (255 * np.sqrt(np.clip(light, 0, 1))).astype(int)
    return int(red), int(green), int(blue)


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    hue = random.choice([random.random(), random.normal(0.09, 0.04) % 1])
    red, green, blue = colorsys.hsv_to_rgb(hue, random.beta(1.0, 3.2), random.uniform(0.03, 1.0))
    return int(255 * red), int(255 * green), int(255 * blue)


def _gradient(
    size: int, first: tuple[int, int, int], second: tuple[int, int, int], random: np.random.Generator
) -> Image.Image:
    angle = random.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:32, 0:32] / 31 - 0.5
    share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)[..., None]
    small = Image.fromarray((np.array(first) * (1 - share) + np.array(second) * share).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BILINEAR)


def _shape(draw: ImageDraw.ImageDraw, size: int, colour: tuple[int, int, int], random: np.random.Generator) -> None:
    x, y = random.uniform(-0.1 * size, 1.1 * size, 2)
    width, height = random.exponential(0.16 * size, 2) + 2
    kind = random.random()
    if kind < 0.5:
        draw.rectangle([x - width, y - height, x + width, y + height], fill=colour)
    elif kind < 0.75:
        draw.ellipse([x - width, y - height, x + width, y + height], fill=colour)
    elif kind < 0.9:
        end = (x + random.normal(0, size / 2), y + random.normal(0, size / 2))
        draw.line([(x, y), end], fill=colour, width=int(random.integers(1, 7)))
    else:
        corners = random.normal(0, 0.18 * size, (int(random.integers(3, 6)), 2)) + (x, y)
        draw.polygon([(float(a), float(b)) for a, b in corners], fill=colour)


def _stripes(
    draw: ImageDraw.ImageDraw, size: int, palette: list[tuple[int, int, int]], random: np.random.Generator
) -> None:
    upright = random.random() < 0.5
    at = 0.0
    while at < size:
        width = random.uniform(3, size / 4)
        colour = palette[int(random.integers(5))]
        box = [at, 0, at + width, size] if upright else [0, at, size, at + width]
        draw.rectangle(box, fill=colour)
        at += width * random.uniform(1.0, 2.5)
