"""How long `verify --quick` and the start of a resumed `generate` take over a large data set: one table.

python benchmarks/large_manifest.py [--samples 1000000] [--shard-size 500]

The data set is simulated: its manifest and its parquet files are real, with all columns, row groups and footers, but
hold nothing but sample ids. What is measured does not read more of a file than that, so the size of images plays no
part, except where it says "every file hashed". Each figure is a whole process, from its start to its end.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.data.card import CARD_NAME
from synthforge_hf.data.manifest import Manifest, ShardRecord, current_versions, write_manifest
from synthforge_hf.data.recipes import load_recipe
from synthforge_hf.data.schema import sample_id
from synthforge_hf.data.shards import SampleRequest, make_row, row_features, rows_per_group
from synthforge_hf.testing import EllipsoidGenerator

RESOLUTION = 512
RECIPE = "base: faces\nsplits: {train: 0.9, validation: 0.1}\n"


def simulate(folder: Path, samples: int, shard_size: int) -> Path:
    """Write a data set whose rows hold their sample ids and nothing else; returns its recipe file."""
    recipe_file = folder.with_suffix(".yaml")
    recipe_file.write_text(RECIPE)
    recipe = load_recipe(recipe_file)
    manifest = Manifest(recipe, 0, samples, RESOLUTION, shard_size, "CC0-1.0", versions=current_versions())
    (folder / "data").mkdir(parents=True)
    # The toy generator's columns are those of all generators, with fewer attributes.
    schema = row_features(make_row(EllipsoidGenerator(), SampleRequest(recipe, 0, 16), 0)).arrow_schema
    empty = {field.name: pa.nulls(shard_size, field.type) for field in schema}
    for shard in tqdm(manifest.plan(), desc="simulating", unit=" shards", disable=None):
        columns = {name: column[: len(shard.indices)] for name, column in empty.items()}
        columns["sample_id"] = pa.array([sample_id(0, int(index)) for index in shard.indices])
        path = folder / shard.path
        pq.write_table(pa.table(columns, schema=schema), path, row_group_size=rows_per_group(RESOLUTION))
        record = ShardRecord(shard.path, shard.split, len(shard.indices), path.stat().st_size, file_sha256(path))
        manifest.shards[shard.name] = record
    write_manifest(folder, manifest)
    (folder / CARD_NAME).write_text("simulated\n")
    os.sync()  # otherwise the first command would wait for it
    return recipe_file


@dataclass(frozen=True)
class Cost:
    """Of one process. wall, processor: seconds. memory: megabytes, at its largest."""

    wall: float
    processor: float
    memory: float


PROGRAM = """
import re, resource, sys
from pathlib import Path
from synthforge_hf.cli import run
code = run(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss, which counts what the process that started this one held.
memory = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(usage.ru_utime + usage.ru_stime, int(memory) / 1000)
sys.exit(code)
"""


def run(*arguments: str | Path) -> Cost:
    """Run one command of the command line in a process of its own."""
    begin = time.perf_counter()
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    processor, memory = result.stdout.splitlines()[-1].split()
    return Cost(time.perf_counter() - begin, float(processor), float(memory))


def measure(folder: Path, recipe_file: Path, samples: int, shard_size: int) -> dict[str, Cost]:
    """Return what each command costs, by its description."""
    resume: list[str | Path] = ["generate", folder, "--recipe", recipe_file, "--num-samples", str(samples)]
    resume += ["--shard-size", str(shard_size), "--resolution", str(RESOLUTION)]
    return {
        "doctor (imports and little else)": run("doctor"),
        "verify --quick": run("verify", folder, "--quick"),
        "generate over a finished data set, every file hashed": run(*resume),
        "generate over a finished data set, again": run(*resume),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--shard-size", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "large"
        recipe_file = simulate(folder, arguments.samples, arguments.shard_size)
        shards = len(list((folder / "data").iterdir()))
        table = Table(title=f"{arguments.samples:,} rows in {shards:,} shards")
        for heading in ("command", "wall time", "processor time", "largest memory"):
            table.add_column(heading, justify="left" if heading == "command" else "right")
        for what, cost in measure(folder, recipe_file, arguments.samples, arguments.shard_size).items():
            table.add_row(what, f"{cost.wall:.1f} s", f"{cost.processor:.1f} s", f"{cost.memory:.0f} MB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
