"""The HTTP side: which request means what, who may do it, and the faults of the moment."""

import contextlib
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from hub_server.faults import Fault, Faults
from hub_server.repositories import Commit, Refusal, Repository, Store, StoredFile

PAGE = 50
"""Entries per page of a listing; small, so that tests turn pages."""

LARGE_FROM = 1_000_000
LARGE_SUFFIXES = (".parquet", ".safetensors", ".png", ".jpg", ".npz", ".bin")


class HubServer:
    """Serves one ``Store`` on a port of 127.0.0.1 in a thread of its own, until closed."""

    def __init__(self, port: int = 0) -> None:
        self.store, self.faults, self.log = Store(), Faults(), list[dict[str, Any]]()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._http.shutdown()
        self._http.server_close()

    def wait(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self._thread.join()


class _Broken(Exception):
    """The connection is to be broken without (the rest of) an answer."""


class _Handler(BaseHTTPRequestHandler):
    hub: ClassVar[HubServer]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing; ``hub.log`` is the log."""

    def _serve(self) -> None:
        raw = urlsplit(self.path)
        self.url_path = unquote(raw.path)
        self.segments = [unquote(part) for part in raw.path.strip("/").split("/")]
        self.query = {name: values[-1] for name, values in parse_qs(raw.query).items()}
        self.fault: Fault | None = None
        self.status, self.read_bytes = 0, 0
        try:
            if self.segments[0] == "_control":
                self._answer(self._control())
                return
            self.fault = self.hub.faults.next_for(self.command, self.url_path)
            self._suffer()
            self.body = self._read_body()
            answer = self._respond()
            if self.fault is not None and self.fault.kind == "drop_answer":
                raise _Broken
            if answer is not None:
                self._answer(answer)
        except Refusal as refusal:
            self._refuse(refusal)
        except (_Broken, ConnectionError):
            self.status = -1
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        finally:
            if self.segments[0] != "_control":
                entry = {"method": self.command, "path": self.url_path, "status": self.status, "bytes": self.read_bytes}
                self.hub.log.append(entry)

    def _suffer(self) -> None:
        """Let the fault of this request happen, as far as it comes before the work."""
        if self.fault is None:
            return
        if self.fault.kind == "drop":
            raise _Broken
        if self.fault.kind == "slow":
            time.sleep(self.fault.seconds)
        if self.fault.kind == "cut" and self.command == "PUT":
            self.read_bytes = len(self.rfile.read(int(self.headers.get("Content-Length", 0)) // 2))
            raise _Broken
        if self.fault.kind == "status":
            self._read_body()
            raise Refusal(self.fault.status, "", self.fault.message)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().strip() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:
                raise _Broken
        self.read_bytes = len(body)
        return body

    # answers

    def _answer(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        encoded = json.dumps(content).encode()
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, encoded)

    def _refuse(self, refusal: Refusal) -> None:
        headers = {"X-Error-Message": refusal.message} | ({"X-Error-Code": refusal.code} if refusal.code else {})
        if self.fault is not None and self.fault.retry_after is not None:
            headers["Retry-After"] = str(self.fault.retry_after)
        with contextlib.suppress(ConnectionError):
            self._answer({"error": refusal.message}, refusal.status, headers)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.send_response(status)
        for name, value in {"X-Request-Id": "loopback", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.kind == "damage":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if self.fault is not None and self.fault.kind == "cut":
            self.wfile.write(body[: len(body) // 2])
            raise _Broken
        self.wfile.write(body)

    # accounts

    def _user(self) -> str | None:
        """Return whose token came with the request; None without one. Refuse a token that does not hold."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        user = self.hub.store.users.get(token)
        if user is None or token in self.hub.store.expired:
            raise Refusal(401, "", "Invalid credentials in Authorization header")
        return user

    def _writer(self, namespace: str) -> str:
        user = self._user()
        if user is None:
            raise Refusal(401, "", "Invalid username or password.")
        if namespace != user:
            raise Refusal(403, "", f"You don't have the rights to create or change anything under '{namespace}'")
        return user

    # routes

    def _respond(self) -> Any:
        match self.segments:
            case ["api", "whoami-v2"]:
                user = self._user()
                if user is None:
                    raise Refusal(401, "", "Invalid username or password.")
                return {"type": "user", "name": user, "orgs": [], "auth": {"type": "access_token"}}
            case ["api", "repos", "create" | "delete"]:
                return self._create_or_delete(json.loads(self.body))
            case ["api", "validate-yaml"]:
                return _validate(json.loads(self.body)["content"])
            case ["api", ("models" | "datasets") as kind, namespace, name, *rest]:
                repository = self._repository(kind.removesuffix("s"), f"{namespace}/{name}")
                return self._repository_route(repository, rest)
            case ["_large", kind, namespace, name, sha256] if self.command == "PUT":
                # like a signed address of a storage provider: no token comes with it
                self.hub.store.refuse_over_quota(len(self.body))
                self.hub.store.repositories[kind, f"{namespace}/{name}"].hold(sha256, self.body)
                return {}
        kind, segments = ("dataset", self.segments[1:]) if self.segments[0] == "datasets" else ("model", self.segments)
        match segments:
            case [namespace, git, "info", "lfs", "objects", "batch"] if git.endswith(".git"):
                self._writer(namespace)
                repository = self._repository(kind, f"{namespace}/{git.removesuffix('.git')}")
                return self._large_file_batch(repository, json.loads(self.body))
            case [namespace, name, "resolve", revision, *path]:
                return self._file(self._repository(kind, f"{namespace}/{name}"), revision, "/".join(path))
        raise Refusal(404, "", f"Sorry, we can't find the page you are looking for: {self.url_path}")

    def _repository(self, kind: str, name: str) -> Repository:
        return self.hub.store.find(kind, name, self._user())

    def _create_or_delete(self, request: dict[str, Any]) -> Any:
        kind = request.get("type") or "model"
        namespace = request.get("organization") or self._user() or ""
        self._writer(namespace)
        name = f"{namespace}/{request['name']}"
        if self.segments[-1] == "delete":
            self._repository(kind, name)
            del self.hub.store.repositories[kind, name]
            return {}
        url = f"{self.hub.endpoint}/{'datasets/' if kind == 'dataset' else ''}{name}"
        if self.hub.store.create(kind, name, request.get("visibility") == "private"):
            return {"url": url, "name": name}
        self._answer({"error": f"You already created this {kind} repo", "url": url}, 409)
        return None

    def _repository_route(self, repository: Repository, rest: list[str]) -> Any:
        if self.command != "GET" and rest[:1] not in (["paths-info"],):
            self._writer(repository.name.split("/")[0])
        match self.command, rest:
            case "GET", [] | ["revision", _]:
                return self._info(repository, repository.find(rest[1] if rest else "main"))
            case "GET", ["tree", revision, *path]:
                return self._tree(repository.find(revision), "/".join(path), self.query.get("recursive") == "true")
            case "POST", ["paths-info", revision]:
                return self._paths_info(repository.find(revision))
            case "GET", ["refs"]:
                return {
                    "branches": [_ref(name, "heads", oid) for name, oid in repository.branches.items()],
                    "tags": [_ref(name, "tags", oid) for name, oid in repository.tags.items()],
                    "converts": [],
                }
            case "GET", ["commits", revision]:
                return [
                    {"id": each.oid, "title": each.title, "message": "", "authors": [], "date": _DATE}
                    for each in repository.history(revision)
                ]
            case "POST", ["branch", branch]:
                return self._name(
                    repository.branches, branch, repository.find(self._json().get("startingPoint", "main"))
                )
            case "POST", ["tag", revision]:
                return self._name(repository.tags, self._json()["tag"], repository.find(revision))
            case "POST", ["preupload", revision]:
                files = repository.find(revision).files
                return {"files": [_upload_mode(each, files.get(each["path"])) for each in self._json()["files"]]}
            case "POST", ["commit", revision]:
                lines = [json.loads(line) for line in self.body.splitlines()]
                commit = self.hub.store.commit(repository, revision, lines)
                url = f"{self.hub.endpoint}/{repository.kind}s/{repository.name}/commit/{commit.oid}"
                return {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}
        raise Refusal(404, "", f"no such route: {self.command} {self.url_path}")

    def _json(self) -> dict[str, Any]:
        return json.loads(self.body or b"{}")

    def _name(self, names: dict[str, str], name: str, commit: Commit) -> dict[str, Any]:
        if name in names:
            raise Refusal(409, "", f"Reference {name} exists already")
        names[name] = commit.oid
        return {}

    def _info(self, repository: Repository, commit: Commit) -> dict[str, Any]:
        blobs = self.query.get("blobs", "").lower() == "true"
        siblings = [
            {"rfilename": path} | (_description(path, file, sha_name="sha256") if blobs else {})
            for path, file in sorted(commit.files.items())
        ]
        return {
            "id": repository.name,
            "sha": commit.oid,
            "private": repository.private,
            "gated": False,
            "disabled": False,
            "lastModified": _DATE,
            "createdAt": _DATE,
            "tags": [],
            "siblings": siblings,
        }

    def _tree(self, commit: Commit, folder: str, recursive: bool) -> Any:
        entries = _entries(commit, folder, recursive)
        if folder and not entries:
            raise Refusal(404, "EntryNotFound", f"{folder} does not exist on {commit.oid}")
        start = int(self.query.get("cursor", 0))
        headers = {}
        if start + PAGE < len(entries):
            address = f"{self.hub.endpoint}{urlsplit(self.path).path}?recursive={str(recursive).lower()}"
            headers["Link"] = f'<{address}&cursor={start + PAGE}>; rel="next"'
        self._answer(entries[start : start + PAGE], 200, headers)

    def _paths_info(self, commit: Commit) -> list[dict[str, Any]]:
        if "json" in self.headers.get("Content-Type", ""):
            paths = json.loads(self.body)["paths"]
        else:
            paths = parse_qs(self.body.decode()).get("paths", [])
        entries = {entry["path"]: entry for entry in _entries(commit, "", True)}
        return [entries[path] for path in paths if path in entries]

    def _large_file_batch(self, repository: Repository, request: dict[str, Any]) -> dict[str, Any]:
        missing = [each for each in request["objects"] if each["oid"] not in repository.large_files]
        self.hub.store.refuse_over_quota(sum(each["size"] for each in missing))
        address = f"{self.hub.endpoint}/_large/{repository.kind}/{repository.name}"
        objects = []
        for each in request["objects"]:
            answer = {"oid": each["oid"], "size": each["size"]}
            if each in missing:
                answer["actions"] = {"upload": {"href": f"{address}/{each['oid']}?signature=hidden"}}
            objects.append(answer)
        return {"transfer": "basic", "objects": objects}

    def _file(self, repository: Repository, revision: str, path: str) -> None:
        commit = repository.find(revision)
        file = commit.files.get(path)
        if file is None:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        body, status = repository.read(file), 200
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2] or file.size), file.size - 1)
            if first >= file.size:
                raise Refusal(416, "", "Range not satisfiable")
            headers["Content-Range"] = f"bytes {first}-{last}/{file.size}"
            body, status = body[first : last + 1], 206
        self._send(status, headers, body)

    # control by the tests

    def _control(self) -> Any:
        hub, action = self.hub, self.segments[1]
        request = json.loads(self._read_body() or b"{}")
        if action == "reset":
            hub.store.clear()
            hub.faults.waiting.clear()
            hub.log.clear()
        elif action == "faults":
            hub.faults.waiting[:] = [Fault(**each) for each in request]
        elif action == "expire":
            hub.store.expired = set(hub.store.users) if request["expired"] else set()
        elif action == "quota":
            hub.store.quota = request["bytes"]
        elif action == "log":
            entries = list(hub.log)
            hub.log.clear()
            return entries
        return {}


_DATE = "2026-01-01T00:00:00.000Z"


def _ref(name: str, kind: str, oid: str) -> dict[str, str]:
    return {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": oid}


def _upload_mode(file: dict[str, Any], present: StoredFile | None) -> dict[str, Any]:
    large = file["size"] >= LARGE_FROM or file["path"].endswith(LARGE_SUFFIXES)
    return {
        "path": file["path"],
        "uploadMode": "lfs" if large else "regular",
        "shouldIgnore": False,
        **({"oid": present.etag} if present else {}),
    }


def _description(path: str, file: StoredFile, sha_name: str = "oid") -> dict[str, Any]:
    description: dict[str, Any] = {"path": path, "size": file.size, "oid": file.oid, "blobId": file.oid}
    if file.sha256:
        description["lfs"] = {sha_name: file.sha256, "size": file.size, "pointerSize": 130}
    return description


def _entries(commit: Commit, folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Return the files and folders below a folder, as the tree listing describes them."""
    prefix = f"{folder}/" if folder else ""
    entries: dict[str, dict[str, Any]] = {}
    for path, file in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        for depth in range(1, len(parts)):
            if recursive or depth == 1:
                name = prefix + "/".join(parts[:depth])
                entries.setdefault(name, {"type": "directory", "path": name, "oid": "0" * 40, "size": 0})
        if recursive or len(parts) == 1:
            entries[path] = {"type": "file", **_description(path, file)}
    return list(entries.values())


def _validate(content: str) -> dict[str, list[dict[str, str]]]:
    """Check a card's metadata as far as it can be without the Hub's own lists: it must be a YAML mapping."""
    parts = content.split("---\n")
    if len(parts) < 3 or parts[0].strip():
        return {"errors": [], "warnings": [{"message": "empty or missing yaml metadata in repo card"}]}
    try:
        metadata = yaml.safe_load(parts[1])
    except yaml.YAMLError as error:
        return {"errors": [{"message": f"Invalid metadata: {error}"}], "warnings": []}
    fine = isinstance(metadata, dict)
    return {"errors": [] if fine else [{"message": "metadata must be a mapping"}], "warnings": []}
