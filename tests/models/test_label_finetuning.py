import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, pipeline

from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.errors import UsageError
from synthforge_hf.models.label_finetuning.configuration_label_finetuning import SynthForgeForLabelFinetuningConfig
from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning, moved
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.heatmaps import Heatmaps
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.mirroring import average, mirror
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet
from synthforge_hf.segmentation_classes import mirrored_pairs

ALL = ("landmarks", "segmentation", "depth")


@pytest.fixture(scope="module")
def backbone() -> SynthForgeModel:
    torch.manual_seed(0)
    config = small_unet(
        image_size=64, encoder_widths=(8, 8, 8), feature_channels=8, heatmap_size=16, landmark_channels=8,
        segmentation_widths=(8,), depth_widths=(8,), hourglass_levels=2,
    )  # fmt: skip
    return SynthForgeModel(config).eval()


def crops(count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("use_features", [False, True])
def test_training_starts_at_the_backbones_landmarks(backbone: SynthForgeModel, use_features: bool) -> None:
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ALL, use_features=use_features).eval()
    with torch.no_grad():
        own, seen = model(crops()), backbone(crops())
    assert torch.allclose(own.landmarks, seen.landmarks, atol=1e-5)
    assert torch.equal(own.backbone_landmarks, seen.landmarks)
    same = own.segmentation_logits.argmax(dim=1) == seen.segmentation_logits.argmax(dim=1)
    assert same.float().mean() > 0.95
    assert own.depth.shape == seen.depth.shape


@pytest.mark.parametrize("use_features", [False, True])
def test_other_schemes_are_saved_and_loaded(backbone: SynthForgeModel, use_features: bool, tmp_path) -> None:
    torch.manual_seed(1)
    model = SynthForgeForLabelFinetuning.from_backbone(
        backbone, ALL, use_features=use_features, num_landmarks=98, id2label={0: "background", 1: "skin", 2: "hair"},
        depth_mean=2.0, depth_scale=0.5, mirrored_landmarks=tuple(range(98)),
    ).eval()  # fmt: skip
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, SynthForgeForLabelFinetuning)
    assert not any(parameter.requires_grad for parameter in loaded.backbone.parameters())
    with torch.no_grad():
        before, after = model(crops()), loaded(crops())
    assert before.landmarks.shape == (2, 98, 2)
    assert before.segmentation_logits.shape == (2, 3, 32, 32)
    for name in before:
        assert torch.equal(before[name], after[name]), name
    assert loaded.config.id2label == {0: "background", 1: "skin", 2: "hair"}
    assert (loaded.config.depth_mean, loaded.config.image_size) == (2.0, 64)


def test_outputs_without_a_network_are_the_backbones(backbone: SynthForgeModel) -> None:
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ("segmentation",), id2label={0: "no", 1: "yes"}).eval()
    with torch.no_grad():
        own, seen = model(crops()), backbone(crops())
    assert torch.equal(own.landmarks, seen.landmarks)
    assert torch.equal(own.depth, seen.depth)
    assert model.landmark_network is None
    with pytest.raises(ValueError, match="landmarks"):
        model(crops(), landmarks=seen.landmarks)


def test_training_changes_the_label_networks_and_nothing_of_the_backbone(backbone: SynthForgeModel) -> None:
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ALL, use_features=True).train()
    assert not model.backbone.training
    frozen = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trained]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    labels = {
        "landmarks": torch.rand(2, 68, 2),
        "segmentation": torch.randint(0, 19, (2, 32, 32)),
        "depth": torch.rand(2, 1, 32, 32) + 1,
    }
    for _ in range(2):  # the first step leaves what stands before a zero weight without a gradient
        output = model(crops(), **labels)
        assert set(output.losses) == {"landmarks", "heatmaps", "segmentation", "depth", "depth_shape"}
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, frozen[name]), name
    changed = sum(not torch.equal(old, new) for old, new in zip(before, trained, strict=True))
    assert changed > 0.95 * len(trained)


def test_the_encoder_is_trained_along_on_request(backbone: SynthForgeModel) -> None:
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ("landmarks",), train_encoder=True).train()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    encoder = {id(parameter) for parameter in model.backbone.encoder_parameters()}
    trained = [parameter for parameter in model.backbone.parameters() if parameter.requires_grad]
    assert {id(parameter) for parameter in trained} == encoder
    model(crops(), landmarks=torch.rand(2, 68, 2)).loss.backward()
    torch.optim.SGD(trained, lr=0.1).step()
    moved = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith(("stem.", "encoder.")) for name in moved)
    assert not any("running" in name for name in moved), "statistics stay as they are"
    with torch.no_grad():
        assert model(crops()).landmarks.grad_fn is None


@pytest.mark.parametrize(
    ("settings", "stride"),
    [
        ({"tasks": ("landmarks",), "hourglass_levels": 1}, 8),
        ({"tasks": ("landmarks",), "hourglass_levels": 3}, 32),
        ({"tasks": ("segmentation",), "segmentation_widths": (8, 8)}, 8),
        ({"tasks": ("segmentation",), "segmentation_widths": (8, 8, 8, 8, 8)}, 32),
    ],
)
def test_smaller_inputs_must_be_multiples_of_the_coarsest_grids_cells(
    backbone: SynthForgeModel, settings: dict, stride: int
) -> None:
    plain = SynthForgeModel(small_unet(**(backbone.config.to_dict() | {"hourglass_stacks": 0}))).eval()
    model = SynthForgeForLabelFinetuning.from_backbone(plain, landmark_channels=8, **settings).eval()
    assert model.config.coarsest_stride == stride
    with torch.no_grad():
        output = model(torch.rand(1, 3, stride, stride))
    assert torch.isfinite(output.landmarks).all()
    assert output.segmentation_logits.shape[-1] * 64 == model.config.segmentation_size * stride


def test_missing_points_take_no_part(backbone: SynthForgeModel) -> None:
    torch.manual_seed(2)
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ("landmarks",), num_landmarks=5).eval()
    labels = torch.rand(2, 5, 2)
    missing = labels.clone()
    missing[0, 3], missing[1, 0, 1] = float("nan"), float("nan")
    mask = torch.isfinite(missing).all(dim=-1)
    masked, by_nan = model(crops(), labels, mask), model(crops(), missing)
    assert torch.isfinite(by_nan.loss)
    assert masked.loss.item() == pytest.approx(by_nan.loss.item(), rel=1e-6)
    by_nan.loss.backward()
    assert all(torch.isfinite(each.grad).all() for each in model.landmark_network.parameters() if each.grad is not None)


def test_maps_move_by_their_displacement() -> None:
    cells = torch.arange(32) + 0.5
    gauss = -((cells - 16.3).square()[None, :] + (cells - 14.2).square()[:, None]) / 2
    displacement = torch.tensor([[[0.1, 0.0], [0.0, -0.05], [0.033, 0.021]]])
    maps = gauss.expand(1, 3, 32, 32)
    before, after = (Heatmaps.from_logits(each).points() for each in (maps, moved(maps, displacement)))
    assert torch.allclose(after - before, displacement, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ("landmark",)}, "tasks"),
        ({"tasks": ()}, "tasks"),
        ({"tasks": ("depth",), "num_landmarks": 5}, "5 landmarks"),
        ({"tasks": ("depth",), "id2label": {0: "a", 1: "b"}}, "classes"),
        ({"tasks": ("landmarks",), "num_landmarks": 2, "nearest_landmarks": (0, 99)}, "nearest_landmarks"),
        ({"tasks": ("landmarks",), "num_landmarks": 2, "mirrored_landmarks": (0, 0)}, "permutation"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SynthForgeForLabelFinetuningConfig(backbone_config=SynthForgeConfig.mini().to_dict(), **settings)


def test_mirroring_twice_changes_nothing_and_needs_the_order(backbone: SynthForgeModel) -> None:
    torch.manual_seed(3)
    model = SynthForgeForLabelFinetuning.from_backbone(
        backbone, ("landmarks",), num_landmarks=3, mirrored_landmarks=(1, 0, 2)
    ).eval()
    with torch.no_grad():
        output = model(crops())
    once = mirror(output, model.config)
    assert torch.allclose(once.landmarks[:, 0, 0], 1 - output.landmarks[:, 1, 0])
    twice = mirror(once, model.config)
    for name in twice:
        assert torch.allclose(twice[name], output[name], atol=1e-6), name
    both = average(output, twice)
    assert torch.allclose(both.backbone_landmarks, output.backbone_landmarks, atol=1e-6)
    model.config.mirrored_landmarks = None
    with pytest.raises(UsageError, match="mirrored_landmarks"):
        mirror(output, model.config)


def test_sides_are_paired_by_name() -> None:
    assert mirrored_pairs(["background", "l_eye", "r_eye", "u_lip", "l_lip"]) == ((1, 2),)
    assert mirrored_pairs(["Left Brow", "nose", "right-brow"]) == ((0, 2),)


def test_the_pipeline_frames_faces_by_the_backbones_landmarks(backbone: SynthForgeModel, tmp_path) -> None:
    """Five points between the eyes would frame five points; the second look must still see the whole face."""
    model = SynthForgeForLabelFinetuning.from_backbone(backbone, ("landmarks",), num_landmarks=5).eval()
    model.save_pretrained(tmp_path)
    processor = SynthForgeImageProcessor.for_model(backbone.config)
    processor.save_pretrained(tmp_path)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8))
    box = np.array([[30.0, 20, 80, 70]])
    with torch.no_grad():
        output = model(processor(photo, box, return_tensors="pt")["pixel_values"])
        seen = backbone(processor(photo, box, return_tensors="pt")["pixel_values"])
    framed = processor.post_process(seen, (90, 120), box)[0]["landmarks"]
    first = processor.post_process(output, (90, 120), box)[0]
    assert np.allclose(first["face_box"], face_box(framed[None])[0], atol=1e-3)
    face = pipeline("face-analysis", model=str(tmp_path))(photo, boxes=box)[0]
    assert face["landmarks"].shape == (5, 2)
    with torch.no_grad():
        again = model(processor(photo, first["face_box"][None], return_tensors="pt")["pixel_values"])
    expected = processor.post_process(again, (90, 120), first["face_box"][None])[0]["landmarks"]
    assert np.allclose(face["landmarks"], expected, atol=1e-2)
