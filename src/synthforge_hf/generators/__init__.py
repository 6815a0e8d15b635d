"""Generators of labelled faces, by name."""

from dataclasses import is_dataclass
from typing import Any

from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import FaceGenerator


def load_generator(name: str, settings: Any = None, device: str = "auto") -> FaceGenerator:
    """Build a generator: "graphics" (embedded, no download).

    settings: the generator's settings dataclass (``GraphicsSettings``), None for its defaults. device: "auto", "cpu"
    or "cuda".
    Raises UsageError for an unknown name, settings of another generator, or a device that is not there.
    """
    if name != "graphics":
        raise UsageError(f"unknown generator {name!r}: choose graphics")
    from synthforge_hf.generators.graphics.generator import GraphicsGenerator
    from synthforge_hf.generators.graphics.settings import GraphicsSettings

    if settings is None:
        settings = GraphicsSettings()
    if not is_dataclass(settings) or not isinstance(settings, GraphicsSettings):
        raise UsageError(f"the graphics generator takes GraphicsSettings, not {type(settings).__name__}")
    return GraphicsGenerator(settings, device=device)
