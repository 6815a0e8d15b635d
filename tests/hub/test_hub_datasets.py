"""A data set goes to the Hub and comes back: byte for byte, by name, streamed, in parts, by tag."""

import json
import shutil
from pathlib import Path

import pytest
from hub_under_test import HubUnderTest, make_dataset

from synthforge_hf.data.manifest import read_manifest, write_manifest
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.hub import pull, push


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and ".synthforge" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def pushed(hub: HubUnderTest, dataset: Path, **options: object) -> str:
    name = hub.new_name()
    hub(push, dataset, name, private=True, **options)
    return name


def load(name: str, **options: object) -> dict[str, list[str]]:
    from datasets import load_dataset

    loaded = load_dataset(name, **options)
    splits = loaded if isinstance(loaded, dict) else {"": loaded}
    return {split: [row["sample_id"] for row in rows] for split, rows in splits.items()}


def load_pixels(name: str, row: int) -> tuple[list[int], str, str]:
    import torch
    from datasets import load_dataset

    import synthforge_hf

    sample = load_dataset(name, split="train").with_format("torch")[row]
    assert synthforge_hf.SEGMENTATION_CLASSES[0] == "background"
    assert isinstance(sample["depth"], torch.Tensor)
    return list(sample["image"].shape), str(sample["depth"].dtype), sample["sample_id"]


def push_with_the_library(folder: Path, name: str) -> list[str]:
    from datasets import load_dataset

    load_dataset(str(folder), split="train").push_to_hub(name, private=True)
    return load_dataset(name, split="train")["sample_id"][:]


def history(name: str, revision: str = "main") -> list[dict[str, str]]:
    """Return the files, path -> size and hash, that each commit of a branch shows, newest first."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi()
    shown = []
    for commit in api.list_repo_commits(name, repo_type="dataset", revision=revision):
        tree = api.list_repo_tree(name, repo_type="dataset", revision=commit.commit_id, recursive=True)
        shown.append({each.path: each.blob_id for each in tree if isinstance(each, RepoFile)})
    return shown


def delete(name: str) -> None:
    from huggingface_hub import HfApi

    HfApi().delete_repo(name, repo_type="dataset")


def test_it_comes_back_byte_for_byte(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = pushed(hub, dataset)
    report = hub(pull, name, tmp_path / "back")
    mine, theirs = contents(dataset), contents(tmp_path / "back")
    assert {path: theirs[path] for path in mine if path != "README.md"} == {
        path: content for path, content in mine.items() if path != "README.md"
    }
    assert set(theirs) - set(mine) == {"preview.jpg"}
    assert report.fetched == len(theirs)
    assert verify(tmp_path / "back", progress=False) == []


def test_load_dataset_by_name_streaming_and_one_shard(hub: HubUnderTest, dataset: Path) -> None:
    name = pushed(hub, dataset)
    everything = hub(load, name)
    assert sorted(everything) == ["train", "validation"]
    assert len(everything["train"]) == 9
    assert hub(load, name, split="train", streaming=True)[""] == everything["train"]
    shard = sorted(path.name for path in (dataset / "data").glob("train-*"))[1]
    assert hub(load, name, data_files=f"data/{shard}", split="train")[""] == everything["train"][4:8]
    assert hub(load_pixels, name, 5) == ([3, 32, 32], "torch.uint16", everything["train"][5])


def test_a_repository_called_synthforge(hub: HubUnderTest, dataset: Path) -> None:
    """``load_dataset`` takes a file named as its repository for a script: there must be none."""
    hub.faults()  # only where nobody's real repository has that name
    hub(push, dataset, f"{hub.namespace}/synthforge")
    everything = hub(load, f"{hub.namespace}/synthforge")
    assert [len(rows) for rows in everything.values()] == [9, 3]
    assert hub(load, f"{hub.namespace}/synthforge", split="validation", streaming=True)[""] == everything["validation"]


def test_a_second_push_sends_only_what_changed(hub: HubUnderTest, dataset: Path) -> None:
    name = pushed(hub, dataset)
    again = hub(push, dataset, name)
    assert (again.uploaded, again.removed) == (0, 0)
    assert len(hub(history, name)) == 2  # the Hub's own first commit and ours: nothing new, no commit

    hub.control("log")
    make_dataset(dataset, num_samples=20)  # "-of-00003" becomes "-of-00004" and so on: new names, known contents
    grown = hub(push, dataset, name)
    shards = sorted(path.name for path in (dataset / "data").iterdir())
    head, before, _ = hub(history, name)
    assert {Path(path).name for path in head if path.startswith("data/")} == set(shards)
    assert grown.removed == sum(path.startswith("data/") for path in before)
    known = set(before.values())
    new = [path for path, blob in head.items() if path.endswith(".parquet") and blob not in known]
    sent = hub.sent("PUT")
    assert 0 < len(new) < len(shards)
    assert len(sent) == len(new) + 1  # and the picture


def test_the_head_never_shows_half_a_data_set(hub: HubUnderTest, dataset: Path) -> None:
    name = pushed(hub, dataset)
    make_dataset(dataset, num_samples=20)
    hub(push, dataset, name)
    for shown in hub(history, name)[:-1]:
        shards = {path for path in shown if path.endswith(".parquet")}
        counts = {int(path.split("-of-")[1].removesuffix(".parquet")) for path in shards if "train" in path}
        assert counts == {sum("train" in path for path in shards)}
        assert {"README.md", "synthforge.json"} <= set(shown)


def test_branches_and_tags(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = pushed(hub, dataset, tag="v1")
    make_dataset(dataset, num_samples=16)
    hub(push, dataset, name, revision="next/larger")
    assert len(hub(load, name, split="train")[""]) == 9
    assert len(hub(load, name, split="train", revision="next/larger")[""]) == 12
    hub(push, dataset, name)
    assert hub(pull, name, tmp_path / "v1", revision="v1").kind == "dataset"
    assert json.loads((tmp_path / "v1" / "synthforge.json").read_text())["num_samples"] == 12
    with pytest.raises(UsageError, match="names another commit"):
        hub(push, dataset, name, tag="v1")
    with pytest.raises(SynthForgeError, match="no such branch"):
        hub(pull, name, tmp_path / "v9", revision="v9")


def test_pull_brings_a_folder_up_to_date_and_mends_it(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = pushed(hub, dataset)
    back = tmp_path / "back"
    hub(pull, name, back)
    make_dataset(dataset, num_samples=20)
    hub(push, dataset, name)
    report = hub(pull, name, back)
    assert report.removed == 4
    assert verify(back, progress=False) == []
    assert hub(pull, name, back).fetched == 0
    shard = next(iter(sorted((back / "data").iterdir())))
    damaged = bytearray(shard.read_bytes())
    damaged[100] ^= 1
    shard.write_bytes(damaged)
    assert hub(pull, name, back).fetched == 1
    assert verify(back, progress=False) == []


def test_pull_refuses_a_folder_that_holds_something_else(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = pushed(hub, dataset)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("not to be lost")
    with pytest.raises(UsageError, match="not pulled"):
        hub(pull, name, tmp_path / "mine")
    with pytest.raises(UsageError, match="is a file"):
        hub(pull, name, tmp_path / "mine" / "thesis.txt")
    with pytest.raises(SynthForgeError, match="no such repository"):
        hub(pull, hub.new_name(), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    hub(pull, name, tmp_path / "back")
    with pytest.raises(UsageError, match=f"holds {name}"):
        hub(pull, pushed(hub, dataset), tmp_path / "back")


def test_another_data_set_is_not_overwritten_by_accident(hub: HubUnderTest, dataset: Path, tmp_path: Path) -> None:
    name = pushed(hub, dataset)
    other = make_dataset(tmp_path / "other", seed=4)
    with pytest.raises(UsageError, match="seed is 3 there, 4 here"):
        hub(push, other, name)
    larger = make_dataset(Path(shutil.copytree(dataset, tmp_path / "larger")), num_samples=16)
    hub(push, larger, name)
    with pytest.raises(UsageError, match="16 samples of this data set, more than the 12 here"):
        hub(push, dataset, name)
    hub(push, other, name, replace_other=True)
    assert hub(load, name, split="train")[""][0] == "4-00000000"


def test_unfinished_and_damaged_data_sets_are_not_pushed(hub: HubUnderTest, dataset: Path) -> None:
    name = hub.new_name()
    shard = next(iter(sorted((dataset / "data").iterdir())))
    whole = shard.read_bytes()
    shard.write_bytes(whole.replace(b"parquet-cpp", b"parquet-cqq"))  # where only a hash finds it
    with pytest.raises(SynthForgeError, match="another SHA-256"):
        hub(push, dataset, name, private=True)
    shard.write_bytes(whole[:-1])
    with pytest.raises(SynthForgeError, match="missing or damaged"):
        hub(push, dataset, name)
    shard.write_bytes(whole)
    manifest = read_manifest(dataset)
    manifest.shards.pop("train-00000")
    write_manifest(dataset, manifest)
    with pytest.raises(SynthForgeError, match="1 shards are missing"):
        hub(push, dataset, name)


def test_the_libraries_own_push_to_hub(hub: HubUnderTest, dataset: Path) -> None:
    name = hub.new_name()
    assert len(hub(push_with_the_library, dataset, name)) == 9


def test_what_the_hub_does_not_allow(hub: HubUnderTest, dataset: Path) -> None:
    for name in ("no-owner", "a/b/c"):
        with pytest.raises(UsageError, match="owner/name"):
            hub(push, dataset, name)
    with pytest.raises(UsageError, match="Repo id"):
        hub(push, dataset, f"{hub.namespace}/not~a~name")
    with pytest.raises(SynthForgeError, match=r"refuses: .*rights"):
        hub(push, dataset, f"somebody-else-{hub.namespace}/faces")
    name = hub.new_name()
    hub(push, dataset, name)
    with pytest.raises(UsageError, match="exists and is public"):
        hub(push, dataset, name, private=True)
    hub(delete, name)
