"""Training samples as windows: the surroundings of one face, cut and decoded once, from which augmentation takes its
crops.

A window is centred on the model's crop (``square_crop`` of the face box) and ``margin`` times as wide, so that
shifted, turned and enlarged crops still find pixels. Labels that a data set does not have are simply left out.

How far away a face is cannot be seen in a crop of unknown focal length: a long lens far away and a short one near by
show
faces of the same size. So where the rows have ``intrinsics``, depth is stored for a canonical camera, one whose focal
length
is ``CANONICAL_FOCAL`` crop sides, as Metric3D does (Yin et al. 2023): z * CANONICAL_FOCAL * crop side / focal length,
both in
pixels. With a photo's focal length the image processor turns it back into metres.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import datasets
import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from synthforge_hf.annotation.face_box import face_box, square_crop
from synthforge_hf.data.schema import DEPTH_UNIT
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.photos import cut_labels, cut_square, open_photo

LABEL_COLUMNS = ("landmarks_2d", "segmentation", "depth")

CANONICAL_FOCAL = 6.0
"""Focal length of the canonical camera over the side of the crop: depths of about a metre for a whole face."""


@dataclass(frozen=True)
class WindowSettings:
    """How windows are cut. crop_scale: see ``square_crop``. margin: window side over crop side.

    image_pixels, segmentation_pixels, depth_pixels: sides of the stored squares.
    """

    crop_scale: float
    margin: float
    image_pixels: int
    segmentation_pixels: int
    depth_pixels: int

    @classmethod
    def for_model(cls, image_size: int, crop_scale: float, margin: float = 1.75) -> "WindowSettings":
        """Windows whose pixels are as fine as the model's input; depth, which is smooth, half as fine."""
        pixels = int(np.ceil(margin * image_size / 2)) * 2
        return cls(crop_scale, margin, pixels, pixels, pixels // 2)


class FaceWindows(Dataset):
    """Windows of a ``datasets.Dataset`` with an ``image`` column and one or more of ``LABEL_COLUMNS``.

    Items are dictionaries: image (S, S, 3) uint8; landmarks (P, 2) float32 in [0, 1] of the window; segmentation (S',
    S') uint8,
    255 outside the photo; depth (D, D) uint16 in steps of 0.1 mm, 0 = none. Without landmarks the whole image counts
    as the crop.
    Raises UsageError when a column is missing or has the wrong type.
    """

    def __init__(self, rows: datasets.Dataset, settings: WindowSettings) -> None:
        self.labels = tuple(name for name in LABEL_COLUMNS if name in rows.column_names)
        if "image" not in rows.column_names or not self.labels:
            raise UsageError(
                f"a training set needs a column 'image' and one or more of {', '.join(LABEL_COLUMNS)}; "
                f"this one has {', '.join(rows.column_names)}"
            )
        self.canonical_depth = "depth" in self.labels and "intrinsics" in rows.column_names
        extra = ["intrinsics"] if self.canonical_depth else []
        rows = rows.select_columns(["image", *self.labels, *extra]).with_format(None)
        for name in ("image", "segmentation", "depth"):
            if name in rows.column_names:
                if not isinstance(rows.features[name], datasets.Image):
                    raise UsageError(f"the column '{name}' must be of type Image, not {rows.features[name]}")
                rows = rows.cast_column(name, datasets.Image(decode=False))
        self.rows, self.settings = rows, settings

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return cut_window(self.rows[index], self.settings)

    @property
    def fingerprint(self) -> str:
        """Changes with the rows and with the way windows are cut."""
        return datasets.fingerprint.Hasher.hash([self.rows._fingerprint, asdict(self.settings), WINDOW_VERSION])


WINDOW_VERSION = 2
"""Raise when windows are cut differently, so that cached ones are not used any more."""


def cut_window(row: Mapping[str, Any], settings: WindowSettings) -> dict[str, np.ndarray]:
    """Decode one row (images as ``{"bytes", "path"}``) and cut its window."""
    photo = _open_column(row["image"])
    points = None
    square = (photo.width / 2, photo.height / 2, float(max(photo.size)))
    if row.get("landmarks_2d") is not None:
        points = np.asarray(row["landmarks_2d"], dtype=np.float32)
        square = tuple(square_crop(face_box(points[None]), settings.crop_scale)[0].tolist())
    maps = {
        name: np.asarray(_open_column(row[name])) for name in ("segmentation", "depth") if row.get(name) is not None
    }
    focal = float(row["intrinsics"][0][0]) if row.get("intrinsics") is not None else None
    return cut_photo(photo, square, settings, points, focal=focal, **maps)


def cut_photo(
    photo: Image.Image,
    square: tuple[float, float, float],
    settings: WindowSettings,
    points: np.ndarray | None = None,
    segmentation: np.ndarray | None = None,
    depth: np.ndarray | None = None,
    focal: float | None = None,
) -> dict[str, np.ndarray]:
    """Cut the window around a crop.

    square: centre x, centre y, side of the model's crop in continuous pixels of the upright photo. points: (P, 2) in
    the same pixels; NaN stays NaN. segmentation: (H, W) uint8 class ids, depth: (H, W) uint16 steps of 0.1 mm, each of
    the photo's size or a multiple. focal: pixels; with it, depth becomes that of the canonical camera.
    """
    centre_x, centre_y, crop_side = square
    side = crop_side * settings.margin
    window = {"image": cut_square(photo, centre_x, centre_y, side, settings.image_pixels)}
    if points is not None:
        window["landmarks"] = ((points - (centre_x, centre_y)) / side + 0.5).astype(np.float32)
    for name, labels, pixels, outside in (
        ("segmentation", segmentation, settings.segmentation_pixels, IGNORED_CLASS),
        ("depth", depth, settings.depth_pixels, 0),
    ):
        if labels is not None:
            scale = labels.shape[1] / photo.width
            window[name] = cut_labels(labels, centre_x * scale, centre_y * scale, side * scale, pixels, outside)
    if "depth" in window and focal is not None:
        factor = CANONICAL_FOCAL * crop_side / focal
        window["depth"] = np.clip(np.rint(window["depth"] * factor), 0, 65535).astype(np.uint16)
    return window


def depth_to_metres(steps: np.ndarray) -> np.ndarray:
    """Turn stored depth steps into float32 metres."""
    return steps.astype(np.float32) * np.float32(DEPTH_UNIT)


def _open_column(value: Mapping[str, Any]) -> Image.Image:
    if value.get("bytes") is not None:
        return open_photo(value["bytes"])
    return open_photo(value["path"])
