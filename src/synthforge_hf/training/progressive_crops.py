"""Progressive resizing (as of EfficientNetV2): a run begins with smaller crops, which are faster."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from synthforge_hf.errors import UsageError
from synthforge_hf.training.augmentation import CropMaker


class ProgressiveCrops:
    """Training crops whose side depends on how far the run is.

    make: side in pixels -> what cuts such crops. image_size: the model's. stride: of what sides must be multiples.
    small: the first crops' side, 0 = none are smaller. share: of the run that these take.
    Raises UsageError for a side that the model cannot take.
    """

    def __init__(
        self, make: Callable[[int], CropMaker], image_size: int, stride: int, small: int, share: float
    ) -> None:
        if small and (small > image_size or small % stride):
            raise UsageError(
                f"small_image_size must be a multiple of {stride} up to the model's image_size {image_size}, "
                f"got {small}"
            )
        self.full = make(image_size)
        self.small, self.share = make(small) if small else None, share

    def augmented(
        self, windows: Mapping[str, Tensor], generator: torch.Generator, fraction: float
    ) -> dict[str, Tensor]:
        """As ``CropMaker.augmented``. fraction: of the run that is over."""
        small = self.small if fraction < self.share else None
        return (small or self.full).augmented(windows, generator)
