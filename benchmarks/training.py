"""What the training loop costs beside a bare PyTorch loop, the input pipeline beside the model, and inference.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--preset mini] [--batch-size 24] [--steps 20] [--workers 2]
        [--mediapipe-python OTHER/bin/python]

The first table times steps on one batch that is in memory already, ours and bare in turns, so that other load on the
machine meets both. The second times what makes batches: reading cached windows with data workers, and cutting crops of
them, which as many threads do ahead of the model. Windows are random pixels; their content does not matter. The third
is that of ``inference.py``, for this model.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from inference import PHOTO, inference_table
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.training.loop import TrainingLoop
from synthforge_hf.training.runs import resolve_precision
from synthforge_hf.training.settings import TrainingSettings
from synthforge_hf.training.stage_one import BackboneTask, optimizer_for
from synthforge_hf.training.windows import WindowSettings


class RandomWindows(Dataset):
    """Windows as ``FaceWindows`` cuts them, in memory."""

    def __init__(self, settings: WindowSettings, count: int) -> None:
        rng = np.random.default_rng(0)
        image, segmentation, depth = settings.image_pixels, settings.segmentation_pixels, settings.depth_pixels
        self.arrays = {
            "image": rng.integers(0, 256, (count, image, image, 3), np.uint8),
            "landmarks": rng.uniform(0.3, 0.7, (count, 68, 2)).astype(np.float32),
            "segmentation": rng.integers(0, 19, (count, segmentation, segmentation), np.uint8),
            "depth": rng.integers(9000, 14000, (count, depth, depth), np.uint16),
        }

    def __len__(self) -> int:
        return len(self.arrays["image"])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: array[index] for name, array in self.arrays.items()}


class GivenInputs:
    """A task whose inputs are ready."""

    def __init__(self, inputs: dict[str, Tensor]) -> None:
        self.given = inputs

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        return self.given

    def validate(self, model: Any) -> dict[str, float]:
        return {}


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def bare_step(model: SynthForgeModel, settings: TrainingSettings, precision: str, device: torch.device) -> Callable:
    """Forward, backward, clipping and AdamW, and nothing else."""
    optimizer = optimizer_for(model, settings)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def step(inputs: dict[str, Tensor]) -> None:
        inputs = {name: value.to(device) for name, value in inputs.items()}
        with torch.autocast(device.type, dtype=kind, enabled=kind is not None):
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=["mini", "paper"], default="mini")
    parser.add_argument("--batch-size", type=int, default=24)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15, help="of the inference")
    parser.add_argument("--mediapipe-python", default=sys.executable)
    arguments = parser.parse_args()
    settings = TrainingSettings(
        preset=arguments.preset, batch_size=arguments.batch_size, accumulate=1, epochs=10_000, log_every_steps=20
    )
    config = settings.model_config()
    cut = WindowSettings.for_model(config.image_size, settings.crop_scale)
    windows = RandomWindows(cut, 4 * arguments.batch_size)
    precision = resolve_precision("auto")
    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=precision)
    processor = SynthForgeImageProcessor.for_model(config)
    task = BackboneTask(config, processor, settings, cut, windows, accelerator)
    loader = DataLoader(windows, batch_size=arguments.batch_size, drop_last=True)
    inputs = task.inputs(next(iter(loader)), torch.Generator().manual_seed(0), fraction=0.0)
    models = [SynthForgeModel(config).to(memory_format=torch.channels_last) for _ in "ab"]  # type: ignore[call-arg]
    bare = bare_step(models[0].to(accelerator.device).train(), settings, precision, accelerator.device)

    with tempfile.TemporaryDirectory() as folder:
        optimizer = optimizer_for(models[1], settings)
        loop = TrainingLoop(accelerator, models[1], optimizer, loader, GivenInputs(inputs), settings, Path(folder))
        loop.model.train()
        ours, bares = [], []
        for number in range(arguments.steps + 3):
            pair = [lambda: ours.append(seconds(lambda: loop._step(inputs)))]
            pair.append(lambda: bares.append(seconds(lambda: bare(inputs))))
            for each in pair if number % 2 else reversed(pair):
                each()
    ours, bares = ours[3:], bares[3:]  # the first warm up
    ratio = median(mine / other for mine, other in zip(ours, bares, strict=True))
    where = f"{accelerator.device.type}, {precision}, {torch.get_num_threads()} thread(s)"
    title = f"{arguments.preset}, batch {arguments.batch_size}, {where}"
    steps = Table("a step, data in memory", "ms", title=title)
    steps.add_row("bare PyTorch", f"{1000 * median(bares):.0f}")
    steps.add_row("this loop", f"{1000 * median(ours):.0f}")
    steps.add_row("ratio, median of pairs", f"{ratio:.3f}")

    generator = torch.Generator().manual_seed(0)
    batches = list(loader)
    crops = median(seconds(lambda b=b: task.inputs(b, generator, 1.0)) for b in batches * 3)
    with ThreadPoolExecutor(max(arguments.workers, 1)) as threads:

        def together() -> None:
            for _ in threads.map(lambda b: task.inputs(b, torch.Generator().manual_seed(0), 1.0), batches * 3):
                pass

        ahead = min(seconds(together) for _ in range(2)) / (3 * len(batches))
    reader = DataLoader(windows, batch_size=arguments.batch_size, num_workers=arguments.workers)
    reading = min(seconds(lambda: list(reader)) for _ in range(3)) / len(reader)
    pipeline = Table("a batch of the input pipeline", "ms", "of a step")
    for name, value in (
        (f"reading windows, {arguments.workers} workers", reading),
        ("cutting and changing crops, one thread", crops),
        (f"the same, {max(arguments.workers, 1)} threads", ahead),
    ):
        pipeline.add_row(name, f"{1000 * value:.0f}", f"{100 * value / median(ours):.0f} %")
    console = Console()
    console.print(steps)
    console.print(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / arguments.preset
        models[0].save_pretrained(model)
        processor.save_pretrained(model)
        console.print(inference_table(str(model), PHOTO, arguments.repeats, arguments.mediapipe_python))


if __name__ == "__main__":
    main()
