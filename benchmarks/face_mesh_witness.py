"""What an independent landmark model says of a generated set: how often it finds a face, how far its points lie off.

    python benchmarks/face_mesh_witness.py DATA_SET --mediapipe-python OTHER/bin/python [--num 1000]

mediapipe 0.10.14 is the last wheel that ships its face mesh; it needs numpy < 2 and so an environment of its own. Of
its 468 points, 51 lie close to iBUG's inner points; where the two define a point differently (brows, nose wings), the
difference counts as distance here. The angle is that between the direction the face looks in and the line of sight.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_set", type=Path)
    parser.add_argument("--mediapipe-python", required=True)
    parser.add_argument("--num", type=int, default=1000)
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
        names, result = Path(folder) / "names", Path(folder) / "points.npy"
        names.write_text("\n".join(map(str, paths)))
        subprocess.run([arguments.mediapipe_python, "-c", WITNESS, names, result], check=True)
        found = np.load(result)
    report(rows, found)


def report(rows: list[dict], found: np.ndarray) -> None:
    ours = np.array([row["landmarks_2d"] for row in rows], dtype=np.float64)
    inside = np.isfinite(found[:, 0, 0])
    angle = np.array([turned_away(np.array(row["landmarks_3d"], dtype=np.float64)) for row in rows])
    scale = np.linalg.norm(ours[:, 36] - ours[:, 45], axis=1)
    distance = np.linalg.norm(found[:, INNER_POINTS] - ours[:, 17:], axis=2).mean(1) / scale * 100
    bare = np.array([row["attributes"]["occluder"] == "none" for row in rows])
    table = Table("turned away by", "faces", "found, %", "inner 51: mean, % of the outer-eye distance", "median")
    groups = [(f"{low} to {high} deg", (angle >= low) & (angle < high)) for low, high in BANDS]
    groups.append(("below 60 deg", angle < 60))
    groups.append(("below 60 deg, nothing before the face", (angle < 60) & bare))
    for name, chosen in groups:
        if chosen.any():
            seen = distance[chosen & inside]
            table.add_row(
                name,
                str(int(chosen.sum())),
                f"{100 * inside[chosen].mean():.1f}",
                f"{seen.mean():.2f}" if len(seen) else "-",
                f"{np.median(seen):.2f}" if len(seen) else "-",
            )
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
