import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from accelerate import Accelerator
from drawn_faces import draw_face, drawn_data_set, encode
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, Subset, default_collate
from transformers import AutoBackbone, AutoConfig, AutoImageProcessor, AutoModel

import synthforge_hf.models.registration as registration
from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import SMALL_UNET
from synthforge_hf.training.optimizer import optimizer_for
from synthforge_hf.training.settings import TrainingSettings, read_settings
from synthforge_hf.training.stage_one import (
    BackboneTask,
    freeze_idle_parameters,
    load_splits,
    take_weights,
    train_backbone,
)
from synthforge_hf.training.validation import mean_f1, normalised_mean_errors
from synthforge_hf.training.window_cache import CachedWindows, collate_windows
from synthforge_hf.training.windows import FaceWindows, WindowSettings, cut_window

TINY = SMALL_UNET | {
    "image_size": 64,
    "encoder_widths": [8, 16],
    "feature_channels": 8,
    "segmentation_widths": [8],
    "depth_widths": [4],
    "landmark_channels": 16,
    "hourglass_stacks": 1,
    "hourglass_levels": 2,
    "heatmap_size": 16,
}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_data_set(tmp_path_factory.mktemp("drawn") / "faces", train=16, validation=5)


def settings(folder: Path, **changes: object) -> TrainingSettings:
    values = {
        "preset": "mini",
        "model": TINY,
        "epochs": 3,
        "batch_size": 8,
        "accumulate": 1,
        "learning_rate": 1e-3,
        "mixed_precision": "no",
        "cache_folder": str(folder / "cache"),
    }
    return TrainingSettings(**(values | changes))  # type: ignore[arg-type]


def test_training_writes_a_folder_that_the_auto_classes_load(data_set: Path, tmp_path: Path) -> None:
    registration.register_when_imported()
    metrics = train_backbone(str(data_set), tmp_path / "run", settings(tmp_path))
    assert set(metrics) == {"nme_interocular", "mean_f1", "depth_abs_rel"}
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    model, processor = (auto.from_pretrained(tmp_path / "run") for auto in (AutoModel, AutoImageProcessor))
    # Depths were drawn between 1 and 2.6 m; the model starts in their middle.
    assert 1.4 < model.config.depth_mean < 2.0
    assert processor.size == {"height": 64, "width": 64}
    image, points, _, _ = draw_face(99)
    inputs = processor(image, face_box(points[None])[0], return_tensors="pt")
    with torch.no_grad():
        output = model.eval()(**inputs)
    face = processor.post_process(output, (160, 160), face_box(points[None])[0])[0]
    assert face["landmarks"].shape == (68, 2)
    assert "nme_interocular" in (tmp_path / "run" / "README.md").read_text()
    with pytest.raises(UsageError, match="--resume"):
        train_backbone(str(data_set), tmp_path / "run", settings(tmp_path))
    with pytest.raises(UsageError, match="learning_rate"):
        train_backbone(str(data_set), tmp_path / "run", settings(tmp_path, learning_rate=0.1), resume=True)


def test_the_best_and_the_last_model_are_kept_and_metrics_are_logged(data_set: Path, tmp_path: Path) -> None:
    registration.register_when_imported()
    chosen = settings(
        tmp_path,
        model=TINY | {"equivariance_weight": 1.0},
        validate_every_minutes=0.0,
        log_every_steps=1,
        mixed_precision="bf16",
        ema_decay=0.5,
        data_workers=1,
        best_by="mean_f1",
    )
    metrics = train_backbone(str(data_set), tmp_path / "run", chosen)
    folder = tmp_path / "run"
    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    tasks = {"loss", "landmarks", "heatmaps", "segmentation", "depth", "equivariance", "learning_rate"}
    assert {f"train/{task}" for task in tasks} | {f"validation/{name}" for name in metrics} <= set(
        events.Tags()["scalars"]
    )
    assert [each.step for each in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6]
    scores = {each.step: each.value for each in events.Scalars("validation/mean_f1")}
    best = json.loads((folder / "best" / "metrics.json").read_text())
    assert best["mean_f1"] == pytest.approx(max(scores.values()), rel=1e-5)
    assert scores[best["step"]] == pytest.approx(best["mean_f1"], rel=1e-5)
    for each in (folder, folder / "best"):
        assert AutoModel.from_pretrained(each).config.image_size == 64
        assert AutoImageProcessor.from_pretrained(each).size == {"height": 64, "width": 64}
    assert not (folder / "best.partial").exists()


def test_training_begins_with_an_earlier_models_weights(
    data_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_backbone(str(data_set), tmp_path / "first", settings(tmp_path, epochs=1))
    still = {"learning_rate": 1e-12, "encoder_learning_rate": 1e-12, "weight_decay": 0.0}
    larger = TINY | {"image_size": 96, "heatmap_size": 24, "depth_weight": 0.5}
    chosen = settings(tmp_path, epochs=1, initial=str(tmp_path / "first"), model=larger, **still)
    train_backbone(str(data_set), tmp_path / "second", chosen)
    first, second = (SynthForgeModel.from_pretrained(tmp_path / name) for name in ("first", "second"))
    assert (first.config.image_size, second.config.image_size) == (64, 96)
    assert second.config.depth_mean == first.config.depth_mean
    for (name, before), after in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.allclose(before, after, atol=1e-6), name
    finer = settings(tmp_path, epochs=1, initial=str(tmp_path / "first"), model=TINY | {"depth_upsampling": 2}, **still)
    train_backbone(str(data_set), tmp_path / "finer", finer)
    assert "depth_head of" in capsys.readouterr().err
    third = SynthForgeModel.from_pretrained(tmp_path / "finer")
    for name, before in first.named_parameters():
        if not name.startswith("depth_head"):
            assert torch.allclose(before, third.get_parameter(name), atol=1e-6), name
    fewer = SynthForgeModel(settings(tmp_path, model=TINY | {"num_landmarks": 5}).model_config())
    fresh = {name: value.clone() for name, value in fewer.landmark_head.state_dict().items()}
    assert take_weights(fewer, first, "first") == ["landmark_head"]
    assert all(torch.equal(value, fresh[name]) for name, value in fewer.landmark_head.state_dict().items())
    other = settings(tmp_path, initial=str(tmp_path / "first"), model=TINY | {"feature_channels": 12})
    with pytest.raises(UsageError, match=r"initial.*another model"):
        train_backbone(str(data_set), tmp_path / "third", other)
    with pytest.raises(UsageError, match="no model"):
        train_backbone(str(data_set), tmp_path / "fourth", settings(tmp_path, initial=str(tmp_path / "nothing")))


def test_only_the_chosen_head_is_trained(data_set: Path, tmp_path: Path) -> None:
    train_backbone(str(data_set), tmp_path / "first", settings(tmp_path, epochs=1))
    chosen = settings(tmp_path, epochs=1, initial=str(tmp_path / "first"), train_only=("depth",))
    train_backbone(str(data_set), tmp_path / "second", chosen)
    first, second = (SynthForgeModel.from_pretrained(tmp_path / name) for name in ("first", "second"))
    kept, changed = set(), set()
    for name, before in first.state_dict().items():  # statistics of norms included
        (kept if torch.equal(before, second.state_dict()[name]) else changed).add(name.split(".")[0])
    assert changed == {"depth_head"}
    assert {"encoder", "landmark_head", "segmentation_head"} <= kept
    with pytest.raises(UsageError, match=r"train_only.*initial"):
        settings(tmp_path, train_only=("depth",))


def test_a_run_begins_with_small_crops(data_set: Path, tmp_path: Path) -> None:
    chosen = settings(tmp_path, small_image_size=32, small_share=0.5)
    config = chosen.model_config(num_landmarks=68)
    processor, windows = SynthForgeImageProcessor.for_model(config), WindowSettings.for_model(64, 1.35)
    task = BackboneTask(config, processor, chosen, windows, [], Accelerator(cpu=True))
    rows, _ = load_splits(str(data_set), 5)
    batch = default_collate([FaceWindows(rows, windows)[number] for number in range(2)])
    small, large = (task.inputs(batch, torch.Generator().manual_seed(0), fraction) for fraction in (0.49, 0.5))
    assert small["pixel_values"].shape == (2, 3, 32, 32)
    assert large["pixel_values"].shape == (2, 3, 64, 64)
    assert small["segmentation"].shape[-1] * 2 == large["segmentation"].shape[-1]
    # The same random changes: the crop is the same part of the photo.
    assert torch.allclose(small["landmarks"], large["landmarks"])
    with torch.no_grad():
        assert SynthForgeModel(config)(**small).landmark_heatmaps.shape == (2, 68, 8, 8)
    with pytest.raises(UsageError, match="small_image_size"):
        BackboneTask(config, processor, settings(tmp_path, small_image_size=30), windows, [], Accelerator(cpu=True))


def test_a_pretrained_backbone_is_the_encoder(data_set: Path, tmp_path: Path) -> None:
    backbone = AutoBackbone.from_config(
        AutoConfig.for_model("swin", embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, image_size=64)
    )
    backbone.save_pretrained(tmp_path / "swin")
    chosen = settings(tmp_path, encoder=str(tmp_path / "swin"), encoder_learning_rate=1e-12, weight_decay=0.0, epochs=1)
    train_backbone(str(data_set), tmp_path / "run", chosen)
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert model.config.backbone_config.model_type == "swin"
    # At a rate of 1e-12 the weights are still those it was given.
    trained = model.encoder.backbone.state_dict()
    assert all(torch.allclose(value, trained[name], atol=1e-6) for name, value in backbone.state_dict().items())
    with pytest.raises(UsageError, match="encoder"):
        settings(tmp_path, encoder=str(tmp_path / "nothing")).model_config()


def test_what_no_loss_reaches_is_not_trained(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 56, "patch_size": 14}
    chosen = settings(tmp_path, model=TINY | {"backbone_config": {"model_type": "dinov2"} | sizes})
    model = SynthForgeModel(chosen.model_config())
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    freeze_idle_parameters(model)
    idle = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    assert idle == ["encoder.backbone.embeddings.mask_token"]
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers())


def test_encoder_and_heads_have_learning_rates_of_their_own(tmp_path: Path) -> None:
    chosen = settings(tmp_path, learning_rate=1e-4, encoder_learning_rate=1e-5, weight_decay=0.1)
    model = SynthForgeModel(chosen.model_config())
    groups = optimizer_for(model, chosen).param_groups
    found = {id(each): (group["lr"], group["weight_decay"]) for group in groups for each in group["params"]}
    assert len(found) == len(list(model.parameters())) == sum(len(group["params"]) for group in groups)
    for name, parameter in model.named_parameters():
        encoder = name.startswith(("stem.", "encoder."))
        assert found[id(parameter)] == (1e-5 if encoder else 1e-4, 0.1 if parameter.ndim > 1 else 0.0), name


def test_missing_labels_are_left_out(data_set: Path, tmp_path: Path) -> None:
    train, validation = load_splits(str(data_set), 100)
    folder = tmp_path / "only_masks"
    for name, rows in (("train", train), ("validation", validation)):
        (folder / "data").mkdir(parents=True, exist_ok=True)
        rows.remove_columns(["landmarks_2d", "depth"]).to_parquet(folder / "data" / f"{name}-00000-of-00001.parquet")
    metrics = train_backbone(str(folder), tmp_path / "run", settings(tmp_path, epochs=1, cache=False))
    assert set(metrics) == {"mean_f1"}
    unlabelled = settings(tmp_path, epochs=1, cache=False, initial=str(tmp_path / "run"), train_only=("depth",))
    with pytest.raises(UsageError, match="no labels for depth"):
        train_backbone(str(folder), tmp_path / "other", unlabelled)


def test_two_processes_train_together(data_set: Path, tmp_path: Path, repository: Path) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump({"preset": "mini", "model": TINY, "epochs": 2, "batch_size": 4, "accumulate": 1}))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"),
        *(str(repository / "examples" / "train.py"), "--dataset", str(data_set), "--config", str(config)),
        *("--output-dir", str(tmp_path / "run")),
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "run" / "model.safetensors").exists()
    # 16 samples in batches of 2 x 4, twice.
    assert "4 steps" in (tmp_path / "run" / "README.md").read_text()


def test_a_mistake_in_the_settings_is_one_clear_line(tmp_path: Path, repository: Path) -> None:
    config = tmp_path / "wrong.yaml"
    config.write_text("preset: mini\nbatchsize: 8\n")
    command = [
        sys.executable,
        str(repository / "examples" / "train.py"),
        "--dataset",
        "x",
        "--output-dir",
        str(tmp_path),
    ]
    result = subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 2
    assert result.stderr.strip().splitlines() == [
        line for line in result.stderr.strip().splitlines() if line.startswith("error: unknown key batchsize")
    ]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"max_minutes": -1}, "max_minutes"),
        ({"crop_scale": 0.5}, "crop_scale"),
        ({"preset": "huge"}, "preset"),
        ({"augmentation": {"geometry": {"scale": [1.3, 0.8]}}}, "scale"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, mapping: dict, message: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(mapping))
    with pytest.raises(UsageError, match=message):
        read_settings(path)


@pytest.mark.parametrize("model", [{"encoder_width": [1]}, {"image_size": 100}, {"image_size": "large"}])
def test_impossible_models_are_refused(model: dict) -> None:
    with pytest.raises(UsageError):
        TrainingSettings(preset="mini", model=model).model_config()


@pytest.mark.parametrize("name", ["mini", "mini-gpu", "mini-depth", "paper"])
def test_the_shipped_settings_are_valid(repository: Path, name: str) -> None:
    chosen = read_settings(repository / "examples" / "configs" / f"{name}.yaml")
    assert chosen.preset == name.split("-")[0]
    assert isinstance(chosen.model_config(), SynthForgeConfig)


def test_a_data_set_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot load the data set"):
        load_splits(str(tmp_path / "nothing"), 10)


def test_windows_put_points_and_labels_where_the_image_shows_them() -> None:
    image, points, segmentation, depth = draw_face(3)
    row = {
        "image": encode(image),
        "landmarks_2d": points.tolist(),
        "segmentation": encode(Image.fromarray(segmentation)),
        "depth": encode(Image.fromarray(depth)),
    }
    window = cut_window(row, WindowSettings.for_model(64, 1.35))
    assert window["image"].shape == (112, 112, 3)
    assert window["segmentation"].dtype == np.uint8
    assert window["depth"].shape == (56, 56)
    for eye in (slice(36, 42), slice(42, 48)):
        x, y = (window["landmarks"][eye].mean(axis=0) * 112).astype(int)
        assert window["segmentation"][y, x] in (4, 5)
        assert window["image"][y, x].min() > 220
        assert window["depth"][y // 2, x // 2] > 9000
    assert (window["segmentation"] == IGNORED_CLASS).any()


def test_cached_windows_are_the_same_and_are_filled_once(data_set: Path, tmp_path: Path) -> None:
    rows, _ = load_splits(str(data_set), 100)
    windows = FaceWindows(rows, WindowSettings.for_model(32, 1.35))
    cached = CachedWindows(windows, tmp_path)
    cached.prepare()
    cached.fill(process=0, processes=2)
    assert cached.filled.sum() == 8
    done: list[int] = []

    class NotedWindows(FaceWindows):
        def __getitem__(self, index: int) -> dict[str, np.ndarray]:
            done.append(index)
            return super().__getitem__(index)

    again = CachedWindows(NotedWindows(rows, WindowSettings.for_model(32, 1.35)), tmp_path)
    again.prepare()
    done.clear()
    again.fill(process=1, processes=2)
    assert done == list(range(1, 16, 2))
    for index in (0, 7, 15):
        assert all(np.array_equal(windows[index][name], again[index][name]) for name in windows[index])
    batch = next(iter(DataLoader(Subset(again, [15, 7, 0]), batch_size=3, collate_fn=collate_windows)))
    assert all(torch.equal(batch[name][1], torch.from_numpy(windows[7][name])) for name in windows[7])


def test_worker_processes_fill_a_cache_with_the_same_windows(data_set: Path, tmp_path: Path) -> None:
    rows, _ = load_splits(str(data_set), 100)
    windows = FaceWindows(rows, WindowSettings.for_model(32, 1.35))
    cached = CachedWindows(windows, tmp_path)
    cached.prepare()
    cached.fill(process=0, processes=1, workers=2)
    assert cached.filled.all()
    for index in range(16):
        assert all(np.array_equal(windows[index][name], cached[index][name]) for name in windows[index])


def test_a_set_without_images_or_labels_is_refused(data_set: Path) -> None:
    rows, _ = load_splits(str(data_set), 100)
    for columns in (["image"], ["segmentation", "depth"]):
        with pytest.raises(UsageError, match="column"):
            FaceWindows(rows.select_columns(columns), WindowSettings.for_model(32, 1.35))


def test_metrics_on_known_numbers() -> None:
    target = torch.zeros(1, 68, 2)
    target[0, 45] = torch.tensor([0.5, 0.0])
    assert normalised_mean_errors(target + torch.tensor([0.0, 0.05]), target).item() == pytest.approx(0.1)
    scores = torch.tensor([[50, 0, 0, 0, 50], [8, 2, 0, 2, 10], [0, 0, 90, 0, 0], [3, 1, 0, 3, 6]])
    assert mean_f1(scores) == pytest.approx((0.8 + 0.6) / 2)
