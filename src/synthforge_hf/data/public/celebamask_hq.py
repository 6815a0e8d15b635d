"""CelebAMask-HQ: 30,000 photos with masks of 18 parts.

Lee et al., "MaskGAN: Towards Diverse and Interactive Facial Image Manipulation", CVPR 2020. Two layouts are read: the
official one (CelebA-HQ-img/, CelebAMask-HQ-mask-anno/ with one binary PNG per photo and part,
CelebA-HQ-to-CelebA-mapping.txt), and the usual prepared one (images/ and masks/, one PNG of class ids per photo).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.image_limits import open_limited
from synthforge_hf.segmentation_classes import CLASS_ID, MIRRORED_CLASSES, SEGMENTATION_CLASSES

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
PARTITIONS = ("train", "val", "test")

_FIRST_VALIDATION, _FIRST_TEST = 162_771, 182_638
"""The numbers at which CelebA's own validation and test photos begin; CelebAMask-HQ inherits the partition."""


@dataclass(frozen=True)
class ParsingPhoto:
    """One photo and where its labels are.

    masks: one PNG of class ids (class name None), or one binary PNG per class, by class name.
    """

    image: Path
    masks: tuple[tuple[str | None, Path], ...]

    def segmentation(self) -> np.ndarray:
        """Return (H, W) uint8 ids of ``SEGMENTATION_CLASSES``, at the masks' own size (512 officially; photos are
        1024).

        Where parts overlap the one listed later wins, as in the authors' script. Raises SynthForgeError for a damaged
        mask.
        """
        first_class, first_path = self.masks[0]
        if first_class is None:
            labels = read_mask(first_path)
            if labels.max(initial=0) >= len(SEGMENTATION_CLASSES):
                raise SynthForgeError(f"{first_path} holds the class {labels.max()}; the last of 19 is 18")
            return labels
        labels = np.zeros_like(read_mask(first_path))
        for name, path in self.masks:
            part = read_mask(path)
            if part.shape != labels.shape:
                raise SynthForgeError(f"{path} is of another size than the photo's other masks")
            labels[part > 0] = CLASS_ID[name or "background"]
        return labels


def read_celebamask_hq(directory: str | Path, subset: str | None = None) -> list[ParsingPhoto]:
    """Return every labelled photo in ``directory``, in the order of their numbers or names. Masks are read later, one
    by one.

    subset: "train", "val" or "test", by CelebA's partition; official layout only. None for all.
    Raises UsageError when the folder is of neither layout or holds no photo, SynthForgeError when a photo has no mask.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"there is no folder {directory}")
    if (directory / "CelebA-HQ-img").is_dir():
        photos = _read_official(directory, subset)
    elif (directory / "images").is_dir() and (directory / "masks").is_dir():
        if subset is not None:
            raise UsageError(f"{directory} has no subsets: leave the subset out, or give the official folder")
        photos = _read_prepared(directory)
    else:
        raise UsageError(
            f"{directory} holds neither images/ and masks/ nor CelebA-HQ-img/: give the folder of CelebAMask-HQ"
        )
    if not photos:
        raise UsageError(f"{directory} holds no photo")
    return photos


def is_mirrored(labels: np.ndarray) -> bool:
    """Whether a (H, W) mask has its left eye (the person's own, so on the right in the image) left of its right eye."""
    left, right = (np.nonzero(labels == CLASS_ID[name])[1] for name in ("l_eye", "r_eye"))
    return bool(len(left) and len(right) and left.mean() < right.mean())


def exchange_sides(labels: np.ndarray) -> np.ndarray:
    """Return (H, W) class ids with left and right eyes, brows and ears exchanged."""
    order = np.arange(len(SEGMENTATION_CLASSES), dtype=labels.dtype)
    for left, right in MIRRORED_CLASSES:
        order[left], order[right] = right, left
    return order[labels]


def _read_prepared(directory: Path) -> list[ParsingPhoto]:
    images = sorted(path for path in (directory / "images").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    photos = []
    for image in images:
        mask = directory / "masks" / f"{image.stem}.png"
        if not mask.is_file():
            raise SynthForgeError(f"{image} has no mask {mask}")
        photos.append(ParsingPhoto(image, ((None, mask),)))
    return photos


def _read_official(directory: Path, subset: str | None) -> list[ParsingPhoto]:
    annotations = directory / "CelebAMask-HQ-mask-anno"
    if not annotations.is_dir():
        raise UsageError(f"{directory} has CelebA-HQ-img/ but no CelebAMask-HQ-mask-anno/")
    parts: dict[int, dict[str, Path]] = {}
    for path in annotations.rglob("*.png"):
        match = re.fullmatch(r"(\d+)_(\w+)", path.stem)
        if match and match[2] in CLASS_ID:
            parts.setdefault(int(match[1]), {})[match[2]] = path
    numbers = {
        path.stem: path for path in (directory / "CelebA-HQ-img").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES
    }
    images = {int(stem): path for stem, path in numbers.items() if stem.isdigit()}
    if subset is not None:
        partition = _partition(directory / "CelebA-HQ-to-CelebA-mapping.txt", subset)
        images = {number: path for number, path in images.items() if partition.get(number) == subset}
    photos = []
    for number, image in sorted(images.items()):
        own = parts.get(number)
        if not own:
            raise SynthForgeError(f"{image} has no masks in {annotations}")
        photos.append(ParsingPhoto(image, tuple((name, own[name]) for name in SEGMENTATION_CLASSES if name in own)))
    return photos


def _partition(path: Path, subset: str) -> dict[int, str]:
    """Return the partition of each photo's number, from the authors' table (idx, orig_idx, orig_file)."""
    if subset not in PARTITIONS:
        raise UsageError(f"the subset is '{subset}': it must be one of {', '.join(PARTITIONS)}")
    try:
        rows = [line.split() for line in path.read_text(encoding="ascii").splitlines()[1:] if line.strip()]
        originals = {int(row[0]): int(row[1]) for row in rows}
    except OSError as error:
        raise UsageError(f"cannot read {path}, which says what belongs to '{subset}': {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise SynthForgeError(f"{path} is not the authors' table of idx, orig_idx and orig_file") from error
    return {
        number: "train" if original < _FIRST_VALIDATION else "val" if original < _FIRST_TEST else "test"
        for number, original in originals.items()
    }


def read_mask(path: Path) -> np.ndarray:
    """Return (H, W) uint8: the ids of a palette or grey image, or the first channel of a colour image."""
    try:
        with open_limited(path, str(path)) as image:
            pixels = np.asarray(image)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise SynthForgeError(f"cannot read {path}: it is damaged or not an image") from error
    return pixels[..., 0].astype(np.uint8) if pixels.ndim == 3 else pixels.astype(np.uint8)
