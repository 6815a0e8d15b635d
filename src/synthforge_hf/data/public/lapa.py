"""LaPa: 22,000 photos with masks of 11 classes and 106 landmarks.

Liu et al., "A New Dataset and Boundary-Attention Semantic Segmentation for Face Parsing", AAAI 2020. As shipped:
{train,val,test}/{images,labels,landmarks}, a photo's labels having its name with .png and .txt.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthforge_hf.data.public.celebamask_hq import IMAGE_SUFFIXES, read_mask
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.segmentation_classes import LAPA_CLASSES

SUBSETS = ("train", "val", "test")
NUM_POINTS = 106


@dataclass(frozen=True)
class LaPaPhoto:
    """One photo and where its labels are."""

    image: Path
    mask: Path
    points: Path

    def segmentation(self) -> np.ndarray:
        """Return (H, W) uint8 ids of ``LAPA_CLASSES``. Raises SynthForgeError for a damaged mask."""
        labels = read_mask(self.mask)
        if labels.max(initial=0) >= len(LAPA_CLASSES):
            raise SynthForgeError(f"{self.mask} holds the class {labels.max()}; the last of LaPa's 11 is 10")
        return labels

    def landmarks(self) -> np.ndarray:
        """Return (106, 2) float64 continuous pixels; the file counts pixel centres from 0. Raises SynthForgeError."""
        try:
            numbers = [float(number) for number in self.points.read_text(encoding="ascii").split()]
        except OSError as error:
            raise SynthForgeError(f"cannot read {self.points}: {error.strerror}") from error
        except ValueError as error:
            raise SynthForgeError(f"{self.points} is not a list of points: {error}") from error
        # The first number is the count of the points that follow.
        if len(numbers) != 1 + 2 * NUM_POINTS or numbers[0] != NUM_POINTS or not np.isfinite(numbers).all():
            raise SynthForgeError(f"{self.points} must hold the number {NUM_POINTS} and then as many points x y")
        return np.array(numbers[1:]).reshape(NUM_POINTS, 2) + 0.5


def read_lapa(directory: str | Path, subset: str | None = None) -> list[LaPaPhoto]:
    """Return the labelled photos of a subset, sorted by name. Labels are read later, one by one.

    subset: "train", "val" or "test" (the default, which the literature reports).
    Raises UsageError when the folder is not LaPa's, SynthForgeError when a photo lacks its mask or landmarks.
    """
    subset = subset or "test"
    if subset not in SUBSETS:
        raise UsageError(f"the subset is '{subset}': it must be one of {', '.join(SUBSETS)}")
    folder = Path(directory) / subset
    if not all((folder / part).is_dir() for part in ("images", "labels", "landmarks")):
        raise UsageError(
            f"{folder} must hold images/, labels/ and landmarks/: give the folder of LaPa as it is shipped"
        )
    photos = []
    for image in sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
        photo = LaPaPhoto(image, folder / "labels" / f"{image.stem}.png", folder / "landmarks" / f"{image.stem}.txt")
        for path in (photo.mask, photo.points):
            if not path.is_file():
                raise SynthForgeError(f"{image} lacks its {path.parent.name[:-1]} {path}")
        photos.append(photo)
    if not photos:
        raise UsageError(f"{folder / 'images'} holds no photo")
    return photos
