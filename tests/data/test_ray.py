"""A Ray cluster of two nodes makes the same bytes as this machine alone, also when a worker is killed on the way."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from reference_data import Reference, contents

from synthforge_hf.data import ray_executor
from synthforge_hf.data.generation import generate
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.testing import EllipsoidCamera, EllipsoidSettings

TASK = "ray::synthforge make_shard"


@pytest.fixture(scope="module")
def second_node() -> Iterator[int]:
    """Two nodes on this machine, each with processes and an object store; yields the pid of the second's Raylet."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'synthforge_hf[ray]'")
    ray = ray_executor.import_ray()
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    added = cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    (raylet,) = added.all_processes["raylet"]
    yield raylet.process.pid
    ray.shutdown()
    cluster.shutdown()


class Killer(threading.Thread):
    """Kills the first process of a node that makes a shard, as soon as it is seen."""

    def __init__(self, raylet: int) -> None:
        super().__init__(daemon=True)
        self.raylet = psutil.Process(raylet)
        self.killed: psutil.Process | None = None

    def run(self) -> None:
        deadline = time.monotonic() + 60
        while self.killed is None and time.monotonic() < deadline:
            for process in self.raylet.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.cmdline()[:1] and process.cmdline()[0].startswith(TASK):
                        process.kill()
                        self.killed = process
                        return
            time.sleep(0.02)


def test_two_nodes_and_a_killed_worker_give_the_same_bytes(
    second_node: int, reference: Reference, tmp_path: Path
) -> None:
    killer = Killer(second_node)
    killer.start()
    out = tmp_path / "synthforge"
    report = generate(out, executor="ray", **reference.arguments())
    killer.join(5)
    assert killer.killed is not None
    assert not killer.killed.is_running() or killer.killed.status() == psutil.STATUS_ZOMBIE
    assert (report.shards_made, report.shards_kept) == (8, 0)
    assert contents(out) == contents(reference.folder)
    assert generate(out, executor="ray", **reference.arguments()).shards_kept == 8


def test_an_error_in_a_task_is_one_line(second_node: int, tmp_path: Path) -> None:
    far = Recipe(name="far", generator="ellipsoid", settings=EllipsoidSettings(EllipsoidCamera(distance_m=9)))
    with pytest.raises(SynthForgeError, match="depth images hold") as error:
        generate(tmp_path / "far", far, num_samples=2, resolution=32, executor="ray", progress=False)
    assert "\n" not in str(error.value)


def test_a_node_with_other_packages_is_refused(
    second_node: int, reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ray_executor.current_versions()
    monkeypatch.setattr(ray_executor, "current_versions", lambda: {**own, "numpy": "1.0"})
    with pytest.raises(UsageError, match=rf"has numpy {own['numpy']}, not 1\.0 .*install the same"):
        generate(tmp_path / "mixed", executor="ray", **reference.arguments())


def test_a_gpu_that_the_cluster_lacks(second_node: int, reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no node of the Ray cluster has a GPU"):
        generate(tmp_path / "cuda", executor="ray", device="cuda", **reference.arguments())
