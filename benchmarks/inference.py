"""Time per face of a model with its processing, one at a time and in batches, and of the face detector.

    python benchmarks/inference.py [PHOTO] [--model mini] [--threads 1] [--mediapipe-python OTHER/bin/python]

Everything between a decoded photo with a face box and the results in the photo's pixels counts: crop, network, masks.
Predictions are averaged with those for the mirrored crop, as everywhere by default, unless a row says otherwise.
mediapipe's face mesh (0.10.14, the last wheel that ships its models) is timed beside it where it can be imported, here
or, because it wants numpy 1, by the Python of another environment.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.models.face_detector import load_face_detector
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "astronaut.jpg"

INSTALL = (
    "mediapipe is not installed: python -m venv OTHER && OTHER/bin/pip install mediapipe==0.10.14 'numpy<2' pillow, "
    "then --mediapipe-python OTHER/bin/python"
)

MEDIAPIPE = """
import sys, time
import numpy as np
from PIL import Image
from mediapipe.python.solutions.face_mesh import FaceMesh
mesh = FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=False)
photo = np.asarray(Image.open(sys.argv[1]).convert("RGB"))
if not mesh.process(photo).multi_face_landmarks:
    sys.exit("mediapipe finds no face in " + sys.argv[1])
times = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    mesh.process(photo)
    times.append(time.perf_counter() - started)
print(sorted(times)[len(times) // 2])
"""


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return sorted(times)[repeats // 2]


def time_mediapipe(python: str, photo: Path, repeats: int) -> float | str:
    """Return seconds per photo, or why that Python cannot say."""
    finished = subprocess.run([python, "-c", MEDIAPIPE, str(photo), str(repeats)], capture_output=True, text=True)
    if finished.returncode == 0:
        return float(finished.stdout.split()[-1])
    return INSTALL if "No module named" in finished.stderr else finished.stderr.strip().splitlines()[-1]


def inference_table(
    model: str, photo_path: Path, repeats: int, mediapipe_python: str, detector_folder: str | None = None
) -> Table:
    """Time a model (name or folder), the face detector and mediapipe on the largest face of a photo, on the CPU."""
    analyser = FaceAnalyser.load(model, "cpu")
    detector = load_face_detector(detector_folder)
    photo = to_rgb(open_photo(photo_path))
    found = detector(photo)
    if not found:
        sys.exit(f"{photo_path}: no face found; take a photo with a face")
    box = [np.array([found[0].box])]

    threads = f"{torch.get_num_threads()} thread(s)"
    table = Table(title=f"{Path(model).name}, cpu, {threads}, {photo.width} x {photo.height} photo")
    table.add_column("what")
    table.add_column("ms per face", justify="right")
    whole = "landmarks, classes and depth at the photo's size"
    plain = analyser.with_options(flip_test=False)
    rows: list[tuple[str, Callable[[], object], int]] = [
        ("detector (per photo)", lambda: detector(photo), 1),
        ("landmarks, without the mirrored crop, batch 1", lambda: plain.landmarks([photo], box), 1),
        ("landmarks, batch 1", lambda: analyser.landmarks([photo], box), 1),
        ("landmarks, batch 32", lambda: analyser.landmarks([photo] * 32, box * 32), 32),
        (f"{whole}, without the mirrored crop, batch 1", lambda: plain.analyse([photo], box), 1),
        (f"{whole}, batch 1", lambda: analyser.analyse([photo], box), 1),
        (f"{whole}, batch 32", lambda: analyser.analyse([photo] * 32, box * 32), 32),
    ]
    for name, function, faces in rows:
        seconds = median_seconds(function, repeats if faces == 1 else max(3, repeats // 3))
        table.add_row(name, f"{1000 * seconds / faces:.1f}")
    mediapipe = time_mediapipe(mediapipe_python, photo_path, repeats)
    name = "mediapipe 0.10.14, face mesh with its detector"
    table.add_row(name, "-" if isinstance(mediapipe, str) else f"{1000 * mediapipe:.1f}")
    table.caption = mediapipe if isinstance(mediapipe, str) else None
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path, nargs="?", default=PHOTO, help="a photo with one face")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--detector", help="folder of a detector; the embedded one if not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--mediapipe-python", default=sys.executable)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    python, detector = arguments.mediapipe_python, arguments.detector
    Console().print(inference_table(arguments.model, arguments.photo, arguments.repeats, python, detector))


if __name__ == "__main__":
    main()
