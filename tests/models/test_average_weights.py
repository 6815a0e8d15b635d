import runpy
import sys
from pathlib import Path

import pytest
import torch

from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet


def saved(folder: Path, **changes: object) -> SynthForgeModel:
    sizes = {
        "image_size": 64,
        "encoder_widths": (8, 8),
        "heatmap_size": 16,
        "hourglass_levels": 2,
        "depth_widths": (4,),
    }
    config = small_unet(
        **(sizes | {"feature_channels": 8, "landmark_channels": 8, "segmentation_widths": (4,)} | changes)
    )
    model = SynthForgeModel(config)
    model.save_pretrained(folder)
    SynthForgeImageProcessor.for_model(config).save_pretrained(folder)
    return model


def test_weights_are_averaged_but_for_heads_of_another_form(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = saved(tmp_path / "a"), saved(tmp_path / "b", depth_upsampling=2)
    script = str(repository / "tools" / "average_weights.py")
    arguments = [str(tmp_path / name) for name in ("a", "b", "out")]
    monkeypatch.setattr(sys, "argv", [script, *arguments, "--share", "0.25"])
    runpy.run_path(script)["main"]()
    assert "depth_head" in capsys.readouterr().out
    averaged = SynthForgeModel.from_pretrained(tmp_path / "out")
    for name, weight in averaged.named_parameters():
        theirs = second.get_parameter(name)
        expected = theirs if name.startswith("depth_head") else 0.75 * first.get_parameter(name) + 0.25 * theirs
        assert torch.allclose(weight, expected, atol=1e-6), name
