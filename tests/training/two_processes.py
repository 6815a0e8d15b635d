"""One short training whose losses can be compared between one process and several with the same global batch.

Run as ``two_processes.py FOLDER BATCH_SIZE ACCUMULATE``, alone or launched several times; writes losses.json.
Norms keep their statistics: those of a batch are each process's own. All label maps are complete, so that every
process's mean has the same weight.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch import Tensor, nn
from torch.utils.data import DataLoader

from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet
from synthforge_hf.training.geometry import random_affines
from synthforge_hf.training.loop import TrainingLoop
from synthforge_hf.training.optimizer import optimizer_for
from synthforge_hf.training.runs import end_run
from synthforge_hf.training.settings import TrainingSettings

SAMPLES = 16


class StillNorms(SynthForgeModel):
    """Trains everything but the norms' statistics."""

    def train(self, mode: bool = True) -> "StillNorms":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class GivenBatches:
    """A task whose inputs are the batches."""

    def inputs(self, batch: dict[str, Tensor], generator: torch.Generator, fraction: float) -> dict[str, Tensor]:
        return batch

    def validate(self, model: Any) -> dict[str, float]:
        return {}


class Recorder(TrainingLoop):
    """Keeps what would go to TensorBoard."""

    def log(self, values: dict[str, float]) -> None:
        self.recorded = [*getattr(self, "recorded", []), values]


def samples() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    affines = random_affines(SAMPLES, generator)
    # Turned about the centre only, so that as much of every image stays in view.
    affines[:, :, 2] = 0
    affines[:, :, :2] = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    return [
        {
            "pixel_values": torch.randn(3, 64, 64, generator=generator),
            "landmarks": torch.rand(68, 2, generator=generator),
            "segmentation": torch.randint(0, 19, (32, 32), generator=generator),
            "depth": torch.rand(32, 32, generator=generator) + 0.5,
            "affine": affine,
        }
        for affine in affines
    ]


def main(folder: str, batch_size: int, accumulate: int) -> None:
    settings = TrainingSettings(
        preset="mini",
        epochs=3,
        batch_size=batch_size,
        accumulate=accumulate,
        learning_rate=1e-3,
        encoder_learning_rate=1e-3,
        log_every_steps=1,
    )
    accelerator = Accelerator(
        cpu=True,
        gradient_accumulation_steps=accumulate,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=0),
    )
    torch.manual_seed(0)
    config = small_unet(
        image_size=64,
        encoder_widths=(8, 16),
        feature_channels=8,
        segmentation_widths=(8,),
        depth_widths=(4,),
        landmark_channels=16,
        hourglass_levels=2,
        heatmap_size=16,
        equivariance_weight=1.0,
    )
    model = StillNorms(config)
    loader = DataLoader(samples(), batch_size=batch_size, shuffle=True, drop_last=True)  # type: ignore[arg-type]
    optimizer = optimizer_for(model, settings)
    loop = Recorder(accelerator, model, optimizer, loader, GivenBatches(), settings, Path(folder))
    assert loop.run()
    if accelerator.is_main_process:
        result = {"processes": accelerator.num_processes, "logged": loop.recorded}
        (Path(folder) / "losses.json").write_text(json.dumps(result), encoding="utf-8")
    end_run(accelerator)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
