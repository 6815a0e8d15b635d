"""What is worn and held: fitted to every face without cutting into it, with exact labels."""

from functools import cache

import numpy as np
import pytest
import torch

from synthforge_hf.annotation import Annotations, annotate
from synthforge_hf.errors import UsageError
from synthforge_hf.generators import load_generator
from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.generators.graphics.clothing import KINDS as CLOTHES
from synthforge_hf.generators.graphics.clothing import Wardrobe, sample_outfit
from synthforge_hf.generators.graphics.fitting import HeadFit, HeadFitter
from synthforge_hf.generators.graphics.glasses import build_glasses, sample_glasses
from synthforge_hf.generators.graphics.hair import grow_hair
from synthforge_hf.generators.graphics.hair_styles import sample_cut
from synthforge_hf.generators.graphics.headwear import KINDS as HEADWEAR
from synthforge_hf.generators.graphics.headwear import HeadwearStyle, build_headwear, sample_headwear
from synthforge_hf.generators.graphics.jewellery import build_earrings, build_necklace, sample_jewellery
from synthforge_hf.generators.graphics.occluders import KINDS as OCCLUDERS
from synthforge_hf.generators.graphics.occluders import OccluderStyle, build_occluder, sample_occluder
from synthforge_hf.generators.graphics.settings import (
    AccessorySettings,
    CameraEffectSettings,
    CameraSettings,
    GraphicsSettings,
)
from synthforge_hf.generators.graphics.torso import Torso, boundary_loops, clip_faces
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.randomness import random_stream
from synthforge_hf.rendering.camera import orbit_camera
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.rasterize import depth_map
from synthforge_hf.segmentation_classes import CLASS_ID

BARE = {
    "glasses_share": 0.0,
    "headwear_share": 0.0,
    "earrings_share": 0.0,
    "necklace_share": 0.0,
    "occluder_share": 0.0,
}
AGES = (0.02, 0.2, 0.5, 0.75, 0.97)
SKIN = np.array([0.5, 0.3, 0.2])


@cache
def fitter() -> HeadFitter:
    return HeadFitter(load_anny_head())


@cache
def person(number: int) -> tuple[np.ndarray, HeadFit]:
    """A face of random shape, age and expression, turned on its neck."""
    head = load_anny_head()
    random = np.random.default_rng(number)
    neutral = head.neutral()
    identity = neutral.identity.copy()
    identity[:2] = random.random(), AGES[number % len(AGES)]
    identity[7:] = random.normal(0, 0.3, len(identity) - 7).clip(0, 1)
    expression = neutral.expression.copy()
    expression[head.expression_names.index("jawOpen")] = number % 2
    pose = neutral.pose.copy()
    pose[0] = random.normal(0, 0.15, 3)
    vertices = head.vertices(HeadCoefficients(identity, expression, pose))
    return vertices, fitter().fit(vertices)


@cache
def sample(index: int, **shares: float) -> tuple[GeneratedFace, Annotations]:
    settings = GraphicsSettings(
        camera=CameraSettings(azimuth_deg=(-10, 10), elevation_deg=(-10, 10)),
        accessories=AccessorySettings(**(BARE | shares)),
        camera_effects=CameraEffectSettings(),
    )
    face = load_generator("graphics", settings, device="cpu").generate(21, index, 160)
    return face, annotate(face)


def test_frame_turns_with_the_head() -> None:
    vertices, fit = person(3)
    assert np.allclose(fit.rotation @ fit.rotation.T, np.eye(3), atol=1e-9)
    assert np.allclose(fit.to_world(fit.points), vertices, atol=1e-6)
    left, right = fit.landmarks[45], fit.landmarks[36]
    assert left[0] > 0.02 and right[0] < -0.02 and np.allclose(left + right, 0, atol=1e-9)


@pytest.mark.parametrize("number", range(10))
def test_glasses_stand_in_front_of_the_face_and_touch_it(number: int) -> None:
    _, fit = person(number)
    style = sample_glasses(0.5, 1.0, 0.5, random_stream(0, number, "glasses"))
    assert style is not None
    frame, bridge, lenses = build_glasses(fit, style, random_stream(0, number, "patches"))
    gaps = []
    for part in (bridge, lenses):
        points = fit.to_local(part.mesh.vertices)
        gaps.append(points[:, 2] - fit.height(points))
    assert min(gap.min() for gap in gaps) > -0.0005
    assert np.concatenate(gaps).min() < 0.02
    # The temple arms end at the ears.
    behind = fit.to_local(frame.mesh.vertices)[:, 2].min()
    assert abs(behind - fit.points[fit.fitter.ears["left"], 2].mean()) < 0.035


def test_dark_lenses_hide_the_eyes_and_clear_ones_do_not() -> None:
    seen = set()
    for index in range(14):
        bare, glasses = sample(index), sample(index, glasses_share=1.0, sunglasses_share=0.5)
        lens = glasses[0].attributes["glasses_lens"]
        eyes = np.isin(bare[1].segmentation, [CLASS_ID["l_eye"], CLASS_ID["r_eye"]])
        if lens == "none" or eyes.sum() < 12:
            continue
        seen.add("dark" if lens == "dark" else "clear")
        labels = glasses[1]
        assert (labels.segmentation == CLASS_ID["eye_g"]).sum() > 60
        kept = np.isin(labels.segmentation[eyes], [CLASS_ID["l_eye"], CLASS_ID["r_eye"]]).mean()
        assert kept < 0.35 if lens == "dark" else kept > 0.6
        assert np.array_equal(labels.landmarks_3d, bare[1].landmarks_3d)
    assert seen == {"dark", "clear"}


def occluder(kind: str) -> OccluderStyle:
    for number in range(200):
        style = sample_occluder(1.0, SKIN, random_stream(1, number, "occluder"))
        if style is not None and style.name == kind:
            return style
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", OCCLUDERS)
@pytest.mark.parametrize("number", [0, 3, 4])
def test_things_before_the_face_do_not_cut_into_it(kind: str, number: int) -> None:
    _, fit = person(number)
    first = build_occluder(fit, occluder(kind), SKIN)[0]
    points = fit.to_local(first.mesh.vertices)
    over_face = (np.abs(points[:, 0]) < 0.04 * fit.scale) & (points[:, 1] > -0.075 * fit.scale) & (points[:, 2] > -0.02)
    if kind == "scarf":
        over_face &= points[:, 1] > fit.landmarks[57, 1]
    depth = points[over_face, 2] - fit.height(points[over_face])
    assert len(depth) == 0 or depth.min() > -0.004


def test_a_mask_hides_the_mouth_but_moves_no_landmark() -> None:
    for index in range(60):
        face, labels = sample(index, occluder_share=1.0)
        if face.attributes["occluder"] == "mask":
            break
    bare = sample(index)[1]
    assert not labels.landmarks_visible[48:].any()
    assert np.array_equal(labels.landmarks_3d[17:], bare.landmarks_3d[17:])
    column, row = labels.landmarks_2d[57].astype(int)
    assert labels.segmentation[row, column] == CLASS_ID["background"]
    assert 0 < labels.depth[row, column] < bare.depth[row, column]


def hat(kind: str) -> HeadwearStyle:
    for number in range(300):
        style = sample_headwear(0.5, 1.0, random_stream(2, number, "headwear"))
        if style is not None and style.name == kind:
            return style
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", HEADWEAR)
def test_hair_goes_under_the_hat_and_only_there(kind: str) -> None:
    for number in (1, 2, 4):
        vertices, fit = person(number)
        parts, tuck = build_headwear(fit, hat(kind))
        scalp = vertices[fit.fitter.scalp]
        azimuth, polar, _ = fit.around(fit.to_local(scalp))
        covered = (polar > np.radians(40)) & (polar < np.radians(52)) & (np.abs(azimuth) > 1.8)
        hair = fit.to_world(fit.ray(azimuth, polar, np.full(len(azimuth), 0.2 * fit.scale))).astype(np.float32)
        tucked = fit.around(fit.to_local(tuck(hair)))[2]
        if kind != "headband":
            assert (tucked[covered] < 0.16 * fit.scale).all()
        chest = np.array([[0.1, -0.4, 0.05]], dtype=np.float32)
        assert np.allclose(tuck(chest), chest, atol=1e-5)
        assert all(part.label == CLASS_ID["hat"] for part in parts)
        assert np.isfinite(parts[0].mesh.vertices).all()


def seen_from_above(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(256, 256) metres to what a camera above the forehead sees."""
    camera = orbit_camera(0.0, np.radians(65), 0.0, 1.5, np.radians(16), 256)
    return depth_map(
        torch.from_numpy(np.ascontiguousarray(camera.to_camera(vertices.astype(np.float32))))[None],
        torch.from_numpy(np.ascontiguousarray(faces)),
        torch.tensor(camera.intrinsics, dtype=torch.float32)[None],
        256,
        256,
    )[0].numpy()


@pytest.mark.parametrize("cut", ["long", "wavy", "bob", "messy"])
def test_no_hair_comes_out_of_a_hat_or_lies_on_its_brim(cut: str) -> None:
    for number in range(6):
        vertices, fit = person(number)
        style = sample_cut(cut, np.random.default_rng(number))
        normals = vertex_normals(vertices, load_anny_head().faces)
        hair = grow_hair(load_anny_head(), vertices, normals, style, SKIN, np.random.default_rng(number))
        parts, tuck = build_headwear(fit, hat("brimmed hat"))
        assert hair is not None
        covering = seen_from_above(parts[0].mesh.vertices, parts[0].mesh.faces)
        for mesh in (hair.layer, hair.strands):
            under = seen_from_above(tuck(mesh.vertices), mesh.faces)
            both = (covering > 0) & (under > 0)
            assert both.sum() > 1000
            assert (under < covering)[both].sum() <= 2


@pytest.mark.parametrize("number", range(6))
def test_jewellery_hangs_at_ears_and_neck(number: int) -> None:
    vertices, fit = person(number)
    style = sample_jewellery(0.0, 0.5, 1.0, 1.0, random_stream(3, number, "jewellery"))
    (earrings,) = build_earrings(fit, style)
    points = fit.to_local(earrings.mesh.vertices)
    for side, sign in (("left", 1), ("right", -1)):
        ear = fit.points[fit.fitter.ears[side]]
        hung = points[points[:, 0] * sign > 0]
        assert np.linalg.norm(hung[:, None] - ear[None], axis=2).min() < 0.003
        assert hung[:, 1].max() < ear[:, 1].min() + 0.02
    (necklace,) = build_necklace(vertices, fit, style, [])
    away = np.linalg.norm(necklace.mesh.vertices - vertices[fit.fitter.throat].mean(0), axis=1)
    assert away.min() > 0.02 and away.max() < 0.25


def test_the_body_has_no_open_end_but_the_neck() -> None:
    head = load_anny_head()
    torso = Torso(head, np.zeros((len(head.template), 2), dtype=np.float32))
    for number in range(4):
        points = torso.points(person(number)[0])
        for loop in boundary_loops(torso.faces):
            size = np.ptp(points[loop], axis=0).max()
            assert size < 0.01 or points[loop, 1].mean() > -0.25


def test_cut_keeps_exactly_the_inside() -> None:
    row, column = np.meshgrid(np.arange(9), np.arange(9), indexing="ij")
    points = np.stack([column, row], axis=-1).reshape(-1, 2) / 8.0
    corner = (row[:-1, :-1] * 9 + column[:-1, :-1]).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 10], 1), np.stack([corner, corner + 10, corner + 9], 1)]
    )
    inside = points[:, 0] + 0.5 * points[:, 1] - 0.4
    kept, between, share, _ = clip_faces(faces, inside)
    cuts = points[between[:, 0]] * (1 - share[:, None]) + points[between[:, 1]] * share[:, None]
    assert np.allclose(cuts[:, 0] + 0.5 * cuts[:, 1], 0.4)
    first, second, third = (np.concatenate([points, cuts])[kept[:, k]] for k in range(3))
    a, b = second - first, third - first
    area = 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    # Left out is x < 0.4 - y / 2 of the unit square: a triangle of 0.4 by 0.8.
    assert (area > -1e-12).all() and area.sum() == pytest.approx(1 - 0.5 * 0.4 * 0.8)


def test_every_garment_fits_every_body() -> None:
    head = load_anny_head()
    wardrobe = Wardrobe(Torso(head, np.zeros((len(head.template), 2), dtype=np.float32)))
    wanted = set(CLOTHES)
    for number in range(200):
        outfit = sample_outfit(number % 2, 0.5, random_stream(4, number, "clothes"))
        if outfit.name not in wanted:
            continue
        wanted.remove(outfit.name)
        vertices, fit = person(number % 5)
        parts = wardrobe.dress(vertices, fit, outfit)
        points = np.concatenate([part.mesh.vertices for part in parts])
        assert np.isfinite(points).all()
        assert points[:, 1].max() < fit.to_world(fit.landmarks[30:31])[0, 1]
    assert not wanted


def test_shares_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="glasses_share"):
        AccessorySettings(glasses_share=1.5)


@pytest.mark.parametrize("number", range(6))
def test_lenses_are_flat_in_their_middle(number: int) -> None:
    """All normals there agree: a cone would shine like a star."""
    _, fit = person(number)
    style = sample_glasses(0.5, 1.0, 1.0, random_stream(0, number, "glasses"))
    assert style is not None
    lenses = build_glasses(fit, style, random_stream(0, number, "patches"))[-1].mesh
    middle = lenses.normals[np.linalg.norm(lenses.vertices - lenses.vertices[0], axis=1) < 1e-6]
    mean = middle.mean(axis=0) / np.linalg.norm(middle.mean(axis=0))
    assert len(middle) > 10 and np.degrees(np.arccos(np.clip(middle @ mean, -1, 1))).max() < 1.5
