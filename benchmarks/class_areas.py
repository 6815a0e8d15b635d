"""How much of a photo each class covers: generated faces in CelebAMask-HQ's framing beside its own masks.

    python benchmarks/class_areas.py CELEBAMASK_HQ [--num 100] [--recipe faces] [--seed 0]

CelebAMask-HQ's photos were cut by eyes and mouth: the square is turned with the line of the eyes and sized by the
distances between eyes and mouth (Karras et al., "Progressive growing of GANs", appendix C). The same cut is made here
from the landmarks; what lies outside of the picture counts as background.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from synthforge_hf.annotation import annotate
from synthforge_hf.data.public.celebamask_hq import ParsingPhoto, read_celebamask_hq
from synthforge_hf.data.recipes import load_recipe
from synthforge_hf.generators import load_generator
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

SIDE = 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("celebamask_hq", type=Path)
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--recipe", default="faces")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    photos = read_celebamask_hq(arguments.celebamask_hq)
    real = np.array([class_shares(real_mask(photo)) for photo in track(photos, "real")])
    settings = load_recipe(arguments.recipe).settings
    # Portraits look towards the camera, and the cut needs room around the head.
    camera = replace(
        settings.camera,
        azimuth_deg=(-35, 35),
        elevation_deg=(-14, 12),
        roll_deg=(-12, 12),
        field_of_view_deg=(21.0, 23.0),
    )
    generator = load_generator("graphics", replace(settings, camera=camera))
    shares = []
    for index in track(range(arguments.num), "generated"):
        labels = annotate(generator.generate(arguments.seed, index, 2 * SIDE))
        shares.append(class_shares(cut(labels.segmentation, labels.landmarks_2d.astype(np.float64))))
    generated = np.array(shares)

    table = Table("class", "real, % of the photo", "generated", "ratio", "real photos with it, %", "generated")
    for number, name in enumerate(SEGMENTATION_CLASSES):
        mean_real, mean_generated = 100 * real[:, number].mean(), 100 * generated[:, number].mean()
        table.add_row(
            name,
            f"{mean_real:.2f}",
            f"{mean_generated:.2f}",
            f"{mean_generated / mean_real:.2f}" if mean_real else "-",
            f"{100 * (real[:, number] > 0).mean():.0f}",
            f"{100 * (generated[:, number] > 0).mean():.0f}",
        )
    Console().print(table)


def real_mask(photo: ParsingPhoto) -> np.ndarray:
    return np.asarray(Image.fromarray(photo.segmentation()).resize((SIDE, SIDE), Image.Resampling.NEAREST))


def class_shares(mask: np.ndarray) -> np.ndarray:
    return np.bincount(mask.ravel(), minlength=len(SEGMENTATION_CLASSES)) / mask.size


def cut(segmentation: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) classes of the square that the data set's authors would have cut."""
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    eyes, mouth = 0.5 * (left + right), 0.5 * (points[48] + points[54])
    across = (right - left) - np.array([-(mouth - eyes)[1], (mouth - eyes)[0]])
    half = max(2.0 * np.linalg.norm(right - left), 1.8 * np.linalg.norm(mouth - eyes))
    across *= half / np.linalg.norm(across)
    down = np.array([-across[1], across[0]])
    step = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    place = eyes + 0.1 * (mouth - eyes) + step[None, :, None] * across + step[:, None, None] * down
    column, row = np.floor(place).astype(int)[..., 0], np.floor(place).astype(int)[..., 1]
    height, width = segmentation.shape
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    return np.where(inside, segmentation[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)], 0)


if __name__ == "__main__":
    main()
