"""A model like the paper's that is small enough for tests."""

from typing import Any

from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig

SMALL_UNET: dict[str, Any] = {
    "encoder_type": "unet",
    "stem_stride": 2,
    "encoder_widths": [8, 16],
    "encoder_depths": [],
    "segmentation_upsampling": 1,
    "depth_upsampling": 1,
    "depth_widths": [8],
    "hourglass_stacks": 2,
}
"""What turns ``SynthForgeConfig.mini()`` into the paper's kind of model, with UNet and hourglasses, and small."""


def small_unet(**changes: Any) -> SynthForgeConfig:
    """Return the configuration of a model like the paper's that is small enough for tests."""
    return SynthForgeConfig.mini(**(SMALL_UNET | changes))
