"""The label fine-tuning model sees photos as its backbone does."""

from transformers import AutoImageProcessor

from synthforge_hf.models.label_finetuning.configuration_label_finetuning import SynthForgeForLabelFinetuningConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor

AutoImageProcessor.register(
    SynthForgeForLabelFinetuningConfig, image_processor_classes={"pil": SynthForgeImageProcessor}, exist_ok=True
)
