"""A small untrained model, and benchmark folders written as their authors ship them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge_hf.annotation.face_box import face_box
from synthforge_hf.evaluation.analyser import FaceAnalyser
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with random weights."""
    torch.manual_seed(0)
    config = small_unet(
        encoder_widths=(8, 8, 8), feature_channels=8, segmentation_widths=(8,), depth_widths=(8,), landmark_channels=8
    )
    folder = tmp_path_factory.mktemp("untrained")
    SynthForgeModel(config).save_pretrained(folder)
    SynthForgeImageProcessor.for_model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def analyser(model_folder: Path) -> FaceAnalyser:
    return FaceAnalyser.load(str(model_folder), "cpu")


class Oracle(FaceAnalyser):
    """An analyser that reads the truth off the photo's file name; everything around it is the real thing."""

    def knows(self, truth: dict) -> "Oracle":
        object.__setattr__(self, "truth", truth)
        return self

    def landmarks(self, photos, boxes):
        return np.stack([self.truth[photo.getpixel((0, 0))[0]] for photo in photos])

    def analyse(self, photos, boxes, masks=True, **options):
        return [{"segmentation": self.truth[photo.getpixel((0, 0))[0]]} for photo in photos]


@pytest.fixture
def oracle(analyser: FaceAnalyser) -> Oracle:
    return Oracle(analyser.model, analyser.processor, "oracle")


@pytest.fixture
def write_300w(tmp_path: Path):
    """Write photos with .pts files; returns the folder and the landmarks by the grey level of the photo's pixels."""

    def write(count: int) -> tuple[Path, dict[int, np.ndarray]]:
        random = np.random.default_rng(0)
        truth = {}
        for number in range(count):
            folder = tmp_path / "300w" / ("lfpw/trainset" if number % 2 else "helen/trainset")
            folder.mkdir(parents=True, exist_ok=True)
            points = random.uniform(30, 90, (68, 2)).round(3)
            points[36], points[45] = (40, 50), (80, 50)
            truth[number] = points
            Image.new("RGB", (140, 120), (number,) * 3).save(folder / f"face{number}.png")
            lines = "\n".join(f"{x + 0.5:.3f} {y + 0.5:.3f}" for x, y in points)
            (folder / f"face{number}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n")
        return tmp_path / "300w", truth

    return write


def box_of(points: np.ndarray) -> np.ndarray:
    return face_box(points[None])[0]
