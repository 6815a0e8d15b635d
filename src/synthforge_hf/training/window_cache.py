"""Decoded windows in memory-mapped files, so that epochs after the first cost no decoding.

One file per label under a folder named by the windows' fingerprint. Several processes fill it together; an interrupted
filling is continued where it stopped.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

ProgressBar = Callable[[Iterable, int], Iterable]
"""Wraps an iterable of the given length."""


class Windows(Protocol):
    """Windows that can be cached: ``FaceWindows`` and ``LabelWindows``."""

    labels: tuple[str, ...]
    canonical_depth: bool

    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


def default_cache_folder() -> Path:
    """Beside the ``datasets`` library's own cache."""
    return Path(datasets.config.HF_DATASETS_CACHE) / "synthforge_windows"


class CachedWindows(Dataset):
    """The same items as ``windows``, from files under ``folder``.

    Use: every process calls ``prepare`` one after the other, then ``fill`` at once, then waits for the others.
    A ``DataLoader`` gets whole batches in one piece; its ``collate_fn`` must be ``collate_windows``.
    """

    def __init__(self, windows: Windows, folder: Path) -> None:
        self.windows, self.labels, self.canonical_depth = windows, windows.labels, windows.canonical_depth
        self.folder = folder / windows.fingerprint
        self.arrays: dict[str, np.ndarray] = {}
        self.filled: np.ndarray = np.zeros(0, dtype=bool)
        self.placed: dict[str, Tensor] = {}

    def prepare(self) -> None:
        """Create the files if they are not there, and map them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        example = self.windows[0]
        for name, value in example.items():
            self.arrays[name] = _map(self.folder / f"{name}.npy", (len(self.windows), *value.shape), value.dtype)
        self.filled = _map(self.folder / "filled.npy", (len(self.windows),), np.dtype(bool))

    def fill(
        self, process: int, processes: int, progress: ProgressBar = lambda items, _: items, workers: int = 0
    ) -> None:
        """Decode this process's share of the windows that are missing, in ``workers`` processes of its own if any."""
        missing = np.flatnonzero(~self.filled)
        indices = missing[missing % processes == process].tolist()
        decoded: Iterable = (self.windows[index] for index in indices)
        if workers and len(indices) > workers:
            decoded = DataLoader(self.windows, sampler=indices, batch_size=None, num_workers=workers)  # type: ignore[arg-type]
        for index, window in zip(indices, progress(decoded, len(indices)), strict=True):
            for name, value in window.items():
                self.arrays[name][index] = np.asarray(value)
            self.filled[index] = True

    def place(self, device: torch.device) -> None:
        """Keep all windows in the memory of ``device``, a GPU, from where ``__getitems__`` then reads them."""
        self.placed = {name: torch.from_numpy(array).to(device) for name, array in self.arrays.items()}

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: array[index] for name, array in self.arrays.items()}

    def __getitems__(self, indices: list[int]) -> dict[str, Tensor]:
        """Return a batch: every array with a first axis of ``len(indices)``, on the device of ``place``."""
        if not self.placed:
            return {name: torch.from_numpy(array[indices]) for name, array in self.arrays.items()}
        device = next(iter(self.placed.values())).device
        chosen = torch.tensor(indices).to(device)
        # GPUs do not pick from uint16, but from signed numbers of the same size.
        return {
            name: values.view(torch.int16)[chosen].view(torch.uint16)
            if values.dtype == torch.uint16
            else values[chosen]
            for name, values in self.placed.items()
        }


def collate_windows(items: dict[str, Tensor] | list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """Make a batch of windows; those of ``CachedWindows`` are one already."""
    return items if isinstance(items, dict) else default_collate(items)


def _map(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if not path.exists():
        # Sparse: takes room on the disk as it is filled.
        np.lib.format.open_memmap(path.with_suffix(".new"), mode="w+", dtype=dtype, shape=shape).flush()
        path.with_suffix(".new").rename(path)
    return np.load(path, mmap_mode="r+")
