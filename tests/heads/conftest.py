"""A converted head of FLAME's shapes, made once per process."""

from pathlib import Path

import pytest
from synthetic_flame import write_flame_files

from synthforge_hf.heads.flame import FlameHead
from synthforge_hf.heads.flame_conversion import convert_flame


@pytest.fixture(scope="session")
def flame_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files as users have them. Tests that change it copy it first."""
    return write_flame_files(tmp_path_factory.mktemp("flame") / "FLAME2023_Open")


@pytest.fixture(scope="session")
def flame_folder(flame_files: Path) -> Path:
    """Return the folder that ``synthforge convert flame`` makes of it."""
    out = flame_files.parent / "converted"
    convert_flame(flame_files, out)
    return out


@pytest.fixture(scope="session")
def flame_head(flame_folder: Path) -> FlameHead:
    return FlameHead.load(flame_folder)
