"""The small data set that most tests here read or copy, and how to look at one."""

from dataclasses import dataclass
from pathlib import Path

from synthforge_hf.data.recipes import Recipe

NUM_SAMPLES = 40
SHARD_SIZE = 5
RESOLUTION = 64


@dataclass(frozen=True)
class Reference:
    """A finished data set and what it was made from."""

    folder: Path
    recipe: Recipe
    recipe_file: Path

    def arguments(self) -> dict[str, object]:
        return {
            "recipe": self.recipe,
            "num_samples": NUM_SAMPLES,
            "resolution": RESOLUTION,
            "seed": 3,
            "shard_size": SHARD_SIZE,
            "progress": False,
        }


def contents(folder: Path) -> dict[str, bytes]:
    """Return every visible file of a data set with its bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".synthforge" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
