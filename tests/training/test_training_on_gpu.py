"""What is done on a GPU with CUDA: crops made there, windows kept there, one short training. Skipped without one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_faces import drawn_data_set

from synthforge_hf.training.augmentation import AugmentationSettings, CropMaker
from synthforge_hf.training.geometry import GeometrySettings
from synthforge_hf.training.photometry import PhotometrySettings
from synthforge_hf.training.settings import TrainingSettings
from synthforge_hf.training.stage_one import load_splits, train_backbone
from synthforge_hf.training.window_cache import CachedWindows
from synthforge_hf.training.windows import FaceWindows, WindowSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn_data_set(tmp_path_factory.mktemp("data") / "faces", train=40, validation=8)


def crop_maker(device: str, photometry: PhotometrySettings) -> CropMaker:
    settings = AugmentationSettings(GeometrySettings(), photometry)
    return CropMaker(settings, 64, 32, 1.75, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), device=device)


@pytest.fixture(scope="module")
def windows(data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> CachedWindows:
    rows, _ = load_splits(str(data_set), 8)
    cached = CachedWindows(FaceWindows(rows, WindowSettings.for_model(64, 1.35)), tmp_path_factory.mktemp("cache"))
    cached.prepare()
    cached.fill(process=0, processes=1)
    return cached


def test_nominal_crops_are_those_of_the_cpu(windows: CachedWindows) -> None:
    batch = windows.__getitems__(list(range(8)))
    here, there = (crop_maker(device, PhotometrySettings()).nominal(batch) for device in ("cpu", "cuda"))
    assert here.keys() == there.keys()
    for name, value in here.items():
        assert there[name].device.type == "cuda" and there[name].dtype == value.dtype
        differs = (there[name].cpu() - value).abs() > 1e-4
        assert differs.float().mean() < 1e-3  # a label on the very border of two pixels may fall to either


def test_random_crops_on_the_gpu_repeat_and_stay_in_range(windows: CachedWindows) -> None:
    everything = PhotometrySettings(grey=0.5, side_light=0.5, low_light=0.5, blur=0.5, motion_blur=0.5, occluder=0.5)
    maker = crop_maker("cuda", everything)
    batch = windows.__getitems__(list(range(16)))
    first, second = (maker.augmented(batch, torch.Generator("cuda").manual_seed(3)) for _ in "ab")
    other = maker.augmented(batch, torch.Generator("cuda").manual_seed(4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["pixel_values"], other["pixel_values"])
    assert first["pixel_values"].abs().max() <= 1.0001
    assert {value.device.type for value in first.values()} == {"cuda"}


def test_windows_in_the_gpus_memory_are_the_same(windows: CachedWindows) -> None:
    there = CachedWindows(windows.windows, windows.folder.parent)
    there.prepare()
    there.place(torch.device("cuda"))
    for name, value in there.__getitems__([5, 0, 7]).items():
        assert value.device.type == "cuda"
        assert np.array_equal(value.cpu().numpy(), windows.arrays[name][[5, 0, 7]])


def test_a_training_on_the_gpu_learns(data_set: Path, tmp_path: Path) -> None:
    settings = TrainingSettings(
        preset="mini",
        model={"image_size": 64, "heatmap_size": 16},
        epochs=60,
        batch_size=16,
        accumulate=1,
        learning_rate=2e-3,
        encoder_learning_rate=2e-3,
        cache_folder=str(tmp_path / "cache"),
        validation_samples=8,
        data_workers=2,
    )
    result = train_backbone(str(data_set), tmp_path / "run", settings)
    assert result["nme_interocular"] < 20
