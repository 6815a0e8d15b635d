"""From a photo of any size to face boxes: letterboxing, decoding, suppression of double finds, and the loading of
weights."""

from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from synthforge_hf.annotation.face_box import box_iou
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.models.face_detector.configuration_face_detector import SynthForgeFaceDetectorConfig
from synthforge_hf.models.face_detector.modeling_face_detector import (
    INPUT_MULTIPLE,
    STRIDE,
    SynthForgeFaceDetectorModel,
)
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb

FINER_FROM = 1.25
"""A photo is searched at a finer size from this many photo pixels per pixel of that size."""


class DetectedFace(NamedTuple):
    """box: x0, y0, x1, y1 in continuous pixels of the photo, the face box of ``annotation.face_box``; it may reach
    beyond the photo.
    score: in (0, 1)."""

    box: tuple[float, float, float, float]
    score: float


class FaceDetector:
    """Finds the faces of a photo. Thresholds and sizes come from the model's configuration."""

    def __init__(self, model: SynthForgeFaceDetectorModel):
        self.model = model.eval().to(memory_format=torch.channels_last)
        self.config = model.config

    def __call__(
        self, image: str | Path | Image.Image | np.ndarray, score_threshold: float | None = None
    ) -> list[DetectedFace]:
        """Return the faces of one photo, best score first; an empty list when there is none.

        image: whatever ``models.synthforge.photos.open_photo`` takes: a path, a Pillow image, (H, W, 3) uint8, ...
        score_threshold: instead of the configuration's.
        Raises SynthForgeError when ``image`` cannot be read as a photo.
        """
        photo = to_rgb(open_photo(image))
        threshold = self.config.score_threshold if score_threshold is None else score_threshold
        longest = max(photo.size)
        first, *finer = self.config.detection_sizes
        sizes = [first, *(size for size in finer if FINER_FROM * size <= longest)]
        # A large photo is shrunk once, cheaply, to no less than twice the finest size; filtered resizes start there.
        reduction = max(1, longest // (2 * sizes[-1]))
        shrunk = photo.reduce(reduction) if reduction > 1 else photo
        boxes, scores = [], []
        for size in sizes:
            pixels, scale = self.prepare(shrunk, size)
            with torch.inference_mode():
                output = self.model(pixels)
            least = threshold if size == first else min(threshold + self.config.finer_margin, 1.0)
            found_boxes, found_scores = decode(output.centre_logits[0], output.log_distances[0], least)
            boxes.append(found_boxes * reduction / np.tile(scale, 2))
            scores.append(found_scores)
        all_boxes, all_scores = np.concatenate(boxes), np.concatenate(scores)
        kept = suppress(all_boxes, all_scores, self.config.iou_threshold)[: self.config.max_faces]
        return [DetectedFace(_as_box(all_boxes[index]), float(all_scores[index])) for index in kept]

    def prepare(self, photo: Image.Image, size: int) -> tuple[Tensor, np.ndarray]:
        """Scale an RGB photo to longest side ``size`` and fill up with grey to multiples of 32 at the right and the
        bottom.

        Returns pixel values (1, 3, H, W) and the scale (2,), network pixels per photo pixel in x and y.
        """
        factor = size / max(photo.size)
        width, height = (max(1, round(side * factor)) for side in photo.size)
        resized = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
        rows, columns = (-(-side // INPUT_MULTIPLE) * INPUT_MULTIPLE for side in (height, width))
        canvas = np.full((rows, columns, 3), 127, np.uint8)
        canvas[:height, :width] = resized
        pixels = normalise(torch.from_numpy(canvas).permute(2, 0, 1)[None].to(self.model.device), self.config)
        return pixels, np.array([width / photo.width, height / photo.height])


def normalise(images: Tensor, config: SynthForgeFaceDetectorConfig) -> Tensor:
    """Map (B, 3, H, W) uint8 RGB to the pixel values the network expects, float32, channels-last in memory."""
    mean = torch.tensor(config.image_mean, device=images.device)[:, None, None]
    std = torch.tensor(config.image_std, device=images.device)[:, None, None]
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def decode(centre_logits: Tensor, log_distances: Tensor, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (N, 4) in input pixels and scores (N,) of all local maxima of the heatmap above ``threshold``.

    centre_logits: (h, w). log_distances: (4, h, w).
    """
    logits = centre_logits.float()
    peaks = functional.max_pool2d(logits[None], 3, stride=1, padding=1)[0] == logits
    scores = logits.sigmoid()
    rows, columns = torch.nonzero(peaks & (scores >= threshold), as_tuple=True)
    left, top, right, bottom = log_distances.float()[:, rows, columns].clamp(-4, 6).exp()
    x, y = columns + 0.5, rows + 0.5
    boxes = torch.stack([x - left, y - top, x + right, y + bottom], dim=1) * STRIDE
    return boxes.double().cpu().numpy(), scores[rows, columns].double().cpu().numpy()


def suppress(boxes: np.ndarray, scores: np.ndarray, iou_threshold: float) -> list[int]:
    """Greedy non-maximum suppression: return the indices kept, best score first.

    boxes: (N, 4), scores: (N,). A box goes when it overlaps a better one by more than ``iou_threshold``, or when most
    of it lies inside a better one or the other way round (the eyes and mouth of a large face like to pass for a small
    one).
    """
    kept: list[int] = []
    overlap = box_iou(boxes, boxes)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    for index in np.argsort(-scores, kind="stable"):
        shared = overlap[index, kept] * (area[index] + area[kept]) / (1 + overlap[index, kept])
        inside = shared > 0.8 * np.minimum(area[index], area[kept])
        if not ((overlap[index, kept] > iou_threshold) | inside).any():
            kept.append(int(index))
    return kept


def load_face_detector(path: str | PathLike | None = None) -> FaceDetector:
    """Load a detector: the embedded one, or that of a ``save_pretrained`` folder or Hub repository.

    Raises SynthForgeError when ``path`` holds no face detector.
    """
    source = files("synthforge_hf") / "pretrained" / "detector" if path is None else path
    try:
        model = SynthForgeFaceDetectorModel.from_pretrained(str(source), dtype=torch.float32)
    except (OSError, ValueError) as problem:
        raise SynthForgeError(f"no face detector could be loaded from {source}: {problem}") from problem
    return FaceDetector(model)


def _as_box(corners: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = corners.tolist()
    return x0, y0, x1, y1
