"""The training loop shared by all stages: Accelerate around one step, schedules, checkpoints, clean interruption.

It knows nothing of faces: a ``Task`` says how to turn a batch into a loss and how to validate.
"""

import json
import math
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any, Protocol

import torch
from accelerate import Accelerator, DistributedType, skip_first_batches
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.randomness import random_stream
from synthforge_hf.training.settings import TrainingSettings
from synthforge_hf.training.streaming import StreamedLoader

BEST_BY = ("nme_interocular", "nme_crop", "mean_f1", "depth_abs_rel")
"""Metrics that may decide which model is the best, the most telling first."""


class Task(Protocol):
    """What a stage adds to the loop."""

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        """Turn a batch of the data loader into keyword arguments of the model; draw randomness only from
        ``generator``. fraction: of the run that is over."""
        ...

    def validate(self, model: Any) -> dict[str, float]:
        """Measure the model; called on all processes at once, returns the same on all."""
        ...


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint.

    seconds: spent in the loop so far, over all interruptions. best: the best validation score so far, larger is better.
    """

    step: int = 0
    batch: int = 0
    epoch: int = 0
    batch_in_epoch: int = 0
    seconds: float = 0.0
    best: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _refuse_code(checkpoint: Path) -> None:
    """Accelerate reads these files, and only these, as pickles that may run code: read them safely first."""
    for path in checkpoint.glob("custom_checkpoint_*.pkl"):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except (UnpicklingError, RuntimeError, EOFError) as error:
            raise SynthForgeError(
                f"{path} is damaged or holds more than tensors and plain values: not loaded; remove {checkpoint}"
            ) from error


def crop_device(accelerator: Accelerator) -> torch.device:
    """Where crops are made: on the model's GPU with CUDA, else on the CPU."""
    return accelerator.device if accelerator.device.type == "cuda" else torch.device("cpu")


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Linear rise, then a cosine from 1 to 0; ``progress`` and ``warmup`` are parts of the run."""
    if progress < warmup:
        return progress / warmup
    return 0.5 + 0.5 * math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0))


def score(metrics: dict[str, float], by: str) -> float | None:
    """Return the value of one metric, negative where less is better; None where it was not measured or is NaN.

    by: a metric, or "auto" for the first of ``BEST_BY`` that was measured.
    """
    name = next((name for name in BEST_BY if name in metrics), by) if by == "auto" else by
    value = metrics.get(name, math.nan)
    if math.isnan(value):
        return None
    return value if name == "mean_f1" else -value


class TrainingLoop:
    """Runs one training to its end, its time budget, or the next SIGINT or SIGTERM.

    Gradients are accumulated over full groups of ``settings.accumulate`` batches and averaged; at the end of an epoch
    an unfinished group goes on into the next one, so that every batch weighs the same. beside: what is saved with the
    best model, such as its image processor. Raises UsageError when the run would not make a single step.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: DataLoader | StreamedLoader,
        task: Task,
        settings: TrainingSettings,
        output_dir: Path,
        beside: Sequence[Any] = (),
    ) -> None:
        self.accelerator, self.task, self.settings, self.output_dir = accelerator, task, settings, output_dir
        self.beside = beside
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
        # Groups of batches at which gradients are exchanged and applied do not end with an epoch.
        accelerator.gradient_state.plugin_kwargs["sync_with_dataloader"] = False
        self.model, self.optimizer = accelerator.prepare(model, optimizer)
        # Whoever makes crops takes batches to where they are made.
        self.loader: Any = loader
        if not isinstance(loader, StreamedLoader):
            self.loader = accelerator.prepare_data_loader(loader, device_placement=False)
        self.progress = Progress()
        accelerator.register_for_checkpointing(self.progress)
        self.average: AveragedModel | None = None
        if settings.ema_decay > 0 and accelerator.distributed_type == DistributedType.FSDP:
            raise UsageError("averaged weights need whole weights on every process: set ema_decay to 0 under FSDP")
        if settings.ema_decay > 0:
            average = get_ema_multi_avg_fn(settings.ema_decay)
            self.average = AveragedModel(accelerator.unwrap_model(self.model), multi_avg_fn=average, use_buffers=True)
            accelerator.register_for_checkpointing(self.average)
        self.total_steps = settings.epochs * len(self.loader) // settings.accumulate
        if self.total_steps < 1:
            raise UsageError(
                f"{settings.epochs} x {len(self.loader)} batches make no step of accumulate {settings.accumulate}: "
                "lower accumulate or batch_size"
            )
        self.interrupted = False
        self.fraction = 0.0
        self._losses: list[Tensor] = []
        self._began = self._checkpointed = self._validated = time.monotonic()

    @property
    def result(self) -> Any:
        """The model to keep: the averaged weights where they are on."""
        return self.average.module if self.average is not None else self.accelerator.unwrap_model(self.model)

    def resume(self) -> bool:
        """Continue from the newest checkpoint under the output folder; False where there is none.

        Raises SynthForgeError when it holds more than tensors and plain values.
        """
        found = checkpoints(self.output_dir)
        if found:
            _refuse_code(found[-1])
            self.accelerator.load_state(str(found[-1]))
        return bool(found)

    def run(self) -> bool:
        """Train. Returns False when it was interrupted (a checkpoint was written), True when it is complete."""
        bar = tqdm(
            total=100,
            desc="training",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            disable=not (self.accelerator.is_main_process and sys.stderr.isatty()),
        )
        self._began = self._checkpointed = self._validated = time.monotonic()
        self._began -= self.progress.seconds
        with _stop_on_signals(self), bar:
            while not self._finished() and not self.interrupted:
                self._epoch(bar)
        if self.interrupted:
            self.checkpoint()
        return not self.interrupted

    def _epoch(self, bar: tqdm) -> None:
        progress = self.progress
        self.loader.set_epoch(progress.epoch)
        loader = self.loader
        if progress.batch_in_epoch:
            skip = progress.batch_in_epoch
            streamed = isinstance(loader, StreamedLoader)
            loader = loader.skipping(skip) if streamed else skip_first_batches(loader, skip)
            loader.set_epoch(progress.epoch)
        self.model.train()
        for inputs in self._prepared(loader):
            self._step(inputs)
            progress.batch += 1
            progress.batch_in_epoch += 1
            if not self.accelerator.sync_gradients:
                continue
            bar.n = round(100 * self.fraction, 1)
            bar.refresh()
            if self.interrupted or self._finished():
                break
            if self._due("_validated", self.settings.validate_every_minutes):
                self.log(self.validate())
            if self._due("_checkpointed", self.settings.checkpoint_every_minutes):
                self.checkpoint()
        if progress.batch_in_epoch >= len(self.loader):
            progress.epoch, progress.batch_in_epoch = progress.epoch + 1, 0

    def _prepared(self, loader: Iterable[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
        """Turn batches into inputs of the model: on a GPU on a stream beside the model's, with data workers in threads
        ahead of it."""
        name, first = f"training/process {self.accelerator.process_index}", self.progress.batch
        device = crop_device(self.accelerator)
        beside = torch.cuda.Stream(device) if device.type == "cuda" else None

        def on_stream() -> AbstractContextManager:
            return nullcontext() if beside is None else torch.cuda.stream(beside)

        def batches() -> Iterator[tuple[int, dict[str, Tensor]]]:
            rest = iter(loader)
            for number in count(first):
                with on_stream():  # where reading from the GPU's own memory must not wait for the model
                    batch = next(rest, None)
                if batch is None:
                    return
                yield number, batch

        def prepare(number: int, batch: dict[str, Tensor], fraction: float) -> dict[str, Tensor]:
            seed = int(random_stream(self.settings.seed, number, name).integers(2**63))
            with on_stream():
                inputs = self.task.inputs(batch, torch.Generator(device).manual_seed(seed), fraction)
            if beside is not None:
                for value in inputs.values():
                    value.record_stream(torch.cuda.default_stream(device))
                beside.synchronize()
            return inputs

        # On a GPU one thread is ahead of the model; more would be in each other's way.
        threads = self.settings.data_workers if beside is None else 1
        ahead = threads if beside is None else 2
        if ahead == 0:
            for number, batch in batches():
                yield prepare(number, batch, self.fraction)
            return
        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[dict[str, Tensor]]] = deque()
            for number, batch in batches():
                waiting.append(pool.submit(prepare, number, batch, self.fraction))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _step(self, inputs: dict[str, Tensor]) -> None:
        accelerator, settings, progress = self.accelerator, self.settings, self.progress
        with accelerator.accumulate(self.model):
            output = self.model(**{name: value.to(accelerator.device) for name, value in inputs.items()})
            accelerator.backward(output.loss)
            if accelerator.sync_gradients:
                self._meet()
                if settings.gradient_clip > 0:
                    accelerator.clip_grad_norm_(self.model.parameters(), settings.gradient_clip)
                self._set_learning_rates()
            self.optimizer.step()
            self.optimizer.zero_grad()
        logs = (progress.step + 1) % settings.log_every_steps == 0
        if logs:
            losses = {"train/loss": output.loss} | {f"train/{task}": value for task, value in output.losses.items()}
            self._losses.append(torch.stack([value.detach().double() for value in losses.values()]))
        if accelerator.sync_gradients:
            progress.step += 1
            if self.average is not None:
                self.average.update_parameters(accelerator.unwrap_model(self.model))
            if logs:
                # Of the global batch: all processes, all batches of the step.
                means = accelerator.reduce(torch.stack(self._losses).mean(dim=0), reduction="mean").tolist()
                rate = {"train/learning_rate": self.optimizer.param_groups[-1]["lr"]}
                self.log(dict(zip(losses, means, strict=True)) | rate)
            self._losses = []

    def _meet(self) -> None:
        """Let all processes agree on the time spent and on stopping."""
        seen = torch.tensor([time.monotonic() - self._began, float(self.interrupted)], dtype=torch.float64)
        if self.accelerator.num_processes > 1:
            seen = self.accelerator.reduce(seen.to(self.accelerator.device), reduction="mean").cpu()
        self.progress.seconds, self.interrupted = seen[0].item(), bool(seen[1] > 0)
        self.fraction = self.progress.step / self.total_steps
        if self.settings.max_minutes is not None:
            self.fraction = max(self.fraction, self.progress.seconds / (60 * self.settings.max_minutes))

    def _set_learning_rates(self) -> None:
        factor = learning_rate_factor(self.fraction, self.settings.warmup)
        final = self.settings.final_learning_rate
        for group in self.optimizer.param_groups:
            peak = group["peak_lr"]
            # No final rate during the rise, and none above the peak.
            low = min(final, peak) if self.fraction >= self.settings.warmup else 0.0
            group["lr"] = low + (peak - low) * factor

    def _finished(self) -> bool:
        return self.fraction >= 1.0 or self.progress.step >= self.total_steps

    def _due(self, what: str, minutes: float) -> bool:
        """Whether it is time again, decided on the clock that all processes share."""
        last: float = getattr(self, what) - self._began
        if self.progress.seconds - last < 60 * minutes:
            return False
        setattr(self, what, self._began + self.progress.seconds)
        return True

    def validate(self) -> dict[str, float]:
        """Measure the model, and keep it in the folder ``best`` if it is the best so far."""
        metrics = self.task.validate(self.result)
        self.model.train()
        reached, progress = score(metrics, self.settings.best_by), self.progress
        if reached is not None and (progress.best is None or reached > progress.best):
            progress.best = reached
            self._save_best(metrics)
        return {f"validation/{name}": value for name, value in metrics.items()}

    def save(self, folder: Path) -> None:
        """Write the model and what belongs beside it, a ``from_pretrained`` folder; all processes call it together."""
        if self.average is not None:
            state = self.average.module.state_dict()
        else:  # under FSDP the processes put their shards together
            state = self.accelerator.get_state_dict(self.model)
        if self.accelerator.is_main_process:
            model = self.accelerator.unwrap_model(self.model)
            for each in (partial(model.save_pretrained, state_dict=state), *(b.save_pretrained for b in self.beside)):
                each(folder)
        self.accelerator.wait_for_everyone()

    def _save_best(self, metrics: dict[str, float]) -> None:
        unfinished, best = self.output_dir / "best.partial", self.output_dir / "best"
        if self.accelerator.is_main_process:
            shutil.rmtree(unfinished, ignore_errors=True)
        self.save(unfinished)
        if self.accelerator.is_main_process:
            noted = {"step": self.progress.step} | metrics
            (unfinished / "metrics.json").write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(best, ignore_errors=True)
            unfinished.rename(best)

    def log(self, values: dict[str, float]) -> None:
        self.accelerator.log(values, step=self.progress.step)
        if self.accelerator.is_main_process and any(name.startswith("validation/") for name in values):
            text = "  ".join(f"{name.split('/')[-1]} {value:.3f}" for name, value in values.items())
            tqdm.write(f"{self.progress.seconds / 60:6.1f} min  step {self.progress.step}  {text}", file=sys.stderr)

    def checkpoint(self) -> None:
        """Write a checkpoint that appears under its name only when it is complete; the one before it is removed."""
        folder = self.output_dir / "checkpoints"
        partial, final = folder / "partial", folder / f"step-{self.progress.step:08d}"
        if self.accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process and not final.exists():
            partial.rename(final)
            for old in checkpoints(self.output_dir)[:-1]:
                shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()


def checkpoints(output_dir: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted((output_dir / "checkpoints").glob("step-*"))


@contextmanager
def _stop_on_signals(loop: TrainingLoop) -> Iterator[None]:
    """Finish the step at hand on SIGINT or SIGTERM; a second signal stops at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if loop.interrupted:
            raise KeyboardInterrupt
        loop.interrupted = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
