import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.models.registration import register_when_imported
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.mirroring import average, mirror, mirror_is_known, run_both_ways
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.testing import small_unet

BOX = [30.0, 20.0, 90.0, 85.0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = small_unet(
        image_size=64,
        encoder_widths=(8, 16),
        feature_channels=8,
        segmentation_widths=(8,),
        landmark_channels=16,
        hourglass_levels=2,
        heatmap_size=16,
    )
    SynthForgeModel(config).save_pretrained(folder)
    SynthForgeImageProcessor.for_model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def analyse(checkpoint: Path) -> Any:
    register_when_imported()
    from transformers import pipeline

    return pipeline("face-analysis", model=str(checkpoint), device="cpu", detector=find_two)


def find_two(image: Image.Image) -> list[tuple[list[float], float]]:
    """Two "faces" in wide photos, none in others."""
    assert image.mode == "RGB"
    return [(BOX, 0.9), ([60.0, 30.0, 110.0, 80.0], 0.6)] if image.width > image.height else []


def photo(width: int = 120, height: int = 90, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_one_photo_gives_a_list_of_faces(analyse: Any, tmp_path: Path) -> None:
    photo().save(tmp_path / "photo.png")
    for source in (
        str(tmp_path / "photo.png"),
        tmp_path / "photo.png",
        photo(),
        np.asarray(photo()),
        photo().convert("RGBA"),
    ):
        faces = analyse(source)
        assert [face["score"] for face in faces] == [0.9, 0.6]
        assert faces[0]["box"] == BOX
        assert faces[0]["landmarks"].shape == (68, 2)
        assert faces[0]["segmentation"].shape == faces[0]["depth"].shape == (90, 120)
        assert faces[0]["segmentation"].dtype == np.uint8


def test_several_photos_in_batches_are_the_same_as_one_by_one(analyse: Any) -> None:
    photos = [photo(seed=1), photo(50, 90), photo(seed=2)]
    # Random weights turn a grey value that is rounded otherwise in the second crop into half a pixel: one look.
    together = analyse(photos, refine=False)
    assert [len(faces) for faces in together] == [2, 0, 2]
    for options in ({"batch_size": 1}, {"batch_size": 3}):
        for alone, batched in zip(analyse(photos, refine=False, **options), together, strict=True):
            for first, second in zip(alone, batched, strict=True):
                assert np.allclose(first["landmarks"], second["landmarks"], atol=1e-2)
    streamed = list(analyse(image for image in photos))
    assert [len(faces) for faces in streamed] == [2, 0, 2]


def test_boxes_of_the_caller_are_used(analyse: Any) -> None:
    faces = analyse(photo(50, 90), boxes=[5, 5, 45, 60])
    assert faces[0]["box"] == [5.0, 5.0, 45.0, 60.0]
    assert faces[0]["score"] == 1.0
    mixed = analyse([photo(), photo(50, 90)], boxes=[None, [[5, 5, 45, 60]]])
    assert [len(entry) for entry in mixed] == [2, 1]


def test_without_a_second_look_it_is_processor_model_post_process(analyse: Any, checkpoint: Path) -> None:
    face = analyse(photo(), boxes=BOX, refine=False, flip_test=False)[0]
    model = SynthForgeModel.from_pretrained(checkpoint).eval()
    processor = SynthForgeImageProcessor.from_pretrained(checkpoint)
    with torch.no_grad():
        output = model(**processor(photo(), BOX, return_tensors="pt"))
    expected = processor.post_process(output, (90, 120), BOX)[0]
    assert np.allclose(face["landmarks"], expected["landmarks"], atol=1e-3)
    assert np.array_equal(face["segmentation"], expected["segmentation"])
    again = analyse(photo(), boxes=BOX, refine=True, flip_test=False)[0]
    assert not np.allclose(face["landmarks"], again["landmarks"], atol=1e-3)


def test_flip_averaging_is_blind_to_mirroring(analyse: Any) -> None:
    """What is averaged over a crop and its mirror image must be the mirrored answer for the mirrored photo."""
    image = photo()
    mirrored_box = [120 - BOX[2], BOX[1], 120 - BOX[0], BOX[3]]
    options = {"refine": False}  # averaging is the default for our landmarks and classes
    plain = analyse(image, boxes=BOX, **options)[0]
    mirrored = analyse(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), boxes=mirrored_box, **options)[0]
    from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS

    back = mirrored["landmarks"][MIRRORED_LANDMARKS] * (-1, 1) + (120, 0)
    assert np.allclose(back, plain["landmarks"], atol=0.3)


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, True),
        ({"num_landmarks": 5}, False),
        ({"id2label": {0: "background", 1: "left cheek"}}, False),
        ({"id2label": {0: "background", 1: "left_eye", 2: "right_eye"}}, True),
    ],
)
def test_crops_are_mirrored_by_default_only_where_it_is_known_what_that_exchanges(changes: dict, known: bool) -> None:
    assert mirror_is_known(SynthForgeConfig.mini(**changes)) is known


def test_running_both_ways_is_two_runs_averaged(checkpoint: Path) -> None:
    model = SynthForgeModel.from_pretrained(checkpoint).eval()
    crops = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        together = run_both_ways(model, crops)
        separately = average(model(crops), mirror(model(crops.flip(-1)), model.config))
    for name in ("landmarks", "landmark_heatmaps", "segmentation_logits", "depth"):
        assert torch.allclose(together[name], separately[name], atol=1e-5)


def test_mirroring_twice_changes_nothing(checkpoint: Path) -> None:
    model = SynthForgeModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        output = model(torch.rand(2, 3, 64, 64))
    once = mirror(output, model.config)
    twice = mirror(once, model.config)
    for name in ("landmarks", "segmentation_logits", "depth"):
        assert torch.allclose(twice[name], output[name], atol=1e-6)
        assert not torch.allclose(once[name], output[name], atol=1e-6)


def test_unknown_options_and_bad_photos_are_refused(analyse: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="refined"):
        analyse(photo(), refined=True)
    with pytest.raises(SynthForgeError, match=r"missing\.jpg"):
        analyse(str(tmp_path / "missing.jpg"))


@pytest.mark.parametrize(
    "order",
    [
        "import synthforge_hf; from transformers import AutoModel, AutoConfig, AutoImageProcessor, pipeline",
        "from transformers import AutoModel, AutoConfig, AutoImageProcessor, pipeline; import synthforge_hf",
    ],
)
def test_importing_the_package_is_enough_in_either_order(checkpoint: Path, order: str) -> None:
    script = f"""
{order}
folder = {str(checkpoint)!r}
assert type(AutoConfig.from_pretrained(folder)).__name__ == "SynthForgeConfig"
assert type(AutoModel.from_pretrained(folder)).__name__ == "SynthForgeModel"
assert type(AutoImageProcessor.from_pretrained(folder)).__name__ == "SynthForgeImageProcessor"
assert type(pipeline("face-analysis", model=folder, device="cpu")).__name__ == "FaceAnalysisPipeline"
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "datasets", "kornia")
    script = f"import synthforge_hf, sys; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert result.stdout.strip() == "[]"
