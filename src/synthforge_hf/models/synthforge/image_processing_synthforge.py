"""Photos and face boxes to model inputs, and model outputs back to the photo's pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional
from transformers import AutoImageProcessor
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_utils import BatchFeature
from transformers.image_utils import PILImageResampling
from transformers.processing_utils import ImagesKwargs
from transformers.utils import TensorType

from synthforge_hf.annotation.face_box import face_box, square_crop
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeOutput
from synthforge_hf.models.synthforge.photos import cut_square, open_photo

TYPICAL_FOCAL = 1.2
"""Focal length over the larger side of a photo that says nothing about its lens: 43 mm on full frame."""

MAXIMUM_MASK_SIDE = 1024
"""Logits are enlarged smoothly up to this side; masks of larger faces repeat its pixels."""


class SynthForgeImageProcessorKwargs(ImagesKwargs, total=False):
    r"""
    crop_scale (`float`, *optional*):
        The model sees a square of ``crop_scale`` times the face box's larger side.
    depth_focal (`float`, *optional*):
        Focal length, in sides of the crop, of the camera that the model's depth is meant for; see ``SynthForgeConfig``.
    face_threshold (`float`, *optional*):
        What a detector found counts as a face when its ``confidence`` (see ``post_process``) is at least this.
    """

    crop_scale: float
    depth_focal: float | None
    face_threshold: float


@dataclass(frozen=True)
class _Face:
    """Where one row of a batch comes from: photo number, the caller's box (or None), the square cut around it."""

    photo: int
    box: np.ndarray | None
    centre_x: float
    centre_y: float
    side: float


class SynthForgeImageProcessor(PilBackend):
    """Cuts one square crop per face (Pillow, antialiased, black outside the photo) and normalises it."""

    valid_kwargs = SynthForgeImageProcessorKwargs
    model_input_names = ["pixel_values"]  # noqa: RUF012

    size = {"height": 256, "width": 256}  # noqa: RUF012
    crop_scale = 1.35
    depth_focal = None
    face_threshold = 0.0
    resample = PILImageResampling.BILINEAR
    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True
    image_mean: ClassVar[list[float]] = [0.5, 0.5, 0.5]
    image_std: ClassVar[list[float]] = [0.5, 0.5, 0.5]

    @classmethod
    def for_model(cls, config: SynthForgeConfig, crop_scale: float = 1.35) -> Self:
        """Return the processor that fits a model's input size."""
        settings: dict[str, Any] = {"crop_scale": crop_scale, "depth_focal": config.depth_focal}
        return cls(size={"height": config.image_size, "width": config.image_size}, **settings)

    def preprocess(self, images: Any, boxes: Any = None, **kwargs: Any) -> BatchFeature:
        """Cut and normalise one crop per face.

        images: one photo or a list: path, PIL image, or array (H, W[, C]) or (C, H, W); any size and mode. EXIF
        orientation is applied.
        boxes: for one photo (4,) or (N, 4), for a list of photos a list of such (or None for a photo without boxes):
            x0, y0, x1, y1 of faces as ``face_box`` defines them, continuous pixels of the upright photo. None: the
            whole photo is one crop, widened to a square with black.
        Returns ``pixel_values`` (F, 3, S, S) float32, faces in the order of photos and boxes.
        Raises SynthForgeError for a photo that cannot be read and UsageError for boxes that make no sense.
        """
        return super().preprocess(images, boxes, **kwargs)

    def _preprocess_image_like_inputs(  # type: ignore[override]
        self,
        images: Any,
        boxes: Any = None,
        *,
        crop_scale: float,
        size: Any,
        rescale_factor: float,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        return_tensors: str | TensorType | None = None,
        **unused: Any,
    ) -> BatchFeature:
        photos = [open_photo(image) for image in as_photo_list(images)]
        faces = _faces([photo.size for photo in photos], _boxes_per_photo(boxes, images, len(photos)), crop_scale)
        pixels = int(size["height"])
        crops = np.zeros((len(faces), pixels, pixels, 3), dtype=np.uint8)
        for crop, face in zip(crops, faces, strict=True):
            crop[:] = cut_square(photos[face.photo], face.centre_x, face.centre_y, face.side, pixels)
        mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in (image_mean, image_std))
        pixel_values = (np.moveaxis(crops, -1, 1).astype(np.float32) * np.float32(rescale_factor) - mean) / std
        return BatchFeature(data={"pixel_values": pixel_values}, tensor_type=return_tensors)

    def post_process(
        self,
        outputs: SynthForgeOutput,
        target_sizes: Any,
        boxes: Any = None,
        crop_scale: float | None = None,
        masks: bool = True,
        focal_lengths: Any = None,
    ) -> list[dict[str, Any]]:
        """Bring a model's outputs back to the pixels of the photos.

        outputs: of the model for ``preprocess(photos, boxes)``. target_sizes: (height, width) of the upright photo, or
        a list of them. boxes: the same as were given to ``preprocess``. masks: False leaves segmentation and depth out.
        focal_lengths: pixels, one number or one per photo, for depth in metres; by default ``TYPICAL_FOCAL`` times the
        photo's larger side, which leaves the shape of the face right and its distance a guess.
        Returns one dictionary per face, in the order of the batch:
            photo: number of the photo. box: (4,) float64 of the caller, or None.
            crop: (4,) float64 x0, y0, x1, y1 of the square that the model saw.
            landmarks: (P, 2) float32 continuous pixels of the photo.
            face_box: (4,) float64 x0, y0, x1, y1, the face box of the landmarks; of the backbone's, where a label
            network has turned those into others.
            confidence: mean height of the landmarks' heatmaps' peaks, 0 to 1. Spread-out heatmaps mean that the crop
            does not look like a face.
            segmentation: (H, W) uint8 class ids at the photo's size, 0 outside the crop.
            depth: (H, W) float32 metres, planar z, at the photo's size, 0 outside the crop and where the segmentation
            is background.
        Raises UsageError when sizes, boxes and outputs do not belong together.
        """
        sizes = np.atleast_2d(np.asarray(target_sizes, dtype=np.int64))
        several = np.ndim(target_sizes) == 2
        photo_sizes = [(int(width), int(height)) for height, width in sizes]
        scale = self.crop_scale if crop_scale is None else crop_scale
        per_photo = _boxes_per_photo(boxes, photo_sizes if several else photo_sizes[0], len(photo_sizes))
        faces = _faces(photo_sizes, per_photo, scale)
        if len(faces) != len(outputs.landmarks):
            raise UsageError(f"{len(outputs.landmarks)} outputs but {len(faces)} boxes: give the boxes of preprocess")
        if focal_lengths is None:
            focal_lengths = [TYPICAL_FOCAL * max(size) for size in photo_sizes]
        focal = np.broadcast_to(np.asarray(focal_lengths, dtype=np.float64), len(photo_sizes))
        # A pipeline hands over plain model outputs, which lack the fields that are None.
        backbone_landmarks = getattr(outputs, "backbone_landmarks", None)
        heatmaps = getattr(outputs, "backbone_landmark_heatmaps", None)
        if heatmaps is None:
            heatmaps = outputs.landmark_heatmaps
        results = []
        for row, face in enumerate(faces):
            corner = np.array([face.centre_x, face.centre_y]) - 0.5 * face.side
            landmarks = _points_of(outputs.landmarks, row)
            framing = _points_of(backbone_landmarks, row) if backbone_landmarks is not None else landmarks
            result: dict[str, Any] = {
                "photo": face.photo,
                "box": face.box,
                "crop": np.concatenate([corner, corner + face.side]),
                "landmarks": (corner + landmarks * face.side).astype(np.float32),
                "face_box": face_box(corner + framing[None] * face.side)[0],
            }
            if heatmaps is not None:
                result["confidence"] = float(heatmaps[row].detach().flatten(1).amax(dim=1).mean())
            if masks:
                result["segmentation"], result["depth"] = _masks(outputs, row, face, photo_sizes[face.photo])
                if self.depth_focal is not None:
                    result["depth"] *= np.float32(focal[face.photo] / (face.side * self.depth_focal))
            results.append(result)
        return results


def as_photo_list(images: Any) -> list[Any]:
    """Return the photos of one photo, a list of photos, or a batch array (B, ., ., .)."""
    if isinstance(images, list | tuple):
        return list(images)
    if hasattr(images, "ndim") and images.ndim == 4:
        return list(images)
    return [images]


def _boxes_per_photo(boxes: Any, images: Any, photos: int) -> list[np.ndarray | None]:
    """Bring every accepted form of ``boxes`` to one (N, 4) array or None per photo."""
    if boxes is None:
        return [None] * photos
    several = isinstance(images, list) or (hasattr(images, "ndim") and images.ndim == 4)
    per_photo = list(boxes) if several else [boxes]
    if len(per_photo) != photos:
        raise UsageError(f"{photos} photos but boxes for {len(per_photo)}: give one list of boxes per photo")
    return [None if entry is None else _as_boxes(entry) for entry in per_photo]


def _as_boxes(boxes: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"face boxes must be numbers x0, y0, x1, y1: {error}") from error
    if array.size == 0:
        return array.reshape(0, 4)
    array = np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] != 4 or not np.isfinite(array).all():
        raise UsageError(f"face boxes must be finite x0, y0, x1, y1, got an array of shape {array.shape}")
    if (array[:, 2:] <= array[:, :2]).any():
        bad = array[(array[:, 2:] <= array[:, :2]).any(axis=1)][0]
        raise UsageError(f"the face box {bad.tolist()} is empty: x0 < x1 and y0 < y1 are needed")
    return array


def _faces(sizes: Sequence[tuple[int, int]], boxes: Sequence[np.ndarray | None], crop_scale: float) -> list[_Face]:
    """sizes: (width, height) per photo."""
    faces = []
    for photo, ((width, height), entry) in enumerate(zip(sizes, boxes, strict=True)):
        if entry is None:
            faces.append(_Face(photo, None, 0.5 * width, 0.5 * height, float(max(width, height))))
            continue
        squares = square_crop(entry, crop_scale)
        faces += [_Face(photo, box, *square.tolist()) for box, square in zip(entry, squares, strict=True)]
    return faces


def _points_of(landmarks: Tensor, row: int) -> np.ndarray:
    return landmarks[row].detach().float().cpu().numpy()


def _masks(outputs: SynthForgeOutput, row: int, face: _Face, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Segmentation and depth of one face on the photo's pixel grid; size: (width, height)."""
    side = min(max(int(np.ceil(face.side)), 1), MAXIMUM_MASK_SIDE)
    classes = _enlarge(outputs.segmentation_logits[row], side).argmax(dim=0).to(torch.uint8).cpu().numpy()
    metres = _enlarge(outputs.depth[row], side)[0].cpu().numpy()
    metres = np.where(classes > 0, metres, np.float32(0))
    width, height = size
    # A photo pixel's centre, in pixels of the enlarged square, is (x - corner) * side / face.side: read the nearest
    # there.
    left, top = face.centre_x - 0.5 * face.side, face.centre_y - 0.5 * face.side
    columns = slice(max(int(np.ceil(left - 0.5)), 0), min(int(np.ceil(left + face.side - 0.5)), width))
    rows = slice(max(int(np.ceil(top - 0.5)), 0), min(int(np.ceil(top + face.side - 0.5)), height))
    segmentation, depth = np.zeros((height, width), np.uint8), np.zeros((height, width), np.float32)
    if columns.start < columns.stop and rows.start < rows.stop:
        x = (
            ((np.arange(columns.start, columns.stop) + 0.5 - left) * (side / face.side))
            .astype(np.int64)
            .clip(0, side - 1)
        )
        y = ((np.arange(rows.start, rows.stop) + 0.5 - top) * (side / face.side)).astype(np.int64).clip(0, side - 1)
        segmentation[rows, columns] = classes[y[:, None], x[None, :]]
        depth[rows, columns] = metres[y[:, None], x[None, :]]
    return segmentation, depth


def _enlarge(maps: Tensor, side: int) -> Tensor:
    """(C, h, w) -> (C, side, side), smooth."""
    return functional.interpolate(maps.detach().float()[None], size=(side, side), mode="bilinear", align_corners=False)[
        0
    ]


AutoImageProcessor.register(SynthForgeConfig, image_processor_classes={"pil": SynthForgeImageProcessor}, exist_ok=True)
