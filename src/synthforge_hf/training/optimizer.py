"""What is trained at which rate."""

import torch

from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.training.finetuning_settings import FinetuningSettings
from synthforge_hf.training.settings import TrainingSettings


def optimizer_for(
    model: SynthForgeModel | SynthForgeForLabelFinetuning, settings: TrainingSettings | FinetuningSettings
) -> torch.optim.Optimizer:
    """AdamW with one learning rate for the encoder and one for the rest, no weight decay on biases and norms."""
    backbone = model.backbone if isinstance(model, SynthForgeForLabelFinetuning) else model
    encoder = {id(parameter) for parameter in backbone.encoder_parameters()}
    groups = []
    for in_encoder, rate in ((True, settings.encoder_learning_rate), (False, settings.learning_rate)):
        for decays in (True, False):
            parameters = [
                parameter
                for parameter in model.parameters()
                if parameter.requires_grad
                and (id(parameter) in encoder) == in_encoder
                and (parameter.ndim > 1) == decays
            ]
            if parameters:
                groups.append(
                    {"params": parameters, "lr": rate, "weight_decay": settings.weight_decay if decays else 0.0}
                )
    return torch.optim.AdamW(groups, fused=True)
