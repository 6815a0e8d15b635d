"""Light environments, kinds of light, and what is behind the head."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.generators.graphics.background import sample_background
from synthforge_hf.generators.graphics.environments import (
    ambient_at,
    decode_radiance,
    encode_radiance,
    load_environments,
    panorama_directions,
    rotate_ambient,
    rotation_about_y,
)
from synthforge_hf.generators.graphics.lighting import KINDS, LUMINANCE, sample_lighting
from synthforge_hf.generators.graphics.pictures import Pictures, load_pictures
from synthforge_hf.generators.graphics.settings import BackgroundSettings, LightSettings
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.camera import PinholeCamera, orbit_camera

NORMALS = panorama_directions(6, 12).reshape(-1, 3)
NO_OTHER_LIGHT = {f"{kind}_share": 0.0 for kind in KINDS[1:]}


def camera(resolution: int = 64, azimuth: float = 0.3) -> PinholeCamera:
    return orbit_camera(azimuth, 0.1, 0.0, 1.0, 0.3, resolution)


def only(kind: str) -> LightSettings:
    return LightSettings(**(NO_OTHER_LIGHT if kind == "studio" else {**NO_OTHER_LIGHT, f"{kind}_share": 1.0}))


def test_harmonics_and_lamp_are_the_light_of_the_panorama() -> None:
    """Where the panorama clips nothing, summing it up over the hemisphere gives the same light."""
    soft = [place for place in load_environments() if place.name in ("city", "venice")]
    assert len(soft) == 2
    directions = panorama_directions(64, 128)
    area = np.sqrt(1 - directions[..., 1] ** 2) * (np.pi / 64) * (2 * np.pi / 128)
    for place in soft:
        radiance = decode_radiance(place.panorama).reshape(64, 4, 128, 4, 3).mean((1, 3))
        cosine = np.maximum(NORMALS @ directions.reshape(-1, 3).T, 0) * area.reshape(-1)
        summed = cosine @ radiance.reshape(-1, 3) / np.pi
        lamp = np.maximum(NORMALS @ place.lamp_direction, 0)[:, None] * place.lamp_colour
        assert np.abs(ambient_at(place.ambient, NORMALS) + lamp - summed).max() < 0.08


def test_all_environments_are_scaled_alike() -> None:
    places = load_environments()
    assert len(places) == 18
    for place in places:
        assert np.linalg.norm(place.lamp_direction) == pytest.approx(1, abs=1e-5)
        assert (place.lamp_colour >= 0).all()
        assert (place.ambient[0] + place.lamp_colour / 4) @ LUMINANCE == pytest.approx(1, abs=1e-4)
        assert place.panorama.shape == (256, 512, 3)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0, 3.0])
def test_turning_the_light_is_turning_the_surface(angle: float) -> None:
    ambient = random_stream(0, 0, "test").normal(size=(9, 3))
    ambient[0] += 6
    rotation = rotation_about_y(angle)
    turned = ambient_at(rotate_ambient(ambient, rotation), NORMALS @ rotation.T)
    assert np.allclose(turned, ambient_at(ambient, NORMALS), atol=1e-12)


def test_radiance_survives_its_code() -> None:
    radiance = np.linspace(0, 8, 500)
    assert np.abs(decode_radiance(encode_radiance(radiance)) - radiance).max() < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_light_is_what_it_says(kind: str) -> None:
    for index in range(30):
        scene = sample_lighting(only(kind), camera(), random_stream(1, index, "light"))
        said, light = scene.description, scene.lighting
        assert said["light"] == kind
        assert (said["light_environment"] != "none") == (kind == "environment") == (scene.environment is not None)
        assert np.isfinite(light.ambient).all() and np.isfinite(light.colour).all() and (light.colour >= 0).all()
        assert np.linalg.norm(light.direction) == pytest.approx(1)
        azimuth, stops = float(said["light_azimuth_deg"]), float(said["light_exposure_stops"])
        if kind == "flash":
            assert abs(azimuth) < 15
        elif kind == "side":
            assert 50 < abs(azimuth) < 115
        elif kind == "back":
            assert abs(azimuth) > 115
        elif kind == "dark":
            assert stops < -0.4


def test_a_flash_follows_the_camera() -> None:
    for azimuth in (-1.2, 0.0, 1.2):
        light = sample_lighting(only("flash"), camera(azimuth=azimuth), random_stream(0, 0, "light")).lighting
        towards = np.array([np.sin(azimuth), 0.1, np.cos(azimuth)])
        assert light.direction @ towards / np.linalg.norm(towards) > 0.97


def test_shares_of_light_may_not_exceed_one() -> None:
    with pytest.raises(UsageError, match=r"add up to 1\.3"):
        LightSettings(
            environment_share=0.9, flash_share=0.4, side_share=0, back_share=0, dark_share=0, coloured_share=0
        )
    with pytest.raises(UsageError, match=r"flash_share = -0\.1"):
        LightSettings(flash_share=-0.1)


def background(settings: BackgroundSettings, index: int = 0, resolution: int = 64) -> tuple[np.ndarray, str]:
    view = camera(resolution)
    scene = sample_lighting(LightSettings(), view, random_stream(2, index, "light"))
    return sample_background(settings, view, scene, random_stream(2, index, "background"))


def test_backgrounds_of_every_kind() -> None:
    kinds = set()
    for index in range(60):
        light, kind = background(BackgroundSettings(), index)
        assert light.shape == (64, 64, 3) and light.dtype == np.float32
        assert np.isfinite(light).all() and light.min() >= 0
        kinds |= set(kind.split("+"))
    assert kinds == {"environment", "plain", "gradient", "clutter", "blobs", "stripes", "wall", "people"}


def test_a_background_is_the_same_scene_at_any_resolution() -> None:
    for index in range(8):
        small, kind = background(BackgroundSettings(), index, 64)
        large, same = background(BackgroundSettings(), index, 128)
        assert kind == same
        reduced = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
        assert np.abs(np.sqrt(reduced) - np.sqrt(small)).mean() < 0.03


def test_the_place_behind_the_head_is_the_one_that_lights_it() -> None:
    """Turning the camera right round shows the other side of the place."""
    settings = BackgroundSettings(environment_share=1.0, people_share=0.0)
    view = camera()
    scene = sample_lighting(only("environment"), view, random_stream(4, 1, "light"))
    twice = [sample_background(settings, view, scene, random_stream(4, 1, "background"))[0] for _ in range(2)]
    assert np.array_equal(twice[0], twice[1])
    behind = camera(azimuth=0.3 + np.pi)
    assert not np.allclose(sample_background(settings, behind, scene, random_stream(4, 1, "background"))[0], twice[0])
    brighter = replace(scene, background_gain=scene.background_gain * 0.5)
    darker = sample_background(settings, view, brighter, random_stream(4, 1, "background"))[0]
    assert darker.mean() < twice[0].mean()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, colour in enumerate([(200, 30, 30), (30, 200, 30), (30, 30, 200)]):
        path = tmp_path / "pictures" / f"sub{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 60), colour).save(path)
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    return tmp_path / "pictures"


def test_own_pictures_are_shown(folder: Path) -> None:
    settings = BackgroundSettings(pictures=str(folder), pictures_share=1.0, environment_share=0.0, people_share=0.0)
    colours = set()
    for index in range(12):
        light, kind = background(settings, index)
        assert kind == "picture"
        colours.add(int(light.mean((0, 1)).argmax()))
    assert colours == {0, 1, 2}


def test_pictures_are_refused_once_changed(folder: Path) -> None:
    digest = Pictures(str(folder)).sha256()
    assert len(load_pictures(str(folder), digest)) == 3
    load_pictures.cache_clear()
    (folder / "sub0" / "0.png").rename(folder / "sub0" / "9.png")
    with pytest.raises(UsageError, match="not those that"):
        load_pictures(str(folder), digest)


def test_folders_without_readable_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no image"):
        Pictures(str(tmp_path))
    (tmp_path / "broken.jpg").write_bytes(b"no jpeg")
    with pytest.raises(SynthForgeError, match=r"broken\.jpg"):
        Pictures(str(tmp_path)).open(0, 64)
    with pytest.raises(UsageError, match="absent-folder"):
        Pictures("absent-folder.d/nothing")
