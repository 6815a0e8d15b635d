"""How well can the size of a head be known from what a picture shows? It bounds the absolute depth of a crop: a head
that is 3 percent larger and 3 percent further away looks the same.

Small networks guess the size of generated heads from things that a picture tells less exactly than they are given here:
age, gender and skin tone as they are, and the 3D shape of the 68 points, turned upright and scaled to size 1, with
some noise. For comparison: `mini` places landmarks 2.4 to 2.9 percent of the eye distance off on such faces.

    python benchmarks/head_size.py DATASET
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.dataset
import torch
from rich.console import Console
from rich.table import Table

STEPS, BATCH = 4000, 512
HELD_OUT = 1 / 6
NOISE = (None, 0.04, 0.02, 0.01, 0.0)
"""Standard deviations of the points, as shares of the outer-eye distance; None: their shape is not known at all."""


def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 68, 3) landmarks in metres, and (N, 3) age, gender and skin tone."""
    files = pyarrow.dataset.dataset(sorted((folder / "data").glob("*.parquet")))
    table = files.to_table(columns=["landmarks_3d", "attributes"])
    known = [[row[name] for name in ("age", "gender", "skin_tone")] for row in table["attributes"].to_pylist()]
    return np.array(table["landmarks_3d"].to_pylist(), np.float32), np.array(known, np.float32)


def normalised(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 68, 3) shapes of size 1, turned onto their mean, and (N,) logarithms of their sizes."""
    centred = landmarks - landmarks.mean(1, keepdims=True)
    size = np.sqrt(np.square(centred).sum((1, 2)))
    shapes = centred / size[:, None, None]
    mean = shapes[0]
    for _ in range(3):
        left, _, right = np.linalg.svd(np.einsum("nki,kj->nij", shapes, mean))
        turned = np.einsum("nki,nij->nkj", shapes, left @ right)
        mean = turned.mean(0)
    return turned, np.log(size)


def error_of_guesses(known: np.ndarray, log_size: np.ndarray) -> float:
    """Mean absolute error, as a share of the size, of a network that sees ``known``, (N, C), on those held out."""
    torch.manual_seed(0)
    held_out = int(HELD_OUT * len(known))
    inputs = torch.from_numpy((known - known.mean(0)) / (known.std(0) + 1e-6))
    targets = torch.from_numpy((log_size - log_size.mean()) / log_size.std())
    network = torch.nn.Sequential(
        torch.nn.Linear(inputs.shape[1], 256),
        torch.nn.GELU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(256, 256),
        torch.nn.GELU(),
        torch.nn.Linear(256, 1),
    )
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, STEPS)
    for _ in range(STEPS):
        chosen = torch.randint(held_out, len(inputs), (BATCH,))
        loss = (network(inputs[chosen])[:, 0] - targets[chosen]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        guesses = network(inputs[:held_out])[:, 0]
    return float((guesses - targets[:held_out]).abs().mean()) * float(log_size.std())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path, help="10,000 generated faces or more")
    landmarks, attributes = read(parser.parse_args().dataset)
    shapes, log_size = normalised(landmarks)
    eyes = float(np.linalg.norm(shapes[:, 36] - shapes[:, 45], axis=1).mean())
    random = np.random.default_rng(0)
    table = Table(title=f"{len(shapes)} heads, {HELD_OUT:.0%} held out")
    table.add_column("what is known")
    table.add_column("mean error of the size", justify="right")
    table.add_row("nothing", f"{np.abs(log_size - np.median(log_size)).mean():.1%}")
    for noise in NOISE:
        known, name = [attributes], "age, gender, skin tone"
        if noise is not None:
            noisy = shapes + random.normal(0, noise * eyes, shapes.shape)
            known.append(noisy.reshape(len(shapes), -1).astype(np.float32))
            name += f", 3D shape of 68 points with {noise:.0%} noise"
        table.add_row(name, f"{error_of_guesses(np.concatenate(known, axis=1), log_size):.1%}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
