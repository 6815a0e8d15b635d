"""Synthetic faces with exact 3D labels, and models trained on them.

Importing this package is cheap: every name below is loaded on first use (PEP 562), and transformers' Auto classes learn
our models at the moment transformers itself is imported.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from synthforge_hf.models.registration import register_when_imported

if TYPE_CHECKING:
    from synthforge_hf.annotation.annotate import annotate as annotate
    from synthforge_hf.checkpoints import pretrained as pretrained
    from synthforge_hf.checkpoints import resolve_model as resolve_model
    from synthforge_hf.data.builder import SynthForgeBuilder as SynthForgeBuilder
    from synthforge_hf.data.generation import generate as generate
    from synthforge_hf.data.preview import preview as preview
    from synthforge_hf.data.verification import verify as verify
    from synthforge_hf.errors import SynthForgeError as SynthForgeError
    from synthforge_hf.errors import UsageError as UsageError
    from synthforge_hf.evaluation import evaluate as evaluate
    from synthforge_hf.evaluation import predict as predict
    from synthforge_hf.generators import load_generator as load_generator
    from synthforge_hf.generators.base import FaceGenerator as FaceGenerator
    from synthforge_hf.generators.base import GeneratedFace as GeneratedFace
    from synthforge_hf.hub import pull as pull
    from synthforge_hf.hub import push as push
    from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES as SEGMENTATION_CLASSES

__version__ = "0.1.0"

_HOME = {
    "annotate": "annotation.annotate",
    "pretrained": "checkpoints",
    "resolve_model": "checkpoints",
    "SynthForgeBuilder": "data.builder",
    "generate": "data.generation",
    "preview": "data.preview",
    "verify": "data.verification",
    "SynthForgeError": "errors",
    "UsageError": "errors",
    "evaluate": "evaluation",
    "predict": "evaluation",
    "load_generator": "generators",
    "FaceGenerator": "generators.base",
    "GeneratedFace": "generators.base",
    "pull": "hub",
    "push": "hub",
    "SEGMENTATION_CLASSES": "segmentation_classes",
}
"""Public name -> the module that defines it."""

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_when_imported()
