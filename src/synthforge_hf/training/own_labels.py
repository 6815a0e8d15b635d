"""Anybody's labels: a set that ``load_dataset`` reads, or 300-W, LaPa or CelebAMask-HQ as their authors ship them.

Every source gives labelled photos by number. What is wrong with one is an error of one line that names the sample.
"""

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import datasets
import numpy as np
from PIL import Image

from synthforge_hf.data.name_split import NameSplit, place_of_name
from synthforge_hf.data.public.celebamask_hq import ParsingPhoto, exchange_sides, is_mirrored, read_celebamask_hq
from synthforge_hf.data.public.lapa import LaPaPhoto, read_lapa
from synthforge_hf.data.public.three_hundred_w import is_test_photo, read_300w
from synthforge_hf.data.schema import DEPTH_UNIT
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.photos import open_photo
from synthforge_hf.segmentation_classes import LAPA_CLASSES, SEGMENTATION_CLASSES

LABEL_COLUMNS = {"landmarks": "landmarks_2d", "segmentation": "segmentation", "depth": "depth"}
"""Task -> column of its labels, unless the user names another."""

OWN_FILES = ("metadata.*", "*/metadata.*", "*.parquet", "*/*.parquet")
"""What a folder holds that is meant for ``load_dataset``."""

DEFAULT_SHARE = 0.9
"""Of the samples are trained on where a set has no validation split of its own."""


@dataclass(frozen=True)
class LabelledPhoto:
    """One sample, decoded and checked.

    photo: upright, any mode. landmarks: (P, 2) float32 continuous pixels, NaN where a point is missing. segmentation:
    (H, W) uint8 class ids, 255 = unknown. depth: (H, W) uint16 steps of 0.1 mm, 0 = none. focal: pixels, where known.
    face_box: (4,) float64 x0, y0, x1, y1, where the set gives one.
    """

    photo: Image.Image
    landmarks: np.ndarray | None = None
    segmentation: np.ndarray | None = None
    depth: np.ndarray | None = None
    focal: float | None = None
    face_box: np.ndarray | None = None


class LabelSource(Protocol):
    """Labelled photos by number.

    crop: what frames their faces unless the user says otherwise, see ``LabelWindows``. class_names: of their
    segmentation, where known.
    """

    crop: str
    class_names: tuple[str, ...] | None

    def __len__(self) -> int: ...
    def name(self, index: int) -> str: ...
    def load(self, index: int) -> LabelledPhoto: ...
    @property
    def fingerprint(self) -> str: ...


def open_labels(
    dataset: str,
    tasks: Sequence[str],
    columns: Mapping[str, str] | None = None,
    class_names: Sequence[str] | None = None,
    name_split: NameSplit | None = None,
    depth_unit: float = DEPTH_UNIT,
) -> tuple[LabelSource, LabelSource]:
    """Return the samples to train on and those to validate on.

    dataset: folder of 300-W, LaPa or CelebAMask-HQ, or what ``load_dataset`` takes. columns: task or "image" -> column,
    where it is not called as in ``LABEL_COLUMNS``. class_names: of the segmentation, by id. name_split: validate on
    the samples whose names it holds out and train on the others; None: the set's own validation split if it has one.
    depth_unit: metres per step of the depth images.
    Raises UsageError when there is no such set, it lacks a column or a split is empty.
    """
    folder = Path(dataset)
    if folder.is_dir():
        found = _benchmark_folder(folder, tasks, name_split)
        if found is not None:
            return found
    return _open_data_set(dataset, tasks, dict(columns or {}), class_names, name_split, depth_unit)


class FileSource:
    """Photos of a benchmark's folder; ``load`` reads one of them."""

    def __init__(
        self,
        paths: Sequence[Path],
        load: Callable[[int], LabelledPhoto],
        crop: str,
        class_names: tuple[str, ...] | None = None,
    ) -> None:
        self.paths, self._load, self.crop, self.class_names = list(paths), load, crop, class_names

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        return str(self.paths[index])

    def load(self, index: int) -> LabelledPhoto:
        return self._load(index)

    @property
    def fingerprint(self) -> str:
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in self.paths]
        return datasets.fingerprint.Hasher.hash([stamps, self.crop])


class RowSource:
    """Rows of a ``datasets.Dataset``."""

    def __init__(
        self,
        rows: datasets.Dataset,
        split: str,
        columns: Mapping[str, str],
        class_names: Sequence[str] | None,
        depth_unit: float,
    ) -> None:
        self.split, self.columns, self.depth_unit = split, dict(columns), depth_unit
        self.class_names = tuple(class_names) if class_names else None
        extra = [name for name in ("face_box", "intrinsics", "landmarks_2d") if name in rows.column_names]
        rows = rows.select_columns(list(dict.fromkeys([*self.columns.values(), *extra]))).with_format(None)
        for task, column in self.columns.items():
            feature = rows.features[column]
            if task == "landmarks":
                continue
            if not isinstance(feature, datasets.Image):
                raise UsageError(
                    f"the column '{column}' of split '{split}' must hold images (datasets.Image), not {feature}"
                )
            rows = rows.cast_column(column, datasets.Image(decode=False))
        self.rows = rows
        self.points: int | None = None
        self.crop = "face_box" if "face_box" in extra else "detector"
        if "landmarks_2d" in extra and self.crop == "detector" and len(rows):
            self.crop = "landmarks" if np.shape(rows[0]["landmarks_2d"]) == (68, 2) else "detector"

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> str:
        return self._name(index, self.rows[index])

    def _name(self, index: int, row: Mapping[str, Any]) -> str:
        path = row[self.columns["image"]].get("path")
        return f"row {index} of split '{self.split}'" + (f" ({Path(path).name})" if path else "")

    def load(self, index: int) -> LabelledPhoto:
        row = self.rows[index]
        name = self._name(index, row)
        photo = _open(row[self.columns["image"]], name)
        content: dict[str, Any] = {}
        if row.get("face_box") is not None:
            content["face_box"] = _read_box(row["face_box"], name)
        column = self.columns.get("landmarks", "landmarks_2d")
        if row.get(column) is not None:
            self.points = self.points or len(row[column])
            content["landmarks"] = read_points(row[column], self.points, f"{name}, column '{column}'")
        for task in ("segmentation", "depth"):
            if task not in self.columns:
                continue
            where = f"{name}, column '{self.columns[task]}'"
            if row[self.columns[task]] is None:
                raise SynthForgeError(f"{where}: there is no image")
            labels = np.asarray(_open(row[self.columns[task]], where))
            if labels.shape[:2] != (photo.height, photo.width):
                raise SynthForgeError(
                    f"{where}: the labels are {labels.shape[1]} x {labels.shape[0]} pixels, "
                    f"the photo {photo.width} x {photo.height}; they must be of one size"
                )
            if task == "segmentation":
                content[task] = read_classes(labels, self.class_names, where)
            else:
                content[task] = read_depth(labels, self.depth_unit, where)
        if "depth" in content and row.get("intrinsics") is not None:
            content["focal"] = float(np.asarray(row["intrinsics"])[0, 0])
        return LabelledPhoto(photo, **content)

    @property
    def fingerprint(self) -> str:
        return datasets.fingerprint.Hasher.hash(
            [self.rows._fingerprint, self.columns, self.class_names, self.depth_unit]
        )


def read_points(value: Any, count: int, where: str) -> np.ndarray:
    """Return (count, 2) float32 pixels; a point with a NaN or a negative coordinate is missing and becomes NaN.

    Raises SynthForgeError, beginning with ``where``, for another number of points or no point at all.
    """
    try:
        points = np.array(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise SynthForgeError(f"{where}: landmarks must be a list of [x, y], got {str(value)[:60]}") from error
    if points.ndim != 2 or points.shape[1] != 2:
        raise SynthForgeError(f"{where}: landmarks must be a list of [x, y], got an array of shape {points.shape}")
    if len(points) != count:
        raise SynthForgeError(f"{where}: {len(points)} landmarks, the samples before have {count}")
    points[~(points >= 0).all(axis=1)] = np.nan
    if np.isnan(points).all():
        raise SynthForgeError(f"{where}: every landmark is missing (NaN or negative); leave this sample out")
    return points


def read_classes(labels: np.ndarray, class_names: Sequence[str] | None, where: str) -> np.ndarray:
    """Return (H, W) uint8 class ids. Raises SynthForgeError for colour images and ids that are no class."""
    if labels.ndim != 2:
        raise SynthForgeError(
            f"{where}: a colour image of {labels.shape[2]} channels; class ids are needed, as a grey or palette image"
        )
    if labels.dtype == bool:
        labels = labels.astype(np.uint8)
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() > IGNORED_CLASS:
        raise SynthForgeError(f"{where}: class ids must be whole numbers from 0 to 254 (255 = unknown)")
    highest = int(labels[labels != IGNORED_CLASS].max(initial=0))
    if class_names is not None and highest >= len(class_names):
        raise SynthForgeError(
            f"{where}: the class id {highest} is out of range; there are {len(class_names)} classes, 0 to "
            f"{len(class_names) - 1} (255 = unknown)"
        )
    return labels.astype(np.uint8)


def read_depth(labels: np.ndarray, unit: float, where: str) -> np.ndarray:
    """Return (H, W) uint16 steps of 0.1 mm from an image in steps of ``unit`` metres. Raises SynthForgeError."""
    if labels.ndim != 2:
        raise SynthForgeError(f"{where}: a colour image; depth must have one channel (16-bit PNG or float TIFF)")
    steps = np.nan_to_num(labels.astype(np.float64)) * (unit / DEPTH_UNIT)
    if steps.min() < 0 or steps.max() > np.iinfo(np.uint16).max:
        raise SynthForgeError(
            f"{where}: depths from {steps.min() * DEPTH_UNIT:.3g} to {steps.max() * DEPTH_UNIT:.3g} m at "
            f"{unit:g} m per step; they must lie in 0 to 6.5 m: set depth_unit to the metres that one step means"
        )
    return np.rint(steps).astype(np.uint16)


def _read_box(value: Any, name: str) -> np.ndarray:
    box = np.asarray(value, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all() or (box[2:] <= box[:2]).any():
        raise SynthForgeError(
            f"{name}: face_box must be x0, y0, x1, y1 in pixels with x0 < x1 and y0 < y1, got {value}"
        )
    return box


def _open(value: Mapping[str, Any], where: str) -> Image.Image:
    source = value["bytes"] if value.get("bytes") is not None else value["path"]
    return open_photo(source, where)


def _benchmark_folder(
    folder: Path, tasks: Sequence[str], name_split: NameSplit | None
) -> tuple[LabelSource, LabelSource] | None:
    """Read a folder as a benchmark's authors ship it; None where it is not one."""
    # Whoever wrote metadata or parquet files means load_dataset, even if the other folders look like a benchmark's.
    if any(found for pattern in OWN_FILES for found in folder.glob(pattern)):
        return None
    if (folder / "train" / "labels").is_dir() and (folder / "train" / "landmarks").is_dir():
        _need(tasks, ("landmarks", "segmentation"), "LaPa")
        if name_split is None:
            return _lapa(read_lapa(folder, "train"), tasks), _lapa(read_lapa(folder, "val"), tasks)
        photos = read_lapa(folder, "train")
        chosen = _by_name([photo.image.stem for photo in photos], name_split, folder)
        return _lapa(_pick(photos, chosen), tasks), _lapa(_pick(photos, ~chosen), tasks)
    if (folder / "CelebA-HQ-img").is_dir() or ((folder / "images").is_dir() and (folder / "masks").is_dir()):
        _need(tasks, ("segmentation",), "CelebAMask-HQ")
        if name_split is None and (folder / "CelebA-HQ-to-CelebA-mapping.txt").is_file():
            return _celebamask(read_celebamask_hq(folder, "train")), _celebamask(read_celebamask_hq(folder, "val"))
        parsing = read_celebamask_hq(folder)
        chosen = _by_name([photo.image.stem for photo in parsing], name_split, folder)
        return _celebamask(_pick(parsing, chosen)), _celebamask(_pick(parsing, ~chosen))
    if any(name.endswith(".pts") for _, _, names in os.walk(folder, followlinks=True) for name in names):
        _need(tasks, ("landmarks",), "300-W")
        samples = [sample for sample in read_300w(folder) if not is_test_photo(sample[0], folder)]
        if not samples:
            raise UsageError(f"{folder} holds only test photos of 300-W (helen/testset, lfpw/testset, ibug)")
        chosen = _by_name([path.stem for path, _ in samples], name_split, folder)
        return _three_hundred_w(_pick(samples, chosen)), _three_hundred_w(_pick(samples, ~chosen))
    return None


def _need(tasks: Sequence[str], offered: Sequence[str], name: str) -> None:
    for task in tasks:
        if task not in offered:
            raise UsageError(f"{name} has no labels for the task '{task}', only for {' and '.join(offered)}")


def _by_name(names: Sequence[str], name_split: NameSplit | None, dataset: object) -> np.ndarray:
    """Return which of the names are trained on; without a split a tenth is held out, of few names the last one."""
    if name_split is None:
        name_split = NameSplit.from_share(min(DEFAULT_SHARE, max(place_of_name(name) for name in names)))
    chosen = np.array([not name_split.held_out(name) for name in names])
    if chosen.all() or not chosen.any():
        raise UsageError(
            f"{dataset} has {len(names)} samples, and {name_split} leaves none to "
            f"{'validate' if chosen.all() else 'train'} on: choose another"
        )
    return chosen


def _pick(items: Sequence[Any], chosen: np.ndarray) -> list[Any]:
    return [item for item, yes in zip(items, chosen, strict=True) if yes]


def _three_hundred_w(samples: Sequence[tuple[Path, np.ndarray]]) -> FileSource:
    def load(index: int) -> LabelledPhoto:
        path, points = samples[index]
        return LabelledPhoto(open_photo(path), points.astype(np.float32))

    return FileSource([path for path, _ in samples], load, "landmarks")


def _celebamask(photos: Sequence[ParsingPhoto]) -> FileSource:
    def load(index: int) -> LabelledPhoto:
        # Photos are officially twice as large as their masks, and some were mirrored without exchanging left and right.
        labels = photos[index].segmentation()
        labels = exchange_sides(labels) if is_mirrored(labels) else labels
        return LabelledPhoto(open_photo(photos[index].image), segmentation=labels)

    return FileSource([photo.image for photo in photos], load, "whole", SEGMENTATION_CLASSES)


def _lapa(photos: Sequence[LaPaPhoto], tasks: Sequence[str]) -> FileSource:
    def load(index: int) -> LabelledPhoto:
        photo, sample = open_photo(photos[index].image), photos[index]
        labels = sample.segmentation() if "segmentation" in tasks else None
        if labels is not None and labels.shape != (photo.height, photo.width):
            raise SynthForgeError(f"{sample.mask} is of another size than its photo")
        return LabelledPhoto(photo, sample.landmarks().astype(np.float32), labels)

    return FileSource([photo.image for photo in photos], load, "landmarks", LAPA_CLASSES)


def _open_data_set(
    dataset: str,
    tasks: Sequence[str],
    columns: dict[str, str],
    class_names: Sequence[str] | None,
    name_split: NameSplit | None,
    depth_unit: float,
) -> tuple[LabelSource, LabelSource]:
    try:
        splits = datasets.load_dataset(dataset)
    except Exception as error:  # the many kinds that load_dataset raises for a wrong name, folder or file
        raise UsageError(f"cannot load the data set {dataset!r}: {' '.join(str(error).split())[:300]}") from error
    if "train" not in splits:
        raise UsageError(f"the data set {dataset!r} has no split 'train', only {', '.join(splits)}")
    wanted = {name: columns.get(name, LABEL_COLUMNS.get(name, "image")) for name in ("image", *tasks)}
    own = next((name for name in ("validation", "test") if name in splits), None)
    used = {"train": splits["train"]}
    if name_split is None and own is not None:
        used[own] = splits[own]
    for split, rows in used.items():
        if not len(rows):
            raise UsageError(f"the split '{split}' of {dataset!r} is empty")
        for name, column in wanted.items():
            if column not in rows.column_names:
                raise UsageError(
                    f"the split '{split}' of {dataset!r} has no column '{column}', only "
                    f"{', '.join(rows.column_names)}; name the right one with --columns {name}=COLUMN"
                )
    parts = list(used.items())
    if len(parts) == 1:
        rows = used["train"]
        chosen = _by_name(_row_names(rows, wanted["image"]), name_split, dataset)
        parts = [("train", rows.select(np.flatnonzero(chosen))), ("train", rows.select(np.flatnonzero(~chosen)))]
    train, validation = (RowSource(rows, split, wanted, class_names, depth_unit) for split, rows in parts)
    return train, validation


def _row_names(rows: datasets.Dataset, column: str) -> list[str]:
    """The stem of each row's file, or a checksum of its pixels where it has none."""
    if not isinstance(rows.features[column], datasets.Image):
        raise UsageError(f"the column '{column}' must hold images (datasets.Image), not {rows.features[column]}")
    images = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    names = []
    for row in images:
        value = row[column]
        names.append(Path(value["path"]).stem if value.get("path") else f"{zlib.crc32(value['bytes']):08x}")
    return names
