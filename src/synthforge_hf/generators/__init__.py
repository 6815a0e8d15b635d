"""Generators of labelled faces, by name."""

from dataclasses import is_dataclass
from typing import Any

from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import FaceGenerator


def load_generator(name: str, settings: Any = None, device: str = "auto") -> FaceGenerator:
    """Build a generator: "graphics" (embedded, no download) or "next3d" (the paper's, from your own licensed files).

    settings: the generator's settings dataclass (``GraphicsSettings``, ``Next3DSettings``), None for its defaults;
    those of next3d must name the converted files. device: "auto", "cpu" or "cuda".
    Raises UsageError for an unknown name, settings of another generator, or a device that is not there.
    """
    if name == "graphics":
        from synthforge_hf.generators.graphics.generator import GraphicsGenerator
        from synthforge_hf.generators.graphics.settings import GraphicsSettings

        return GraphicsGenerator(_checked(name, settings, GraphicsSettings), device=device)
    if name == "next3d":
        from synthforge_hf.generators.next3d.generator import Next3DGenerator
        from synthforge_hf.generators.next3d.settings import Next3DSettings

        return Next3DGenerator(_checked(name, settings, Next3DSettings), device=device)
    raise UsageError(f"unknown generator {name!r}: choose graphics or next3d")


def _checked(name: str, settings: Any, wanted: type) -> Any:
    if settings is None:
        return wanted()
    if not is_dataclass(settings) or not isinstance(settings, wanted):
        raise UsageError(f"the {name} generator takes {wanted.__name__}, not {type(settings).__name__}")
    return settings
