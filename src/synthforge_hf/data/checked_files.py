"""Which files had the right hash before and have not been touched since.

Reading every byte of a large data set takes hours; a resumed run asks the file system instead whether a file is the one
that was hashed, as version control does: the same inode, size, and times of last change to content and to inode. A file
that was copied, restored or edited has others and is hashed again. What a disk alters by itself, without a write, shows
only when the bytes are read: that is what ``verify`` does.
"""

import contextlib
import json
import os
from pathlib import Path

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.manifest import ShardRecord

CHECKED_NAME = "checked.jsonl"


class CheckedFiles:
    """A memory of hashed files, kept in a file of one line each; losing it costs time and nothing else."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / CHECKED_NAME
        self._marks: dict[str, list[int]] = {}
        with contextlib.suppress(OSError):
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                # The last line may be torn.
                with contextlib.suppress(ValueError, TypeError):
                    sha256, marks = json.loads(line)
                    self._marks[sha256] = marks

    def is_sound(self, path: Path, record: ShardRecord) -> bool:
        """Say whether a file has the recorded size and hash; hashes it only when it was touched since the last time."""
        try:
            status = path.stat()
            if status.st_size != record.size:
                return False
            if self._marks.get(record.sha256) == _marks(status):
                return True
            if file_sha256(path) != record.sha256:
                return False
        except OSError:
            return False
        self.remember(path, record.sha256)
        return True

    def remember(self, path: Path, sha256: str) -> None:
        """Note that a file has this hash. Call it after the file has got its final name: renaming touches it."""
        with contextlib.suppress(OSError):
            self._marks[sha256] = _marks(path.stat())
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"\n{json.dumps([sha256, self._marks[sha256]])}\n")


def _marks(status: os.stat_result) -> list[int]:
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
