"""The synthetic faces that scenes are composed from, kept small and uncompressed in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from synthforge_hf.errors import UsageError

WORKING_SIZE = 256
"""Side of a pooled face image in pixels."""


@dataclass(frozen=True)
class FacePool:
    """images: (N, S, S, 3) uint8 RGB. segmentation: (N, S, S) uint8 class ids. landmarks: (N, 68, 2) float32 pixels of
    those images, all with S = ``WORKING_SIZE``."""

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
        images = np.zeros((count, WORKING_SIZE, WORKING_SIZE, 3), np.uint8)
        segmentation = np.zeros((count, WORKING_SIZE, WORKING_SIZE), np.uint8)
        landmarks = np.zeros((count, 68, 2), np.float32)
        number = 0
        for sample in samples:
            if number == count:
                break
            missing = {"image", "segmentation", "landmarks_2d"} - set(sample)
            if missing:
                raise UsageError(f"the data set lacks the column {sorted(missing)[0]!r}, needed to train the detector")
            photo: Image.Image = sample["image"]
            size = (WORKING_SIZE, WORKING_SIZE)
            images[number] = np.asarray(photo.convert("RGB").resize(size, Image.Resampling.BOX))
            classes: Image.Image = sample["segmentation"]
            segmentation[number] = np.asarray(classes.resize(size, Image.Resampling.NEAREST))
            landmarks[number] = np.asarray(sample["landmarks_2d"], np.float32) * (WORKING_SIZE / photo.width)
            number += 1
        if number == 0:
            raise UsageError("the data set has no samples to train the detector on")
        return cls(images[:number], segmentation[:number], landmarks[:number])
