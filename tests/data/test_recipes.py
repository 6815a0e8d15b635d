"""Recipes: strict reading, checked values, one hash per content."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest

from synthforge_hf.data.recipes import Recipe, load_recipe, recipe_from_mapping, recipe_names
from synthforge_hf.data.strict_yaml import from_mapping, to_mapping
from synthforge_hf.errors import UsageError
from synthforge_hf.testing import EllipsoidCamera, EllipsoidSettings


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_load_under_their_own_name_and_survive_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe_from_mapping(recipe.to_mapping()) == recipe


def test_the_paper_s_camera_is_in_its_recipe() -> None:
    camera = load_recipe("paper").settings.camera
    assert camera.azimuth_deg == pytest.approx((-45.8366, 45.8366))
    assert camera.elevation_deg == pytest.approx((-45.8366, 45.8366))
    assert camera.field_of_view_deg == (12, 27)
    assert camera.distance_m[0] == camera.distance_m[1]


def test_a_file_fills_nested_settings_and_leaves_the_rest_at_its_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "generator: ellipsoid\nimage_format: jpeg\nellipsoid:\n  camera: {azimuth_deg: [-5, 5]}\n")
    recipe = load_recipe(path)
    assert recipe.name == "mine"
    assert recipe.settings == EllipsoidSettings(camera=EllipsoidCamera(azimuth_deg=(-5.0, 5.0)))
    assert recipe.image_format == "jpeg"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("graphics: {camera: {azimut_deg: [0, 1]}}", ["graphics.camera.azimut_deg", "graphics.camera.azimuth_deg?"]),
        ("nromals: true", ["nromals", "did you mean normals"]),
        ("graphics: {camera: {azimuth_deg: [5, 2]}}", ["graphics.camera.azimuth_deg", "[5.0, 2.0]", "low end"]),
        ("graphics: {camera: {azimuth_deg: [5]}}", ["graphics.camera.azimuth_deg", "[low, high]", "[5]"]),
        ("graphics: {camera: {azimuth_deg: 5}}", ["graphics.camera.azimuth_deg", "[low, high]", "5"]),
        ("graphics: {camera: {azimuth_deg: [0, .inf]}}", ["graphics.camera.azimuth_deg", "finite", "inf"]),
        ("graphics: {camera: {offset_m: wide}}", ["graphics.camera.offset_m", "a number", "'wide'"]),
        ("graphics: {camera: {offset_m: true}}", ["graphics.camera.offset_m", "a number", "True"]),
        ("graphics: {head: {child_share: 1.5}}", ["graphics.head", "child_share", "1.5"]),
        ("graphics: [1, 2]", ["graphics", "mapping"]),
        ("generator: camera", ["generator", "'camera'", "graphics"]),
        ("ellipsoid: {}", ["ellipsoid", "no effect"]),
        ("image_format: gif", ["image_format", "png, jpeg", "'gif'"]),
        ("jpeg_quality: 80", ["jpeg_quality", "80", "95"]),
        ("normals: 1", ["normals", "true or false"]),
        ("splits: {train: 0.5, validation: 0.4}", ["splits", "0.9"]),
        ("splits: {train: 1.5, validation: -0.5}", ["splits.train", "1.5"]),
        ("splits: {Train: 1}", ["splits", "'Train'"]),
        ("name: a b", ["name", "'a b'"]),
        ("normals: true\nnormals: false", ["normals", "twice"]),
        ("normals: [", ["not valid YAML"]),
        ("- normals", ["mapping"]),
        ("", ["mapping", "nothing"]),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_one_line_that_names_file_key_and_value(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as error:
        load_recipe(path)
    message = str(error.value)
    assert "\n" not in message
    for part in [str(path), *parts]:
        assert part in message


def test_unknown_names_and_missing_files_say_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="paper"):
        load_recipe("papre")
    with pytest.raises(UsageError, match="No such file"):
        load_recipe(tmp_path / "absent.yaml")


def test_the_hash_follows_the_content_and_nothing_else() -> None:
    recipe = Recipe(name="a", generator="ellipsoid")
    same = replace(recipe, name="b", description="other words")
    assert same.content_hash() == recipe.content_hash()
    others = [
        replace(recipe, settings=EllipsoidSettings(photos_per_identity=2)),
        replace(recipe, image_format="jpeg"),
        replace(recipe, normals=False),
        replace(recipe, splits={"train": 0.5, "test": 0.5}),
        replace(recipe, splits={"test": 0.5, "train": 0.5}),
    ]
    assert len({item.content_hash() for item in [recipe, *others]}) == 6


def test_another_generator_takes_its_own_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "normals: false\ngraphics: {camera: {offset_m: 0.01}}")
    recipe = load_recipe(path, generator="ellipsoid")
    assert recipe.settings == EllipsoidSettings()
    assert recipe.normals is False


@dataclass(frozen=True)
class Inner:
    share: float = 0.5
    names: tuple[str, ...] = ("a",)


@dataclass(frozen=True)
class Outer:
    count: int
    mode: Literal["x", "y"] = "x"
    inner: Inner = Inner()
    limit: float | None = None
    span: tuple[int, int] = (1, 2)
    shares: dict[str, float] | None = None


def test_the_loader_reads_every_kind_of_field() -> None:
    mapping = {
        "count": 3,
        "mode": "y",
        "inner": {"share": 1, "names": ["b", "c"]},
        "limit": 2,
        "span": [4, 4],
        "shares": {"k": 1},
    }
    value = from_mapping(Outer, mapping)
    assert value == Outer(3, "y", Inner(1.0, ("b", "c")), 2.0, (4, 4), {"k": 1.0})
    assert isinstance(value.limit, float)
    assert from_mapping(Outer, to_mapping(value)) == value
    assert from_mapping(Outer, {"count": 1, "limit": None}).limit is None


@pytest.mark.parametrize(
    ("mapping", "part"),
    [
        ({}, "count is missing"),
        ({"count": 1.5}, "count must be a whole number"),
        ({"count": 1, "inner": {"names": "abc"}}, "inner.names must be a list"),
        ({"count": 1, "inner": {"names": [1]}}, r"inner.names\[0\] must be text"),
        ({"count": 1, "span": [3, 2]}, r"span is \[3, 2\]"),
        ({"count": 1, "shares": {"k": "v"}}, "shares.k must be a number"),
    ],
)
def test_the_loader_refuses_wrong_types(mapping: dict, part: str) -> None:
    with pytest.raises(UsageError, match=part):
        from_mapping(Outer, mapping)
