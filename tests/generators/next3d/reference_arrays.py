"""The files of the reference arrays."""

import json
from pathlib import Path

import numpy as np


class Reference:
    """The folder's files, loaded when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as file:
            return dict(file)

    def table(self, name: str) -> dict:
        return json.loads((self.folder / f"{name}.json").read_text())
