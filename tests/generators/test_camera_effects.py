"""Camera effects: colours change, positions do not."""

from dataclasses import fields

import numpy as np
import pytest
from PIL import Image

from synthforge_hf.errors import UsageError
from synthforge_hf.generators.graphics.camera_effects import (
    CameraEffects,
    apply_camera_effects,
    sample_camera_effects,
)
from synthforge_hf.generators.graphics.settings import CameraEffectSettings
from synthforge_hf.randomness import random_stream

NONE = {item.name: 0.0 for item in fields(CameraEffectSettings)}
NAMES = [name.removesuffix("_share") for name in NONE]


def only(name: str) -> CameraEffectSettings:
    return CameraEffectSettings(**{**NONE, f"{name}_share": 1.0})


def spots(size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A grey image with five soft bright spots, and their centres (x, y)."""
    centres = np.array([(40.3, 40.6), (88.5, 38.2), (64.0, 66.7), (45.8, 92.1), (84.4, 90.9)]) * size / 128
    y, x = np.mgrid[0:size, 0:size] + 0.5
    bright = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.03 * size) ** 2)) for cx, cy in centres)
    return np.repeat(np.clip(90 + 110 * bright, 0, 255).astype(np.uint8)[..., None], 3, axis=-1), centres


def centre_of(image: np.ndarray, near: np.ndarray) -> np.ndarray:
    reach = 13
    left, top = (near - reach).astype(int)
    window = image[top : top + 2 * reach, left : left + 2 * reach].astype(float).mean(-1)
    weight = np.clip(window - np.percentile(window, 60), 0, None)
    y, x = np.mgrid[0 : 2 * reach, 0 : 2 * reach] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() + (left, top)


@pytest.mark.parametrize("name", NAMES)
def test_each_effect_changes_colours_and_moves_nothing(name: str) -> None:
    image, centres = spots()
    before = np.array([centre_of(image, centre) for centre in centres])
    moved = []
    for index in range(6):
        effects = sample_camera_effects(only(name), random_stream(0, index, "effects"))
        assert effects.names == (name,)
        changed = apply_camera_effects(image, effects, random_stream(0, index, "noise"))
        assert changed.shape == image.shape and changed.dtype == np.uint8
        if name not in ("saturation", "greyscale"):  # on a grey image
            assert not np.array_equal(changed, image)
        moved.append([centre_of(changed, centre) for centre in centres] - before)
    assert np.abs(np.mean(moved, axis=(0, 1))).max() < 0.15  # pixels
    assert np.linalg.norm(moved, axis=-1).mean() < 0.5


def test_greyscale_is_grey_and_saturation_is_not() -> None:
    colours = random_stream(0, 0, "test").integers(0, 256, (32, 32, 3), dtype=np.uint8)
    colours = np.asarray(Image.fromarray(colours).resize((64, 64)))
    grey = apply_camera_effects(colours, CameraEffects(saturation=0.0), random_stream(0, 0, "noise"))
    assert np.ptp(grey.astype(int), axis=-1).max() <= 1
    strong = apply_camera_effects(colours, CameraEffects(saturation=1.4), random_stream(0, 0, "noise"))
    assert np.ptp(strong.astype(int), axis=-1).mean() > np.ptp(colours.astype(int), axis=-1).mean()


def test_noise_has_the_strength_asked_for_and_no_bias() -> None:
    grey = np.full((512, 512, 3), 128, dtype=np.uint8)
    for grain in range(3):
        noisy = apply_camera_effects(grey, CameraEffects(noise=6.0, noise_grain=grain), random_stream(0, 0, "noise"))
        assert noisy.std() == pytest.approx(6, rel=0.15)
        assert noisy.mean() == pytest.approx(128, abs=0.7)
    other = apply_camera_effects(grey, CameraEffects(noise=6.0, noise_grain=2), random_stream(0, 1, "noise"))
    assert not np.array_equal(noisy, other)


def test_large_images_get_noise_too() -> None:
    grey = np.full((900, 900, 3), 128, dtype=np.uint8)
    noisy = apply_camera_effects(grey, CameraEffects(noise=6.0), random_stream(0, 0, "noise"))
    assert noisy[800:, 800:].std() > 4


def test_nothing_happens_where_nothing_is_asked_for() -> None:
    image, _ = spots(64)
    effects = sample_camera_effects(CameraEffectSettings(**NONE), random_stream(0, 0, "effects"))
    assert effects == CameraEffects()
    assert np.array_equal(apply_camera_effects(image, effects, random_stream(0, 0, "noise")), image)


def test_shares_are_kept_and_checked() -> None:
    drawn = [sample_camera_effects(CameraEffectSettings(), random_stream(0, index, "effects")) for index in range(400)]
    for name in NAMES:
        share = np.mean([name in effects.names for effects in drawn])
        assert share == pytest.approx(getattr(CameraEffectSettings(), f"{name}_share"), abs=0.08)
    with pytest.raises(UsageError, match="jpeg_share = 2"):
        CameraEffectSettings(jpeg_share=2)
