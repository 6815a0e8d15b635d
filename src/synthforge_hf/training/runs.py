"""What every training run begins with: processes that find each other, an output folder of its own, decoded windows."""

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
import yaml
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from torch.utils.data import DataLoader
from tqdm import tqdm

from synthforge_hf.data.strict_yaml import to_mapping
from synthforge_hf.errors import UsageError
from synthforge_hf.training.loop import checkpoints
from synthforge_hf.training.memory import keep_freed_memory
from synthforge_hf.training.window_cache import CachedWindows, Windows, collate_windows, default_cache_folder


class RunSettings(Protocol):
    """What runs of all stages have in common; see ``TrainingSettings``."""

    @property
    def seed(self) -> int: ...
    @property
    def accumulate(self) -> int: ...
    @property
    def mixed_precision(self) -> str: ...
    @property
    def cache(self) -> bool: ...
    @property
    def cache_folder(self) -> str | None: ...
    @property
    def data_workers(self) -> int: ...


GPU_MEMORY_SHARE = 0.5
"""Windows are kept in a GPU's memory where they take less than this part of what is free."""


def start_run(output_dir: Path, settings: RunSettings, resume: bool) -> Accelerator:
    """Set up the processes and note the settings in ``output_dir``/training.yaml.

    Raises UsageError when ``output_dir`` holds another run, or this one and ``resume`` is not set.
    """
    _refuse_lone_process()
    if not torch.accelerator.is_available():
        keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # sizes stay the same, so the search for the fastest convolutions pays
    accelerator = Accelerator(
        # Without this, several processes on a machine without GPU would not find each other.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=resolve_precision(settings.mixed_precision),
        gradient_accumulation_steps=settings.accumulate,
        log_with="tensorboard",
        project_dir=output_dir,
        # The order of samples follows from seed and epoch alone, so that a resumed run continues it.
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=settings.seed),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    _claim(output_dir, settings, resume, accelerator)
    return accelerator


def end_run(accelerator: Accelerator) -> None:
    """Close logs and leave the other processes, all together."""
    accelerator.wait_for_everyone()
    # gloo's threads need the interpreter to drop the tensors of what they did last. Whoever ends the process group
    # waits for these threads and keeps the interpreter: without a moment in between, now and then for ever.
    time.sleep(0.2 if accelerator.num_processes > 1 else 0)
    accelerator.end_training()


def resolve_precision(wanted: str) -> str:
    """Turn "auto" into "bf16" where bf16 matrices are multiplied in hardware (GPU, AMX), else "no"."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return "bf16" if amx is not None and amx() else "no"


def cache_windows(windows: Windows, settings: RunSettings, accelerator: Accelerator, name: str) -> Any:
    """Return ``windows``, or what ``CachedWindows`` has of them if caching is on. name: for the progress bar."""
    if not settings.cache:
        return windows
    folder = Path(settings.cache_folder) if settings.cache_folder else default_cache_folder()
    cached = CachedWindows(windows, folder)
    with accelerator.main_process_first():
        cached.prepare()

    def progress(items: Iterable, total: int) -> Iterable:
        quiet = not (accelerator.is_main_process and sys.stderr.isatty())
        return tqdm(items, desc=f"decoding {name}", total=total, disable=quiet)

    cached.fill(accelerator.process_index, accelerator.num_processes, progress, settings.data_workers)
    accelerator.wait_for_everyone()
    device = accelerator.device
    if device.type == "cuda" and cached.num_bytes < GPU_MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]:
        cached.place(device)
    return cached


def window_loader(windows: Any, settings: RunSettings, batch_size: int) -> DataLoader:
    """Return batches of windows in an order that follows from the seed."""
    placed = isinstance(windows, CachedWindows) and windows.placed
    return DataLoader(
        windows,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        # What is in a GPU's memory already needs nobody to fetch it.
        num_workers=0 if placed else settings.data_workers,
        collate_fn=collate_windows,
        generator=torch.Generator().manual_seed(settings.seed),
    )


def _refuse_lone_process() -> None:
    """Without MPI, ``accelerate launch --cpu --num_processes N`` starts one process that knows of no other."""
    if "MASTER_ADDR" in os.environ and os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true":
        sizes = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
        if not any(name in os.environ for name in sizes):
            raise UsageError(
                "accelerate launch --cpu starts several processes only under MPI: leave --cpu out and use "
                "accelerate launch --multi_gpu --num_processes N, which works without GPU too, or torchrun"
            )


def _claim(output_dir: Path, settings: RunSettings, resume: bool, accelerator: Accelerator) -> None:
    """Note the settings in the output folder, and refuse a folder that holds another run."""
    record = output_dir / "training.yaml"
    mapping = to_mapping(settings)
    if record.exists():
        earlier = yaml.safe_load(record.read_text(encoding="utf-8"))
        changed = [key for key in mapping if key not in ("epochs", "max_minutes") and earlier.get(key) != mapping[key]]
        if not resume:
            raise UsageError(
                f"{output_dir} already holds a training run: continue it with --resume or choose another folder"
            )
        if changed:
            raise UsageError(
                f"{output_dir} was started with another setting of {', '.join(changed)}: choose another folder"
            )
    if resume and not record.exists() and checkpoints(output_dir):
        raise UsageError(f"{output_dir} has checkpoints but no training.yaml: it cannot be resumed")
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        output_dir.mkdir(parents=True, exist_ok=True)
        record.write_text(yaml.safe_dump(mapping, sort_keys=False), encoding="utf-8")
    accelerator.wait_for_everyone()
