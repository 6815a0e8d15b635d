"""Recipes: all that decides what a data set holds, apart from the number of samples, the resolution and the seed.

A recipe file is YAML::

    name: paper
    description: What it is for, in a sentence.
    generator: graphics        # which generator makes the faces
    image_format: png          # or jpeg, with jpeg_quality of 95 to 100
    normals: true              # store the normals column
    splits: {train: 0.9, validation: 0.1}
    graphics: {...}            # the settings of the generator, under its own name

Recipes that come with the package lie in ``recipe_files/``; any file of one's own is named by its path. A file that
begins with ``base: faces`` changes single fields of that recipe and keeps the others.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Literal

from synthforge_hf.data.strict_yaml import canonical_json, check_keys, from_mapping, read_yaml, to_mapping
from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import FaceGenerator

DEFAULT_RECIPE = "faces"


@dataclass(frozen=True)
class GeneratorEntry:
    """Where a generator lives, as "module:name", so that nothing is imported before it is used.

    settings: the frozen dataclass of its settings. load: called as ``load(name, settings=settings, device=device)``; of
    settings with a ``max_detector_disagreement_px`` that is not None also with ``observer=``, a ``FaceObserver``.
    """

    settings: str
    load: str


GENERATORS: dict[str, GeneratorEntry] = {
    "graphics": GeneratorEntry(
        settings="synthforge_hf.generators.graphics.settings:GraphicsSettings",
        load="synthforge_hf.generators:load_generator",
    ),
    "next3d": GeneratorEntry(
        settings="synthforge_hf.generators.next3d.settings:Next3DSettings",
        load="synthforge_hf.generators:load_generator",
    ),
    "ellipsoid": GeneratorEntry(
        settings="synthforge_hf.testing:EllipsoidSettings",
        load="synthforge_hf.testing:load_ellipsoid_generator",
    ),
}
"""Every generator that a recipe may name. ``ellipsoid`` is a toy that makes tests fast."""

OBSERVER = "synthforge_hf.models.landmark_observer:LandmarkObserver"
"""Who looks at the faces of generators that ask for it, called with the device. Trained models lie above data, so it is
named here and never imported, as generators are."""


@dataclass(frozen=True)
class Recipe:
    """One recipe, checked.

    settings: the settings dataclass of ``generator``. splits: name -> share of the samples, adding up to 1.
    """

    name: str
    description: str = ""
    generator: str = "graphics"
    settings: Any = None
    image_format: Literal["png", "jpeg"] = "png"
    jpeg_quality: int = 95
    normals: bool = True
    splits: dict[str, float] = field(default_factory=lambda: {"train": 1.0})

    def __post_init__(self) -> None:
        if self.settings is None:
            object.__setattr__(self, "settings", settings_class(self.generator)())
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", self.name):
            raise UsageError(f"name is '{self.name}': use letters, digits, '-' and '_' only")
        if not 95 <= self.jpeg_quality <= 100:
            raise UsageError(f"jpeg_quality is {self.jpeg_quality}: it must lie between 95 and 100")
        for split, share in self.splits.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", split) or split == "all":
                raise UsageError(f"splits names '{split}': use small letters, digits and '_', as in train")
            if not 0 < share <= 1:
                raise UsageError(f"splits.{split} is {share}: a share lies above 0 and at most at 1")
        if abs(sum(self.splits.values()) - 1) > 1e-6:
            raise UsageError(f"splits add up to {sum(self.splits.values()):g}: they must add up to 1")

    @property
    def photos_per_identity(self) -> int:
        """How many consecutive samples show the same person, as the generator's settings say; 1 where they do not."""
        return int(getattr(self.settings, "photos_per_identity", 1))

    @property
    def kept_together(self) -> int:
        """How many consecutive samples stay in one split: one person's, and what the generator makes in one go."""
        return self.photos_per_identity * int(getattr(self.settings, "batch_size", 1))

    def to_mapping(self) -> dict[str, Any]:
        """Return the recipe as its file would hold it, all defaults written out."""
        mapping = {item.name: to_mapping(getattr(self, item.name)) for item in fields(self) if item.name != "settings"}
        return {**mapping, self.generator: to_mapping(self.settings)}

    def content_hash(self) -> str:
        """Return the SHA-256 (hex) of what decides the samples: the whole recipe but its name and description."""
        content = {key: value for key, value in self.to_mapping().items() if key not in ("name", "description")}
        # The order of splits decides which samples fall into which, and the keys of JSON objects are sorted.
        content["splits"] = list(self.splits.items())
        if background := content.get(self.generator, {}).get("background"):
            # Pictures are what their hash says, wherever they lie.
            content[self.generator]["background"] = {k: v for k, v in background.items() if k != "pictures"}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    def published(self) -> "Recipe":
        """Return the recipe as a data set shows it to others, with the same hash: where on a disk the pictures behind
        the heads lie concerns nobody, so of a folder the name remains; a repository's id stays.
        """
        background = getattr(self.settings, "background", None)
        if background is None or not background.pictures:
            return self
        background = replace(background, pictures=_public_name(background.pictures))
        return replace(self, settings=replace(self.settings, background=background))


def settings_class(generator: str) -> type:
    """Return the settings dataclass of a generator. Raises UsageError for an unknown name."""
    return _look_up(_entry(generator).settings)


def load_recipe_generator(recipe: Recipe, device: str = "auto") -> FaceGenerator:
    """Build the generator that a recipe asks for, and who looks at its faces if the recipe wants that."""
    load = _look_up(_entry(recipe.generator).load)
    wanted = getattr(recipe.settings, "max_detector_disagreement_px", None) is not None
    observer = {"observer": _look_up(OBSERVER)(device)} if wanted else {}
    return load(recipe.generator, settings=recipe.settings, device=device, **observer)


def recipe_names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("synthforge_hf.data") / "recipe_files"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path = DEFAULT_RECIPE, generator: str | None = None) -> Recipe:
    """Load a recipe that comes with the package by its name, or one's own by the path of its YAML file.

    ``generator`` overrides the recipe's generator. Raises UsageError, always one line that names file and key.
    """
    return pin_backgrounds(_load(name_or_path, generator))


def pin_backgrounds(recipe: Recipe, source: str | Path | None = None) -> Recipe:
    """Let a recipe put pictures of ``source`` (a folder, or a data set for ``datasets``) behind the heads, and record
    the hash of their names and contents in it. Without ``source``, do so for the pictures that it names itself.

    Raises UsageError when there are no such pictures or the recipe's generator takes none.
    """
    background = getattr(recipe.settings, "background", None)
    if background is None:
        if source is not None:
            raise UsageError(f"the generator '{recipe.generator}' takes no background pictures")
        return recipe
    if source is None and (not background.pictures or background.pictures_sha256):
        return recipe
    from synthforge_hf.generators.graphics.pictures import Pictures

    source = str(background.pictures if source is None else source)
    background = replace(background, pictures=source, pictures_sha256=Pictures(source).sha256())
    return replace(recipe, settings=replace(recipe.settings, background=background))


def _public_name(source: str) -> str:
    if re.fullmatch(r"[\w.-]+/[\w.-]+", source) and not Path(source).is_dir():
        return source
    return Path(os.path.abspath(source)).name or "pictures"


def _load(name_or_path: str | Path, generator: str | None) -> Recipe:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return _read(path, generator)
    with _shipped_file(str(name_or_path)) as file:
        return _read(file, generator)


def recipe_from_mapping(mapping: dict[str, Any]) -> Recipe:
    """Build a recipe from the mapping that a file or a manifest holds. Raises UsageError naming the key."""
    plain = {key: value for key, value in mapping.items() if key not in GENERATORS}
    check_keys(plain, [item.name for item in fields(Recipe) if item.name != "settings"] + list(GENERATORS), "")
    generator = plain.get("generator", "graphics")
    if not isinstance(generator, str) or generator not in GENERATORS:
        raise UsageError(f"generator is '{generator}': it must be one of {', '.join(GENERATORS)}")
    unused = [key for key in mapping if key in GENERATORS and key != generator]
    if unused:
        raise UsageError(f"the key {unused[0]} has no effect: the recipe's generator is '{generator}'")
    settings: Any = from_mapping(settings_class(generator), mapping.get(generator, {}), generator)
    return from_mapping(Recipe, {**plain, "settings": settings})


def _read(path: Path, generator: str | None) -> Recipe:
    mapping = read_yaml(path)
    base = mapping.pop("base", None)
    if base is not None:
        try:
            with _shipped_file(str(base)) as file:
                mapping = _overlay({**read_yaml(file), "name": path.stem, "description": ""}, mapping)
        except UsageError as error:
            raise UsageError(f"recipe {path}: base: {error}") from error
    if generator is not None and generator != mapping.get("generator", "graphics"):
        mapping = {key: value for key, value in mapping.items() if key not in GENERATORS} | {"generator": generator}
    mapping.setdefault("name", path.stem)
    try:
        return recipe_from_mapping(mapping)
    except UsageError as error:
        raise UsageError(f"recipe {path}: {error}") from error


@contextmanager
def _shipped_file(name: str) -> Iterator[Path]:
    if name not in recipe_names():
        raise UsageError(
            f"there is no recipe '{name}': use one of {', '.join(recipe_names())}, or the path of a .yaml file"
        )
    with resources.as_file(resources.files("synthforge_hf.data") / "recipe_files" / f"{name}.yaml") as file:
        yield file


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the values of ``above`` in place of its own; only generators' settings mix."""
    mixed = {**below, **above}
    for key in GENERATORS:
        if isinstance(below.get(key), dict) and isinstance(above.get(key), dict):
            mixed[key] = _mix(below[key], above[key])
    return mixed


def _mix(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    mixed = dict(below)
    for key, value in above.items():
        both = isinstance(below.get(key), dict) and isinstance(value, dict)
        mixed[key] = _mix(below[key], value) if both else value
    return mixed


def _entry(generator: str) -> GeneratorEntry:
    if generator not in GENERATORS:
        raise UsageError(f"there is no generator '{generator}': use one of {', '.join(GENERATORS)}")
    return GENERATORS[generator]


def _look_up(reference: str) -> Any:
    module, name = reference.split(":")
    return getattr(import_module(module), name)
