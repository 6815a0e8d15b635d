"""Hair of every style: sound meshes that cover what they should, the same every time."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from synthforge_hf.generators.graphics.expression import sample_pose
from synthforge_hf.generators.graphics.hair import Hair, grow_hair
from synthforge_hf.generators.graphics.hair_strands import Strands, ribbons
from synthforge_hf.generators.graphics.hair_styles import HairStyle, sample_cut, sample_hair_style
from synthforge_hf.generators.graphics.identity import sample_identity
from synthforge_hf.generators.graphics.settings import HeadSettings
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.heads.base import HeadCoefficients
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh

CUTS = ("buzz", "short", "messy", "swept back", "curly", "afro", "bob", "long", "wavy", "bun", "ponytail")
COLOUR = np.array([0.05, 0.03, 0.02])


@cache
def person(seed: int) -> tuple[np.ndarray, np.ndarray]:
    head = load_anny_head()
    random = np.random.default_rng(seed)
    identity = sample_identity(head, HeadSettings(), random)
    expression = np.zeros(len(head.expression_names), dtype=np.float32)
    vertices = head.vertices(HeadCoefficients(identity, expression, sample_pose(head, HeadSettings(), random)))
    return vertices, vertex_normals(vertices, head.faces)


def grown(style: HairStyle, seed: int) -> Hair:
    hair = grow_hair(load_anny_head(), *person(seed), style, COLOUR, np.random.default_rng(seed))
    assert hair is not None
    return hair


def check_mesh(mesh: ShadedMesh) -> None:
    number = len(mesh.vertices)
    assert mesh.faces.dtype == np.int32 and mesh.faces.min() >= 0 and mesh.faces.max() < number
    assert (mesh.materials == Material.HAIR).all() and len(mesh.materials) == len(mesh.faces)
    for values in (mesh.vertices, mesh.normals, mesh.uv, mesh.directions, mesh.occlusion, mesh.colours):
        assert values.dtype == np.float32 and len(values) == number and np.isfinite(values).all()
    assert np.abs(np.linalg.norm(mesh.normals, axis=1) - 1).max() < 0.05
    assert mesh.occlusion.min() >= 0 and mesh.occlusion.max() <= 1


@pytest.mark.parametrize("cut", CUTS)
def test_every_cut_gives_sound_meshes_near_the_head(cut: str) -> None:
    for seed in range(3):
        hair = grown(sample_cut(cut, np.random.default_rng(seed)), seed)
        check_mesh(hair.layer)
        check_mesh(hair.strands)
        assert hair.wisps is not None
        check_mesh(hair.wisps)
        crown = person(seed)[0][:, 1].max()
        assert hair.strands.vertices[:, 1].max() > crown - 0.01
        assert np.linalg.norm(hair.strands.vertices - person(seed)[0].mean(0), axis=1).max() < 0.6


def test_little_detail_draws_fewer_and_wider_clumps_of_the_same_hair() -> None:
    style = sample_cut("long", np.random.default_rng(0))
    full = grown(style, 0)
    half = grow_hair(load_anny_head(), *person(0), style, COLOUR, np.random.default_rng(0), detail=0.5)
    assert half is not None
    check_mesh(half.strands)
    assert len(half.strands.faces) == pytest.approx(0.5 * len(full.strands.faces), rel=0.02)
    assert np.array_equal(half.layer.vertices, full.layer.vertices)
    assert half.wisps is None and full.wisps is not None

    def sides(mesh: ShadedMesh) -> tuple[np.ndarray, np.ndarray]:
        left, right = mesh.vertices.reshape(-1, 2, 3).swapaxes(0, 1)
        return 0.5 * (left + right), np.linalg.norm(right - left, axis=1)

    (middle, width), (more, narrow) = sides(half.strands), sides(full.strands)
    distance = np.linalg.norm(middle[::37, None] - more, axis=2)
    assert distance.min(1).max() < 1e-5
    assert np.median(width[::37] / narrow[distance.argmin(1)]) == pytest.approx(0.5**-0.7, rel=1e-3)


def test_nobody_grows_hair_on_a_bald_head() -> None:
    assert grow_hair(load_anny_head(), *person(0), HairStyle("bald"), COLOUR, np.random.default_rng(0)) is None


def test_long_hair_falls_past_the_chin_and_stays_outside_the_body() -> None:
    head = load_anny_head()
    for seed in range(3):
        vertices, normals = person(seed)
        style = sample_cut("long", np.random.default_rng(seed))
        hair = grown(style, seed).strands.vertices
        chin = vertices[head.landmark_model.triangles[8]].mean(0)
        assert hair[:, 1].min() < chin[1] - 0.03
        skin = np.unique(head.faces[head.parts == head.part_names.index("skin")])
        chosen = hair[hair[:, 1] < chin[1]][::37]
        nearest = skin[((chosen[:, None] - vertices[skin]) ** 2).sum(-1).argmin(1)]
        depth = np.einsum("na,na->n", chosen - vertices[nearest], normals[nearest])
        # Where locks part in front of and behind a shoulder, some pass through it, unseen.
        assert np.mean(depth < -0.010) < 0.10


def test_short_hair_leaves_the_brows_free() -> None:
    head = load_anny_head()
    vertices, _ = person(1)
    hair = grown(HairStyle("short", flow="sweep", parting=20.0), 1).strands.vertices
    brow = vertices[head.landmark_model.triangles[19]].mean(0)
    front = hair[(np.abs(hair[:, 0]) < 0.03) & (hair[:, 2] > brow[2] - 0.05)]
    assert len(front) and front[:, 1].min() > brow[1] + 0.005


def test_bangs_reach_further_down_than_no_bangs() -> None:
    def lowest_over_forehead(reach: float, seed: int) -> float:
        points = grown(HairStyle("short", fringe=reach), seed).strands.vertices
        return float(points[(np.abs(points[:, 0]) < 0.02) & (points[:, 2] > -0.02), 1].min())

    # How far depends on the person's forehead.
    drops = [lowest_over_forehead(0.0, seed) - lowest_over_forehead(12.0, seed) for seed in range(4)]
    assert min(drops) > 0.002 and np.mean(drops) > 0.007


def test_what_the_camera_cannot_see_is_left_out_and_the_rest_stays() -> None:
    style, camera = HairStyle("short"), np.array([0.0, 0.0, 1.2])
    whole = grown(style, 0)
    seen = grow_hair(load_anny_head(), *person(0), style, COLOUR, np.random.default_rng(0), seen_from=camera)
    assert seen is not None and seen.wisps is not None and whole.wisps is not None
    assert len(seen.strands.vertices) < 0.9 * len(whole.strands.vertices)
    assert {row.tobytes() for row in seen.strands.vertices} <= {row.tobytes() for row in whole.strands.vertices}
    # Nothing in front of the ears is lost, and other photos of the person show the same single hairs.
    for all_of_it, part in ((whole.strands, seen.strands), (whole.wisps, seen.wisps)):
        front = [{row.tobytes() for row in mesh.vertices if row[2] > 0} for mesh in (all_of_it, part)]
        assert front[0] == front[1]


def test_of_a_clump_the_triangles_that_turn_away_are_left_out() -> None:
    # Three clumps up a ball's meridians, in front, at the side and behind; the camera is in front.
    angle = np.radians([0.0, 70.0, 180.0])
    height = np.linspace(-0.05, 0.05, 6)
    outward = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)[:, None] * np.ones((1, 6, 1))
    points = 0.1 * outward + height[:, None] * np.array([0.0, 1.0, 0.0])
    flat = Strands(points, outward, np.full(3, 0.004), np.ones(3), np.ones((1, 1, 3), np.float32), np.zeros(3))
    whole = ribbons(flat, np.random.default_rng(0))
    seen = ribbons(flat, np.random.default_rng(0), seen_from=np.array([0.0, 0.0, 1.2]))
    assert (len(whole.vertices), len(whole.faces)) == (3 * 12, 3 * 10)
    # The one behind is no longer there; the one at the side still shows in the outline.
    assert np.array_equal(seen.vertices, whole.vertices[:24]) and np.array_equal(seen.faces, whole.faces[:20])
    # Turned over, the front one is left without triangles, and stays in place for the others' numbers.
    turned = ribbons(replace(flat, roll=np.array([np.pi, 0.0, 0.0])), np.random.default_rng(0), np.array([0, 0, 1.2]))
    assert len(turned.vertices) == 24 and np.array_equal(turned.faces, whole.faces[10:20])


def test_the_same_random_numbers_grow_the_same_hair() -> None:
    style = sample_cut("wavy", np.random.default_rng(0))
    first, second = grown(style, 1), grown(style, 1)
    assert first.strands.vertices.tobytes() == second.strands.vertices.tobytes()
    assert first.wisps is not None and second.wisps is not None
    assert first.wisps.colours.tobytes() == second.wisps.colours.tobytes()


def test_shares_are_those_asked_for() -> None:
    random = np.random.default_rng(0)

    def names(gender: float, age: float, bald: float, long: float) -> list[str]:
        return [sample_hair_style(gender, age, bald, long, random).name for _ in range(300)]

    assert set(names(0.0, 0.02, 0.1, 0.4)) == {"bald"}
    assert "bald" not in names(0.0, 0.7, 0.5, 0.4)
    assert np.mean(np.array(names(1.0, 0.7, 0.25, 0.4)) == "bald") == pytest.approx(0.5, abs=0.1)
    hanging = ("bob", "long", "wavy", "bun", "ponytail")
    assert np.isin(names(0.0, 0.5, 0.0, 0.4), hanging).mean() == pytest.approx(0.7, abs=0.1)
    assert np.isin(names(1.0, 0.4, 0.0, 0.4), hanging).mean() == pytest.approx(0.1, abs=0.06)
    assert not np.isin(names(0.0, 0.5, 0.0, 0.0), hanging).any()


def test_a_bare_crown_leaves_a_ring_at_the_sides_and_the_back() -> None:
    hair = grown(HairStyle("short", bare_crown=50.0, recession=20.0), 1).strands
    used = hair.vertices[np.unique(hair.faces)]
    crown = person(1)[0][:, 1].max()
    full = grown(HairStyle("short"), 1).strands.vertices[:, 1].max()
    assert full > crown - 0.005 > used[:, 1].max()
    assert used[:, 2].min() < person(1)[0][:, 2].min() + 0.06
