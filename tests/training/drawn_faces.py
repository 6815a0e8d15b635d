"""Drawn "faces" for tests: a head, two eyes, a mouth, with 68 landmarks, parsing and depth that fit it exactly."""

import io
from pathlib import Path

import datasets
import numpy as np
from PIL import Image, ImageDraw

from synthforge_hf.randomness import random_stream
from synthforge_hf.segmentation_classes import CLASS_ID


def template() -> np.ndarray:
    """68 points in the unit square of a face, iBUG order."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.45 * np.cos(angle), 0.45 + 0.5 * np.sin(angle)], axis=1)
    brows = [[x, 0.3] for x in np.linspace(0.18, 0.42, 5)] + [[x, 0.3] for x in np.linspace(0.58, 0.82, 5)]
    nose = [[0.5, y] for y in np.linspace(0.4, 0.58, 4)] + [[x, 0.62] for x in np.linspace(0.42, 0.58, 5)]
    eyes = []
    for centre in (0.32, 0.68):
        eyes += [[centre - 0.08, 0.4], [centre - 0.03, 0.37], [centre + 0.03, 0.37]]
        eyes += [[centre + 0.08, 0.4], [centre + 0.03, 0.43], [centre - 0.03, 0.43]]
    turn = np.pi + 2 * np.pi * np.arange(12) / 12
    mouth = np.stack([0.5 + 0.16 * np.cos(turn), 0.78 + 0.06 * np.sin(turn)], axis=1)
    turn = np.pi + 2 * np.pi * np.arange(8) / 8
    inner = np.stack([0.5 + 0.1 * np.cos(turn), 0.78 + 0.02 * np.sin(turn)], axis=1)
    return np.concatenate([jaw, brows, nose, eyes, mouth, inner])


def draw_face(seed: int, size: int = 160) -> tuple[Image.Image, np.ndarray, np.ndarray, np.ndarray]:
    """Return image, (68, 2) float32 landmarks, (H, W) uint8 segmentation, (H, W) uint16 depth in 0.1 mm."""
    rng = random_stream(seed, 0, "drawn face")
    side = size * rng.uniform(0.45, 0.6)
    corner = rng.uniform(0.1, 0.3, 2) * size
    angle = rng.normal(0, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (template() - 0.5) @ turn.T * side + 0.5 * side + corner
    image = Image.new("RGB", (size, size), tuple(rng.integers(0, 256, 3).tolist()))
    labels = Image.new("L", (size, size), 0)
    skin = tuple(rng.integers(120, 230, 3).tolist())
    head = [*points[:17], points[26], points[17]]
    parts = [
        (head, skin, "skin"),
        (points[36:42], (245, 245, 245), "r_eye"),
        (points[42:48], (230, 230, 255), "l_eye"),
        (points[48:60], (170, 40, 60), "u_lip"),
        (points[60:68], (60, 10, 20), "mouth"),
        (points[[27, 31, 35]], tuple(int(value * 0.8) for value in skin), "nose"),
    ]
    for polygon, colour, name in parts:
        corners = [tuple(point) for point in np.asarray(polygon) - 0.5]
        ImageDraw.Draw(image).polygon(corners, fill=colour)
        ImageDraw.Draw(labels).polygon(corners, fill=CLASS_ID[name])
    segmentation = np.array(labels)
    depth = np.where(segmentation > 0, 10000 + 100 * np.arange(size)[None, :], 0).astype(np.uint16)
    return image, points.astype(np.float32), segmentation, depth


def encode(image: Image.Image) -> dict:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def drawn_data_set(folder: Path, train: int, validation: int, size: int = 160) -> Path:
    """Write a parquet data set as ``load_dataset(folder)`` reads it."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "landmarks_2d": datasets.Array2D((68, 2), "float32"),
            "segmentation": datasets.Image(),
            "depth": datasets.Image(),
        }
    )
    (folder / "data").mkdir(parents=True)
    for split, seeds in (("train", range(train)), ("validation", range(train, train + validation))):
        rows: dict[str, list] = {name: [] for name in features}
        for seed in seeds:
            image, points, segmentation, depth = draw_face(seed, size)
            rows["image"].append(encode(image))
            rows["landmarks_2d"].append(points.tolist())
            rows["segmentation"].append(encode(Image.fromarray(segmentation)))
            rows["depth"].append(encode(Image.fromarray(depth)))
        table = datasets.Dataset.from_dict(rows, features=features)
        table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder
