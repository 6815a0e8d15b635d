"""Decoded windows in memory-mapped files, so that epochs after the first cost no decoding.

One file per label under a folder named by the windows' fingerprint. Several processes fill it together; an interrupted
filling is continued where it stopped.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import datasets
import numpy as np
from torch.utils.data import Dataset

ProgressBar = Callable[[Iterable[int]], Iterable[int]]


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
    """

    def __init__(self, windows: Windows, folder: Path) -> None:
        self.windows, self.labels, self.canonical_depth = windows, windows.labels, windows.canonical_depth
        self.folder = folder / windows.fingerprint
        self.arrays: dict[str, np.ndarray] = {}
        self.filled: np.ndarray = np.zeros(0, dtype=bool)

    def prepare(self) -> None:
        """Create the files if they are not there, and map them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        example = self.windows[0]
        for name, value in example.items():
            self.arrays[name] = _map(self.folder / f"{name}.npy", (len(self.windows), *value.shape), value.dtype)
        self.filled = _map(self.folder / "filled.npy", (len(self.windows),), np.dtype(bool))

    def fill(self, process: int, processes: int, progress: ProgressBar = iter) -> None:
        """Decode this process's share of the windows that are missing."""
        missing = np.flatnonzero(~self.filled)
        for index in progress(missing[missing % processes == process].tolist()):
            for name, value in self.windows[index].items():
                self.arrays[name][index] = value
            self.filled[index] = True

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: array[index] for name, array in self.arrays.items()}


def _map(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if not path.exists():
        # Sparse: takes room on the disk as it is filled.
        np.lib.format.open_memmap(path.with_suffix(".new"), mode="w+", dtype=dtype, shape=shape).flush()
        path.with_suffix(".new").rename(path)
    return np.load(path, mmap_mode="r+")
