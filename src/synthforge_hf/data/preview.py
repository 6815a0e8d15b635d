"""Contact sheets: image, depth, normals, segmentation and landmarks of some samples of a data set, or the images of a
recipe."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm import tqdm

from synthforge_hf.annotation.drawing import (
    colourise_depth,
    colourise_normals,
    colourise_segmentation,
    draw_landmarks,
    resize,
    side_by_side,
)
from synthforge_hf.data.files import writing
from synthforge_hf.data.manifest import read_manifest
from synthforge_hf.data.recipes import load_recipe, load_recipe_generator
from synthforge_hf.data.schema import Sample, decode_row
from synthforge_hf.data.verification import read_rows
from synthforge_hf.errors import SynthForgeError, UsageError

CELL = 192
"""Pixels of one picture on the sheet."""

GAP = 4


def preview(out: str | Path, num: int = 16, path: str | Path = "preview.png") -> Path:
    """Draw ``num`` samples, evenly spread over the data set ``out``, and save the sheet at ``path``, which is returned.

    Samples go two to a line. Raises UsageError when ``num`` is below 1, SynthForgeError when there is no data set, no
    finished shard, a damaged one, or ``path`` cannot be written.
    """
    path = _check_request(num, path)
    samples = read_samples(Path(out), num)
    strips = [sample_strip(sample) for sample in samples]
    lines = [side_by_side(strips[start : start + 2], gap=3 * GAP) for start in range(0, len(strips), 2)]
    return _save_lines(lines, path)


def preview_recipe(
    recipe: str | Path, num: int = 16, path: str | Path = "preview.png", seed: int = 0, resolution: int = 256
) -> Path:
    """Make the first ``num`` images of a recipe (by name or file) and save them as one sheet at ``path``, which is
    returned. Nothing else is written.

    Raises UsageError for an impossible number or recipe, SynthForgeError when ``path`` cannot be written.
    """
    path = _check_request(num, path)
    generator = load_recipe_generator(load_recipe(recipe))
    indices = tqdm(range(num), desc="generating", unit=" faces", disable=None, delay=1)
    images = [resize(generator.generate(seed, index, resolution).image, CELL, CELL) for index in indices]
    across = int(np.clip(np.ceil(np.sqrt(1.6 * num)), 1, 8))
    lines = [side_by_side(images[start : start + across], gap=GAP) for start in range(0, num, across)]
    return _save_lines(lines, path)


def _check_request(num: int, path: str | Path) -> Path:
    if num < 1:
        raise UsageError(f"num is {num}: it must be at least 1")
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"{path} does not end in .png, .jpg or .webp: name a picture")
    return path


def _save_lines(lines: list[np.ndarray], path: Path) -> Path:
    width = max(line.shape[1] for line in lines)
    sheet = np.full((len(lines) * (CELL + GAP) - GAP, width, 3), 255, dtype=np.uint8)
    for number, line in enumerate(lines):
        top = number * (CELL + GAP)
        sheet[top : top + CELL, : line.shape[1]] = line
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(path)
    return path


def read_samples(out: Path, num: int) -> list[Sample]:
    """Read up to ``num`` samples, evenly spread over the finished shards of a data set."""
    records = list(read_manifest(out).shards.values())
    total = sum(record.rows for record in records)
    if not total:
        raise SynthForgeError(f"{out} has no finished shard yet: run generate")
    wanted = np.unique(np.linspace(0, total - 1, min(num, total)).round().astype(int))
    samples: list[Sample] = []
    start = 0
    for record in records:
        rows = [int(row) - start for row in wanted if start <= row < start + record.rows]
        start += record.rows
        if not rows:
            continue
        try:
            with pq.ParquetFile(out / record.path) as file:
                samples += [decode_row(row) for row in read_rows(file, rows)]
        except (OSError, pa.ArrowException, KeyError) as error:
            raise SynthForgeError(f"cannot read {out / record.path}: run generate again to mend it") from error
    return samples


def sample_strip(sample: Sample, cell: int = CELL) -> np.ndarray:
    """Return one sample's pictures side by side, each ``cell`` pixels high, as (cell, W, 3) uint8."""
    scale = np.array([cell / sample.image.shape[1], cell / sample.image.shape[0]])
    photo = resize(sample.image, cell, cell)
    pictures = [photo, resize(colourise_depth(sample.depth), cell, cell)]
    if sample.normals is not None:
        pictures.append(resize(colourise_normals(sample.normals), cell, cell))
    pictures.append(resize(colourise_segmentation(sample.segmentation), cell, cell))
    pictures.append(draw_landmarks(photo, sample.landmarks_2d * scale, sample.landmarks_visible))
    return side_by_side(pictures, gap=GAP // 2)
