"""SIGKILL at random moments of a `generate` run: is what the resumed run leaves always the same? One table.

python benchmarks/durability.py [--moments 50] [--seed 0]

Each time a new run is killed at a moment drawn evenly over the time that an undisturbed run takes, start-up included:
in turn the process with all its workers, and the process alone, whose workers then end by themselves. The same command
is run again, and every visible file is compared with the undisturbed run's. The faces are the toy generator's, so that
a run takes seconds; all else is as in any other run.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from synthforge_hf.data.files import WORK_FOLDER
from synthforge_hf.data.generation import generate
from synthforge_hf.data.planning import DATA_FOLDER
from synthforge_hf.data.quick_verification import verify_quickly

SAMPLES, SHARD_SIZE, RESOLUTION, SEED = 160, 5, 32, 1
RECIPE = "name: toy\ngenerator: ellipsoid\nsplits: {train: 0.75, validation: 0.25}\n"


def start(out: Path, recipe: Path) -> subprocess.Popen:
    """Begin to make the data set by a process of its own, as a user does."""
    options = {"recipe": recipe, "num-samples": SAMPLES, "resolution": RESOLUTION, "seed": SEED, "workers": 1}
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "synthforge_hf", "generate", str(out), "--shard-size", str(SHARD_SIZE), *flags]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def resume(out: Path, recipe: Path) -> None:
    """Run the same request again, in this process (which has done its imports already)."""
    generate(out, recipe, SAMPLES, RESOLUTION, SEED, workers=1, shard_size=SHARD_SIZE, progress=False)


def kill(process: subprocess.Popen, with_workers: bool) -> None:
    """Kill a run now, alone or with all its workers."""
    if process.poll() is None:
        (os.killpg if with_workers else os.kill)(process.pid, signal.SIGKILL)
    process.wait()


def contents(out: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a data set, hidden ones too, but for the memory of what was checked."""
    files = [path for path in out.rglob("*") if path.is_file() and path.parent.name != WORK_FOLDER]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def stage(out: Path) -> str:
    """Say how far a killed run had come."""
    shards = len(list((out / DATA_FOLDER).glob("*.parquet"))) if (out / DATA_FOLDER).is_dir() else 0
    if shards == 0:
        return "before the first shard"
    return "among the shards" if shards < SAMPLES // SHARD_SIZE else "after the last shard"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    identical, sound, stages = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        recipe = home / "toy.yaml"
        recipe.write_text(RECIPE)
        begin = time.perf_counter()
        start(home / "whole", recipe).wait()
        duration = time.perf_counter() - begin
        wanted = contents(home / "whole")
        for number in tqdm(range(arguments.moments), desc="killing", disable=None):
            out = home / str(number)
            process = start(out, recipe)
            time.sleep(moments.uniform(0, duration))
            kill(process, with_workers=number % 2 == 0)
            stages[stage(out)] += 1
            resume(out, recipe)
            identical += contents(out) == wanted
            sound += verify_quickly(out, progress=False) == []
    table = Table(
        title=f"{arguments.moments} runs of {duration:.1f} s killed: {SAMPLES} samples, shards of {SHARD_SIZE}"
    )
    table.add_column("what")
    table.add_column("runs", justify="right")
    for name, count in sorted(stages.items()):
        table.add_row(f"killed {name}", str(count))
    table.add_section()
    table.add_row("resumed: every file byte for byte as in an undisturbed run", str(identical))
    table.add_row("resumed: verify --quick finds nothing", str(sound))
    Console(width=100).print(table)
    raise SystemExit(identical != arguments.moments)


if __name__ == "__main__":
    main()
