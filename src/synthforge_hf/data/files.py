"""Files that are either there completely or not at all, and one writer at a time."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from synthforge_hf.errors import SynthForgeError, UsageError

WORK_FOLDER = ".synthforge"
"""Unfinished files and the lock, inside the data set's folder; hidden, so that ``load_dataset`` does not see it."""

UNFINISHED = "unfinished"
"""Folder in the work folder, emptied whenever a run begins: what a killed process leaves behind lies here."""


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: after a crash it holds the old content or the new, never a mixture."""
    work = path.parent if path.parent.name == WORK_FOLDER else path.parent / WORK_FOLDER
    unfinished = work / UNFINISHED
    folder = unfinished if unfinished.is_dir() else path.parent
    temporary = folder / f".{path.name}.{os.getpid()}"
    try:
        write_synced(temporary, content)
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, content: bytes | memoryview) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def publish(unfinished: Path, path: Path) -> None:
    """Give a file that is safe on disk its final name, at once and for good: the rename itself survives a power cut."""
    os.replace(unfinished, path)
    sync_folder(path.parent)
    if unfinished.parent != path.parent:
        sync_folder(unfinished.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside the folder survive a power cut, where the file system offers it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def exclusive(out: Path) -> Iterator[Path]:
    """Hold the data set's folder for one writer, and yield an empty folder in it for unfinished files.

    The operating system lets go of the lock when the process dies, however it dies. Raises UsageError when another
    process holds it, SynthForgeError when the folder cannot be written.
    """
    work = out / WORK_FOLDER
    with writing(out):
        work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"another process is writing to {out}: wait for it to end or choose another folder") from error
    except OSError as error:
        raise unwritable(out, error) from error
    try:
        unfinished = work / UNFINISHED
        with writing(out):
            unfinished.mkdir(exist_ok=True)
            _clear(unfinished)
            sync_folder(out)
            sync_folder(out.parent)
        yield unfinished
    finally:
        with contextlib.suppress(OSError):
            _clear(unfinished)
            unfinished.rmdir()
        lock.release()


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating-system error while writing into one line for the user."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> SynthForgeError:
    reason = error.strerror or " ".join(str(error).split())
    return SynthForgeError(
        f"cannot write to {path}: {reason}; make room or choose another folder, then run the same command again"
    )


def _clear(folder: Path) -> None:
    for leftover in folder.iterdir():
        leftover.unlink(missing_ok=True)
