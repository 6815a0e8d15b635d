"""Tell transformers about our models as soon as it is imported, without importing it ourselves.

``import synthforge_hf`` must stay light (``synthforge --help`` answers at once) and still be all that ``AutoModel`` and
``pipeline("face-analysis")`` need. So registration hangs on the import of transformers' own modules.
"""

from types import ModuleType

import wrapt


def register_when_imported() -> None:
    """Register configurations, models, image processors and pipelines, each when the transformers module it belongs to
    is imported.

    Modules that are already imported are served at once. Calling it again changes nothing.
    """
    global _hooked
    if _hooked:
        return
    _hooked = True
    wrapt.when_imported("transformers.models.auto.modeling_auto")(_register_models)
    wrapt.when_imported("transformers.models.auto.image_processing_auto")(_register_image_processors)
    wrapt.when_imported("transformers.models.auto.configuration_auto")(_register_configurations)
    wrapt.when_imported("transformers.pipelines")(_register_pipelines)


_hooked = False


def _register_configurations(module: ModuleType) -> None:
    from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig

    module.AutoConfig.register(SynthForgeConfig.model_type, SynthForgeConfig, exist_ok=True)


def _register_models(module: ModuleType) -> None:
    from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
    from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel

    module.AutoModel.register(SynthForgeConfig, SynthForgeModel, exist_ok=True)


def _register_image_processors(module: ModuleType) -> None:
    from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
    from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor

    classes = {"pil": SynthForgeImageProcessor}
    module.AutoImageProcessor.register(SynthForgeConfig, image_processor_classes=classes, exist_ok=True)


def _register_pipelines(module: ModuleType) -> None:
    from transformers import AutoModel

    from synthforge_hf.models.synthforge.pipeline_face_analysis import FaceAnalysisPipeline

    if FaceAnalysisPipeline.task_name not in module.PIPELINE_REGISTRY.get_supported_tasks():
        module.PIPELINE_REGISTRY.register_pipeline(
            FaceAnalysisPipeline.task_name, pipeline_class=FaceAnalysisPipeline, pt_model=AutoModel, type="image"
        )
