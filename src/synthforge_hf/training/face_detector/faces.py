"""The synthetic faces that scenes are composed from, kept small and uncompressed in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from synthforge_hf.errors import UsageError

LARGEST_SIDE = 256
"""Larger renders are scaled down to this side, in pixels, when they are pooled."""


@dataclass(frozen=True)
class FacePool:
    """images: (N, S, S, 3) uint8 RGB. segmentation: (N, S, S) uint8 class ids. landmarks: (N, 68, 2) float32 pixels of
    those images. S is the renders' side, at most ``LARGEST_SIDE``."""

    images: np.ndarray
    segmentation: np.ndarray
    landmarks: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def from_samples(cls, samples: Iterable[Mapping[str, Any]], count: int) -> "FacePool":
        """Collect the first ``count`` samples (fewer when there are fewer) of a synthforge data set.

        samples: rows with ``image`` and ``segmentation`` (Pillow images, square) and ``landmarks_2d`` (68, 2) pixels.
        Raises UsageError when a column is missing or there are no rows.
        """
        pool: FacePool | None = None
        number = 0
        for number, sample in enumerate(islice(samples, count), start=1):
            missing = {"image", "segmentation", "landmarks_2d"} - set(sample)
            if missing:
                raise UsageError(f"the data set lacks the column {sorted(missing)[0]!r}, needed to train the detector")
            photo: Image.Image = sample["image"]
            classes: Image.Image = sample["segmentation"]
            if pool is None:
                pool = cls._empty(count, min(LARGEST_SIDE, photo.width))
            size = (pool.size, pool.size)
            pool.images[number - 1] = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BOX))
            pool.segmentation[number - 1] = np.asarray(classes.resize(size, Image.Resampling.NEAREST))
            pool.landmarks[number - 1] = np.asarray(sample["landmarks_2d"], np.float32) * (pool.size / photo.width)
        if pool is None:
            raise UsageError("the data set has no samples to train the detector on")
        return cls(pool.images[:number], pool.segmentation[:number], pool.landmarks[:number])

    @property
    def size(self) -> int:
        """S, the side of the images in pixels."""
        return int(self.images.shape[1])

    @classmethod
    def _empty(cls, count: int, size: int) -> "FacePool":
        return cls(
            np.zeros((count, size, size, 3), np.uint8),
            np.zeros((count, size, size), np.uint8),
            np.zeros((count, 68, 2), np.float32),
        )
