import io
import json
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from drawn_faces import draw_face, drawn_data_set
from PIL import Image
from transformers import AutoModel

from synthforge_hf.data.name_split import place_of_name
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet
from synthforge_hf.training.augmentation import AugmentationSettings, CropMaker
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.label_discovery import (
    MARGIN,
    fit_class_table,
    fit_shape_correction,
    nearest_landmarks,
    ridge_regression,
)
from synthforge_hf.training.stage_two import finetune_labels, read_finetuning_settings


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved backbone with random weights."""
    torch.manual_seed(0)
    config = small_unet(
        image_size=64, encoder_widths=(8, 8, 8), feature_channels=8, heatmap_size=16, landmark_channels=8,
        segmentation_widths=(8,), depth_widths=(8,), hourglass_levels=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("backbone")
    SynthForgeModel(config).save_pretrained(folder)
    SynthForgeImageProcessor.for_model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_data_set(tmp_path_factory.mktemp("faces"), train=12, validation=4, size=80)


def settings(cache: Path, *tasks: str, **others: object) -> FinetuningSettings:
    chosen = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "log_every_steps": 1, "cache_folder": str(cache)}
    return FinetuningSettings(tasks=tasks, **(chosen | others))  # type: ignore[arg-type]


@pytest.mark.parametrize("use_features", [False, True])
def test_all_tasks_are_trained_saved_and_loaded(
    backbone: Path, data_set: Path, tmp_path: Path, use_features: bool
) -> None:
    chosen = settings(tmp_path / "cache", "landmarks", "segmentation", "depth", use_features=use_features)
    metrics = finetune_labels(str(backbone), str(data_set), tmp_path / "run", chosen)
    assert set(metrics) == {"nme_interocular", "mean_f1", "depth_abs_rel"}
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert isinstance(model, SynthForgeForLabelFinetuning)
    original = AutoModel.from_pretrained(backbone).state_dict()
    assert all(torch.equal(value, original[name]) for name, value in model.backbone.state_dict().items())
    assert model.config.use_features == use_features
    # The depths of drawn faces: 1.0 to 1.8 m.
    assert 1.0 < model.config.depth_mean < 1.8
    card = (tmp_path / "run" / "README.md").read_text()
    assert "12 samples" in card
    assert "6 steps" in card
    assert list((tmp_path / "run" / "logs").rglob("events.out.tfevents*"))
    analyser = FaceAnalyser.load(str(tmp_path / "run"), "cpu", refine=True, flip_test=True)
    image, points, _, _ = draw_face(1, 80)
    low, high = points.min(axis=0), points.max(axis=0)
    face = analyser.analyse([image], [np.concatenate([low, high])[None]])[0]
    assert face["segmentation"].shape == (80, 80)


def test_the_script_stops_resumes_and_says_what_is_missing(
    backbone: Path,
    tmp_path: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Five points of drawn faces, some missing, in an imagefolder; killed after its first checkpoint."""
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = []
    for seed in range(10):
        image, points, _, _ = draw_face(seed, 80)
        image.save(photos / f"{seed}.png")
        low, high = points.min(axis=0), points.max(axis=0)
        five = points[[36, 45, 30, 48, 54]].tolist()
        if seed % 3 == 0:
            five[2] = [-1, -1]
        box = np.concatenate([low, high]).tolist()
        rows.append(json.dumps({"file_name": f"{seed}.png", "points": five, "face_box": box}))
    (photos / "metadata.jsonl").write_text("\n".join(rows))
    config = tmp_path / "settings.yaml"
    config.write_text("epochs: 6\nbatch_size: 4\ncheckpoint_every_minutes: 0.0\nlearning_rate: 0.001\n")
    command = [
        *(
            sys.executable,
            str(repository / "examples" / "finetune.py"),
            "--model",
            str(backbone),
            "--dataset",
            str(photos),
        ),
        *("--task", "landmarks", "--columns", "landmarks=points", "--train-share", "0.7", "--config", str(config)),
        *("--output-dir", str(tmp_path / "run")),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list((tmp_path / "run" / "checkpoints").glob("step-*")):
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    process.wait()
    assert not (tmp_path / "run" / "model.safetensors").exists()
    monkeypatch.setattr(sys, "argv", [*command[1:], "--resume"])
    assert runpy.run_path(command[1])["main"]() == 0
    assert re.search(r"\d of \d+ landmarks, in \d of \d training samples, are missing", capsys.readouterr().err)
    assert "nme_crop" in json.loads((tmp_path / "run" / "metrics.json").read_text())
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert model.config.num_landmarks == 5
    assert len(model.config.nearest_landmarks) == 5


def test_a_wrong_sample_is_one_line(backbone: Path, tmp_path: Path, repository: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    lines = []
    for number in range(4):
        Image.new("RGB", (40, 30)).save(photos / f"{number}.png")
        Image.new("L", (40, 31)).save(photos / f"mask{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "segmentation_file_name": f"mask{number}.png"}))
    (photos / "metadata.jsonl").write_text("\n".join(lines))
    chosen = settings(tmp_path / "cache", "segmentation", crop="whole", train_share=0.5)
    with pytest.raises(SynthForgeError, match=r"row \d of split 'train' \(\d.png\).*40 x 31 pixels"):
        finetune_labels(str(backbone), str(photos), tmp_path / "run", chosen)
    AcceleratorState._reset_state(reset_partial_state=True)
    chosen = settings(tmp_path / "cache", "segmentation", train_share=0.5)
    for number in range(4):
        Image.new("L", (40, 30)).save(photos / f"mask{number}.png")
    with pytest.raises(SynthForgeError, match=r"row \d .*the detector finds no face"):
        finetune_labels(str(backbone), str(photos), tmp_path / "other", chosen)


def test_classes_are_counted_where_they_have_no_names(backbone: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    lines = []
    for number in range(8):
        Image.new("RGB", (40, 30)).save(photos / f"{number}.png")
        Image.fromarray(np.full((30, 40), number % 4, np.uint8)).save(photos / f"mask{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "segmentation_file_name": f"mask{number}.png"}))
    (photos / "metadata.jsonl").write_text("\n".join(lines))
    chosen = settings(tmp_path / "cache", "segmentation", crop="whole", epochs=1, crop_scale=2.0, fold="2/5")
    metrics = finetune_labels(str(backbone), str(photos), tmp_path / "run", chosen)
    assert 0 <= metrics["mean_f1"] <= 100
    model = AutoModel.from_pretrained(tmp_path / "run")
    assert model.config.num_labels == 4
    assert SynthForgeImageProcessor.from_pretrained(tmp_path / "run").crop_scale == 2.0
    trained = sum(not 0.2 <= place_of_name(str(number)) < 0.4 for number in range(8))
    assert 0 < trained < 8
    card = " ".join((tmp_path / "run" / "README.md").read_text().split())
    assert f"{trained} samples of `photos`, those whose names lie outside the fold 2/5;" in card


def test_only_a_backbone_can_be_fine_tuned(backbone: Path, tmp_path: Path) -> None:
    model = SynthForgeForLabelFinetuning.from_backbone(SynthForgeModel.from_pretrained(backbone), ("depth",))
    model.save_pretrained(tmp_path / "adapted")
    with redirect_stderr(io.StringIO()), pytest.raises(UsageError, match="Stage I backbone"):
        finetune_labels(str(tmp_path / "adapted"), "nowhere", tmp_path / "run", settings(tmp_path, "depth"))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({}, "tasks"),
        ({"tasks": ["landmarks", "landmarks"]}, "tasks"),
        ({"tasks": ["depth"], "train_share": 1.0}, "share"),
        ({"tasks": ["depth"], "fold": "6/5"}, "fold is '6/5'"),
        ({"tasks": ["depth"], "fold": "2/5", "train_share": 0.5}, "only one of them"),
        ({"tasks": ["depth"], "epochs": 0}, "epochs"),
        ({"tasks": ["depth"], "columns": {"landmarks": "x"}}, "columns"),
        ({"tasks": ["depth"], "network": {"num_landmarks": 3}}, "network.num_landmarks"),
        ({"tasks": ["segmentation"], "class_names": ["one"]}, "classes"),
        ({"tasks": ["depth"], "use_feature": True}, "use_feature"),
    ],
)
def test_impossible_settings_are_refused(mapping: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_finetuning_settings(None, **mapping)


def test_the_script_refuses_a_wrong_fold_in_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = str(repository / "examples" / "finetune.py")
    arguments = ["--model", "mini", "--dataset", "photos", "--task", "depth", "--output-dir", "run", "--fold", "6/5"]
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    assert runpy.run_path(script)["main"]() == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the fold is '6/5'")
    assert error.count("\n") == 1


def test_a_run_may_train_the_encoder_and_begin_with_small_crops(backbone: Path, data_set: Path, tmp_path: Path) -> None:
    chosen = {"train_encoder": True, "encoder_learning_rate": 1e-3, "epochs": 1}
    first = settings(tmp_path, "landmarks", small_image_size=32, **chosen)
    finetune_labels(str(backbone), str(data_set), tmp_path / "run", first)
    tuned, before = AutoModel.from_pretrained(tmp_path / "run"), SynthForgeModel.from_pretrained(backbone)
    assert tuned.config.train_encoder
    same = {name: torch.equal(value, tuned.backbone.get_parameter(name)) for name, value in before.named_parameters()}
    assert not any(value for name, value in same.items() if name.startswith(("stem.", "encoder.")))
    assert all(value for name, value in same.items() if "head" in name)
    with pytest.raises(UsageError, match="small_image_size must be a multiple of 16"):
        finetune_labels(
            str(backbone), str(data_set), tmp_path / "other", settings(tmp_path, "landmarks", small_image_size=24)
        )


@pytest.mark.parametrize(
    "name",
    ["finetune-mini", "finetune-mini-encoder", "finetune-mini-landmarks", "finetune-paper", "finetune-paper-features"],
)
def test_the_shipped_settings_are_valid(repository: Path, name: str) -> None:
    chosen = read_finetuning_settings(repository / "examples" / "configs" / f"{name}.yaml", tasks=["landmarks"])
    with_encoder = name in ("finetune-mini-encoder", "finetune-mini-landmarks")
    assert chosen.use_features == (with_encoder or name == "finetune-paper-features")
    assert chosen.train_encoder == with_encoder
    assert chosen.crop_scale == (1.2 if name == "finetune-mini-landmarks" else None)
    assert chosen.final_learning_rate == 1e-6


def test_ridge_regression_finds_a_linear_map_and_shrinks_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 10, dtype=torch.float64, generator=generator)
    true = torch.randn(3, 10, dtype=torch.float64, generator=generator)
    weight, bias = ridge_regression(inputs, inputs @ true.T + 2.0)
    assert torch.allclose(weight, true, atol=1e-3)
    assert torch.allclose(bias, torch.full((3,), 2.0, dtype=torch.float64), atol=1e-3)
    noise = torch.randn(12, 3, dtype=torch.float64, generator=generator)
    shrunk, _ = ridge_regression(inputs[:12], noise)
    exact = torch.linalg.lstsq(inputs[:12] - inputs[:12].mean(dim=0), noise - noise.mean(dim=0)).solution.T
    assert shrunk.norm() < 0.5 * exact.norm()


def test_the_shape_correction_maps_one_scheme_to_another(backbone: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = 0.3 + 0.4 * torch.rand(300, 68, 2, generator=generator)
    # New points: the fourth landmark, and one a quarter of the way from there to the tenth.
    labelled = torch.stack([seen[:, 3], 0.75 * seen[:, 3] + 0.25 * seen[:, 9]], dim=1)
    labelled[::4, 1] = float("nan")
    nearest = nearest_landmarks(seen, labelled)
    assert nearest == (3, 3)
    model = SynthForgeForLabelFinetuning.from_backbone(
        SynthForgeModel.from_pretrained(backbone), ("landmarks",), num_landmarks=2, nearest_landmarks=nearest
    )
    network = model.landmark_network
    assert network is not None
    fit_shape_correction(network, seen, labelled)
    with torch.no_grad():
        found = seen[:, list(nearest)] + network.shape_correction(seen)  # type: ignore[misc]
    known = labelled[:, 1].isfinite().all(dim=-1)
    assert (found[:, 0] - labelled[:, 0]).abs().max() < 1e-3
    assert (found[known, 1] - labelled[known, 1]).abs().max() < 2e-3


def test_the_class_table_translates_a_scheme_without_training(backbone: Path) -> None:
    """Labels that merge the backbone's own classes, seen on a few crops, are found by the table alone."""
    model = SynthForgeModel.from_pretrained(backbone).eval()
    processor = SynthForgeImageProcessor.from_pretrained(backbone)
    with torch.no_grad():
        model.segmentation_head.exit.weight *= 20  # an untrained head is sure of nothing
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (12, 112, 112, 3), dtype=torch.uint8, generator=generator)
    crops = CropMaker(AugmentationSettings(), 64, 32, MARGIN, processor.image_mean, processor.image_std)
    with torch.no_grad():
        inputs = crops.nominal({"image": images})["pixel_values"]
        seen = model(inputs).segmentation_logits.argmax(dim=1)
    merged = (seen % 3).to(torch.uint8)
    # Labels cover the window; the crop is its middle.
    maps = torch.full((12, 56, 56), 255, dtype=torch.uint8)
    maps[:, 12:44, 12:44] = merged
    windows = [
        {"image": image.numpy(), "segmentation": labels.numpy()} for image, labels in zip(images, maps, strict=True)
    ]
    adapted = SynthForgeForLabelFinetuning.from_backbone(
        model, ("segmentation",), id2label={0: "a", 1: "b", 2: "c"}
    ).eval()
    network = adapted.segmentation_network
    assert network is not None
    with torch.no_grad():
        before = (adapted(inputs).segmentation_logits.argmax(dim=1) == merged).float().mean()
        fit_class_table(network, windows, model, processor)
        after = (adapted(inputs).segmentation_logits.argmax(dim=1) == merged).float().mean()
    assert before < 0.9
    assert after > 0.93
