"""Time and memory of making a data set: one table. Needs an otherwise idle machine to say much about two workers.

python benchmarks/generation.py [--recipe paper] [--resolution 512] [--samples 100] [--shard-size 25] [--memory]

Stages are CPU time of one process with one thread. "one worker" and "two workers" are the engine itself, everything
included, from the moment all workers are ready to the last shard on disk. Memory is the largest worker's resident set.
With --memory only one worker runs, and its memory is shown after each tenth of the samples.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# numpy reads these when it is imported
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import psutil
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from synthforge_hf.annotation.annotate import annotate
from synthforge_hf.data.planning import plan_shards
from synthforge_hf.data.recipes import Recipe, load_recipe, load_recipe_generator
from synthforge_hf.data.schema import encode_sample, encode_table
from synthforge_hf.data.shards import SampleRequest, row_features
from synthforge_hf.data.workers import SampleMade, WorkerReady, make_shards
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.rendering.mesh import vertex_normals

SEED = 0


class Stopwatch:
    """Adds up CPU time by stage, in seconds."""

    def __init__(self) -> None:
        self.total: dict[str, float] = {}

    def __call__(self, stage: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.process_time()
        result = function(*arguments, **options)
        self.total[stage] = self.total.get(stage, 0.0) + time.process_time() - start
        return result


def time_stages(recipe: Recipe, resolution: int, samples: int) -> tuple[dict[str, float], float]:
    """Return CPU milliseconds per sample by stage, and kilobytes per sample."""
    torch.set_num_threads(1)
    generator = load_recipe_generator(recipe, "cpu")
    annotate(generator.generate(SEED, 0, resolution))
    watch, rows = Stopwatch(), []
    for index in tqdm(range(1, samples + 1), desc="stages", disable=None):
        face = watch("generate", generator.generate, SEED, index, resolution)
        labels = watch("labels", annotate, face)
        rows.append(watch("encoding", encode_sample, face, labels, recipe, SEED, index, generator.license))
        if recipe.generator == "graphics":  # a part of what generate does, measured once more by itself
            head = load_anny_head()
            vertices = watch("head", head.vertices, face.coefficients)
            watch("head", vertex_normals, vertices, head.faces)
    features = row_features(rows[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        table = watch("writing", encode_table, rows, features)
        watch("writing", pq.write_table, table, path, compression="none")
        size = path.stat().st_size / samples / 1000
    head_time = watch.total.pop("head", 0.0)
    stages = {"head": head_time, "render": watch.total.pop("generate") - head_time, **watch.total}
    return {stage: 1000 * seconds / samples for stage, seconds in stages.items()}, size


def time_engine(
    recipe: Recipe, resolution: int, samples: int, shard_size: int, workers: int
) -> tuple[float, list[float]]:
    """Return wall seconds for all samples, and the largest worker's megabytes after every fifth."""
    shards = plan_shards(samples, {"train": 1.0}, shard_size)
    request = SampleRequest(recipe, SEED, resolution)
    memory: list[float] = []
    children: list[psutil.Process] = []
    ready, made, start = 0, 0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, tqdm(total=samples, desc=f"{workers} workers", disable=None) as bar:
        for event in make_shards(shards, request, "cpu", workers, Path(folder)):
            if isinstance(event, WorkerReady):
                ready += 1
                if ready == workers:
                    start = time.perf_counter()
            elif isinstance(event, SampleMade):
                bar.update()
                made += 1
                # Not every time: looking at processes takes time from the workers where there is no core to spare.
                if made % 5 == 0:
                    children = children or psutil.Process().children()
                    memory.append(max(child.memory_info().rss for child in children) / 1e6)
        return time.perf_counter() - start, memory


def show_memory(recipe: Recipe, resolution: int, samples: int, shard_size: int) -> None:
    seconds, memory = time_engine(recipe, resolution, samples, shard_size, workers=1)
    table = Table(title=f"recipe {recipe.name}, {resolution}x{resolution}, one worker, {seconds:.0f} s")
    table.add_column("after samples", justify="right")
    table.add_column("memory", justify="right")
    for tenth in range(1, 11):
        position = tenth * len(memory) // 10 - 1
        table.add_row(str(5 * (position + 1)), f"{memory[position]:.0f} MB")
    table.add_row("largest", f"{max(memory):.0f} MB")
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--shard-size", type=int, default=25)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    if arguments.memory:
        if arguments.samples < 50:
            parser.error("--memory needs 50 samples or more: it is looked at after every fifth")
        show_memory(recipe, arguments.resolution, arguments.samples, arguments.shard_size)
        return

    stages, kilobytes = time_stages(recipe, arguments.resolution, arguments.samples)
    size = (recipe, arguments.resolution, arguments.samples, arguments.shard_size)
    one, memory = time_engine(*size, workers=1)
    two, _ = time_engine(*size, workers=2)

    table = Table(
        title=f"recipe {recipe.name}, {arguments.resolution}x{arguments.resolution}, {arguments.samples} samples"
    )
    table.add_column("what")
    table.add_column("per sample", justify="right")
    for stage, milliseconds in stages.items():
        table.add_row(stage, f"{milliseconds:.1f} ms")
    table.add_row("sum of stages (CPU time)", f"{sum(stages.values()):.1f} ms", end_section=True)
    table.add_row("one worker (wall time)", f"{1000 * one / arguments.samples:.1f} ms")
    table.add_row("two workers (wall time)", f"{1000 * two / arguments.samples:.1f} ms")
    table.add_row("one worker / two workers", f"{one / two:.2f}", end_section=True)
    table.add_row("on disk", f"{kilobytes:.0f} kB", end_section=True)
    quarter = len(memory) // 4
    table.add_row(f"memory after {5 * quarter} samples", f"{memory[quarter]:.0f} MB")
    table.add_row(f"memory after {5 * len(memory)} samples", f"{memory[-1]:.0f} MB")
    table.add_row("largest", f"{max(memory):.0f} MB")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
