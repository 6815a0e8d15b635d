"""Worker processes that make shards, and a parent that notices when one of them dies.

Plain processes with one pipe each rather than a pool: a pool's shared queues can lock up when a worker is killed, and
its workers cannot be stopped in the middle of a task.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pyarrow

from synthforge_hf.data.planning import Shard
from synthforge_hf.data.recipes import load_recipe_generator
from synthforge_hf.data.shards import SampleRequest, write_shard
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.base import FaceGenerator

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""Workers share the cores among them; and sums over several threads would round differently from sums over one."""

KEPT_MEMORY = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(2**30))
"""Large arrays come from memory that the C library (glibc; others do not read this) keeps, instead of being fetched
from the system, page by page and zeroed, for every sample: 2,000 page faults and 3 ms at 512 pixels."""


@dataclass(frozen=True)
class WorkerReady:
    """A worker has built its generator."""

    generator_license: str


@dataclass(frozen=True)
class SampleMade:
    """One more sample of some shard is done, or ``count`` at once."""

    count: int = 1


@dataclass(frozen=True)
class ShardMade:
    """A shard lies complete at ``path``. size: bytes. sha256: hex digest."""

    shard: Shard
    path: Path
    size: int
    sha256: str


Event = WorkerReady | SampleMade | ShardMade


@dataclass(frozen=True)
class Failure:
    """Why a worker gave up, as what to raise in its parent."""

    kind: type[SynthForgeError] | type[RuntimeError]
    message: str


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    shard: Shard | None = None


def make_shards(
    shards: list[Shard], request: SampleRequest, device: str, workers: int | None, folder: Path
) -> Generator[Event, None, None]:
    """Make shards as files in ``folder`` by ``workers`` processes, yielding events as they happen.

    workers: None for one per core. All processes are gone when the iterator ends, however it ends. Raises
    SynthForgeError when a worker fails or dies.
    """
    workers = workers or _number_of_cores()
    waiting = list(reversed(shards))
    crew: list[_Worker] = []
    try:
        for _ in range(min(workers, len(shards))):
            crew.append(_start(request, device, str(folder)))  # noqa: PERF401 (an interrupt between two must find the first)
        while waiting or any(worker.shard for worker in crew):
            handles: list[Any] = [worker.connection for worker in crew] + [worker.process.sentinel for worker in crew]
            wait(handles)
            for worker in crew:
                for message in _messages(worker):
                    if isinstance(message, Failure):
                        raise message.kind(message.message)
                    if isinstance(message, ShardMade):
                        worker.shard = None
                    if not isinstance(message, SampleMade) and waiting:
                        worker.shard = waiting.pop()
                        worker.connection.send(worker.shard)
                    yield message
    finally:
        _stop(crew)


def _number_of_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_may_spawn() -> None:
    """Raise UsageError inside a worker that is re-importing a script which calls generate at its top level."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError("generate starts processes: call it under `if __name__ == '__main__':` in your script")


def _start(request: SampleRequest, device: str, folder: str) -> _Worker:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(there, request, device, folder), daemon=True)
    with _inherited_by_workers():
        process.start()
    there.close()
    return _Worker(process, here)


@contextlib.contextmanager
def _inherited_by_workers() -> Iterator[None]:
    """What a process started meanwhile begins life with: one thread for arithmetic, a heap that keeps what it has, and
    deafness to Ctrl-C.

    Ctrl-C reaches the whole process group, also workers that are still importing; the parent alone acts on it.
    """
    # Started later, by the first worker's start, the tracker would open this process's ears again.
    resource_tracker.ensure_running()
    inherited = ONE_THREAD | KEPT_MEMORY
    before = {name: os.environ.get(name) for name in inherited}
    os.environ.update(inherited)
    if hasattr(signal, "pthread_sigmask"):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _messages(worker: _Worker) -> Iterator[Any]:
    """Yield what a worker has sent so far. Raises SynthForgeError when it is dead."""
    try:
        while worker.connection.poll():
            yield worker.connection.recv()
    except (EOFError, OSError) as error:
        worker.process.join(5)
        raise SynthForgeError(_obituary(worker)) from error


def _obituary(worker: _Worker) -> str:
    code = worker.process.exitcode
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            cause = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            cause += " (out of memory?)"
    else:
        cause = f"ended with exit code {code}"
    where = f" while making {worker.shard.path}" if worker.shard else " before it was ready"
    return f"a worker process {cause}{where}; finished shards are kept: run the same command again to go on"


def _stop(crew: list[_Worker]) -> None:
    for worker in crew:
        worker.connection.close()
        worker.process.terminate()
    for worker in crew:
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(connection: Connection, request: SampleRequest, device: str, folder: str) -> None:
    """What a worker does until its parent closes the pipe."""
    try:
        generator = load_worker_generator(request, device)
        connection.send(WorkerReady(generator.license))
        while True:
            shard: Shard = connection.recv()
            # With the process in the name: a worker that outlives a killed parent for a moment must not share a file
            # with the one that makes the shard again.
            path = Path(folder) / f"{shard.name}.{os.getpid()}.parquet"
            indices = [int(index) for index in shard.indices]
            size, sha256 = write_shard(path, generator, request, indices, lambda: connection.send(SampleMade()))
            connection.send(ShardMade(shard, path, size, sha256))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the parent is gone, or has no more work
    except Exception as error:
        with contextlib.suppress(OSError):
            connection.send(describe_failure(error))


def load_worker_generator(request: SampleRequest, device: str) -> FaceGenerator:
    """Load a generator in a process that does nothing but make shards, and settle the process on that: one thread, one
    pool of memory, no garbage to look for in what stays."""
    import torch

    torch.set_num_threads(1)
    # Memory that samples were made in serves to write them, too; Arrow's own pool would take new pages.
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    generator = load_recipe_generator(request.recipe, device)
    # Going through all that is loaded takes Python's garbage collector a seventh of a second.
    gc.freeze()
    return generator


def describe_failure(error: Exception) -> Failure:
    """Return what the parent is to raise for an error in a worker."""
    if isinstance(error, SynthForgeError):
        return Failure(type(error), str(error))
    if isinstance(error, OSError):
        reason = error.strerror or " ".join(str(error).split())
        return Failure(SynthForgeError, f"cannot write the shard: {reason}; make room, then run the same command again")
    return Failure(RuntimeError, f"a worker process failed:\n{''.join(traceback.format_exception(error))}")
