"""Every fault of docs/hub.md: what was pushed is there once and whole, or what was there before still is."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from hub_under_test import HubUnderTest, make_dataset

from synthforge_hf.data.files import exclusive
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.hub import pull, push
from synthforge_hf.hub.connection import Hub, Patience

QUICK = Patience(attempts=4, first_wait=0.05, longest_wait=2.0, answer_within=20.0)


def commits_and_shards(name: str) -> tuple[int, dict[str, str]]:
    """Return how many commits the main branch has, and path -> SHA-256 of the shards it shows."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    tree = api.list_repo_tree(name, repo_type="dataset", recursive=True)
    shards = {each.path: each.lfs.sha256 for each in tree if isinstance(each, RepoFile) and each.lfs}
    return len(api.list_repo_commits(name, repo_type="dataset")), shards


def make_repository(name: str) -> None:
    from huggingface_hub import HfApi

    HfApi().create_repo(name, repo_type="dataset", private=True)


def check_complete(hub: HubUnderTest, name: str, dataset: Path, commits: int = 2) -> None:
    """The branch shows every shard of the manifest, with its hash, and was changed ``commits`` times."""
    shards = json.loads((dataset / "synthforge.json").read_text())["shards"].values()
    made, shown = hub(commits_and_shards, name)
    assert made == commits
    assert {path: sha for path, sha in shown.items() if path.endswith(".parquet")} == {
        record["path"]: record["sha256"] for record in shards
    }


PASSING = {
    "429 on commit": {"path": "/commit/", "kind": "status", "status": 429, "retry_after": 1},
    "429 on upload": {"path": "/_large/", "kind": "status", "status": 429, "retry_after": 0},
    "500 on the first look": {"path": "/api/datasets/", "method": "GET", "kind": "status", "times": 2},
    "500 on create": {"path": "/repos/create", "kind": "status"},
    "503 on preupload": {"path": "/preupload/", "kind": "status", "status": 503},
    "500 on upload": {"path": "/_large/", "kind": "status", "skip": 2},
    "500 on commit": {"path": "/commit/", "kind": "status", "times": 2},
    "drop on the first look": {"path": "/api/datasets/", "kind": "drop"},
    "drop on upload batch": {"path": "objects/batch", "kind": "drop"},
    "cut in an upload": {"path": "/_large/", "method": "PUT", "kind": "cut", "skip": 1},
    "lost answer of create": {"path": "/repos/create", "kind": "drop_answer"},
    "lost answer of an upload": {"path": "/_large/", "kind": "drop_answer"},
    "drop on commit": {"path": "/commit/", "kind": "drop"},
    "lost answer of commit": {"path": "/commit/", "kind": "drop_answer"},
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_push_survives(hub: HubUnderTest, dataset: Path, fault: dict[str, Any]) -> None:
    name = hub.new_name()
    hub.faults(fault)
    hub(push, dataset, name, private=True, patience=QUICK)
    assert any(each["status"] not in (200, 404, 409) for each in hub.sent()) or fault["kind"] == "drop_answer"
    check_complete(hub, name, dataset)


def test_a_commit_that_comes_late_does_not_come_twice(hub: HubUnderTest, dataset: Path) -> None:
    """The client gives up on a slow answer and tries again; the slow commit, when it is carried out at last, loses."""
    name = hub.new_name()
    hub(make_repository, name)
    hub.faults({"path": "/commit/", "kind": "slow", "seconds": 2.5})
    hub(push, dataset, name, private=True, patience=Patience(attempts=4, first_wait=0.05, answer_within=1.0))
    deadline = time.monotonic() + 20
    commits: list[dict[str, Any]] = []
    while len(commits) < 2 and time.monotonic() < deadline:
        commits += hub.sent("POST", "/commit/")
        time.sleep(0.1)
    assert sorted(each["status"] for each in commits) == [200, 412]
    check_complete(hub, name, dataset)


FINAL = {
    "500 for ever": ({"path": "/commit/", "kind": "status", "times": 99}, "answers 500"),
    "429 for ever": (
        {"path": "/commit/", "kind": "status", "status": 429, "retry_after": 0, "times": 99},
        "answers 429",
    ),
    "no answer for ever": ({"path": "/commit/", "kind": "drop", "times": 99}, "does not answer"),
    "quota in the batch": (
        {"path": "objects/batch", "kind": "status", "status": 403, "message": "storage limit reached", "times": 99},
        "refuses: storage limit reached",
    ),
    "payment": ({"path": "/commit/", "kind": "status", "status": 402, "message": "pay first", "times": 9}, "pay first"),
    "bad request that echoes the token": (
        {"path": "/commit/", "kind": "status", "status": 400, "message": "no: hf_loopback_token_of_tester", "times": 9},
        r"refuses with 400: no: \[hidden\]",
    ),
}


@pytest.mark.parametrize(("fault", "words"), FINAL.values(), ids=FINAL)
def test_push_gives_up_in_one_line_and_goes_on_later(
    hub: HubUnderTest, dataset: Path, fault: dict[str, Any], words: str
) -> None:
    name = hub.new_name()
    hub(make_repository, name)
    hub.faults(fault)
    with pytest.raises(SynthForgeError, match=words) as caught:
        hub(push, dataset, name, private=True, patience=QUICK)
    assert "\n" not in str(caught.value)
    assert hub.token not in str(caught.value)
    already = len([each for each in hub.sent("PUT") if each["status"] == 200])
    assert hub(commits_and_shards, name) == (1, {})  # nothing is shown
    hub.faults()
    hub(push, dataset, name)
    assert len(hub.sent("PUT")) == 5 - already  # four shards and the picture, none sent twice
    check_complete(hub, name, dataset)


def test_a_token_that_expires_on_the_way(hub: HubUnderTest, dataset: Path) -> None:
    name = hub.new_name()
    hub(make_repository, name)
    hub.faults()
    hub.control("expire", {"expired": True})
    with pytest.raises(SynthForgeError, match=r"does not accept your token .* hf auth login"):
        hub(push, dataset, name, private=True, patience=QUICK)
    hub.control("expire", {"expired": False})
    hub.faults(
        {"path": "/commit/", "kind": "status", "status": 401, "message": "Invalid credentials in Authorization header"}
    )
    with pytest.raises(SynthForgeError, match="does not accept your token"):
        hub(push, dataset, name, private=True, patience=QUICK)
    assert hub(commits_and_shards, name) == (1, {})
    hub(push, dataset, name)
    check_complete(hub, name, dataset)


def test_a_full_account_keeps_what_it_showed(hub: HubUnderTest, dataset: Path) -> None:
    name = hub.new_name()
    hub(push, dataset, name, private=True)
    make_dataset(dataset, num_samples=20)
    hub.faults()
    hub.control("quota", {"bytes": 1})
    with pytest.raises(SynthForgeError, match="storage limit"):
        hub(push, dataset, name, patience=QUICK)
    assert hub(commits_and_shards, name)[0] == 2
    hub.control("quota", {"bytes": None})
    hub(push, dataset, name)
    check_complete(hub, name, dataset, commits=3)


def command(hub: HubUnderTest, home: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": hub.token,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "synthforge_hf", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when(hub: HubUnderTest, process: subprocess.Popen[str], method: str, path: str, count: int) -> int:
    """Kill the process once the Hub has answered ``count`` such requests; return how many it had answered."""
    answered = 0
    deadline = time.monotonic() + 120
    while answered < count and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        answered += len([each for each in hub.sent(method, path) if each["status"] == 200])
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)
    return answered + len([each for each in hub.sent(method, path) if each["status"] == 200])


def staged(back: Path) -> list[Path]:
    """Return what an interrupted pull has kept for the next."""
    folder = back / ".synthforge" / "pulled"
    return [path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts]


def test_killed_in_the_middle_push_and_pull_go_on(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = hub.new_name()
    hub.faults(*[{"path": "/_large/", "kind": "slow", "seconds": 60, "skip": 2, "times": 9}])
    process = command(hub, tmp_path / "home", "push", dataset, name, "--private")
    sent = kill_when(hub, process, "PUT", "/_large/", 2)
    assert hub(commits_and_shards, name) == (1, {})
    hub.faults()
    hub(push, dataset, name)
    assert len(hub.sent("PUT")) == 5 - sent
    check_complete(hub, name, dataset)

    back = tmp_path / "back"
    hub.faults({"path": "/resolve/", "method": "GET", "kind": "slow", "seconds": 60, "skip": 3, "times": 9})
    process = command(hub, tmp_path / "home", "pull", name, back)
    deadline = time.monotonic() + 120
    while len(staged(back)) < 2 and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert [path.name for path in back.iterdir()] == [".synthforge"]  # nothing half is shown
    kept = len(staged(back))
    assert kept >= 2
    hub.faults()
    hub(pull, name, back, patience=QUICK)
    assert len(hub.sent("GET", "/resolve/")) == 7 - kept
    assert verify(back, progress=False) == []


PULL_FAULTS = {
    "500": {"path": "/resolve/", "kind": "status", "times": 2},
    "429": {"path": "/resolve/", "kind": "status", "status": 429, "retry_after": 0},
    "500 on the listing": {"path": "/tree/", "kind": "status"},
    "drop": {"path": "/resolve/", "kind": "drop", "skip": 3},
    "cut in a file": {"path": r"/resolve/.*parquet", "method": "GET", "kind": "cut"},
    "slow": {"path": "/resolve/", "kind": "slow", "seconds": 1},
}


@pytest.fixture(scope="module")
def published(connection: HubUnderTest, finished_dataset: Path) -> str:
    name = connection.new_name()
    connection(push, finished_dataset, name, private=True)
    return name


@pytest.mark.parametrize("fault", PULL_FAULTS.values(), ids=PULL_FAULTS)
def test_pull_survives(hub: HubUnderTest, published: str, tmp_path: Path, fault: dict[str, Any]) -> None:
    hub.faults(fault)
    hub(pull, published, tmp_path / "back", patience=QUICK)
    assert verify(tmp_path / "back", progress=False) == []


def test_what_arrives_damaged_is_not_shown(hub: HubUnderTest, published: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    hub.faults({"path": r"/resolve/.*parquet", "method": "GET", "kind": "damage"})
    with pytest.raises(SynthForgeError, match="arrived damaged"):
        hub(pull, published, back, patience=QUICK)
    assert [path.name for path in back.iterdir()] == [".synthforge"]
    hub(pull, published, back, patience=QUICK)
    assert verify(back, progress=False) == []


def test_a_repository_that_lacks_a_shard_is_refused(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = hub.new_name()
    hub(push, dataset, name, private=True)
    hub(remove_a_shard, name)
    with pytest.raises(SynthForgeError, match="does not hold what its"):
        hub(pull, name, tmp_path / "back", patience=QUICK)
    assert [path.name for path in (tmp_path / "back").iterdir()] == [".synthforge"]


def test_a_full_disk_stops_a_pull_cleanly(hub: HubUnderTest, published: str, tmp_path: Path) -> None:
    back = tmp_path / "back"
    with pytest.raises(SynthForgeError, match="cannot write to"):
        hub(pull_with_files_up_to, 30_000, published, back)
    assert [path.name for path in back.iterdir()] == [".synthforge"]
    hub(pull, published, back)
    assert verify(back, progress=False) == []


def pull_with_files_up_to(size: int, name: str, back: Path) -> None:
    """Pull where the operating system lets no file become larger than ``size`` bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        pull(name, back, patience=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_one_folder_is_pulled_by_one_process(hub: HubUnderTest, published: str, tmp_path: Path) -> None:
    with exclusive(tmp_path / "back"), pytest.raises(UsageError, match="another process is writing"):
        hub(pull, published, tmp_path / "back")


def test_a_file_name_that_leads_out_of_the_folder(hub: HubUnderTest, tmp_path: Path) -> None:
    name = hub.new_name()
    hub(make_repository, name)
    hub.faults()
    evil = [
        {"key": "header", "value": {"summary": "evil"}},
        {"key": "file", "value": {"path": "../evil.txt", "content": "ZXZpbA=="}},
    ]
    request = Request(
        f"{hub.endpoint}/api/datasets/{name}/commit/main",
        "\n".join(map(json.dumps, evil)).encode(),
        {"Authorization": f"Bearer {hub.token}"},
    )
    urlopen(request).close()
    with pytest.raises(SynthForgeError, match="no place in a folder: refused"):
        hub(pull, name, tmp_path / "in" / "back")
    assert not (tmp_path / "in").exists()


def remove_a_shard(name: str) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    shard = next(each for each in api.list_repo_files(name, repo_type="dataset") if each.endswith(".parquet"))
    api.delete_file(shard, name, repo_type="dataset")


def test_a_hub_that_is_not_there(tmp_path: Path, dataset: Path) -> None:
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_of_nobody_at_all_000"}
    code = (
        "from synthforge_hf.hub import pull; from synthforge_hf.hub.connection import Patience\n"
        f"pull('a/b', {str(tmp_path / 'back')!r}, patience=Patience(attempts=2, first_wait=0.05))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    (line,) = [line for line in result.stderr.splitlines() if "SynthForgeError" in line]
    assert "the Hub at http://127.0.0.1:9 does not answer" in line
    assert environment["HF_TOKEN"] not in result.stderr


def test_secrets_are_taken_out_of_every_message() -> None:
    hub = Hub(token="my-own-secret")
    said = hub.redact("Bearer abc.def my-own-secret hf_abcdefghijklmnop https://s3.example/x?X-Amz-Signature=1234 end")
    assert said == "[hidden] [hidden] [hidden] https://s3.example/x end"
