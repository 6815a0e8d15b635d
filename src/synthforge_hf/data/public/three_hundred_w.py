"""300-W: photos with the 68 points of iBUG in .pts files beside them.

Sagonas et al., "300 Faces In-the-Wild Challenge: Database and Results", Image and Vision Computing 47, 2016. As
shipped, the folders are afw, ibug, helen/trainset, helen/testset, lfpw/trainset and lfpw/testset; they may lie anywhere
below the folder that is read. The split into common and challenge subsets is the one that every later paper reports.
"""

import os
from pathlib import Path

import numpy as np

from synthforge_hf.errors import SynthForgeError, UsageError

NUM_POINTS = 68
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".bmp")

SUBSETS: dict[str, tuple[str, ...]] = {
    "common": ("helen/testset", "lfpw/testset"),
    "challenge": ("ibug",),
    "full": ("helen/testset", "lfpw/testset", "ibug"),
}
"""The test subsets of the literature, as the folders they consist of."""


def read_300w(directory: str | Path, subset: str | None = None) -> list[tuple[Path, np.ndarray]]:
    """Return (image path, (68, 2) float64 landmarks) of every annotated photo below ``directory``, sorted by path.

    Landmarks are continuous pixels, in which a pixel's centre is at +0.5; the files count pixel centres from 1.

    subset: "common", "challenge", "full", the name of a folder below ("afw"), or the end of its path ("lfpw/trainset");
    None for all. Raises UsageError when there is no such folder or it holds no annotated photo, SynthForgeError when a
    .pts file is damaged, has other than 68 points, or has no photo beside it.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UsageError(f"there is no folder {directory}")
    files = _find_pts(directory)
    if not files:
        raise UsageError(f"{directory} holds no .pts file: give the folder of 300-W as its authors ship it")
    if subset is not None:
        files = _select(directory, files, subset)
    return [(_image_of(path), read_pts(path)) for path in files]


def is_test_photo(path: Path, directory: str | Path) -> bool:
    """Return whether a photo below ``directory`` lies in a folder of the test subsets, on which nobody may train."""
    parts = path.relative_to(directory).parent.parts
    return any(_contains(parts, tuple(folder.split("/"))) for folder in SUBSETS["full"])


def read_pts(path: Path) -> np.ndarray:
    """Return the (68, 2) float64 points of a .pts file as continuous pixels. Raises SynthForgeError naming the file."""
    try:
        text = path.read_text(encoding="ascii", errors="strict")
        content = text[text.index("{") + 1 : text.index("}")]
        points = np.array([[float(number) for number in line.split()] for line in content.strip().splitlines()])
    except OSError as error:
        raise SynthForgeError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SynthForgeError(
            f"{path} is not a .pts file: its points must stand line by line between {{ and }}"
        ) from error
    if points.shape != (NUM_POINTS, 2):
        found = f"{len(points)} points" if points.ndim == 2 and points.shape[-1] == 2 else "no list of x y"
        raise SynthForgeError(f"{path} holds {found} instead of {NUM_POINTS} points")
    if not np.isfinite(points).all():
        raise SynthForgeError(f"{path} holds points that are not finite numbers")
    return points - 0.5


def _find_pts(directory: Path) -> list[Path]:
    """Return all .pts files below a folder, sorted. Linked folders count: data sets are often made of links."""
    found = [Path(folder) / name for folder, _, names in os.walk(directory, followlinks=True) for name in names]
    return sorted(path for path in found if path.suffix == ".pts" and not path.name.startswith("."))


def _select(directory: Path, files: list[Path], subset: str) -> list[Path]:
    """Keep the files of a subset: those with its folders somewhere between ``directory`` and the file."""
    folders = [tuple(part for part in folder.split("/") if part) for folder in SUBSETS.get(subset, (subset,))]
    if not all(folders):
        raise UsageError(f"the subset '{subset}' is not the name of a folder")
    chosen: list[Path] = []
    for folder in folders:
        own = [path for path in files if _contains(path.relative_to(directory).parent.parts, folder)]
        if not own:
            missing = "/".join(folder)
            raise UsageError(f"{directory} holds no annotated photo in {missing}, which the subset '{subset}' needs")
        chosen += own
    return sorted(set(chosen))


def _contains(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return any(parts[start : start + len(wanted)] == wanted for start in range(len(parts) - len(wanted) + 1))


def _image_of(path: Path) -> Path:
    for suffix in (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES)):
        image = path.with_suffix(suffix)
        if image.is_file():
            return image
    raise SynthForgeError(f"{path} has no photo beside it ({path.stem}.jpg or .png)")
