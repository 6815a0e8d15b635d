"""Tell transformers about our models as soon as it is imported, without importing it ourselves.

``import synthforge_hf`` must stay light (``synthforge --help`` answers at once) and still be all that ``AutoModel`` and
``pipeline("face-analysis")`` need. Each of our modules registers its class at its own end; here they are imported when
the transformers module that should know them is.
"""

from functools import partial
from importlib import import_module
from types import ModuleType

import wrapt

MODULES = {
    "transformers.models.auto.configuration_auto": "configuration_synthforge",
    "transformers.models.auto.modeling_auto": "modeling_synthforge",
    "transformers.models.auto.image_processing_auto": "image_processing_synthforge",
    "transformers.pipelines": "pipeline_face_analysis",
}
"""Module of transformers -> module of ``models.synthforge`` that must be imported after it."""


def register_when_imported() -> None:
    """Import and so register our models, each when the module of transformers it belongs to is imported.

    Modules that are already imported are served at once. Calling it again changes nothing.
    """
    for theirs, ours in MODULES.items():
        wrapt.when_imported(theirs)(partial(_import, f"synthforge_hf.models.synthforge.{ours}"))


def _import(name: str, module: ModuleType) -> None:
    # Where our module is what imported theirs, this finds it half imported and leaves it to finish and register itself.
    import_module(name)
