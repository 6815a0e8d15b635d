"""What a Hub keeps: repositories with branches, tags, commits and large files."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

ZERO = "0" * 40


class Refusal(Exception):
    """An answer that is an error: HTTP status, the Hub's error code and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def git_blob_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class StoredFile:
    """One file of one commit. content is kept in the commit (regular) or among the large files (sha256 given)."""

    size: int
    oid: str
    content: bytes = b""
    sha256: str | None = None

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid

    @classmethod
    def regular(cls, content: bytes) -> "StoredFile":
        return cls(len(content), git_blob_oid(content), content)

    @classmethod
    def large(cls, sha256: str, size: int) -> "StoredFile":
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        return cls(size, git_blob_oid(pointer.encode()), sha256=sha256)


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str
    title: str
    files: dict[str, StoredFile]


@dataclass
class Repository:
    kind: str
    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    large_files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add("main", Commit(ZERO, ZERO, "initial commit", {".gitattributes": StoredFile.regular(b"*.parquet\n")}))

    def add(self, branch: str, commit: Commit) -> Commit:
        content = json.dumps([commit.parent, commit.title, {path: f.etag for path, f in commit.files.items()}])
        commit = replace(commit, oid=hashlib.sha1(f"{self.kind}{self.name}{content}".encode()).hexdigest())
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit

    def hold(self, sha256: str, content: bytes) -> None:
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Refusal(400, "", "the content does not have the announced SHA-256")
        self.large_files[sha256] = content

    def read(self, file: StoredFile) -> bytes:
        return file.content if file.sha256 is None else self.large_files[file.sha256]

    def find(self, revision: str) -> Commit:
        """Return the commit of a branch, tag or (beginning of a) commit id."""
        revision = revision.removeprefix("refs/heads/")
        oid = self.branches.get(revision) or self.tags.get(revision)
        if oid is None and len(revision) >= 7:
            oid = next((each for each in self.commits if each.startswith(revision)), None)
        if oid is None:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return self.commits[oid]

    def history(self, revision: str) -> Iterator[Commit]:
        commit: Commit | None = self.find(revision)
        while commit is not None:
            yield commit
            commit = self.commits.get(commit.parent)


class Store:
    """All repositories and accounts of one Hub, in memory; every method may be called by any thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        with self.lock:
            self.repositories: dict[tuple[str, str], Repository] = {}
            self.users = {"hf_loopback_token_of_tester": "tester"}
            self.expired: set[str] = set()
            self.quota: int | None = None

    def create(self, kind: str, name: str, private: bool) -> bool:
        """Make an empty repository; say whether it is new."""
        with self.lock:
            if (kind, name) in self.repositories:
                return False
            self.repositories[kind, name] = Repository(kind, name, private)
            return True

    def find(self, kind: str, name: str, user: str | None) -> Repository:
        repository = self.repositories.get((kind, name))
        if repository is None or (repository.private and user is None):
            # as on the real Hub, who may not see a repository cannot tell it from one that does not exist
            raise Refusal(404 if user else 401, "RepoNotFound", "Repository not found")
        return repository

    def refuse_over_quota(self, more: int) -> None:
        used = sum(len(content) for each in self.repositories.values() for content in each.large_files.values())
        if self.quota is not None and used + more > self.quota:
            raise Refusal(403, "", "Private repository storage limit reached, please upgrade your plan")

    def commit(self, repository: Repository, branch: str, lines: list[dict[str, Any]]) -> Commit:
        """Apply all operations of a commit or none."""
        with self.lock:
            if branch not in repository.branches:
                raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {branch}")
            head = repository.find(branch)
            files = dict(head.files)
            title = "no title"
            for line in lines:
                value = line["value"]
                if line["key"] == "header":
                    title = value["summary"]
                    if value.get("parentCommit") not in (None, head.oid):
                        raise Refusal(412, "", "A commit has happened since. Please refresh and try again.")
                elif line["key"] == "file":
                    files[value["path"]] = StoredFile.regular(base64.b64decode(value["content"]))
                elif line["key"] == "lfsFile":
                    if value["oid"] not in repository.large_files:
                        raise Refusal(400, "", f"Your push was rejected: no object {value['oid']}")
                    files[value["path"]] = StoredFile.large(value["oid"], len(repository.large_files[value["oid"]]))
                elif line["key"] == "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise Refusal(404, "EntryNotFound", f"A file with this name doesn't exist: {value['path']}")
                elif line["key"] == "deletedFolder":
                    folder = value["path"].rstrip("/") + "/"
                    files = {path: file for path, file in files.items() if not path.startswith(folder)}
                else:
                    raise Refusal(400, "", f"unknown operation {line['key']}")
            return repository.add(branch, Commit(ZERO, head.oid, title, files))
