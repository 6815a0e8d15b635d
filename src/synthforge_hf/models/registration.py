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
    "transformers.models.auto.configuration_auto": "synthforge.configuration_synthforge",
    "transformers.models.auto.modeling_auto": "synthforge.modeling_synthforge",
    "transformers.models.auto.image_processing_auto": "synthforge.image_processing_synthforge",
    "transformers.pipelines": "synthforge.pipeline_face_analysis",
    # What builds on a module of ours can only be imported once that is complete.
    "synthforge_hf.models.synthforge.configuration_synthforge": "label_finetuning.configuration_label_finetuning",
    "synthforge_hf.models.synthforge.modeling_synthforge": "label_finetuning.modeling_label_finetuning",
    "synthforge_hf.models.synthforge.image_processing_synthforge": "label_finetuning.image_processing_label_finetuning",
}
"""Module -> module of ``models`` that must be imported after it."""


def register_when_imported() -> None:
    """Import and so register our models, each when the module of transformers it belongs to is imported.

    Modules that are already imported are served at once. Calling it again changes nothing.
    """
    for theirs, ours in MODULES.items():
        wrapt.when_imported(theirs)(partial(_import, f"synthforge_hf.models.{ours}"))


def _import(name: str, module: ModuleType) -> None:
    # Where our module is what imported theirs, this finds it half imported and leaves it to finish and register itself.
    import_module(name)
