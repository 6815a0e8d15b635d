"""The graphics generator: exact labels over random people and cameras, and the same bytes every time."""

from functools import cache

import numpy as np
import pytest

from synthforge_hf.annotation import Annotations, annotate
from synthforge_hf.errors import UsageError
from synthforge_hf.generators import load_generator
from synthforge_hf.generators.base import FaceGenerator, GeneratedFace
from synthforge_hf.generators.graphics import generator
from synthforge_hf.generators.graphics.settings import (
    CameraEffectSettings,
    CameraSettings,
    GraphicsSettings,
    HeadSettings,
)
from synthforge_hf.rendering.camera import project
from synthforge_hf.rendering.shading import Scene, shade
from synthforge_hf.segmentation_classes import CLASS_ID

SEEDS = range(16)
RESOLUTION = 256
INNER = slice(17, 68)
EYES = {"l_eye": range(42, 48), "r_eye": range(36, 42)}


@cache
def sample(seed: int) -> tuple[GeneratedFace, Annotations]:
    face = load_generator("graphics", device="cpu").generate(seed, 7, RESOLUTION)
    return face, annotate(face)


def classes_under(labels: Annotations, points: np.ndarray) -> np.ndarray:
    columns, rows = np.clip(points.astype(int), 0, RESOLUTION - 1).T
    return labels.segmentation[rows, columns]


def test_satisfies_the_protocol() -> None:
    generator = load_generator("graphics", device="cpu")
    assert isinstance(generator, FaceGenerator)
    assert generator.name == "graphics" and "CC0" in generator.license


@pytest.mark.parametrize("seed", SEEDS)
def test_landmarks_depth_and_camera_agree(seed: int) -> None:
    _, labels = sample(seed)
    reprojected = project(labels.landmarks_3d.astype(np.float64), labels.intrinsics.astype(np.float64))
    assert np.abs(reprojected - labels.landmarks_2d).max() < 0.01
    seen = labels.landmarks_visible[INNER]
    pixels = labels.landmarks_2d[INNER][seen].astype(int)
    depth = labels.depth[pixels[:, 1], pixels[:, 0]]
    assert np.abs(depth - labels.landmarks_3d[INNER][seen, 2]).max() <= 3e-3


@pytest.mark.parametrize("seed", SEEDS)
def test_pupils_show_eyes_and_lips_show_lips(seed: int) -> None:
    _, labels = sample(seed)
    for name, points in EYES.items():
        outline = labels.landmarks_2d[list(points)]
        opening = np.linalg.norm(outline[[1, 2]].mean(0) - outline[[4, 5]].mean(0))
        if labels.landmarks_visible[list(points)].all() and opening > 4:
            assert classes_under(labels, outline.mean(0)[None]) == CLASS_ID[name]
    allowed = [CLASS_ID[name] for name in ("u_lip", "l_lip", "mouth")]
    lips = np.arange(60, 68)
    for point in lips[labels.landmarks_visible[lips]]:
        # At the corners lips end in a point less than a pixel wide: there one of the pixels around must show them.
        reach = (-1, 0, 1) if point in (60, 64) else (0,)
        around = labels.landmarks_2d[point] + np.array([(x, y) for x in reach for y in reach])
        assert np.isin(classes_under(labels, around), allowed).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_that_is_drawn_is_labelled(seed: int) -> None:
    """Where there is depth there is a class, and the other way round; only things held before the face have no class,
    and only glass before the background has no depth."""
    face, labels = sample(seed)
    glass = (labels.segmentation == CLASS_ID["eye_g"]) & (labels.depth == 0)
    assert face.attributes["glasses"] != "none" or not glass.any()
    classed = (labels.segmentation != CLASS_ID["background"]) & ~glass
    if face.attributes["occluder"] in ("none", "scarf"):
        assert np.array_equal(labels.depth > 0, classed)
    assert not (classed & (labels.depth == 0)).any()
    assert np.array_equal(labels.depth > 0, np.linalg.norm(labels.normals, axis=-1) > 0.5)


def test_left_is_the_persons_left() -> None:
    for seed in SEEDS:
        _, labels = sample(seed)
        rows_l, columns_l = np.nonzero(labels.segmentation == CLASS_ID["l_eye"])
        rows_r, columns_r = np.nonzero(labels.segmentation == CLASS_ID["r_eye"])
        if len(rows_l) > 20 and len(rows_r) > 20:
            assert columns_l.mean() > columns_r.mean()
    assert labels.landmarks_2d[45, 0] > labels.landmarks_2d[36, 0]


def test_the_same_sample_gives_the_same_bytes_in_any_order() -> None:
    generator = load_generator("graphics", device="cpu")
    first = generator.generate(3, 5, 128)
    generator.generate(3, 6, 128)
    again = load_generator("graphics", device="cpu").generate(3, 5, 128)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.head_vertices.tobytes() == again.head_vertices.tobytes()
    assert first.attributes == again.attributes
    other = generator.generate(4, 5, 128)
    assert first.image.tobytes() != other.image.tobytes()


def test_faces_drawn_together_look_as_they_do_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU several are drawn at once; the CPU can, too, if asked."""
    source = load_generator("graphics", device="cpu")
    indices = [3, 10, 4, 27, 12]
    alone = [source.generate(1, index, 96) for index in indices]
    assert {face.attributes["glasses"] for face in alone} > {"none"}  # some have see-through surfaces, some have none
    drawn: list[int] = []

    def shade_and_count(scenes: list[Scene], device: str) -> np.ndarray:
        drawn.append(len(scenes))
        return shade(scenes, device)

    monkeypatch.setattr(generator, "shade", shade_and_count)
    assert [len(list(source.generate_many(1, chosen, 96))) for chosen in ([], indices)] == [0, 5]
    assert drawn == [1] * 5
    monkeypatch.setattr(generator, "batch_size", {"cpu": 3}.get)
    drawn.clear()
    for face, other in zip(source.generate_many(1, indices, 96), alone, strict=True):
        assert np.array_equal(face.image, other.image)
        assert face.attributes == other.attributes
        assert np.array_equal(annotate(face).segmentation, annotate(other).segmentation)
    assert drawn == [3, 2]


def test_resolution_changes_pixels_not_the_scene() -> None:
    # Without noise, which is drawn per pixel, and without compression, whose blocks have a size in pixels.
    generator = load_generator(
        "graphics", GraphicsSettings(camera_effects=CameraEffectSettings(noise_share=0.0, jpeg_share=0.0)), "cpu"
    )
    small, large = (generator.generate(1, 2, resolution) for resolution in (96, 192))
    assert np.array_equal(small.head_vertices, large.head_vertices)
    points = [annotate(face).landmarks_2d / face.camera.width for face in (small, large)]
    assert np.abs(points[0] - points[1]).max() < 1e-4
    reduced = large.image.reshape(96, 2, 96, 2, 3).mean((1, 3))
    # Thin clumps of hair and woven patterns are finer than the pixels of the small image.
    assert np.abs(reduced - small.image).mean() < 8


def test_attributes_have_the_same_keys_and_types_every_time() -> None:
    kinds = [{name: type(value) for name, value in sample(seed)[0].attributes.items()} for seed in SEEDS]
    assert all(kind == kinds[0] for kind in kinds)
    tones = [sample(seed)[0].attributes["skin_tone"] for seed in SEEDS]
    assert -90 < min(tones) < max(tones) < 90 and max(tones) - min(tones) > 30


def test_camera_ranges_are_kept() -> None:
    settings = GraphicsSettings(
        camera=CameraSettings(azimuth_deg=(30, 30), elevation_deg=(0, 0), field_of_view_deg=(20, 20)),
        head=HeadSettings(neck_yaw_deg=(0, 0), neck_pitch_deg=(0, 0), neck_roll_deg=(0, 0)),
    )
    face = load_generator("graphics", settings, device="cpu").generate(0, 0, 128)
    position = -face.camera.world_to_camera[:3, :3].T @ face.camera.world_to_camera[:3, 3]
    assert np.degrees(np.arctan2(position[0], position[2] + 0.03)) == pytest.approx(30, abs=0.1)
    assert np.linalg.norm(position - (0, -0.03, -0.03)) == pytest.approx(1.08)
    assert 2 * np.degrees(np.arctan(64 / face.camera.intrinsics[0, 0])) == pytest.approx(20)


def test_children_and_old_people_are_sampled() -> None:
    ages = [sample(seed)[0].attributes["age"] for seed in SEEDS]
    assert min(ages) < 0.55 and max(ages) > 0.65


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CameraSettings(azimuth_deg=(20, -20)), "azimuth_deg"),
        (lambda: CameraSettings(field_of_view_deg=(0, 10)), "field_of_view_deg"),
        (lambda: CameraSettings(angle_distribution="flat"), "'flat'"),
        (lambda: HeadSettings(child_share=1.5), "1.5"),
        (lambda: load_generator("graphic"), "'graphic'"),
        (lambda: load_generator("graphics", device="tpu"), "'tpu'"),
    ],
)
def test_impossible_requests_are_refused_with_their_value(make: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()  # type: ignore[operator]
