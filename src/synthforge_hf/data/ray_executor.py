"""Making shards on a Ray cluster: shards are the tasks, and the machine that called ``generate`` alone writes to OUT.

A task makes its shard on its node's own disk and returns the bytes through Ray's object store, so the machines need no
common file system. Ray makes a shard again elsewhere when a process or a node dies; the bytes are the same wherever it
is made.
"""

import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Generator, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from synthforge_hf.data.files import write_synced, writing
from synthforge_hf.data.manifest import current_versions
from synthforge_hf.data.planning import Shard
from synthforge_hf.data.shards import SampleRequest, write_shard
from synthforge_hf.data.workers import (
    ONE_THREAD,
    Event,
    Failure,
    SampleMade,
    ShardMade,
    WorkerReady,
    describe_failure,
    load_worker_generator,
)
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.base import FaceGenerator

RETRIES = 3
"""How often Ray makes a shard again whose process or node died."""

_generators: dict[tuple[str, str], FaceGenerator] = {}
"""Of this Ray worker process, by (hash of the recipe, device): building one takes as long as many samples."""


def import_ray() -> ModuleType:
    """Import Ray. Raises UsageError that says how to install it."""
    # Ray reports usage to its makers unless told otherwise, and reads this when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("executor is 'ray' but Ray is not installed: pip install 'synthforge_hf[ray]'") from error
    return ray


def make_shards_on_ray(
    shards: list[Shard], request: SampleRequest, device: str, workers: int | None, folder: Path
) -> Generator[Event, None, None]:
    """Make shards as tasks of a Ray cluster and write them to files in ``folder``, yielding events as shards arrive.

    The cluster is the one this process is connected to, else the one that RAY_ADDRESS or ``ray start`` names, else one
    of this machine alone, started for the purpose. workers: shards made at the same time; None for as many as the
    cluster has CPUs (or GPUs, with device "cuda", or "auto" where the cluster has any). No task is left running when
    the iterator ends, however it ends.

    Raises SynthForgeError when a shard fails, when its process died more than ``RETRIES`` times, or when the packages
    of a node differ from those here.
    """
    ray = import_ray()
    with _connected(ray):
        kind, device = _resource(ray, device)
        options: dict[str, Any] = {"num_gpus": 1} if kind == "GPU" else {"num_cpus": 1}
        task = ray.remote(make_shard).options(
            max_retries=RETRIES, runtime_env={"env_vars": ONE_THREAD}, name="synthforge make_shard", **options
        )
        workers = workers or max(1, int(ray.cluster_resources().get(kind, 1)))
        common = ray.put((request, device, current_versions()))
        waiting = list(reversed(shards))
        running: dict[Any, Shard] = {}
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    shard = waiting.pop()
                    running[task.remote(shard, common)] = shard
                (done, *_), _ = ray.wait(list(running))
                shard = running[done]
                result = _fetch(ray, done, shard)
                del running[done]
                if isinstance(result, Failure):
                    raise result.kind(result.message)
                license_name, sha256, content = result
                yield WorkerReady(license_name)
                yield SampleMade(len(shard.indices))
                yield _store(folder, shard, sha256, content)
                del result, content, done  # the object store keeps what is referred to
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


def make_shard(
    shard: Shard, common: tuple[SampleRequest, str, dict[str, str]]
) -> tuple[str, str, np.ndarray] | Failure:
    """What a task does: make one shard on the node's own disk. Returns (licence, SHA-256, bytes), or why not."""
    request, device, versions = common
    try:
        _check_versions(versions)
        key = (request.recipe.content_hash(), device)
        if key not in _generators:
            _generators.clear()
            _generators[key] = load_worker_generator(request, device)
        generator = _generators[key]
        with tempfile.TemporaryDirectory(prefix="synthforge-") as folder:
            path = Path(folder) / "shard.parquet"
            _, sha256 = write_shard(path, generator, request, [int(index) for index in shard.indices])
            # An array travels through the object store without being copied; bytes would be.
            return generator.license, sha256, np.fromfile(path, dtype=np.uint8)
    except Exception as error:
        failure = describe_failure(error)
        return Failure(failure.kind, f"{failure.message} (on {socket.gethostname()})")


@lru_cache(maxsize=1)
def _own_versions() -> dict[str, str]:
    return current_versions()


def _check_versions(wanted: dict[str, str]) -> None:
    own = _own_versions()
    for name, number in wanted.items():
        if own.get(name) != number:
            raise UsageError(
                f"this node of the Ray cluster has {name} {own.get(name)}, not {number} as where generate runs, so the "
                "bytes could differ: install the same"
            )


@contextlib.contextmanager
def _connected(ray: ModuleType) -> Iterator[None]:
    """Be connected to a cluster; leave it in the end if it was entered here."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SynthForgeError(f"cannot reach the Ray cluster: {reason}; is RAY_ADDRESS right?") from error
    try:
        yield
    finally:
        ray.shutdown()


def _resource(ray: ModuleType, device: str) -> tuple[str, str]:
    """Return what a task takes ("CPU" or "GPU") and the device that its generator computes on."""
    has_gpu = ray.cluster_resources().get("GPU", 0) >= 1
    if device == "cuda" and not has_gpu:
        raise UsageError("device is 'cuda' but no node of the Ray cluster has a GPU: use --device cpu")
    use_gpu = device == "cuda" or (device == "auto" and has_gpu)
    return ("GPU", "cuda") if use_gpu else ("CPU", "cpu")


def _fetch(ray: ModuleType, reference: Any, shard: Shard) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:200]
        raise SynthForgeError(
            f"the Ray cluster could not make {shard.path} in {RETRIES + 1} tries ({type(error).__name__}: {reason}); "
            "finished shards are kept: run the same command again to go on"
        ) from error


def _store(folder: Path, shard: Shard, sha256: str, content: np.ndarray) -> ShardMade:
    if hashlib.sha256(content.data).hexdigest() != sha256:
        raise SynthForgeError(f"{shard.path} arrived damaged from the Ray cluster: run the same command again to go on")
    path = folder / f"{shard.name}.parquet"
    with writing(folder):
        write_synced(path, content.data)
    return ShardMade(shard, path, content.nbytes, sha256)
