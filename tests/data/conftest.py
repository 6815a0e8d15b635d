"""One small finished data set that most tests here read or copy."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthforge_hf.data.generation import generate
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.testing import EllipsoidSettings

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


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """A data set of 40 toy faces of 64 pixels in two splits, made by two workers. Never written to."""
    home = tmp_path_factory.mktemp("reference")
    recipe_file = home / "toy.yaml"
    recipe_file.write_text(
        "name: toy\n"
        "description: Painted ellipsoids.\n"
        "generator: ellipsoid\n"
        "splits: {train: 0.75, validation: 0.25}\n"
        "ellipsoid: {photos_per_identity: 2}\n"
    )
    recipe = Recipe(
        name="toy",
        description="Painted ellipsoids.",
        generator="ellipsoid",
        settings=EllipsoidSettings(photos_per_identity=2),
        splits={"train": 0.75, "validation": 0.25},
    )
    made = Reference(home / "synthforge", recipe, recipe_file)
    generate(made.folder, workers=2, **made.arguments())
    return made


@pytest.fixture
def copy(reference: Reference, tmp_path: Path) -> Path:
    """A copy of the reference data set that a test may spoil."""
    return Path(shutil.copytree(reference.folder, tmp_path / "copy"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every visible file of a data set with its bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".synthforge" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
