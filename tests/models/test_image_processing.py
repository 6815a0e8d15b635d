from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge_hf.annotation.face_box import square_crop
from synthforge_hf.errors import UsageError
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeOutput

SIZE = 64


@pytest.fixture(scope="module")
def processor() -> SynthForgeImageProcessor:
    return SynthForgeImageProcessor(size={"height": SIZE, "width": SIZE})


def photo(width: int = 120, height: int = 90) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([2 * x % 256, 2 * y % 256, x * 0 + 50], axis=-1).astype(np.uint8))


def outputs(crops: int, classes: int = 3, grid: int = 32) -> SynthForgeOutput:
    return SynthForgeOutput(
        landmarks=torch.rand(crops, 68, 2, generator=torch.Generator().manual_seed(0)),
        segmentation_logits=torch.randn(crops, classes, grid, grid, generator=torch.Generator().manual_seed(1)),
        depth=torch.full((crops, 1, grid, grid), 0.8),
    )


def test_one_crop_per_face_normalised(processor: SynthForgeImageProcessor) -> None:
    boxes = [[[10, 10, 50, 60], [60, 20, 100, 70]], None, []]
    pixel_values = processor([photo(), photo(40, 80), photo()], boxes, return_tensors="pt")["pixel_values"]
    assert pixel_values.shape == (3, 3, SIZE, SIZE)
    assert pixel_values.dtype == torch.float32
    assert pixel_values.min() >= -1
    assert pixel_values.max() <= 1
    # The second photo is one crop: 40 wide in an 80-wide square leaves a quarter of black on each side.
    assert (pixel_values[2, :, :, : SIZE // 4 - 1] == -1).all()
    assert pixel_values[2, 2, SIZE // 2, SIZE // 2] == pytest.approx(2 * 50 / 255 - 1, abs=0.01)


@pytest.mark.parametrize(
    "boxes", [[10, 10, 50, 60], [[10, 10, 50, 60]], np.array([10, 10, 50, 60]), torch.tensor([[10, 10, 50, 60]])]
)
def test_one_photo_with_one_box_in_any_form(processor: SynthForgeImageProcessor, boxes: object) -> None:
    expected = processor([photo()], [[[10, 10, 50, 60]]])["pixel_values"]
    assert np.array_equal(processor(photo(), boxes)["pixel_values"], expected)
    assert len(processor.post_process(outputs(1), (90, 120), boxes)) == 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "P", "1", "F"])
def test_every_mode_gives_rgb_crops(processor: SynthForgeImageProcessor, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(photo().convert("L")).astype(np.uint16) * 257)
    else:
        image = photo().convert(mode)
    pixel_values = processor(image, [10, 10, 70, 70], return_tensors="pt")["pixel_values"]
    assert pixel_values.shape == (1, 3, SIZE, SIZE)
    assert pixel_values.std() > 0.1


def test_photos_of_one_pixel_and_of_a_long_strip(processor: SynthForgeImageProcessor) -> None:
    for image in (photo(1, 1), photo(1, 3000), photo(3000, 2)):
        pixel_values = processor(image, return_tensors="pt")["pixel_values"]
        assert pixel_values.shape == (1, 3, SIZE, SIZE)
        face = processor.post_process(outputs(1), image.size[::-1])[0]
        assert face["segmentation"].shape == face["depth"].shape == image.size[::-1]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([10, 10, 10, 60], "empty"),
        ([50, 10, 10, 60], "empty"),
        ([10, 10, np.inf, 60], "finite"),
        ([1, 2, 3], "x0, y0, x1, y1"),
        ("face", "numbers"),
        ([0, 0, 1e7, 1e7], "square"),
    ],
)
def test_boxes_that_make_no_sense_are_refused(processor: SynthForgeImageProcessor, boxes: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        processor(photo(), boxes)


def test_boxes_must_match_the_photos(processor: SynthForgeImageProcessor) -> None:
    with pytest.raises(UsageError, match="2 photos but boxes for 1"):
        processor([photo(), photo()], [[[10, 10, 50, 60]]])
    with pytest.raises(UsageError, match="3 outputs but 1 boxes"):
        processor.post_process(outputs(3), (90, 120), [10, 10, 50, 60])


def test_post_process_undoes_the_crop(processor: SynthForgeImageProcessor) -> None:
    boxes = [[10.0, 10.0, 50.0, 60.0], [60.5, 20.25, 100.0, 70.0]]
    out = outputs(2)
    faces = processor.post_process(out, [(90, 120)], [boxes])
    for face, landmarks, (x, y, side) in zip(
        faces, out.landmarks, square_crop(boxes, processor.crop_scale), strict=True
    ):
        back = (face["landmarks"] - (x, y)) / side + 0.5
        assert np.allclose(back, landmarks.numpy(), atol=1e-5)
        assert face["crop"] == pytest.approx([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def test_masks_lie_where_the_network_saw_them(processor: SynthForgeImageProcessor) -> None:
    """A network that finds the bright square of the crop must find the bright square of the photo."""
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[70:110, 140:190] = 255
    for box, expected in (([100, 40, 220, 150], 1.0), ([150, 80, 260, 190], 1.0), ([130.3, 60.7, 199.1, 120.2], 1.0)):
        crop = processor(Image.fromarray(pixels), box, return_tensors="pt")["pixel_values"]
        bright = crop.mean(dim=1, keepdim=True)
        logits = torch.cat([-bright, bright], dim=1) * 10
        out = SynthForgeOutput(landmarks=torch.zeros(1, 68, 2), segmentation_logits=logits, depth=1.0 + 0.1 * bright)
        face = processor.post_process(out, (200, 300), box)[0]
        x, y, side = square_crop([box], processor.crop_scale)[0]
        rows, columns = np.mgrid[0:200, 0:300] + 0.5
        seen = (np.abs(rows - y) < side / 2 - 1) & (np.abs(columns - x) < side / 2 - 1)
        truth = (pixels[..., 0] > 0) & seen
        found = (face["segmentation"] == 1) & seen
        overlap = (truth & found).sum() / (truth | found).sum()
        assert overlap > 0.93 * expected
        assert face["segmentation"].dtype == np.uint8
        assert (face["segmentation"][~((np.abs(rows - y) < side / 2) & (np.abs(columns - x) < side / 2))] == 0).all()
        assert face["depth"][truth & found].mean() == pytest.approx(1.1, abs=0.02)
        assert (face["depth"][face["segmentation"] == 0] == 0).all()


def test_a_face_of_a_large_photo_costs_its_crop_only(processor: SynthForgeImageProcessor) -> None:
    face = processor.post_process(outputs(1), (3000, 4000), [100, 100, 2900, 2900])[0]
    assert face["segmentation"].shape == (3000, 4000)
    assert set(np.unique(face["segmentation"])) <= {0, 1, 2}


def test_saved_and_loaded_it_is_the_same(processor: SynthForgeImageProcessor, tmp_path: Path) -> None:
    other = SynthForgeImageProcessor(size={"height": 32, "width": 32}, crop_scale=1.6)
    other.save_pretrained(tmp_path)
    loaded = SynthForgeImageProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == other.to_dict()
    assert np.array_equal(
        loaded(photo(), [10, 10, 50, 60])["pixel_values"], other(photo(), [10, 10, 50, 60])["pixel_values"]
    )
