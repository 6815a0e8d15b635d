from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import synthforge_hf.models.registration as registration
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.losses import depth_loss, depth_shape_loss
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES


def small_config(**changes: object) -> SynthForgeConfig:
    values = {
        "image_size": 64,
        "encoder_widths": (8, 16),
        "feature_channels": 8,
        "segmentation_widths": (8,),
        "depth_widths": (4,),
        "landmark_channels": 16,
        "hourglass_levels": 2,
        "heatmap_size": 16,
    }
    return small_unet(**(values | changes))


def labels(batch: int, points: int = 68) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "landmarks": torch.rand(batch, points, 2, generator=generator),
        "segmentation": torch.randint(0, 19, (batch, 32, 32), generator=generator),
        "depth": torch.rand(batch, 1, 32, 32, generator=generator) + 0.5,
    }


def parameters(module: torch.nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


def test_the_default_has_the_papers_sizes() -> None:
    with torch.device("meta"):
        model = SynthForgeModel(SynthForgeConfig())
        output = model(torch.zeros(1, 3, 256, 256))
    assert parameters(model.encoder) == pytest.approx(17.27, abs=0.005)
    assert parameters(model.segmentation_head) == pytest.approx(17.30, abs=0.005)
    assert parameters(model.depth_head) == pytest.approx(17.30, abs=0.005)
    assert parameters(model.landmark_head) == pytest.approx(0.89, abs=0.005)
    assert output.features.shape == (1, 64, 256, 256)
    assert output.segmentation_logits.shape == (1, 19, 256, 256)
    assert output.depth.shape == (1, 1, 256, 256)
    assert output.landmark_heatmaps.shape == (1, 68, 64, 64)
    assert output.landmarks.shape == (1, 68, 2)


def test_mini_is_small_and_answers_on_its_grids() -> None:
    model = SynthForgeModel(SynthForgeConfig.mini()).eval()
    assert 1.0 < parameters(model) < 5.0
    with torch.no_grad():
        output = model(torch.rand(2, 3, 128, 128))
    assert output.segmentation_logits.shape == (2, 19, 64, 64)
    assert output.features.shape == (2, 64, 32, 32)
    assert output.depth.shape == (2, 1, 64, 64)
    assert output.landmark_heatmaps.shape == (2, 68, 32, 32)
    assert torch.allclose(output.landmark_heatmaps.sum(dim=(2, 3)), torch.ones(2, 68), atol=1e-4)
    assert output.loss is None


def test_saved_and_loaded_by_the_auto_class_it_answers_the_same(tmp_path: Path) -> None:
    registration.register_when_imported()
    model = SynthForgeModel(small_config(id2label={0: "background", 1: "face"}, depth_mean=0.7)).train()
    for _ in range(3):
        model(torch.rand(4, 3, 64, 64))  # moves the statistics of the norms away from their initial values
    model.eval().save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert type(loaded) is SynthForgeModel
    configs = [{k: v for k, v in m.config.to_dict().items() if k != "_name_or_path"} for m in (model, loaded)]
    assert configs[0] == configs[1]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, second = model(image), loaded(image)
    assert first.segmentation_logits.shape[1] == 2
    for name in ("landmarks", "segmentation_logits", "depth", "features"):
        assert torch.equal(first[name], second[name])


def test_classes_are_celebamask_hqs_unless_given() -> None:
    assert SynthForgeConfig.mini().id2label == dict(enumerate(SEGMENTATION_CLASSES))
    assert SynthForgeConfig.mini(num_labels=3).num_labels == 3
    config = small_unet(id2label={0: "background", 1: "face"})
    assert SynthForgeModel(config).segmentation_head.exit.out_channels == 2


def test_losses_are_those_of_the_given_labels_and_add_up() -> None:
    model = SynthForgeModel(small_config())
    image, given = torch.rand(2, 3, 64, 64), labels(2)
    output = model(image, **given)
    assert set(output.losses) == {"landmarks", "heatmaps", "segmentation", "depth", "depth_shape"}
    config = model.config
    total = (
        config.landmark_weight * output.losses["landmarks"]
        + config.heatmap_weight * output.losses["heatmaps"]
        + config.segmentation_weight * output.losses["segmentation"]
        + config.depth_weight * output.losses["depth"]
        + config.depth_shape_weight * output.losses["depth_shape"]
    )
    assert torch.allclose(output.loss, total)
    assert set(model(image, depth=given["depth"][:, 0]).losses) == {"depth", "depth_shape"}
    absolute_only = SynthForgeModel(small_config(depth_shape_weight=0.0))
    assert set(absolute_only(image, depth=given["depth"]).losses) == {"depth"}


def test_the_depth_shape_loss_takes_one_factor_per_image_away() -> None:
    target = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) + 1.0
    target[:, :, :2] = 0.0
    factors = torch.tensor([0.7, 1.0, 1.4]).view(3, 1, 1, 1)
    predicted = target * factors + 5.0 * (target == 0)  # what lies where there is no surface does not count
    assert depth_shape_loss(predicted, target) < 1e-6
    assert depth_loss(predicted, target) > 0.2
    bent = predicted * torch.linspace(0.9, 1.1, 8)
    assert 0.02 < depth_shape_loss(bent, target) < 0.15
    assert torch.isfinite(depth_shape_loss(torch.zeros_like(target), target))


def test_every_parameter_learns() -> None:
    model = SynthForgeModel(small_config())
    model(torch.rand(4, 3, 64, 64), **labels(4)).loss.backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    dead = [
        name for name, parameter in model.named_parameters() if parameter.grad is not None and not parameter.grad.any()
    ]
    assert without == []
    assert dead == []


def test_masked_and_outside_landmarks_do_not_count() -> None:
    model = SynthForgeModel(small_config()).eval()
    image, given = torch.rand(2, 3, 64, 64), labels(2)["landmarks"]
    mask = torch.ones(2, 68, dtype=torch.bool)
    mask[:, 17:] = False
    reference = model(image, landmarks=given, landmarks_mask=mask).loss
    moved = given.clone()
    moved[:, 17:] = 0.123
    assert torch.equal(model(image, landmarks=moved, landmarks_mask=mask).loss, reference)
    moved[:, 17:] = 1.5
    assert torch.equal(model(image, landmarks=moved).loss, reference)
    nothing = model(image, landmarks=given, landmarks_mask=torch.zeros_like(mask)).loss
    assert nothing.item() == 0.0
    assert nothing.requires_grad


def test_label_maps_of_another_size_are_read_at_the_nearest_pixel() -> None:
    model = SynthForgeModel(small_config()).eval()
    image, given = torch.rand(1, 3, 64, 64), labels(1)
    large = {
        "segmentation": given["segmentation"].repeat_interleave(3, 1).repeat_interleave(3, 2),
        "depth": given["depth"].repeat_interleave(3, 2).repeat_interleave(3, 3),
    }
    small = {name: given[name] for name in large}
    assert torch.equal(model(image, **large).loss, model(image, **small).loss)


def test_it_learns_eight_samples_by_heart() -> None:
    torch.manual_seed(0)
    model = SynthForgeModel(small_config(depth_weight=1.0))
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(8, 3, 8, 8, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)
    given = labels(8)
    shape, offsets = torch.rand(1, 68, 2, generator=generator), torch.rand(8, 1, 2, generator=generator)
    given["landmarks"] = 0.2 + 0.4 * shape + 0.2 * offsets
    given["segmentation"] = (
        torch.randint(0, 19, (8, 4, 4), generator=generator).repeat_interleave(8, 1).repeat_interleave(8, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = {}
    for step in range(70):
        output = model(image, **given)
        if step == 0:
            first = {name: value.item() for name, value in output.losses.items()}
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert output.losses["landmarks"] < 0.5 * first["landmarks"]
    assert output.losses["segmentation"] < 0.85 * first["segmentation"]
    assert output.losses["depth"] < 0.85 * first["depth"]


def test_mixed_precision_leaves_coordinates_exact() -> None:
    torch.manual_seed(0)
    model = SynthForgeModel(small_config()).eval()
    image = torch.rand(4, 3, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(image, **labels(4))
    assert output.landmarks.dtype == output.depth.dtype == output.loss.dtype == torch.float32
    centres = (torch.arange(16) + 0.5) / 16
    expected = torch.stack(
        [output.landmark_heatmaps.sum(2) @ centres, output.landmark_heatmaps.sum(3) @ centres], dim=-1
    )
    assert torch.allclose(output.landmarks, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 66}, "image_size"),
        ({"heatmap_size": 24}, "heatmap_size"),
        ({"heatmap_size": 64}, "heatmap_size"),
        ({"stem_stride": 3}, "stem_stride"),
        ({"encoder_widths": ()}, "encoder_widths"),
        ({"landmark_channels": 30}, "landmark_channels"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small_config(hourglass_levels=4 if changes.get("heatmap_size") == 24 else 2, **changes)


def test_inputs_of_a_size_without_whole_cells_are_refused() -> None:
    model = SynthForgeModel(small_config())
    for shape in ((1, 3, 62, 62), (1, 3, 64, 32)):
        with pytest.raises(ValueError, match="pixel_values"):
            model(torch.rand(shape))


def test_larger_inputs_give_larger_grids() -> None:
    model = SynthForgeModel(SynthForgeConfig.mini()).eval()
    with torch.no_grad():
        output = model(torch.rand(1, 3, 192, 192))
    assert output.landmark_heatmaps.shape == (1, 68, 48, 48)
    assert output.segmentation_logits.shape == (1, 19, 96, 96)
