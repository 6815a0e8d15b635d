"""What a machine does to a run (kill it, fill its disk, flip its bits) loses nothing and damages nothing silently."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from reference_data import NUM_SAMPLES, RESOLUTION, SHARD_SIZE, Reference, contents

from synthforge_hf.data import files
from synthforge_hf.data.files import exclusive, write_atomically
from synthforge_hf.data.generation import generate
from synthforge_hf.data.manifest import read_manifest
from synthforge_hf.data.shards import SampleRequest, write_shard
from synthforge_hf.data.verification import verify
from synthforge_hf.errors import SynthForgeError
from synthforge_hf.testing import EllipsoidGenerator


def command(out: Path, reference: Reference) -> list[str]:
    options = {
        "recipe": reference.recipe_file,
        "num-samples": NUM_SAMPLES,
        "resolution": RESOLUTION,
        "seed": 3,
        "shard-size": SHARD_SIZE,
        "workers": 1,
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [sys.executable, "-m", "synthforge_hf", "generate", str(out), *flags]


def test_killed_again_and_again_the_bytes_are_the_same(reference: Reference, tmp_path: Path) -> None:
    """Two moments; benchmarks/durability.py does fifty."""
    out = tmp_path / "killed"
    moments = random.Random(0)
    for wanted_shards in sorted(moments.sample(range(1, 8), 2)):
        process = subprocess.Popen(command(out, reference), stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while len(list((out / "data").glob("*.parquet"))) < wanted_shards:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    # What a process leaves that is killed while it writes the manifest.
    (out / ".synthforge" / "unfinished" / ".synthforge.json.1").write_bytes(b"{")
    generate(out, workers=1, **reference.arguments())
    assert contents(out) == contents(reference.folder)
    assert not (out / ".synthforge" / "unfinished").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 700 kB, which holds about half of the reference data set."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a file system here ({mounted.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(small_disk: Path, reference: Reference) -> None:
    out = small_disk / "synthforge"
    with pytest.raises(SynthForgeError, match=r"No space left on device.*run the same command again") as error:
        generate(out, workers=1, **reference.arguments())
    assert "\n" not in str(error.value)
    shards = {str(path.relative_to(out)): path.read_bytes() for path in (out / "data").iterdir()}
    assert 0 < len(shards) < 8
    wanted = contents(reference.folder)
    assert shards == {name: wanted[name] for name in shards}, "only whole shards are left"
    assert not list((out / ".synthforge").glob("unfinished/*"))
    assert {problem.message for problem in verify(out, progress=False)} <= {"is not made yet", "is not in the manifest"}
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    report = generate(out, workers=1, **reference.arguments())
    assert report.shards_kept >= len(shards) - 1
    assert contents(out) == wanted


def test_the_second_of_two_processes_is_refused_at_once(copy: Path, reference: Reference) -> None:
    with exclusive(copy):
        second = subprocess.run(command(copy, reference), capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert second.stderr == (
        f"synthforge: another process is writing to {copy}: wait for it to end or choose another folder\n"
    )


@pytest.mark.parametrize("kind", ["manifest", "shard"])
def test_every_flipped_byte_is_found(copy: Path, kind: str) -> None:
    """In the manifest every byte, one at a time; in a shard its ends and some between."""
    flips = random.Random(1)
    name = "synthforge.json" if kind == "manifest" else read_manifest(copy).shards["train-00002"].path
    path = copy / name
    whole = path.read_bytes()
    ends = [0, len(whole) - 1]
    for place in range(len(whole)) if kind == "manifest" else [*ends, *flips.sample(range(len(whole)), 6)]:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << flips.randrange(8)
        path.write_bytes(spoilt)
        if kind == "shard" or place in ends:
            assert [problem.path for problem in verify(copy, progress=False)] == [name]
        else:  # what verify does first
            with pytest.raises(SynthForgeError, match="damaged or was edited"):
                read_manifest(copy)
    path.write_bytes(whole)
    assert verify(copy, progress=False) == []


def test_a_damaged_manifest_is_replaced_by_its_spare(copy: Path, reference: Reference) -> None:
    manifest = copy / "synthforge.json"
    content = manifest.read_text()
    manifest.write_text(content.replace('"seed": 3', '"seed": 7'))
    with pytest.warns(UserWarning, match="going on with the spare copy"):
        report = generate(copy, **reference.arguments())
    assert report.shards_kept == 8
    assert manifest.read_text() == content
    assert json.loads(content)["complete"]


def test_a_resumed_run_hashes_only_what_was_touched(
    copy: Path, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthforge_hf import converted_folder
    from synthforge_hf.data import checked_files

    hashed: list[str] = []

    def file_sha256(path: Path) -> str:
        hashed.append(path.name)
        return converted_folder.file_sha256(path)

    monkeypatch.setattr(checked_files, "file_sha256", file_sha256)
    generate(copy, **reference.arguments())
    assert len(hashed) == 8, "copies are other files than those that were hashed when they were made"
    hashed.clear()
    generate(copy, **reference.arguments())
    assert hashed == []
    touched, replaced, *_ = sorted((copy / "data").iterdir())
    status = touched.stat()
    with touched.open("r+b") as file:
        file.seek(1000)
        file.write(bytes([file.read(1)[0] ^ 4]))
    os.utime(touched, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had been written
    shutil.copy(replaced, copy / "same")
    os.replace(copy / "same", replaced)
    assert generate(copy, workers=1, **reference.arguments()).shards_made == 1
    assert sorted(hashed) == [touched.name, replaced.name]
    assert contents(copy) == contents(reference.folder)
    with (copy / ".synthforge" / "checked.jsonl").open("a") as file:
        file.write('\n["torn')
    hashed.clear()
    generate(copy, **reference.arguments())
    assert hashed == []


def test_contents_are_on_the_disk_before_names_and_names_before_the_manifest(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rename comes after the sync of the file and before the sync of its folder."""
    log: list[tuple[str, str]] = []
    real_sync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        real_sync(descriptor)
        log.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))

    def replace(source: Path, target: Path) -> None:
        real_replace(source, target)
        log.append(("rename", f"{os.path.basename(source)} {os.path.basename(target)}"))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    out = tmp_path / "out"
    with exclusive(out) as unfinished:
        (out / "data").mkdir()
        log.clear()
        request = SampleRequest(reference.recipe, 3, 32)
        write_shard(unfinished / "new.parquet", EllipsoidGenerator(reference.recipe.settings), request, [0])
        files.publish(unfinished / "new.parquet", out / "data" / "shard.parquet")
        write_atomically(out / "synthforge.json", b"{}")
    temporary = f".synthforge.json.{os.getpid()}"
    assert log == [
        ("sync", "new.parquet"),
        ("rename", "new.parquet shard.parquet"),
        ("sync", "data"),
        ("sync", "unfinished"),
        ("sync", temporary),
        ("rename", f"{temporary} synthforge.json"),
        ("sync", "out"),
        ("sync", "unfinished"),
    ]
