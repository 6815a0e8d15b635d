"""The training loop shared by all stages: Accelerate around one step, schedules, checkpoints, clean interruption.

It knows nothing of faces: a ``Task`` says how to turn a batch into a loss and how to validate.
"""

import math
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from accelerate import Accelerator, skip_first_batches
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from tqdm import tqdm

from synthforge_hf.randomness import random_stream
from synthforge_hf.training.settings import TrainingSettings


class Task(Protocol):
    """What a stage adds to the loop."""

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Turn a batch of the data loader into keyword arguments of the model; draw randomness only from
        ``generator``."""
        ...

    def validate(self, model: Any) -> dict[str, float]:
        """Measure the model; called on all processes at once, returns the same on all."""
        ...


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint. seconds: spent in the loop so far, over all interruptions."""

    step: int = 0
    batch: int = 0
    epoch: int = 0
    batch_in_epoch: int = 0
    seconds: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def learning_rate_factor(progress: float, warmup: float) -> float:
    """Linear rise, then a cosine from 1 to 0; ``progress`` and ``warmup`` are parts of the run."""
    if progress < warmup:
        return progress / warmup
    return 0.5 + 0.5 * math.cos(math.pi * min((progress - warmup) / (1 - warmup), 1.0))


class TrainingLoop:
    """Runs one training to its end, its time budget, or the next SIGINT or SIGTERM."""

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: DataLoader,
        task: Task,
        settings: TrainingSettings,
        output_dir: Path,
    ) -> None:
        self.accelerator, self.task, self.settings, self.output_dir = accelerator, task, settings, output_dir
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
        self.model, self.optimizer, self.loader = accelerator.prepare(model, optimizer, loader)
        self.progress = Progress()
        accelerator.register_for_checkpointing(self.progress)
        self.average: AveragedModel | None = None
        if settings.ema_decay > 0:
            average = get_ema_multi_avg_fn(settings.ema_decay)
            self.average = AveragedModel(accelerator.unwrap_model(self.model), multi_avg_fn=average, use_buffers=True)
            accelerator.register_for_checkpointing(self.average)
        self.total_steps = settings.epochs * math.ceil(len(self.loader) / settings.accumulate)
        self.interrupted = False
        self.fraction = 0.0
        self._began = self._checkpointed = self._validated = time.monotonic()

    @property
    def result(self) -> Any:
        """The model to keep: the averaged weights where they are on."""
        return self.average.module if self.average is not None else self.accelerator.unwrap_model(self.model)

    def resume(self) -> bool:
        """Continue from the newest checkpoint under the output folder; False where there is none."""
        found = checkpoints(self.output_dir)
        if found:
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
        self._began = self._checkpointed = self._validated = time.monotonic() - 0.0
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
            loader = skip_first_batches(self.loader, progress.batch_in_epoch)
            loader.set_epoch(progress.epoch)
        self.model.train()
        for batch in loader:
            self._step(batch)
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

    def _step(self, batch: dict[str, Tensor]) -> None:
        accelerator, settings, progress = self.accelerator, self.settings, self.progress
        name = f"training/process {accelerator.process_index}"
        seed = int(random_stream(settings.seed, progress.batch, name).integers(2**63))
        inputs = self.task.inputs(batch, torch.Generator().manual_seed(seed))
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
        if accelerator.sync_gradients:
            progress.step += 1
            if self.average is not None:
                self.average.update_parameters(accelerator.unwrap_model(self.model))
            if progress.step % settings.log_every_steps == 0:
                losses = {f"train/{task}": value.item() for task, value in output.losses.items()}
                rates = {"train/loss": output.loss.item(), "train/learning_rate": self.optimizer.param_groups[-1]["lr"]}
                self.log(losses | rates)

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
        metrics = self.task.validate(self.result)
        self.model.train()
        return {f"validation/{name}": value for name, value in metrics.items()}

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
