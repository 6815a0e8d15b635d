"""The engine: the same bytes whatever happens on the way, and one clear error when it cannot go on."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from reference_data import NUM_SAMPLES, RESOLUTION, SHARD_SIZE, Reference, contents

from synthforge_hf.data import generation
from synthforge_hf.data.files import exclusive, publish
from synthforge_hf.data.generation import generate
from synthforge_hf.data.manifest import read_manifest, write_manifest
from synthforge_hf.data.recipes import Recipe
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.testing import EllipsoidCamera, EllipsoidSettings

SCRIPT = """
import os, signal, sys
import psutil
from synthforge_hf.data import generation
from synthforge_hf.data.files import publish

def die(unfinished, path):
    # When a shard has got its final name and is not in the manifest yet.
    publish(unfinished, path)
    if len(os.listdir(path.parent)) == 3:
        print(*(child.pid for child in psutil.Process().children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

def main():
    out, recipe, num_samples, resolution, shard_size, killed = sys.argv[1:7]
    if killed == "killed":
        generation.publish = die
    generation.generate(out, recipe, int(num_samples), int(resolution), seed=3, workers=1, shard_size=int(shard_size))

if __name__ == "__main__":
    main()
"""


def start(tmp_path: Path, out: Path, reference: Reference, killed: bool = False) -> subprocess.Popen:
    """Run ``generate`` for the reference data set in a process of its own, which may kill itself half way."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    numbers = [str(number) for number in (NUM_SAMPLES, RESOLUTION, SHARD_SIZE)]
    command = [sys.executable, file, out, reference.recipe_file, *numbers, "killed" if killed else "whole"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_until_gone(pids: list[int]) -> None:
    assert pids
    deadline = time.monotonic() + 30
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
        assert time.monotonic() < deadline, "a worker outlives its parent"
        time.sleep(0.05)


def unfinished_files(out: Path) -> list[Path]:
    return [path for path in (out / ".synthforge").rglob("*") if path.suffix == ".parquet"]


def test_the_layout_is_the_hub_s(reference: Reference) -> None:
    assert set(contents(reference.folder)) == {
        "README.md",
        "synthforge.json",
        *(f"data/train-0000{number}-of-00006.parquet" for number in range(6)),
        *(f"data/validation-0000{number}-of-00002.parquet" for number in range(2)),
    }
    manifest = json.loads((reference.folder / "synthforge.json").read_text())
    assert manifest["complete"]
    assert manifest["generator_license"] == "CC0-1.0"
    assert sum(shard["rows"] for shard in manifest["shards"].values()) == NUM_SAMPLES


def test_one_worker_and_growth_give_the_same_bytes(reference: Reference, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    arguments = reference.arguments()
    first = generate(out, workers=1, **{**arguments, "num_samples": 23})
    assert first.num_samples == 23
    assert verify(out, progress=False) == []
    second = generate(out, workers=1, **arguments)
    # 18 + 5 samples before: three full shards and one; the part-filled last one of train is made again.
    assert second.shards_kept == 4
    assert second.shards_made == 4
    assert contents(out) == contents(reference.folder)


def test_running_again_makes_nothing(copy: Path, reference: Reference) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.parquet")}
    report = generate(copy, **reference.arguments())
    assert (report.shards_made, report.shards_kept) == (0, 8)
    assert report.splits == {"train": 30, "validation": 10}
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*.parquet")} == before


def test_killed_half_way_and_resumed(reference: Reference, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = start(tmp_path, out, reference, killed=True)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, errors
    wait_until_gone([int(pid) for pid in output.split()])
    assert len(list((out / "data").iterdir())) == 3
    assert not (out / "README.md").exists()
    assert sum("not made yet" in problem.message for problem in verify(out, progress=False)) == 5
    report = generate(out, workers=1, **reference.arguments())
    # The third shard was in place, but the manifest did not know it yet.
    assert (report.shards_kept, report.shards_made) == (2, 6)
    assert contents(out) == contents(reference.folder)
    assert unfinished_files(out) == []


def test_a_killed_worker_stops_the_run_with_one_error(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "orphaned"

    def kill_the_worker(unfinished: Path, path: Path) -> None:
        publish(unfinished, path)
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    monkeypatch.setattr(generation, "publish", kill_the_worker)  # called when the first shard is finished
    with pytest.raises(SynthForgeError, match=r"SIGKILL.*run the same command again") as error:
        generate(out, workers=1, **reference.arguments())
    assert "\n" not in str(error.value)
    assert multiprocessing.active_children() == []
    assert unfinished_files(out) == []
    assert len(list((out / "data").iterdir())) >= 1


def test_ctrl_c_stops_the_workers_without_a_word_from_them(reference: Reference, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    process = start(tmp_path, out, reference)
    while not (workers := psutil.Process(process.pid).children()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(0.7)  # the worker is importing
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1, errors
    wait_until_gone([worker.pid for worker in workers])
    assert unfinished_files(out) == []
    assert not (out / "README.md").exists()


def test_damaged_shards_are_named_and_made_again(copy: Path, reference: Reference) -> None:
    shards = sorted((copy / "data").glob("*.parquet"))
    truncated, edited, missing, foreign = (
        shards[0],
        shards[1],
        shards[2],
        copy / "data" / "train-00009-of-00010.parquet",
    )
    truncated.write_bytes(truncated.read_bytes()[:-100])
    content = bytearray(edited.read_bytes())
    content[len(content) // 3] ^= 1
    edited.write_bytes(content)
    missing.unlink()
    shutil.copy(shards[3], foreign)
    problems = {problem.path: problem.message for problem in verify(copy, progress=False)}
    assert set(problems) == {f"data/{path.name}" for path in (truncated, edited, missing, foreign)}
    assert "truncated" in problems[f"data/{truncated.name}"]
    assert "SHA-256" in problems[f"data/{edited.name}"]
    assert "missing" in problems[f"data/{missing.name}"]
    assert "does not belong" in problems[f"data/{foreign.name}"]
    quick = {problem.path for problem in verify(copy, quick=True, progress=False)}
    assert quick == set(problems) - {f"data/{edited.name}"}
    report = generate(copy, workers=1, **reference.arguments())
    assert report.shards_made == 3
    assert contents(copy) == contents(reference.folder)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"recipe": Recipe(name="toy", generator="ellipsoid")}, "another recipe .*splits.train"),
        ({"seed": 4}, "seed 3, not 4"),
        ({"resolution": 128}, "resolution 64, not 128"),
        ({"shard_size": 6}, "shard_size 5, not 6"),
        ({"num_samples": 39}, "holds 40 samples, more than the 39"),
    ],
)
def test_a_folder_that_holds_something_else_is_refused(
    copy: Path, reference: Reference, change: dict, part: str
) -> None:
    before = contents(copy)
    with pytest.raises(UsageError, match=part):
        generate(copy, **{**reference.arguments(), **change})
    assert contents(copy) == before


def test_other_versions_of_libraries_are_pointed_out(copy: Path, reference: Reference) -> None:
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, versions={**manifest.versions, "numpy": "1.0"}))
    with pytest.warns(UserWarning, match="begun with another numpy"):
        generate(copy, **reference.arguments())
    write_manifest(copy, replace(manifest, versions={**manifest.versions, "synthforge_hf": "0.0.1"}))
    with pytest.raises(UsageError, match=r"made by synthforge_hf 0\.0\.1"):
        generate(copy, **reference.arguments())


def test_other_files_and_a_damaged_manifest_are_left_alone(copy: Path, reference: Reference, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all my work")
    with pytest.raises(UsageError, match=r"holds files but no synthforge\.json"):
        generate(tmp_path / "mine", **reference.arguments())
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    manifest = copy / "synthforge.json"
    (copy / ".synthforge" / manifest.name).unlink()
    for spoilt in (manifest.read_text()[:500], manifest.read_text().replace('"seed": 3', '"sed": 3'), "{}"):
        manifest.write_text(spoilt)
        with pytest.raises(SynthForgeError, match=r"synthforge\.json is damaged"):
            generate(copy, **reference.arguments())
        assert [problem.path for problem in verify(copy, progress=False)] == ["synthforge.json"]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"num_samples": 0}, "num_samples is 0"),
        ({"resolution": 8}, "resolution is 8"),
        ({"shard_size": 0}, "shard_size is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"workers": 0}, "workers is 0"),
        ({"executor": "cluster"}, "executor is 'cluster'"),
        ({"generator": "next4d"}, "not 'next4d'"),
    ],
)
def test_impossible_requests(reference: Reference, tmp_path: Path, change: dict, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        generate(tmp_path / "new", **{**reference.arguments(), **change})
    assert not (tmp_path / "new").exists()


def test_places_that_cannot_be_written(reference: Reference, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        generate(file, **reference.arguments())
    with pytest.raises(SynthForgeError, match=r"cannot write to .*Not a directory"):
        generate(file / "below", **reference.arguments())
    with pytest.raises(SynthForgeError, match="cannot write to"):
        generate("/proc/synthforge", **reference.arguments())
    assert file.read_text() == "mine"


def test_a_full_disk_is_one_error_and_leaves_no_unfinished_file(reference: Reference, tmp_path: Path) -> None:
    out = tmp_path / "full"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))  # workers inherit it
    try:
        with pytest.raises(SynthForgeError, match="make room, then run the same command again") as error:
            generate(out, workers=1, **{**reference.arguments(), "resolution": 128, "shard_size": 40})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(error.value).startswith("cannot write the shard: ")
    assert "\n" not in str(error.value)
    assert unfinished_files(out) == []
    assert list((out / "data").iterdir()) == []


def test_a_generator_s_own_error_comes_through(tmp_path: Path) -> None:
    far = Recipe(name="far", generator="ellipsoid", settings=EllipsoidSettings(EllipsoidCamera(distance_m=9)))
    with pytest.raises(SynthForgeError, match="depth images hold"):
        generate(tmp_path / "far", far, num_samples=1, resolution=32, workers=1, progress=False)
    assert unfinished_files(tmp_path / "far") == []


def test_two_writers_are_one_too_many(copy: Path, reference: Reference) -> None:
    with exclusive(copy), pytest.raises(UsageError, match="another process is writing"):
        generate(copy, **reference.arguments())
    assert generate(copy, **reference.arguments()).shards_kept == 8


def test_a_script_without_main_guard_is_told_so(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What multiprocessing sets in a worker while it imports the script again.
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(UsageError, match="if __name__ == '__main__'"):
        generate(tmp_path / "unguarded", **reference.arguments())
    assert not (tmp_path / "unguarded").exists()


def test_whole_numbers_in_a_recipe_made_in_python(tmp_path: Path) -> None:
    """They are what a file holds as 40.0: the manifest must be read back as it was written."""
    settings = EllipsoidSettings(camera=EllipsoidCamera(azimuth_deg=(-40, 40), distance_m=1))
    recipe = Recipe("whole", generator="ellipsoid", settings=settings, splits={"train": 1})
    generate(tmp_path / "out", recipe, num_samples=1, resolution=RESOLUTION, workers=1, progress=False)
    assert verify(tmp_path / "out", progress=False) == []
    assert read_manifest(tmp_path / "out").recipe == recipe
