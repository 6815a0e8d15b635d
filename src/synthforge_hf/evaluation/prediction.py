"""Running a model on photos: overlays to look at, and a file of results."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track

from synthforge_hf.annotation.drawing import (
    colourise_depth,
    draw_box,
    draw_landmarks,
    overlay_segmentation,
    resize,
    side_by_side,
)
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.models.face_detector import DetectedFace, FaceDetector, load_face_detector
from synthforge_hf.models.synthforge.photos import open_photo, to_rgb

WORKING_SIDE = 4096
"""Photos are analysed and drawn at this longest side at most; at that size even the smallest detectable face has more
pixels than the model looks at."""

OVERLAY_SIDE = 1024
"""Longest side of each of the three pictures of an overlay, pixels."""

RESULTS_FILE = "results.json"


@dataclass(frozen=True)
class PhotoPrediction:
    """What was found in one photo.

    file: the photo. width, height: pixels, upright; 0 when it could not be read. faces: one dictionary per face, best
    first, in
    pixels of the upright photo: "box" [x0, y0, x1, y1], "score" (None where the caller gave the box), "landmarks" [[x,
    y], ...], "classes" {class name: share of the model's crop}, "depth_m" {"nearest", "median"} of the face, metres.
    overlay: the picture written, or None. error: why the photo could not be read, or None.
    """

    file: str
    width: int = 0
    height: int = 0
    faces: tuple[dict[str, Any], ...] = ()
    overlay: str | None = None
    error: str | None = None

    @property
    def message(self) -> str:
        """One line for the person at the terminal."""
        if self.error is not None:
            return f"error: {self.error}"
        if not self.faces:
            return f"{self.file}: no face found"
        return f"{self.file}: {len(self.faces)} {'face' if len(self.faces) == 1 else 'faces'}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "width": self.width,
            "height": self.height,
            "faces": list(self.faces),
            "overlay": self.overlay,
            "error": self.error,
        }


def predict(
    model: str | FaceAnalyser,
    images: Sequence[str | Path],
    out: str | Path,
    boxes: str | Path | Mapping[str, Sequence[Sequence[float]]] | None = None,
    *,
    detector: FaceDetector | None = None,
    score_threshold: float | None = None,
    flip_test: bool | None = None,
    refine: bool = True,
    batch_size: int = 32,
    device: str = "auto",
    quiet: bool = True,
) -> list[PhotoPrediction]:
    """Find and analyse the faces of photos; write an overlay per photo and ``results.json`` into ``out``.

    model: the name of an embedded checkpoint, a folder, a Hub repository, or a loaded ``FaceAnalyser``.
    images: paths of photos of any size, mode and orientation.
    boxes: face boxes instead of the detector's, a JSON file or a mapping from a photo's path or file name to a list of
        [x0, y0, x1, y1] in pixels of the upright photo; photos it does not name go to the detector.
    detector: instead of the embedded one. score_threshold: instead of the detector's own.
    refine: crop a second time around the first landmarks. Other options as in ``evaluate``.

    A photo that cannot be read, and a photo without a face, do not stop the others: see ``PhotoPrediction.error`` and
    ``faces``.
    Raises UsageError when there are no images, ``boxes`` is not such a file, or ``out`` cannot be a folder.
    """
    if not images:
        raise UsageError("no images were given")
    given = _read_boxes(boxes)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: OUT must be a folder")
    analyser = model
    if not isinstance(analyser, FaceAnalyser):
        analyser = FaceAnalyser.load(analyser, device, flip_test=flip_test, refine=refine, batch_size=batch_size)
    detector = detector or load_face_detector()
    folder.mkdir(parents=True, exist_ok=True)
    names = _overlay_names([Path(image) for image in images])
    predictions = []
    for image, name in track(list(zip(images, names, strict=True)), description="photos", disable=quiet):
        try:
            photo = _WorkingPhoto.read(image)
            chosen = given.get(str(image), given.get(Path(image).name))
            found = (
                detector(photo.image, score_threshold)
                if chosen is None
                else [DetectedFace(_four(box), float("nan")) for box in np.asarray(chosen) / photo.scale]
            )
            predictions.append(_analyse(analyser, photo, found, folder / name))
        except UsageError:
            raise
        except SynthForgeError as problem:
            predictions.append(PhotoPrediction(str(image), error=str(problem)))
    content = {"model": analyser.name, "photos": [prediction.to_dict() for prediction in predictions]}
    (folder / RESULTS_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return predictions


@dataclass(frozen=True)
class _WorkingPhoto:
    """image: upright RGB of at most ``WORKING_SIDE``. scale: photo pixels per pixel of ``image``. width, height: of the
    photo."""

    file: str
    image: Image.Image
    scale: float
    width: int
    height: int

    @classmethod
    def read(cls, path: str | Path) -> "_WorkingPhoto":
        photo = to_rgb(open_photo(str(path)))
        width, height = photo.size
        scale = max(1.0, max(width, height) / WORKING_SIDE)
        if scale > 1:
            size = (max(1, round(width / scale)), max(1, round(height / scale)))
            photo = photo.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return cls(str(path), photo, scale, width, height)


def _analyse(analyser: FaceAnalyser, photo: _WorkingPhoto, found: list[DetectedFace], overlay: Path) -> PhotoPrediction:
    """Analyse the faces found in a photo and draw them."""
    pixels = np.asarray(photo.image)
    segmentation = np.zeros(pixels.shape[:2], np.uint8)
    depth = np.zeros(pixels.shape[:2], np.float32)
    faces, points, boxes = [], [], []
    # One face at a time: each result is as large as the photo.
    for face in found:
        result = analyser.analyse([photo.image], [np.array([face.box])])[0]
        # What the model itself cannot read as a face was a false find of the detector; the caller's boxes stay.
        if not np.isnan(face.score) and result["confidence"] < analyser.processor.face_threshold:
            continue
        covered = result["segmentation"] > 0
        segmentation[covered] = result["segmentation"][covered]
        depth[covered] = result["depth"][covered]
        points.append(result["landmarks"])
        boxes.append(face.box)
        faces.append(_face_record(analyser, photo, face, result))
    _draw(pixels, boxes, points, segmentation, depth, overlay)
    return PhotoPrediction(photo.file, photo.width, photo.height, tuple(faces), str(overlay))


def _face_record(
    analyser: FaceAnalyser, photo: _WorkingPhoto, face: DetectedFace, result: dict[str, Any]
) -> dict[str, Any]:
    x0, y0, x1, y1 = (int(np.clip(side, 0, None)) for side in result["crop"])
    labels, depth = result["segmentation"][y0:y1, x0:x1], result["depth"][y0:y1, x0:x1]
    counts = np.bincount(labels.ravel(), minlength=len(analyser.class_names))
    metres = depth[depth > 0]
    return {
        "box": [round(side * photo.scale, 2) for side in face.box],
        "score": None if np.isnan(face.score) else round(face.score, 4),
        "landmarks": np.round(result["landmarks"].astype(np.float64) * photo.scale, 2).tolist(),
        "classes": {
            name: round(float(count / labels.size), 4)
            for name, count in zip(analyser.class_names, counts, strict=False)
            if count and labels.size
        },
        "depth_m": (
            {"nearest": round(float(metres.min()), 4), "median": round(float(np.median(metres)), 4)}
            if len(metres)
            else None
        ),
    }


def _draw(
    pixels: np.ndarray,
    boxes: Sequence[Sequence[float]],
    landmarks: Sequence[np.ndarray],
    segmentation: np.ndarray,
    depth: np.ndarray,
    path: Path,
) -> None:
    """Write photo with boxes and landmarks | photo with classes | depth, each at most ``OVERLAY_SIDE`` long."""
    height, width = pixels.shape[:2]
    shrink = min(1.0, OVERLAY_SIDE / max(height, width))
    if max(height, width) < 256:
        shrink = min(256 / max(height, width), 64.0)
    columns, rows = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = resize(pixels, columns, rows)
    nearest = (
        np.minimum(((np.arange(rows) + 0.5) / shrink).astype(int), height - 1)[:, None],
        np.minimum(((np.arange(columns) + 0.5) / shrink).astype(int), width - 1)[None, :],
    )
    marked = small
    for box, points in zip(boxes, landmarks, strict=True):
        size = max(box[2] - box[0], box[3] - box[1]) * shrink
        marked = draw_box(marked, [side * shrink for side in box])
        marked = draw_landmarks(marked, points * shrink, radius=max(0.8, size / 100))
    panels = [marked, overlay_segmentation(small, segmentation[nearest]), colourise_depth(depth[nearest])]
    Image.fromarray(side_by_side(panels)).save(path)


def _overlay_names(images: Sequence[Path]) -> list[str]:
    """A file name per photo: its own, with a number where two photos share it."""
    names: list[str] = []
    for image in images:
        name, number = f"{image.stem}.png", 2
        while name in names:
            name, number = f"{image.stem}-{number}.png", number + 1
        names.append(name)
    return names


def _read_boxes(boxes: str | Path | Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return photo -> boxes. Raises UsageError when the file or the mapping is anything else."""
    if boxes is None:
        return {}
    given: Any = boxes
    if isinstance(boxes, str | Path):
        try:
            given = json.loads(Path(boxes).read_text(encoding="utf-8"))
        except (OSError, ValueError) as problem:
            raise UsageError(f"{boxes} is not a JSON file of boxes: {problem}") from problem
    if not isinstance(given, Mapping):
        raise UsageError('boxes must map each photo to its boxes: {"photo.jpg": [[x0, y0, x1, y1], ...]}')
    checked = {}
    for name, rows in given.items():
        try:
            array = np.asarray(rows, np.float64).reshape(-1, 4)
        except (TypeError, ValueError) as problem:
            raise UsageError(f"the boxes of {name} must be lists of four numbers x0, y0, x1, y1") from problem
        if not np.isfinite(array).all() or (array[:, 2:] <= array[:, :2]).any():
            raise UsageError(f"the boxes of {name} must have x0 < x1 and y0 < y1")
        checked[name] = array
    return checked


def _four(box: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1
