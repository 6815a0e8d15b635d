"""Scenes with 0 to 5 synthetic faces, composed on the fly, and the boxes of those faces.

A render always shows one whole face at one scale; a photo may show none, a crowd, or one that fills the frame. So faces
are cut out by their segmentation and placed at any scale, rotation and position over backgrounds that have nothing to
do with them.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.annotation.face_box import box_iou, face_box
from synthforge_hf.randomness import random_stream
from synthforge_hf.segmentation_classes import CLASS_ID
from synthforge_hf.training.face_detector.backgrounds import BackgroundPainter
from synthforge_hf.training.face_detector.faces import FacePool
from synthforge_hf.training.face_detector.photometric import degrade, shift_colours

SMALLEST_FACE = 16
"""Faces whose larger side is smaller than this many pixels are neither asked for nor forbidden."""

LEAST_CONTRAST = 8.0
"""Neither are faces that darkness or glare has wiped out: whose grey levels (0 to 255) vary by less than this."""

BODY_CLASSES = tuple(CLASS_ID[name] for name in ("neck", "neck_l", "cloth"))


@dataclass(frozen=True)
class Scene:
    """image: (S, S, 3) uint8 RGB. boxes: (N, 4) float32 face boxes to be found, they may reach beyond the frame.
    ignored: (M, 4) float32 regions around the centres of faces too small, too large or too far outside to be asked
    for."""

    image: np.ndarray
    boxes: np.ndarray
    ignored: np.ndarray


class SceneComposer:
    """Makes scene ``index`` of the stream ``seed``, always the same for the same pool."""

    def __init__(self, pool: FacePool, photos: list[np.ndarray], size: int = 192, seed: int = 0):
        self.pool, self.size, self.seed = pool, size, seed
        self.painter = BackgroundPainter(pool, photos, size)

    def compose(self, index: int) -> Scene:
        """Return scene number ``index``."""
        random = random_stream(self.seed, index, "detector-scene")
        canvas = Image.fromarray(self.painter.paint(random))
        kind = random.choice(["none", "whole", "portrait", "group"], p=[0.13, 0.25, 0.4, 0.22])
        boxes: list[np.ndarray] = []
        if kind == "whole":
            self._place(canvas, random, self._size(random, 0.2, 1.0), boxes, keep_background=True)
        elif kind == "portrait":
            largest = 1.8 if random.random() < 0.1 else 0.95
            self._place(canvas, random, self._size(random, 0.13, largest), boxes)
        if kind == "group" or (kind in ("whole", "portrait") and random.random() < 0.15):
            for _ in range(random.integers(1, 6)):
                self._place(canvas, random, self._size(random, 0.08, 0.45), boxes)
        image = degrade(np.asarray(canvas), random)
        return self._scene(image, np.array(boxes).reshape(-1, 4))

    def _size(self, random: np.random.Generator, smallest: float, largest: float) -> float:
        """Larger side of a face box in pixels, log-uniform between two fractions of the frame."""
        return self.size * float(np.exp(random.uniform(np.log(smallest), np.log(largest))))

    def _scene(self, image: np.ndarray, boxes: np.ndarray) -> Scene:
        inside = np.clip(boxes, 0, self.size)
        area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        visible = np.clip(inside[:, 2:] - inside[:, :2], 0, None).prod(axis=1) / np.maximum(area, 1e-6)
        centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
        longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        wanted = (visible >= 0.5) & ((centre > 0) & (centre < self.size)).all(axis=1) & (longest >= SMALLEST_FACE)
        wanted &= np.array([_contrast(image, box) >= LEAST_CONTRAST for box in inside], bool)
        half = 0.25 * (boxes[:, 2:] - boxes[:, :2])
        ignored = np.concatenate([centre - half, centre + half], axis=1)
        return Scene(image, boxes[wanted].astype(np.float32), ignored[~wanted].astype(np.float32))

    def _place(
        self,
        canvas: Image.Image,
        random: np.random.Generator,
        face_size: float,
        boxes: list[np.ndarray],
        keep_background: bool = False,
    ) -> None:
        """Paste one face into ``canvas`` and add its box to ``boxes``, unless no place is found clear of the others."""
        index = int(random.integers(len(self.pool)))
        landmarks = self.pool.landmarks[index].astype(np.float64)
        source_box = face_box(landmarks[None])[0]
        scale = face_size / (source_box[2:] - source_box[:2]).max()
        angle = np.radians(random.uniform(-30, 30) if random.random() < 0.6 else random.uniform(-8, 8))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = scale * turn * np.array([-1.0 if random.random() < 0.5 else 1.0, 1.0])
        source_centre = 0.5 * (source_box[:2] + source_box[2:])
        for _ in range(8):
            centre = self._centre(random, face_size)
            box = face_box(((landmarks - source_centre) @ matrix.T + centre)[None])[0]
            if not boxes or not (_covered(box, np.array(boxes)) > 0.15).any():
                break
        else:
            return
        layer = self._layer(index, random, keep_background)
        warped = _warp(layer, matrix, source_centre, centre, self.size)
        canvas.paste(warped, (0, 0), warped.getchannel("A"))
        if random.random() < 0.2:
            self._cover(canvas, random, box)
        boxes.append(box)

    def _centre(self, random: np.random.Generator, face_size: float) -> np.ndarray:
        """Where a face goes: mostly in the frame, the larger the nearer to its middle; sometimes partly outside."""
        if random.random() < 0.15:
            return random.uniform(0.0, self.size, 2)
        slack = max(self.size - face_size, 0.15 * self.size)
        return 0.5 * self.size + random.uniform(-0.5, 0.5, 2) * slack

    def _layer(self, index: int, random: np.random.Generator, keep_background: bool) -> Image.Image:
        """The face as RGBA: the person cut out, at times without neck and clothes, or the untouched render."""
        image = self.pool.images[index]
        classes = self.pool.segmentation[index]
        if keep_background:
            opaque = np.ones_like(classes, bool)
        else:
            opaque = classes != CLASS_ID["background"]
            if random.random() < 0.25:
                opaque &= ~np.isin(classes, BODY_CLASSES)
        if random.random() < 0.7:
            image = shift_colours(image, random, strength=0.6)
        layer = Image.fromarray(np.dstack([image, opaque.astype(np.uint8) * 255]))
        if random.random() < 0.08:
            _draw_sunglasses(layer, self.pool.landmarks[index], random)
        return layer

    def _cover(self, canvas: Image.Image, random: np.random.Generator, box: np.ndarray) -> None:
        """Hide up to a third of a face behind something: a hand, a cup, a pole, another thing's edge."""
        width, height = box[2:] - box[:2]
        if random.random() < 0.5:
            part = random.uniform(0.1, 0.35) * width, random.uniform(0.3, 1.2) * height
        else:
            part = random.uniform(0.3, 1.2) * width, random.uniform(0.1, 0.35) * height
        columns, rows = (max(2, int(side)) for side in part)
        patch = Image.fromarray(self.painter.occluder(random, columns, rows))
        shape = Image.new("L", patch.size, 0)
        draw = ImageDraw.Draw(shape)
        (draw.ellipse if random.random() < 0.5 else draw.rectangle)((0, 0, columns - 1, rows - 1), fill=255)
        edge = 0.5 * (box[:2] + box[2:]) + random.uniform(-0.6, 0.6, 2) * (width, height)
        canvas.paste(patch, (int(edge[0] - columns / 2), int(edge[1] - rows / 2)), shape)


def _warp(layer: Image.Image, matrix: np.ndarray, source: np.ndarray, target: np.ndarray, size: int) -> Image.Image:
    """Map RGBA so that point ``source`` lands on ``target`` and directions turn by ``matrix`` (2, 2); filtered when it
    shrinks."""
    shrink = int(np.sqrt(abs(np.linalg.det(np.linalg.inv(matrix)))))
    if shrink > 1:
        layer = layer.reduce(shrink)
        matrix, source = matrix * shrink, source / shrink
    inverse = np.linalg.inv(matrix)
    offset = source - inverse @ target
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    return layer.transform((size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _contrast(image: np.ndarray, box: np.ndarray) -> float:
    """Standard deviation of the grey levels of (H, W, 3) uint8 in the middle half of a box, 2 x 2 pixels averaged."""
    quarter = 0.25 * (box[2:] - box[:2])
    (x0, y0), (x1, y1) = (box[:2] + quarter).astype(int), np.ceil(box[2:] - quarter).astype(int)
    grey = image[y0:y1, x0:x1].mean(axis=2)
    rows, columns = grey.shape[0] // 2, grey.shape[1] // 2
    if rows == 0 or columns == 0:
        return 0.0
    return float(grey[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3)).std())


def _covered(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) the intersection of ``box`` with each of ``others`` (N, 4), relative to the smaller of the two."""
    overlap = box_iou(box[None], others)[0]
    area, areas = (box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1)
    return overlap * (area + areas) / (1 + overlap) / np.maximum(np.minimum(area, areas), 1e-6)


def _draw_sunglasses(layer: Image.Image, landmarks: np.ndarray, random: np.random.Generator) -> None:
    """Two dark lenses and a bridge over the eyes (iBUG points 36-47)."""
    draw = ImageDraw.Draw(layer)
    shade = (*random.integers(0, 90, 3).tolist(), 255)
    eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
    reach = 0.5 * np.linalg.norm(landmarks[45] - landmarks[36])
    wide, high = reach * random.uniform(0.35, 0.5), reach * random.uniform(0.25, 0.45)
    for x, y in eyes:
        corners = (x - wide, y - high, x + wide, y + high)
        draw.ellipse(corners, fill=shade) if random.random() < 0.6 else draw.rounded_rectangle(corners, 4, fill=shade)
    draw.line([*eyes[0], *eyes[1]], fill=shade, width=max(1, layer.width // 100))
