"""Generators of labelled faces, by name."""

from dataclasses import is_dataclass
from typing import Any

from synthforge_hf.errors import UsageError
from synthforge_hf.generators.base import FaceGenerator, FaceObserver


def load_generator(
    name: str, settings: Any = None, device: str = "auto", observer: FaceObserver | None = None
) -> FaceGenerator:
    """Build a generator: "graphics" (embedded, no download) or "next3d" (the paper's, from your own licensed files).

    settings: the generator's settings dataclass (``GraphicsSettings``, ``Next3DSettings``), None for its defaults;
    those of next3d must name the converted files. device: "auto", "cpu" or "cuda". observer: looks at the faces
    of a generator whose settings ask for that (``Next3DSettings.max_detector_disagreement_px``), such as
    ``models.landmark_observer.LandmarkObserver``; loading by recipe finds it by itself.
    Raises UsageError for an unknown name, settings of another generator or without the observer that they need, or a
    device that is not there.
    """
    if name == "graphics":
        from synthforge_hf.generators.graphics.generator import GraphicsGenerator
        from synthforge_hf.generators.graphics.settings import GraphicsSettings

        return GraphicsGenerator(_checked(name, settings, GraphicsSettings), device=device)
    if name == "next3d":
        from synthforge_hf.generators.next3d.generator import Next3DGenerator
        from synthforge_hf.generators.next3d.settings import Next3DSettings

        return Next3DGenerator(_checked(name, settings, Next3DSettings), device=device, observer=observer)
    raise UsageError(f"unknown generator {name!r}: choose graphics or next3d")


def _checked(name: str, settings: Any, wanted: type) -> Any:
    if settings is None:
        return wanted()
    if not is_dataclass(settings) or not isinstance(settings, wanted):
        raise UsageError(f"the {name} generator takes {wanted.__name__}, not {type(settings).__name__}")
    return settings
