"""What an independent landmark model says of a generated set: how often it finds a face, how far its points lie off.

    python benchmarks/face_mesh_witness.py DATA_SET --mediapipe-python OTHER/bin/python [--num 1000] [--annotated 300W]

mediapipe 0.10.14 is the last wheel that ships its face mesh; it needs numpy < 2 and so an environment of its own. Of
its 468 points, 51 lie close to iBUG's inner points; where the two define a point differently (brows, nose wings), the
difference counts as distance here. With --annotated, a folder of 300-W's photos, a second column maps its points to
iBUG's by weights that fit these photos' annotations best, and the last row says how far it lies from those annotations.
The angle is that between the direction the face looks in and the line of sight.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.dataset
from PIL import Image
from rich.console import Console
from rich.table import Table

from synthforge_hf.data.public.three_hundred_w import read_300w

INNER_POINTS = (
    [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
    + [168, 197, 5, 4, 98, 97, 2, 326, 327]
    + [33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380]
    + [61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181]
    + [78, 82, 13, 312, 308, 317, 14, 87]
)
"""Of mediapipe's points, those nearest to iBUG's 17 to 67, chosen by where they lie on its canonical face."""

WITNESS = """
import sys, numpy as np
from PIL import Image
from mediapipe.python.solutions.face_mesh import FaceMesh
mesh = FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.5)
points = []
for path in open(sys.argv[1]).read().split("\\n"):
    image = np.asarray(Image.open(path).convert("RGB"))
    found = mesh.process(image).multi_face_landmarks
    height, width = image.shape[:2]
    points.append([[p.x * width, p.y * height] for p in found[0].landmark] if found else np.full((468, 2), np.nan))
np.save(sys.argv[2], np.array(points, dtype=np.float32))
"""
BANDS = ((0, 15), (15, 30), (30, 45), (45, 60), (60, 90))
NEIGHBOURS, RIDGE = 10, 1e-4
"""Mesh points whose weighted mean stands for one of iBUG's, and how much their weights are held back."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_set", type=Path)
    parser.add_argument("--mediapipe-python", required=True)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--annotated", type=Path, help="a folder of 300-W")
    arguments = parser.parse_args()
    table = pyarrow.dataset.dataset(sorted((arguments.data_set / "data").glob("*.parquet")))
    columns = ["image", "landmarks_2d", "landmarks_3d", "landmarks_visible", "attributes"]
    rows = table.head(arguments.num, columns=columns).to_pylist()
    if not rows:
        sys.exit(f"no samples in {arguments.data_set}")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, row in enumerate(rows):
            paths.append(Path(folder) / f"{number:06d}.png")
            Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB").save(paths[-1], compress_level=1)
        found = witness(arguments.mediapipe_python, paths, Path(folder))
        annotated = None
        if arguments.annotated is not None:
            photos = read_300w(arguments.annotated)
            shapes = np.stack([points for _, points in photos])
            annotated = witness(arguments.mediapipe_python, [path for path, _ in photos], Path(folder)), shapes
    report(rows, found, annotated)


def witness(python: str, paths: list[Path], folder: Path) -> np.ndarray:
    """(N, 468, 2) pixels, NaN where it finds no face."""
    names, result = folder / "names", folder / "points.npy"
    names.write_text("\n".join(map(str, paths)))
    subprocess.run([python, "-c", WITNESS, names, result], check=True)
    return np.load(result).astype(np.float64)


def fit_mapping(mesh: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(51, 468) weights, each row adding up to 1: ridge regression of iBUG's points on the mesh points about them.

    mesh: (N, 468, 2), truth: (N, 68, 2), pixels."""
    scale = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)[:, None, None]
    weights = np.zeros((len(INNER_POINTS), mesh.shape[1]))
    for row, nearest in enumerate(INNER_POINTS):
        around = (mesh - mesh[:, nearest : nearest + 1]) / scale
        chosen = np.argsort(np.linalg.norm(around, axis=2).mean(0))[1:NEIGHBOURS]
        inputs = around[:, chosen].transpose(0, 2, 1).reshape(-1, len(chosen))
        outputs = ((truth[:, 17 + row] - mesh[:, nearest]) / scale[:, 0]).reshape(-1)
        held = RIDGE * len(outputs) * np.eye(len(chosen))
        weights[row, chosen] = np.linalg.solve(inputs.T @ inputs + held, inputs.T @ outputs)
        weights[row, nearest] = 1 - weights[row].sum()
    return weights


def inner_distance(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(N,) mean distance of (N, 51, 2) points from those of (N, 68, 2) shapes, percent of the outer-eye distance."""
    scale = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=1)
    return np.linalg.norm(points - truth[:, 17:], axis=2).mean(1) / scale * 100


def report(rows: list[dict], found: np.ndarray, annotated: tuple[np.ndarray, np.ndarray] | None = None) -> None:
    ours = np.array([row["landmarks_2d"] for row in rows], dtype=np.float64)
    inside = np.isfinite(found[:, 0, 0])
    angle = np.array([turned_away(np.array(row["landmarks_3d"], dtype=np.float64)) for row in rows])
    distances = [inner_distance(found[:, INNER_POINTS], ours)]
    bare = np.array([row["attributes"]["occluder"] == "none" for row in rows])
    table = Table("turned away by", "faces", "found, %", "inner 51: mean, % of the outer-eye distance", "median")
    last: list[str] = []
    if annotated is not None:
        mesh, shapes = annotated
        known = np.isfinite(mesh[:, 0, 0])
        weights = fit_mapping(mesh[known], shapes[known])
        distances.append(inner_distance(np.einsum("pm,nmd->npd", weights, found), ours))
        real = [
            inner_distance(points, shapes[known])
            for points in (mesh[known][:, INNER_POINTS], np.einsum("pm,nmd->npd", weights, mesh[known]))
        ]
        table.add_column("fitted mapping: mean")
        table.add_column("median")
        last = [f"{value(each):.2f}" for each in real for value in (np.mean, np.median)]
    groups = [(f"{low} to {high} deg", (angle >= low) & (angle < high)) for low, high in BANDS]
    groups.append(("below 60 deg", angle < 60))
    groups.append(("below 60 deg, nothing before the face", (angle < 60) & bare))
    for name, chosen in groups:
        if chosen.any():
            seen = [distance[chosen & inside] for distance in distances]
            figures = [f"{value(each):.2f}" if len(each) else "-" for each in seen for value in (np.mean, np.median)]
            table.add_row(name, str(int(chosen.sum())), f"{100 * inside[chosen].mean():.1f}", *figures)
    if annotated is not None:
        table.add_row("annotated photos", str(len(known)), f"{100 * known.mean():.1f}", *last)
    Console().print(table)


def turned_away(points: np.ndarray) -> float:
    """Degrees between the line of sight and the way a face with these (68, 3) points (camera frame) looks."""
    across = points[45] - points[36]
    down = points[[48, 54]].mean(0) - points[[36, 45]].mean(0)
    forward = np.cross(across, down)
    sight = points.mean(0)
    cosine = abs(forward @ sight) / np.linalg.norm(forward) / np.linalg.norm(sight)
    return float(np.degrees(np.arccos(np.clip(cosine, 0, 1))))


if __name__ == "__main__":
    main()
