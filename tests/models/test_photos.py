import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.models.synthforge.photos import EXIF_ORIENTATION, cut_labels, cut_square, open_photo, to_rgb


def colours() -> np.ndarray:
    """(32, 48, 3) uint8: red grows to the right, green downwards; smooth, so every format keeps it."""
    y, x = np.mgrid[0:32, 0:48]
    return np.stack([40 + 4 * x, 30 + 6 * y, np.full_like(x, 90)], axis=-1).astype(np.uint8)


GREY = colours()[..., 0]


def close(image: Image.Image, expected: np.ndarray, tolerance: int = 3) -> bool:
    found = np.asarray(to_rgb(image)).astype(int)
    expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=-1)
    return found.shape == expected.shape and np.abs(found - expected.astype(int)).max() <= tolerance


def test_every_mode_becomes_the_rgb_it_shows(tmp_path: Path) -> None:
    image = Image.fromarray(colours())
    opaque = image.convert("RGBA")
    assert close(open_photo(image), colours())
    assert close(open_photo(opaque), colours())
    assert close(open_photo(Image.fromarray(GREY)), GREY)
    assert close(open_photo(image.convert("CMYK")), colours())
    assert close(open_photo(image.convert("YCbCr")), colours())
    assert close(open_photo(image.quantize(256)), colours(), tolerance=12)
    assert close(open_photo(Image.fromarray(GREY > 128)), np.where(GREY > 128, 255, 0))
    assert close(open_photo(Image.fromarray(GREY.astype(np.uint16) * 257)), GREY)
    assert close(open_photo(Image.fromarray(GREY.astype(np.int32) * 257)), GREY)
    assert close(open_photo(Image.fromarray(GREY.astype(np.float32) / 255)), GREY)


def test_transparent_pixels_show_white() -> None:
    image = Image.fromarray(colours()).convert("RGBA")
    image.putalpha(Image.fromarray(np.where(np.arange(48)[None, :] < 24, 0, 255).astype(np.uint8).repeat(32, 0)))
    expected = colours()
    expected[:, :24] = 255
    assert close(open_photo(image), expected)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "bmp"])
def test_files_and_their_bytes_are_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(colours()).save(
        path, **({"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {}))
    )
    for source in (path, str(path), path.read_bytes()):
        assert close(open_photo(source), colours(), tolerance=10)


def test_sixteen_bit_png_and_cmyk_jpeg_files(tmp_path: Path) -> None:
    Image.fromarray(GREY.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert close(open_photo(tmp_path / "deep.png"), GREY)
    Image.fromarray(colours()).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98)
    assert close(open_photo(tmp_path / "cmyk.jpg"), colours(), tolerance=12)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](colours())
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, "PNG", exif=exif)
    assert close(open_photo(buffer.getvalue()), colours(), tolerance=0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (colours(), colours()),
        (np.moveaxis(colours(), -1, 0), colours()),
        (torch.from_numpy(np.moveaxis(colours(), -1, 0).copy()), colours()),
        (colours().astype(np.float32) / 255, colours()),
        (colours().astype(np.float64), colours()),
        (GREY, GREY),
        (GREY[..., None], GREY),
        (GREY.astype(np.uint16) * 257, GREY),
        (np.dstack([colours(), np.full((32, 48), 255, np.uint8)]), colours()),
    ],
)
def test_arrays_of_every_layout(array: np.ndarray, expected: np.ndarray) -> None:
    assert close(open_photo(array), expected, tolerance=1)


def test_what_is_no_photo_is_one_clear_error(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    truncated = tmp_path / "half.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "whole.png")
    truncated.write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    for source, message in [
        (text, "notes.txt is not an image"),
        (tmp_path / "missing.jpg", "missing.jpg"),
        (tmp_path, "cannot read"),
        (truncated, "half.png is damaged"),
        (np.zeros((5, 5, 2)), "1, 3 or 4 channels"),
        (np.zeros((0, 4, 3)), "no pixels"),
        ({"no": "photo"}, "must be a path"),
    ]:
        with pytest.raises(SynthForgeError, match=message) as caught:
            open_photo(source)
        assert "\n" not in str(caught.value)


def test_a_photo_beyond_the_limit_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    # A PNG of one pixel whose header claims 20,000 x 20,000.
    Image.new("L", (1, 1)).save(tmp_path / "huge.png")
    data = (tmp_path / "huge.png").read_bytes()
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + data[24:29]
    (tmp_path / "huge.png").write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    with pytest.raises(SynthForgeError, match=r"huge\.png has .*; photos of up to 178 million pixels are read"):
        open_photo(tmp_path / "huge.png")
    Image.new("L", (20_000, 300)).save(tmp_path / "wide.png")
    assert open_photo(tmp_path / "wide.png").size == (20_000, 300)


def test_a_square_is_resampled_with_pixel_centres_at_a_half() -> None:
    image = Image.fromarray(colours())
    assert np.array_equal(cut_square(image, 20.0, 16.0, 16.0, 16), colours()[8:24, 12:28])
    doubled = cut_square(image, 20.0, 16.0, 16.0, 32).astype(float)
    # Output pixel i lies at 12 + (i + 0.5) / 2; red is 40 + 4 (x - 0.5).
    assert np.abs(doubled[16, :, 0] - (40 + 4 * (12 + (np.arange(32) + 0.5) / 2 - 0.5))).max() < 1.01
    shifted = cut_square(image, 20.25, 16.0, 16.0, 16).astype(float)
    assert np.abs(shifted[8, 2:-2, 0] - (colours()[16, 14:26, 0] + 1.0)).max() < 1.01


def test_downscaling_averages_instead_of_skipping() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = cut_square(Image.fromarray(stripes), 128.0, 128.0, 256.0, 32)
    assert np.abs(small[4:-4, 4:-4].astype(int) - 128).max() < 12


def test_outside_the_photo_is_black_in_every_mode() -> None:
    for image in (Image.fromarray(colours()), Image.fromarray(colours()).convert("CMYK")):
        crop = cut_square(image, 0.0, 0.0, 20.0, 20)
        assert crop[:9].max() == 0
        assert crop[:, :9].max() == 0
        assert crop[11:, 11:].min() > 20
        assert cut_square(image, 500.0, 500.0, 20.0, 8).max() == 0


@pytest.mark.parametrize("square", [(0.0, 0.0, 0.0), (0.0, 0.0, -3.0), (0.0, np.nan, 4.0), (0.0, 0.0, 1e9)])
def test_impossible_squares_are_refused(square: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError, match="square"):
        cut_square(Image.fromarray(colours()), *square, 8)


def test_labels_are_read_not_blended() -> None:
    labels = np.arange(32 * 48, dtype=np.uint16).reshape(32, 48)
    assert np.array_equal(cut_labels(labels, 20.0, 16.0, 16.0, 16, 7), labels[8:24, 12:28])
    assert np.array_equal(cut_labels(labels, 20.0, 16.0, 16.0, 8, 7), labels[9:25:2, 13:29:2])
    outside = cut_labels(labels, 0.0, 0.0, 4.0, 4, 7)
    assert (outside[:2] == 7).all()
    assert np.array_equal(outside[2:, 2:], labels[:2, :2])
