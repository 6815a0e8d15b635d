"""A Hub to talk to, and a process of its own that talks to it.

The client reads HF_ENDPOINT and the like when it is imported, so what a test does with the Hub is done by functions
that run in one fresh process, made with the right environment; tests send functions and get their results. Without
HF_ENDPOINT that process talks to the server in ``tests/hub_server``; with it (and HF_TOKEN), to whatever it names.
"""

import json
import multiprocessing
import os
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from synthforge_hf.data.card import write_card
from synthforge_hf.data.manifest import Manifest, ShardRecord, current_versions, write_manifest
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.data.shards import SampleRequest, write_shard
from synthforge_hf.testing import EllipsoidGenerator, EllipsoidSettings

LOOPBACK_TOKEN = "hf_loopback_token_of_tester"


class HubUnderTest:
    """endpoint: of the Hub. token: of the account that may write under ``namespace``."""

    def __init__(self, endpoint: str, token: str, home: Path) -> None:
        self.endpoint, self.token = endpoint, token
        self._names: list[str] = []
        environment = {
            "HF_ENDPOINT": endpoint,
            "HF_TOKEN": token,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        before = {name: os.environ.get(name) for name in environment}
        os.environ |= environment
        try:
            self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            self.namespace = str(self(whoami))
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)

    def __call__(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a function of a module in the process that talks to the Hub; its exceptions are raised here."""
        return self._pool.submit(function, *arguments, **options).result(timeout=300)

    def leave_nothing_behind(self) -> None:
        self(delete_repositories, self._names)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def new_name(self) -> str:
        """Return the name of a repository that does not exist."""
        self._names.append(f"{self.namespace}/test-{uuid.uuid4().hex[:12]}")
        return self._names[-1]

    def control(self, action: str, content: Any = None) -> Any:
        """Ask the test server for something that no Hub offers; None where the Hub is another."""
        try:
            with urlopen(Request(f"{self.endpoint}/_control/{action}", json.dumps(content or {}).encode())) as answer:
                return json.loads(answer.read())
        except URLError:
            return None

    def faults(self, *faults: dict[str, Any]) -> None:
        """Switch on faults for the requests to come, instead of those still waiting."""
        if self.control("faults", list(faults)) is None:
            pytest.skip("faults are for the loopback Hub")
        self.control("log")

    def sent(self, method: str = "", path: str = "") -> list[dict[str, Any]]:
        """Return the requests since the last look, those of one method and path."""
        log = self.control("log")
        if log is None:
            pytest.skip("only the loopback Hub keeps a log for tests")
        return [each for each in log if method in ("", each["method"]) and path in each["path"]]


def delete_repositories(names: list[str]) -> None:
    from huggingface_hub import HfApi

    for name in names:
        for kind in ("dataset", "model"):
            HfApi().delete_repo(name, repo_type=kind, missing_ok=True)


def whoami() -> str:
    from huggingface_hub import HfApi

    return HfApi().whoami()["name"]


def make_dataset(folder: Path, num_samples: int = 12, name: str = "toy", seed: int = 3) -> Path:
    """Make (or grow) a data set of toy faces in two splits, four faces to a shard, as ``generate`` would.

    Without its worker processes, each of which would take seconds to start.
    """
    recipe = Recipe(
        name=name,
        description="Painted ellipsoids.",
        generator="ellipsoid",
        settings=EllipsoidSettings(),
        splits={"train": 0.75, "validation": 0.25},
    )
    manifest = Manifest(recipe, seed, num_samples, 32, 4, "CC0-1.0", versions=current_versions())
    shutil.rmtree(folder / "data", ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    request, generator = SampleRequest(recipe, seed, 32), EllipsoidGenerator(recipe.settings)
    for shard in manifest.plan():
        size, sha256 = write_shard(folder / shard.path, generator, request, [int(index) for index in shard.indices])
        manifest.shards[shard.name] = ShardRecord(shard.path, shard.split, len(shard.indices), size, sha256)
    write_manifest(folder, manifest)
    write_card(folder, manifest)
    return folder
