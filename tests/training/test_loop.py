import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch import Tensor, nn
from torch.utils.data import DataLoader

from synthforge_hf.errors import UsageError
from synthforge_hf.training.loop import TrainingLoop, checkpoints, learning_rate_factor, score
from synthforge_hf.training.settings import TrainingSettings


@dataclass
class Output:
    loss: Tensor
    losses: dict[str, Tensor]


class Line(nn.Module):
    """Least squares: small enough that its training can be compared bit by bit."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)
        nn.init.constant_(self.linear.weight, 0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, y: Tensor) -> Output:
        loss = (self.linear(x) - y).square().mean()
        return Output(loss, {"line": loss.detach()})


class LineTask:
    """stop_at: number of the batch at which the process sends itself SIGTERM."""

    def __init__(self, noise: float = 0.0, stop_at: int | None = None) -> None:
        self.noise, self.stop_at, self.batches = noise, stop_at, 0

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        if self.batches == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.batches += 1
        return batch | {"x": batch["x"] + self.noise * torch.randn(batch["x"].shape, generator=generator)}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {}


def make_loop(folder: Path, task: LineTask, batch_size: int, shuffle: bool = False, **settings: object) -> TrainingLoop:
    chosen = TrainingSettings(**({"batch_size": batch_size, "epochs": 3, "warmup": 0.0} | settings))  # type: ignore[arg-type]
    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    rows = [{"x": row, "y": row.sum().view(1)} for row in x]
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=chosen.accumulate,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=0),
    )
    loader = DataLoader(rows, batch_size=batch_size, shuffle=shuffle, drop_last=True)  # type: ignore[arg-type]
    model = Line()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    return TrainingLoop(accelerator, model, optimizer, loader, task, chosen, folder)


def weights(loop: TrainingLoop) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in loop.result.parameters()])


def test_accumulated_small_batches_equal_one_large_batch(tmp_path: Path) -> None:
    large = make_loop(tmp_path, LineTask(), batch_size=8, accumulate=1)
    start = weights(large).clone()
    assert large.run()
    small = make_loop(tmp_path, LineTask(), batch_size=2, accumulate=4)
    assert small.run()
    assert large.progress.step == small.progress.step == 12
    assert not torch.allclose(weights(large), start, atol=0.05)
    assert torch.allclose(weights(large), weights(small), atol=1e-6)


@pytest.mark.parametrize("stop_at", [3, 8, 13])
def test_a_run_stopped_by_sigterm_continues_as_if_it_had_not_been(tmp_path: Path, stop_at: int) -> None:
    options = {"batch_size": 4, "shuffle": True, "accumulate": 1, "ema_decay": 0.9}
    whole = make_loop(tmp_path / "whole", LineTask(noise=0.1), **options)
    assert whole.run()
    stopped = make_loop(tmp_path / "stopped", LineTask(noise=0.1, stop_at=stop_at), **options)
    assert not stopped.run()
    assert [path.name for path in checkpoints(tmp_path / "stopped")] == [f"step-{stop_at + 1:08d}"]
    resumed = make_loop(tmp_path / "stopped", LineTask(noise=0.1), **options)
    assert resumed.resume()
    assert resumed.run()
    assert resumed.progress.step == whole.progress.step == 24
    assert torch.equal(weights(resumed), weights(whole))
    assert not torch.equal(weights(resumed), weights(stopped))


def test_an_unfinished_checkpoint_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "partial").mkdir(parents=True)
    loop = make_loop(tmp_path, LineTask(), batch_size=8, accumulate=1)
    assert not loop.resume()
    loop.checkpoint()
    loop.progress.step = 5
    loop.checkpoint()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000005"]


def test_a_time_budget_ends_the_run_with_the_learning_rate_at_its_end(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, LineTask(), 4, accumulate=1, epochs=100_000, max_minutes=0.01, final_learning_rate=1e-4)
    assert loop.run()
    assert loop.fraction >= 1.0
    assert 0.6 <= loop.progress.seconds < 5
    assert loop.optimizer.param_groups[0]["lr"] == pytest.approx(1e-4, rel=0.2)


def test_the_learning_rate_rises_then_falls() -> None:
    assert learning_rate_factor(0.0, 0.1) == 0.0
    assert learning_rate_factor(0.05, 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(0.1, 0.1) == pytest.approx(1.0)
    assert learning_rate_factor(0.55, 0.1) == pytest.approx(0.5)
    assert learning_rate_factor(1.0, 0.1) == pytest.approx(0.0)
    assert learning_rate_factor(0.0, 0.0) == 1.0


def test_inputs_made_ahead_in_threads_are_the_same(tmp_path: Path) -> None:
    losses = []
    for workers in (0, 2):
        loop = make_loop(tmp_path, LineTask(noise=0.1), batch_size=4, shuffle=True, accumulate=1, data_workers=0)
        object.__setattr__(loop.settings, "data_workers", workers)  # of the threads alone: no worker processes
        assert loop.run()
        losses.append(weights(loop))
    assert torch.equal(*losses)


def test_averaged_weights_follow_the_trained_ones(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, LineTask(), batch_size=8, accumulate=1, ema_decay=0.5, epochs=1)
    trained: list[Tensor] = []

    def after_step(optimizer: torch.optim.Optimizer, *arguments: object) -> None:
        trained.append(torch.cat([each.detach().flatten() for each in optimizer.param_groups[0]["params"]]))

    loop.optimizer.optimizer.register_step_post_hook(after_step)
    assert loop.run()
    expected = trained[0]
    for each in trained[1:]:
        expected = 0.5 * expected + 0.5 * each
    assert len(trained) == 4
    assert torch.allclose(weights(loop), expected, atol=1e-6)
    assert not torch.allclose(weights(loop), trained[-1], atol=1e-4)


def test_fewer_batches_than_one_step_takes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="accumulate 100"):
        make_loop(tmp_path, LineTask(), batch_size=8, accumulate=100)


@pytest.mark.parametrize(
    ("metrics", "by", "expected"),
    [
        ({"mean_f1": 80.0, "nme_interocular": 3.0}, "auto", -3.0),
        ({"mean_f1": 80.0, "depth_abs_rel": 0.1}, "auto", 80.0),
        ({"mean_f1": 80.0, "nme_crop": 3.0}, "mean_f1", 80.0),
        ({"depth_abs_rel": 0.1}, "auto", -0.1),
        ({"depth_abs_rel": 0.1}, "mean_f1", None),
        ({"nme_interocular": float("nan")}, "auto", None),
        ({}, "auto", None),
    ],
)
def test_a_score_is_larger_for_the_better_model(metrics: dict[str, float], by: str, expected: float | None) -> None:
    assert score(metrics, by) == expected
