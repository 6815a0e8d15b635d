"""Who and what a data set shows, counted from its columns: the balance report of the card."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MOST_VALUES = 10
"""Of an attribute in words, so many of the most frequent values are named; the rest is "other"."""

# Lower ends of the ranges (the first is open downward) and their names. Age: the head model's scale, on which 0.1875 is
# 10 years, 0.5 is 25 and 1 is 90. Skin tones: the classes of the individual typology angle in degrees.
RANGES: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "age": (
        (0.1875, 0.375, 0.5, 0.654, 0.808),
        ("under 10", "10 to 19", "19 to 25", "25 to 45", "45 to 65", "over 65"),
    ),
    "gender": ((0.5,), ("female", "male")),
    "skin_tone": ((-30, 10, 28, 41, 55), ("dark", "brown", "tan", "intermediate", "light", "very light")),
    "facial_hair": ((0.001, 0.45), ("none", "stubble", "beard")),
}
YAW_DEG = (
    (-60, -30, -10, 10, 30, 60),
    ("< -60", "-60 to -30", "-30 to -10", "-10 to 10", "10 to 30", "30 to 60", "> 60"),
)
PITCH_DEG = ((-30, -10, 10, 30), ("< -30", "-30 to -10", "-10 to 10", "10 to 30", "> 30"))
HIDDEN_SHARE = ((0.001, 0.1, 0.25, 0.5), ("none", "under 10 %", "10 to 25 %", "25 to 50 %", "over 50 %"))


def balance_table(paths: list[Path]) -> str:
    """Return a Markdown table of the samples in these shards: one row per attribute, with the share of each value."""
    rows: list[tuple[str, Counter[str], int]] = []
    attributes, landmarks, visible = _read(paths)
    total = len(landmarks)
    for name, (edges, labels) in RANGES.items():
        if name in attributes and _are_numbers(attributes[name]):
            rows.append((name.replace("_", " "), _histogram(np.array(attributes[name]), edges, labels), total))
    yaw, pitch = face_angles(landmarks)
    rows.append(("yaw of the face, degrees", _histogram(yaw, *YAW_DEG), total))
    rows.append(("pitch of the face, degrees", _histogram(pitch, *PITCH_DEG), total))
    rows.append(("landmarks hidden", _histogram(1 - visible.mean(1), *HIDDEN_SHARE), total))
    for name, values in attributes.items():
        if isinstance(values[0], str):
            rows.append((name.replace("_", " "), _count_words(values), total))
        elif isinstance(values[0], bool):
            words = Counter("yes" if value else "no" for value in values)
            rows.append((name.replace("_", " "), words, total))
    lines = ["| what | share of the samples |", "|---|---|"]
    for name, counts, number in rows:
        shares = "; ".join(f"{label} {_percent(count / number)}" for label, count in counts.items() if count)
        lines.append(f"| {name} | {shares} |")
    return "\n".join(lines)


def face_angles(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return yaw and pitch in degrees, (N,) each, of the plane through eyes and mouth, seen from the camera.

    landmarks: (N, 68, 3), camera frame. yaw > 0: the face is turned to the image's right, its own left; pitch > 0: up.
    """
    left, right = landmarks[:, 42:48].mean(1), landmarks[:, 36:42].mean(1)
    down = landmarks[:, [48, 54]].mean(1) - 0.5 * (left + right)
    out = np.cross(down, left - right)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    yaw = np.degrees(np.arctan2(out[:, 0], -out[:, 2]))
    return yaw, np.degrees(np.arcsin(np.clip(-out[:, 1], -1, 1)))


def _read(paths: list[Path]) -> tuple[dict[str, list[Any]], np.ndarray, np.ndarray]:
    attributes: dict[str, list[Any]] = {}
    landmarks, visible = [], []
    for path in paths:
        table = pq.read_table(path, columns=["attributes", "landmarks_3d", "landmarks_visible"])
        for row in table.column("attributes").to_pylist():
            for name, value in row.items():
                attributes.setdefault(name, []).append(value)
        landmarks.append(_numbers(table.column("landmarks_3d")).reshape(-1, 68, 3))
        visible.append(_numbers(table.column("landmarks_visible")).reshape(-1, 68))
    return attributes, np.concatenate(landmarks).astype(np.float64), np.concatenate(visible).astype(np.float64)


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """All numbers of a column of nested lists, in order."""
    parts = []
    for chunk in column.chunks:
        values = chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk
        while pa.types.is_nested(values.type):
            values = values.flatten()
        parts.append(values.to_numpy(zero_copy_only=False))
    return np.concatenate(parts)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _histogram(values: np.ndarray, edges: tuple[float, ...], labels: tuple[str, ...]) -> Counter[str]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(labels))
    return Counter({label: int(count) for label, count in zip(labels, counts, strict=True)})


def _count_words(values: list[str]) -> Counter[str]:
    """Count words, most frequent first; "a+b" counts as both."""
    counts = Counter(word for value in values for word in value.split("+"))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named, others = ranked[:MOST_VALUES], ranked[MOST_VALUES:]
    if others:
        named.append((f"{len(others)} others", sum(count for _, count in others)))
    return Counter(dict(named))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"
