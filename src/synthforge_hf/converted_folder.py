"""The folder that a ``synthforge convert`` command writes: looked at before the work, filled after it."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from synthforge_hf.errors import SynthForgeError, UsageError

_UNFINISHED = ".unfinished-"


def check_output(out: Path, names: set[str]) -> None:
    """Make sure that OUT can become a folder of the files ``names``, so that nothing is converted in vain.

    Raises UsageError when OUT is a file or holds other files, SynthForgeError when it cannot be written.
    """
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file; OUT is a folder")
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not nearest.is_dir():
            raise UsageError(f"{nearest} is a file: there can be no {out}; choose another folder")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        present = {path.name for path in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise SynthForgeError(f"cannot write to {out}: {error.strerror}; choose another folder") from error
    strangers = {name for name in present - names if not name.startswith(_UNFINISHED)}
    if strangers:
        raise UsageError(f"{out} holds other files ({min(strangers)}); choose a new folder")


@contextlib.contextmanager
def filling(out: Path, last: str) -> Iterator[Path]:
    """Yield an empty folder; the files that are written there then replace OUT's.

    last: the file without which OUT counts as no conversion: it goes first and comes last, so that files of two
    conversions never pass for one. Raises SynthForgeError when something cannot be written.
    """
    there = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left_behind in out.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(left_behind)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=out) as unfinished:
            yield Path(unfinished)
            (out / last).unlink(missing_ok=True)
            for path in sorted(Path(unfinished).iterdir(), key=lambda path: path.name == last):
                os.replace(path, out / path.name)
    except (OSError, SafetensorError) as error:
        if not there:
            with contextlib.suppress(OSError):
                out.rmdir()
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
        raise SynthForgeError(f"cannot write to {out}: {reason}; choose another folder") from error


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
