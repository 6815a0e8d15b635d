from pathlib import Path

import pytest
import torch
from transformers import AutoModel

import synthforge_hf.models.registration as registration
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet

BACKBONES = {
    "convnext": {"hidden_sizes": [8, 16, 16, 24], "depths": [1, 1, 1, 1]},
    "dinov2": {
        "hidden_size": 16,
        "num_hidden_layers": 8,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "use_mask_token": False,
    },
    "swin": {"embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64},
}


def config(kind: str, **changes: object) -> SynthForgeConfig:
    sizes = {
        "image_size": 64,
        "feature_channels": 8,
        "segmentation_widths": (8,),
        "depth_widths": (4,),
        "landmark_channels": 16,
        "hourglass_levels": 2,
        "heatmap_size": 16,
        "equivariance_weight": 1.0,
    }
    return small_unet(**(sizes | {"backbone_config": BACKBONES[kind] | {"model_type": kind}} | changes))


@pytest.mark.parametrize("kind", list(BACKBONES))
def test_a_transformers_backbone_learns_and_is_saved_with_the_model(kind: str, tmp_path: Path) -> None:
    registration.register_when_imported()
    torch.manual_seed(0)
    model = SynthForgeModel(config(kind))
    image = torch.rand(2, 3, 64, 64)
    turn = torch.tensor([[[0.0, -1.0, 0.1], [1.0, 0.0, 0.0]]]).expand(2, 2, 3)
    labels = {"segmentation": torch.randint(0, 19, (2, 32, 32)), "depth": torch.rand(2, 32, 32) + 0.5}
    output = model(image, landmarks=torch.rand(2, 68, 2), affine=turn, **labels)
    assert output.features.shape == (2, 8, 32, 32)
    assert set(output.losses) == {"landmarks", "heatmaps", "segmentation", "depth", "depth_shape", "equivariance"}
    output.loss.backward()
    trained = {id(parameter) for parameter in model.encoder_parameters()}
    assert len(trained) == len(list(model.encoder.backbone.parameters()))
    without = [name for name, each in model.named_parameters() if each.grad is None and "swin.layernorm" not in name]
    assert without == []
    model.eval().save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert loaded.config.backbone_config.model_type == kind
    assert loaded.config.backbone_config.out_features == model.config.backbone_config.out_features
    with torch.no_grad():
        assert torch.equal(loaded(image).landmarks, model(image).landmarks)


def test_stages_are_chosen_unless_they_are_named() -> None:
    assert config("convnext").backbone_config.out_features == ["stage1", "stage2", "stage3", "stage4"]
    assert config("dinov2").backbone_config.out_features == ["stage2", "stage4", "stage6", "stage8"]
    named = BACKBONES["convnext"] | {"model_type": "convnext", "out_features": ["stage2", "stage3"]}
    assert config("convnext", backbone_config=named).backbone_config.out_features == ["stage2", "stage3"]


def test_weights_of_another_library_start_where_their_library_starts_them() -> None:
    backbone = SynthForgeModel(config("dinov2")).encoder.backbone
    # DINOv2 draws its patch projection with deviation 0.02, ours would be drawn with 0.058.
    assert backbone.embeddings.patch_embeddings.projection.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize(
    "given", [{}, {"model_type": "nothing"}, {"model_type": "bert"}, {"model_type": "convnext", "hidden_sizes": "wide"}]
)
def test_what_is_not_a_backbone_is_refused(given: dict) -> None:
    with pytest.raises(UsageError, match="backbone_config"):
        config("convnext", backbone_config=given)
