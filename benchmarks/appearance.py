"""Colour, contrast, sharpness and noise of generated faces beside those of real photos: one table.

python benchmarks/appearance.py FOLDER_OF_300W [--recipe faces] [--samples 300] [--resolution 320] [--seed 0]

Both are cropped to the face box times 1.4 and scaled to 128 pixels. "overlap" is the share that the two distributions
have in common: 1 where they are the same, 0 where they never meet; two halves of the photos give the last column.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.annotation.face_box import face_box, square_crop
from synthforge_hf.data.public.three_hundred_w import read_300w
from synthforge_hf.data.recipes import load_recipe, load_recipe_generator

SIDE = 128
CROP_SCALE = 1.4
GREY = np.array([0.299, 0.587, 0.114])
BINS = 10


def crop(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Return the (SIDE, SIDE, 3) uint8 face crop; what lies outside the photo is left out by shrinking the crop."""
    x, y, side = square_crop(face_box(landmarks[None]), CROP_SCALE)[0]
    half = min(side / 2, x, y, image.shape[1] - x, image.shape[0] - y)
    half = max(half, side / 4)
    box = (max(x - half, 0), max(y - half, 0), min(x + half, image.shape[1]), min(y + half, image.shape[0]))
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box))


def statistics(image: np.ndarray) -> dict[str, float]:
    """What is compared, of one crop; values in grey levels of 255 where not said otherwise."""
    pixels = image.astype(np.float64)
    grey = pixels @ GREY
    centre = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * centre
    # Blind to edges and slopes of any direction (Immerkaer, 1996); the lower quartile of the blocks leaves texture out.
    second = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    mixed = np.abs(second[:-2] - 2 * second[1:-1] + second[2:])
    blocks = mixed[:120, :120].reshape(15, 8, 15, 8).mean((1, 3)) * np.sqrt(np.pi / 2) / 6
    return {
        "mean red": pixels[..., 0].mean(),
        "mean green": pixels[..., 1].mean(),
        "mean blue": pixels[..., 2].mean(),
        "mean grey": grey.mean(),
        "red less blue": (pixels[..., 0] - pixels[..., 2]).mean(),
        "saturation": (pixels.max(-1) - pixels.min(-1)).mean(),
        "contrast (deviation of grey)": grey.std(),
        "darkest 2 percent": float(np.percentile(grey, 2)),
        "brightest 2 percent": float(np.percentile(grey, 98)),
        "left against right half": abs(grey[:, : SIDE // 2].mean() - grey[:, SIDE // 2 :].mean()),
        "sharpness (log10 Laplacian variance)": float(np.log10(laplacian.var() + 1e-3)),
        "noise": float(np.percentile(blocks, 25)),
    }


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Common share of two distributions, in bins that hold equal parts of both together."""
    edges = np.quantile(np.concatenate([first, second]), np.linspace(0, 1, BINS + 1)[1:-1])
    shares = [np.bincount(np.searchsorted(edges, values), minlength=BINS) / len(values) for values in (first, second)]
    return float(np.minimum(*shares).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--recipe", default="faces")
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--resolution", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    found = read_300w(arguments.photos)
    order = np.random.default_rng(0).permutation(len(found))[: 2 * arguments.samples]
    real = []
    for number in tqdm(order, desc="photos", disable=None):
        path, landmarks = found[number]
        with Image.open(path) as photo:
            real.append(statistics(crop(np.asarray(photo.convert("RGB")), landmarks)))
    recipe = load_recipe(arguments.recipe)
    generator = load_recipe_generator(recipe, "cpu")
    made = []
    for index in tqdm(range(arguments.samples), desc="generated", disable=None):
        face = generator.generate(arguments.seed, index, arguments.resolution)
        made.append(statistics(crop(face.image, annotate(face).landmarks_2d)))

    table = Table(
        title=f"{len(real)} photos, {len(made)} faces of recipe {recipe.name}: median (10th to 90th percentile)"
    )
    for name in ("what", "photos", "generated", "overlap", "photos' halves"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name in real[0]:
        theirs, ours = (np.array([item[name] for item in items]) for items in (real, made))
        texts = [
            "{1:.2f} ({0:.2f} to {2:.2f})".format(*np.percentile(values, (10, 50, 90))) for values in (theirs, ours)
        ]
        halves = overlap(theirs[::2], theirs[1::2])
        table.add_row(name, *texts, f"{overlap(theirs, ours):.2f}", f"{halves:.2f}")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
