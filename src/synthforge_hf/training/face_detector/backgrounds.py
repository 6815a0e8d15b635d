"""Scenes without faces: procedural patterns, parts of renders that show no face, and photos that are certain to hold
none."""

from importlib import import_module

import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.errors import UsageError
from synthforge_hf.segmentation_classes import CLASS_ID
from synthforge_hf.training.face_detector.faces import FacePool

FACELESS_PHOTOS = (
    "brick",
    "cat",
    "cell",
    "coffee",
    "grass",
    "gravel",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "rocket",
    "text",
)
"""Sample images that ship with scikit-image, none with a person in it; its documentation states each to be CC0, in the
public domain or free of known copyright restrictions. Only training sees them."""


def faceless_photos() -> list[np.ndarray]:
    """Load ``FACELESS_PHOTOS`` as (H, W, 3) uint8 RGB, at most 512 pixels wide and high, without a download.

    Raises UsageError when scikit-image is not installed.
    """
    try:
        samples = import_module("skimage.data")
    except ModuleNotFoundError as problem:
        raise UsageError("backgrounds use sample images of scikit-image: pip install scikit-image") from problem
    photos = []
    for name in FACELESS_PHOTOS:
        photo = Image.fromarray(np.asarray(getattr(samples, name)())).convert("RGB")
        photo.thumbnail((512, 512), Image.Resampling.BOX)
        photos.append(np.asarray(photo))
    return photos


class BackgroundPainter:
    """Paints (size, size, 3) uint8 backgrounds that hold no face."""

    def __init__(self, pool: FacePool, photos: list[np.ndarray], size: int):
        self.pool, self.photos, self.size = pool, photos, size

    def paint(self, random: np.random.Generator) -> np.ndarray:
        """One background: a base, sometimes with shapes and torn-out pieces of other things on top."""
        canvas = Image.fromarray(self._base(random))
        if random.random() < 0.5:
            self._draw_shapes(canvas, random, int(random.integers(1, 14)))
        if random.random() < 0.6:
            for _ in range(random.integers(1, 6)):
                width, height = (int(side) for side in self.size * np.exp(random.uniform(np.log(0.08), np.log(0.8), 2)))
                piece = Image.fromarray(self._piece(random)).resize((width, height)).convert("RGBA")
                piece = piece.rotate(random.uniform(-40, 40), expand=True)
                left, top = (int(corner) for corner in random.integers(-self.size // 4, self.size, 2))
                canvas.paste(piece, (left, top), piece)
        return np.asarray(canvas)

    def occluder(self, random: np.random.Generator, width: int, height: int) -> np.ndarray:
        """A (height, width, 3) uint8 piece to cover something with."""
        texture = self._piece(random) if random.random() < 0.6 else self._noise(random)
        return np.asarray(Image.fromarray(texture).resize((width, height)))

    def _base(self, random: np.random.Generator) -> np.ndarray:
        kind = random.choice(["flat", "gradient", "noise", "piece", "photo"], p=[0.12, 0.13, 0.25, 0.25, 0.25])
        if kind == "flat":
            return np.broadcast_to(random.integers(0, 256, 3), (self.size, self.size, 3)).astype(np.uint8)
        if kind == "gradient":
            corners = random.integers(0, 256, (2, 2, 3)).astype(np.uint8)
            return np.asarray(Image.fromarray(corners).resize((self.size, self.size), Image.Resampling.BILINEAR))
        if kind == "noise":
            return self._noise(random)
        texture = self._piece(random) if kind == "piece" else self._photo_part(random)
        return np.asarray(Image.fromarray(texture).resize((self.size, self.size), Image.Resampling.BILINEAR))

    def _piece(self, random: np.random.Generator) -> np.ndarray:
        paint = (self._photo_part, self._render_background, self._render_body, self._render_detail)
        return paint[random.integers(len(paint))](random)

    def _noise(self, random: np.random.Generator) -> np.ndarray:
        """Coloured noise: a few octaves with random weights, from clouds to grain."""
        total = np.zeros((self.size, self.size, 3), np.float32)
        cells = 2
        steepness = random.uniform(0.3, 1.0)
        amplitude = 1.0
        while cells <= self.size:
            octave = random.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
            if random.random() < 0.5:
                octave[..., 1:] = octave[..., :1]
            grown = Image.fromarray(octave).resize((self.size, self.size), Image.Resampling.BILINEAR)
            total += amplitude * (np.asarray(grown, np.float32) / 255 - 0.5)
            amplitude *= steepness
            cells *= 4
        colour = random.uniform(0, 255, 3)
        return np.clip(colour + random.uniform(30, 250) * total, 0, 255).astype(np.uint8)

    def _photo_part(self, random: np.random.Generator) -> np.ndarray:
        if not self.photos:
            return self._noise(random)
        photo = self.photos[random.integers(len(self.photos))]
        smallest = min(photo.shape[:2])
        side = int(smallest * random.uniform(0.2, 1.0))
        top, left = (int(random.integers(0, extent - side + 1)) for extent in photo.shape[:2])
        part = np.rot90(photo[top : top + side, left : left + side], int(random.integers(4)))
        return np.ascontiguousarray(part if random.random() < 0.5 else part[:, ::-1])

    def _render_background(self, random: np.random.Generator) -> np.ndarray:
        """The largest of the strips beside or above a rendered person in which nothing but background shows."""
        index = random.integers(len(self.pool))
        empty = self.pool.segmentation[index] == CLASS_ID["background"]
        filled = np.argwhere(~empty)
        side = empty.shape[0]
        if len(filled) == 0:
            return self.pool.images[index]
        (top, left), (_, right) = filled.min(axis=0), filled.max(axis=0)
        strips = [(0, top, 0, side), (0, side, 0, left), (0, side, right + 1, side)]
        y0, y1, x0, x1 = max(strips, key=lambda strip: (strip[1] - strip[0]) * (strip[3] - strip[2]))
        if min(y1 - y0, x1 - x0) < 8:
            return self._noise(random)
        return self.pool.images[index, y0:y1, x0:x1]

    def _render_body(self, random: np.random.Generator) -> np.ndarray:
        """What lies under the chin, neck and clothes, or above the face, hair and hats."""
        index = random.integers(len(self.pool))
        _, top, _, bottom = np.clip(face_box(self.pool.landmarks[index][None])[0], 0, self.pool.images.shape[1])
        image = self.pool.images[index]
        part = image[int(bottom) :] if random.random() < 0.7 else image[: int(top * 0.9)]
        return part if part.shape[0] >= 8 else self._noise(random)

    def _render_detail(self, random: np.random.Generator) -> np.ndarray:
        """A small square of a render that keeps clear of eyes, nose and mouth: an ear, a collar, a lock of hair."""
        index = random.integers(len(self.pool))
        low, high = (extreme(self.pool.landmarks[index, 17:], axis=0) for extreme in (np.min, np.max))
        side = int(self.pool.size * random.uniform(0.12, 0.4))
        for _ in range(10):
            left, top = (int(corner) for corner in random.integers(0, self.pool.size - side, 2))
            if left > high[0] or top > high[1] or left + side < low[0] or top + side < low[1]:
                return self.pool.images[index, top : top + side, left : left + side]
        return self._noise(random)

    def _draw_shapes(self, canvas: Image.Image, random: np.random.Generator, count: int) -> None:
        """Ellipses, boxes, lines and polygons; some ellipses carry dots, as buttons, lamps and wheels do."""
        draw = ImageDraw.Draw(canvas)
        for _ in range(count):
            colour = tuple(int(value) for value in random.integers(0, 256, 3))
            x, y = random.uniform(-0.1, 1.1, 2) * self.size
            width, height = self.size * np.exp(random.uniform(np.log(0.03), np.log(0.6), 2))
            corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
            kind = random.integers(5)
            if kind == 0:
                draw.rectangle(corners, fill=colour)
            elif kind == 1:
                draw.line(corners, fill=colour, width=int(random.integers(1, 12)))
            elif kind == 2:
                points = random.uniform(-0.5, 0.5, (int(random.integers(3, 7)), 2)) * (width, height) + (x, y)
                draw.polygon([tuple(point) for point in points], fill=colour)
            else:
                draw.ellipse(corners, fill=colour, outline=tuple(int(value) for value in random.integers(0, 256, 3)))
                for _ in range(random.integers(0, 3)):
                    dot_x, dot_y = random.uniform(-0.35, 0.35, 2) * (width, height) + (x, y)
                    radius = 0.1 * width
                    shade = tuple(int(value) for value in random.integers(0, 256, 3))
                    draw.ellipse([dot_x - radius, dot_y - radius, dot_x + radius, dot_y + radius], fill=shade)
