"""``pull``: a repository becomes a folder, each file checked against its hash, the whole of it or nothing new.

Files are fetched into a hidden folder inside PATH and moved to their places when the last one is there and right, so
an interrupted pull shows nothing half and goes on where it was.
"""

import contextlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from tqdm import tqdm

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.card import CARD_NAME
from synthforge_hf.data.files import WORK_FOLDER, exclusive, sync_folder, write_atomically, writing
from synthforge_hf.data.manifest import MANIFEST_NAME
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.hub.connection import Hub, Patience, quiet_bar
from synthforge_hf.hub.contents import Kind
from synthforge_hf.hub.pushing import git_blob_id

PULLED_NAME = "pulled.json"
"""Where a folder comes from and what was put there; beside the lock in the hidden folder."""

_LEFT_OUT = {".gitattributes"}
_LAST = (MANIFEST_NAME, CARD_NAME)
"""Moved to their places last: with them the folder promises that the rest is there."""

_SIMULTANEOUS = 4


@dataclass(frozen=True)
class PullReport:
    """What a pull did. fetched, unchanged, removed: numbers of files. commit: what the folder now holds."""

    repo_id: str
    kind: Kind
    path: str
    commit: str
    fetched: int
    unchanged: int
    removed: int


def pull(
    repo_id: str,
    path: str | Path,
    *,
    revision: str | None = None,
    kind: Kind | None = None,
    token: str | None = None,
    patience: Patience | None = None,
    progress: bool = True,
) -> PullReport:
    """Fetch a data set or a model into the folder ``path``, or bring a folder pulled earlier up to date.

    revision: branch, tag or commit; the main branch if not given. kind: needed only where a data set and a model have
    the same name. Files that are in the folder already and right are not fetched again; files of an earlier pull that
    the repository no longer has are removed.

    Raises UsageError when ``path`` holds something else, SynthForgeError when the Hub cannot be reached, when what it
    sends is damaged, or when the disk is full; the folder then shows what it showed before.
    """
    hub = Hub(token, patience or Patience())
    with hub.session():
        return _pull(hub, repo_id, Path(path), revision, kind, progress)


def _pull(hub: Hub, repo_id: str, path: Path, revision: str | None, kind: Kind | None, progress: bool) -> PullReport:
    doing = f"pulling {repo_id}"
    kind, commit = hub.patiently(partial(_find, hub, repo_id, revision, kind), doing)
    wanted = hub.patiently(partial(_files, hub, repo_id, kind, commit), doing)
    for name in wanted:
        _refuse_unsafe(name)
    earlier = _earlier(path, repo_id, kind)
    with exclusive(path):
        staging = path / WORK_FOLDER / "pulled"
        with writing(path):
            staging.mkdir(exist_ok=True)
        checked = tqdm(wanted.items(), desc="checking", unit=" files", **quiet_bar(progress))
        present = [name for name, file in checked if _is_right(path / name, file)]
        missing = [name for name in wanted if name not in set(present)]
        fetch = partial(_fetch, hub, repo_id, kind, commit, staging)
        with (
            ThreadPoolExecutor(_SIMULTANEOUS) as pool,
            tqdm(total=len(missing), desc="pulling", unit=" files", **quiet_bar(progress)) as bar,
        ):
            try:
                for _ in pool.map(lambda name: fetch(name, wanted[name]), missing):
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if MANIFEST_NAME in wanted:
            _check_manifest(staging if MANIFEST_NAME in missing else path, wanted, repo_id)
        removed = [name for name in earlier if name not in wanted]
        with writing(path):
            _put_in_place(path, staging, missing, removed)
            record = {"repo_id": repo_id, "kind": kind, "commit": commit, "files": sorted(wanted)}
            write_atomically(path / WORK_FOLDER / PULLED_NAME, (json.dumps(record, indent=1) + "\n").encode())
    return PullReport(repo_id, kind, str(path), commit, len(missing), len(present), len(removed))


def _find(hub: Hub, repo_id: str, revision: str | None, kind: Kind | None) -> tuple[Kind, str]:
    """Return whether it is a data set or a model, and the commit that the revision means."""
    found: dict[Kind, str] = {}
    kinds: tuple[Kind, ...] = (kind,) if kind else ("dataset", "model")
    missing: RepositoryNotFoundError | None = None
    for each in kinds:
        try:
            found[each] = str(hub.api.repo_info(repo_id, repo_type=each, revision=revision).sha)
        except RepositoryNotFoundError as error:
            missing = error
    if len(found) > 1:
        raise UsageError(f"there is a data set and a model {repo_id}: say which with --kind")
    if not found and missing is not None:
        raise missing
    return next(iter(found.items()))


def _files(hub: Hub, repo_id: str, kind: Kind, commit: str) -> dict[str, RepoFile]:
    tree = hub.api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=kind)
    return {each.path: each for each in tree if isinstance(each, RepoFile) and each.path not in _LEFT_OUT}


def _refuse_unsafe(name: str) -> None:
    """A repository is somebody else's: its file names must not lead out of the folder or into our hidden one."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or "\\" in name or ".." in parts or not parts or parts[0] in (WORK_FOLDER, ".git"):
        raise SynthForgeError(f"the repository holds a file named '{name}', which has no place in a folder: refused")


def _earlier(path: Path, repo_id: str, kind: Kind) -> list[str]:
    """Return the files that an earlier pull put there. Raises UsageError when the folder holds anything else."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file: choose a folder")
    record: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError, ValueError):
        record = json.loads((path / WORK_FOLDER / PULLED_NAME).read_text(encoding="utf-8"))
    if record and (record["repo_id"], record["kind"]) != (repo_id, kind):
        raise UsageError(f"{path} holds {record['repo_id']}, not {repo_id}: choose another folder")
    if not record and path.exists() and any(entry.name != WORK_FOLDER for entry in path.iterdir()):
        raise UsageError(f"{path} holds files that were not pulled: choose an empty or a new folder")
    return list(record.get("files", []))


def _is_right(path: Path, file: RepoFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        if file.lfs is not None:
            return file_sha256(path) == file.lfs.sha256
        return git_blob_id(path.read_bytes()) == file.blob_id
    except OSError:
        return False


def _fetch(hub: Hub, repo_id: str, kind: Kind, commit: str, staging: Path, name: str, file: RepoFile) -> None:
    """Bring one file into the staging folder, unless it is there and right from an interrupted pull."""
    target = staging / name
    if _is_right(target, file):
        return
    download = partial(
        hf_hub_download,
        repo_id,
        name,
        repo_type=kind,
        revision=commit,
        local_dir=staging,
        token=hub.token,
        tqdm_class=_Silent,
    )
    with writing(staging):
        hub.patiently(download, f"pulling {name} of {repo_id}")
    if not _is_right(target, file):
        target.unlink(missing_ok=True)
        raise SynthForgeError(f"{name} of {repo_id} arrived damaged (its hash is another): run the same command again")


def _check_manifest(folder: Path, wanted: dict[str, RepoFile], repo_id: str) -> None:
    """Raise SynthForgeError unless the manifest's shards are exactly the repository's, hash for hash."""
    try:
        content = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        recorded = {record["path"]: record["sha256"] for record in content["shards"].values()}
        complete = content["complete"] is True
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SynthForgeError(f"{MANIFEST_NAME} of {repo_id} is damaged: its owner must push again") from error
    shards = {name: file.lfs.sha256 if file.lfs else None for name, file in wanted.items() if name in recorded}
    if not complete or shards != recorded:
        raise SynthForgeError(f"{repo_id} does not hold what its {MANIFEST_NAME} lists: its owner must push again")


def _put_in_place(path: Path, staging: Path, names: list[str], removed: list[str]) -> None:
    for name in reversed(_LAST):
        if name in names or name in removed:
            (path / name).unlink(missing_ok=True)
    for name in sorted(names, key=lambda each: (_LAST.index(each) if each in _LAST else -1, each)):
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / name, target)
        sync_folder(target.parent)
    for name in removed:
        (path / name).unlink(missing_ok=True)
    shutil.rmtree(staging, ignore_errors=True)


class _Silent(tqdm):
    """Stands in for the client's bar of each file; ours counts files."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "disable": True})
