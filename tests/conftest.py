"""What every test can count on: one thread per process, no network, caches of its own, real photos if there are any."""

import os
import shutil
import tempfile
from pathlib import Path

# Before anything imports torch or a Hugging Face library: these are read at import, and worker processes inherit them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _CACHE = tempfile.mkdtemp(prefix="synthforge-tests-")
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "HF_HOME": _CACHE,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "NO_COLOR": "1",
    }
    os.environ.pop("FORCE_COLOR", None)

import pytest

REPOSITORY = Path(__file__).parents[1]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the Warp kernels once, before parallel workers would each do it."""
    if session.config.getoption("numprocesses", default=None):
        from synthforge_hf.annotation.annotate import annotate
        from synthforge_hf.testing import load_ellipsoid_generator

        annotate(load_ellipsoid_generator("ellipsoid").generate(seed=0, index=0, resolution=16))


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Return the folder of real, licensed photos (300w/, parsing/, ...); skip where the machine has none.

    They are never part of the repository. SYNTHFORGE_REAL_PHOTOS names the folder, default ../shared/real.
    """
    folder = Path(os.environ.get("SYNTHFORGE_REAL_PHOTOS", REPOSITORY.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder} (set SYNTHFORGE_REAL_PHOTOS)")
    return folder
