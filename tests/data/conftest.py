"""One small finished data set that most tests here read or copy."""

import shutil
from pathlib import Path

import pytest
from reference_data import Reference

from synthforge_hf.data.generation import generate
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.testing import EllipsoidSettings


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
