"""Recall and false finds of the face detector on photos annotated like 300-W (image + .pts).

python benchmarks/detection.py DIR [--subset lfpw/trainset] [--model DETECTOR] [--sheet misses.png]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from synthforge_hf.annotation.drawing import draw_box, resize
from synthforge_hf.data.public.three_hundred_w import read_300w
from synthforge_hf.evaluation.detection import MATCH_IOU, PhotoFinds, search_photos, summarise_finds
from synthforge_hf.models.face_detector import load_face_detector
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb

TILE = 192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--subset")
    parser.add_argument("--model", help="folder of a detector; the embedded one if not given")
    parser.add_argument(
        "--sheet",
        type=Path,
        help="write a picture of misses (red: truth) and false finds (yellow) at the default threshold",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_face_detector(arguments.model)
    samples = read_300w(arguments.data, arguments.subset)
    started = time.perf_counter()
    results = search_photos(detector, samples)
    seconds = time.perf_counter() - started

    chosen = detector.config.score_threshold
    milliseconds = 1000 * seconds / max(1, len(results))
    table = Table(title=f"{len(results)} photos, {milliseconds:.1f} ms per photo with reading, one thread")
    for column in ("threshold", "recall %", "false finds per photo", "median IoU"):
        table.add_column(column, justify="right")
    for threshold in sorted({0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, chosen}):
        scores = summarise_finds(results, threshold)
        mark = "* " if threshold == chosen else ""
        table.add_row(
            f"{mark}{threshold:.2f}",
            f"{scores['recall']:.2f}",
            f"{scores['false_finds_per_photo']:.3f}",
            f"{scores['median_iou']:.3f}",
        )
    Console().print(table)
    if arguments.sheet:
        failures = [result for result in results if _fails(result, chosen)]
        _sheet(failures, chosen).save(arguments.sheet)
        print(f"{len(failures)} photos with a miss or a false find at {chosen}: {arguments.sheet}")


def _fails(result: PhotoFinds, threshold: float) -> bool:
    kept = result.scores >= threshold
    return result.ious[kept].max(initial=0.0) < MATCH_IOU or bool((result.ious[kept] < MATCH_IOU).any())


def _sheet(results: list[PhotoFinds], threshold: float, columns: int = 10, most: int = 100) -> Image.Image:
    chosen = results[:: max(1, -(-len(results) // most))]
    rows = max(1, -(-len(chosen) // columns))
    sheet = np.full((rows * TILE, columns * TILE, 3), 255, np.uint8)
    for number, result in enumerate(chosen):
        picture = np.asarray(to_rgb(open_photo(result.path)))
        missed = result.ious[result.scores >= threshold].max(initial=0.0) < MATCH_IOU
        if missed:
            picture = draw_box(picture, result.truth, colour=(255, 0, 0))
        for box, score, iou in zip(result.boxes, result.scores, result.ious, strict=True):
            if score >= threshold:
                picture = draw_box(picture, box, colour=(0, 255, 0) if iou >= MATCH_IOU else (255, 214, 0))
        scale = TILE / max(picture.shape[:2])
        tile = resize(picture, max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale)))
        top, left = number // columns * TILE, number % columns * TILE
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return Image.fromarray(sheet)


if __name__ == "__main__":
    main()
