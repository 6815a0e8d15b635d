"""Recipes: strict reading, checked values, one hash per content."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image

from synthforge_hf.data.recipes import (
    DEFAULT_RECIPE,
    Recipe,
    load_recipe,
    pin_backgrounds,
    recipe_from_mapping,
    recipe_names,
)
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


def test_the_shipped_recipes_and_what_sets_them_apart() -> None:
    assert recipe_names() == ["faces", "identities", "paper", "wide"]
    assert load_recipe() == load_recipe(DEFAULT_RECIPE) == load_recipe("faces")
    wide = load_recipe("wide").settings
    assert wide.camera.azimuth_deg[1] + wide.head.neck_yaw_deg[1] == pytest.approx(90)
    assert load_recipe("identities").photos_per_identity == 10
    assert load_recipe("faces").photos_per_identity == load_recipe("wide").photos_per_identity == 1


def test_a_file_may_change_single_fields_of_a_shipped_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, "base: faces\nimage_format: png\ngraphics: {camera: {azimuth_deg: [-5, 5]}}\n")
    mine, faces = load_recipe(path), load_recipe("faces")
    assert (mine.name, mine.description, mine.image_format) == ("mine", "", "png")
    camera = replace(faces.settings.camera, azimuth_deg=(-5.0, 5.0))
    assert mine.settings == replace(faces.settings, camera=camera)
    assert mine.splits == faces.splits
    with pytest.raises(UsageError, match="base: there is no recipe 'face'"):
        load_recipe(write(tmp_path, "base: face"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (80 * number, 0, 0)).save(folder / f"{number}.png")
    return folder


def test_background_pictures_are_part_of_a_recipe_by_their_content(tmp_path: Path, pictures: Path) -> None:
    plain = load_recipe("faces")
    with_pictures = pin_backgrounds(plain, pictures)
    assert with_pictures.settings.background.pictures == str(pictures)
    assert with_pictures.content_hash() != plain.content_hash()
    assert recipe_from_mapping(with_pictures.to_mapping()) == with_pictures
    by_file = load_recipe(write(tmp_path, f"base: faces\ngraphics: {{background: {{pictures: {pictures}}}}}"))
    assert by_file.content_hash() == with_pictures.content_hash()
    moved = pictures.rename(tmp_path / "elsewhere")
    assert pin_backgrounds(plain, moved).content_hash() == with_pictures.content_hash()
    (moved / "2.png").unlink()
    assert pin_backgrounds(plain, moved).content_hash() != with_pictures.content_hash()
    with pytest.raises(UsageError, match="takes no background pictures"):
        pin_backgrounds(Recipe(name="toy", generator="ellipsoid"), moved)


def test_a_published_recipe_names_pictures_but_not_where_they_lie(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = pin_backgrounds(load_recipe("faces"), pictures)
    public = recipe.published()
    assert public.settings.background.pictures == "pictures"
    assert public.content_hash() == recipe.content_hash()
    assert public.published() == public
    plain = load_recipe("faces")
    assert plain.published() == plain

    def name(source: str) -> str:
        background = replace(recipe.settings.background, pictures=source)
        mine = replace(recipe, settings=replace(recipe.settings, background=background))
        return mine.published().settings.background.pictures

    assert name("somebody/pictures") == "somebody/pictures"
    (pictures / "holidays" / "old ones").mkdir(parents=True)
    monkeypatch.chdir(pictures)
    for source, expected in (("holidays/old ones", "old ones"), ("holidays/", "holidays"), (".", "pictures")):
        assert name(source) == expected
    assert name("/gone/folder") == "folder"
    assert name("/") == "pictures"


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
