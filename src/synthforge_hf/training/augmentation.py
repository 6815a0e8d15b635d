"""From windows to model inputs: random crops and photometric changes for training, the nominal crop for validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from synthforge_hf.annotation.landmarks import MIRRORED_LANDMARKS
from synthforge_hf.data.schema import DEPTH_UNIT
from synthforge_hf.models.synthforge.losses import IGNORED_CLASS
from synthforge_hf.segmentation_classes import MIRRORED_CLASSES
from synthforge_hf.training.geometry import (
    GeometrySettings,
    move_points,
    nominal_homographies,
    random_homographies,
    sample_images,
    sample_labels,
    sampling_grid,
)
from synthforge_hf.training.photometry import Photometry, PhotometrySettings


@dataclass(frozen=True)
class AugmentationSettings:
    """The two halves of augmentation."""

    geometry: GeometrySettings = field(default_factory=GeometrySettings)
    photometry: PhotometrySettings = field(default_factory=PhotometrySettings)


class CropMaker:
    """Cuts model inputs and labels out of batches of windows (see ``FaceWindows``).

    image_size, grid_size: sides of the model's input and of its label grid. margin: of the windows. mean, std: per
    channel, as in the image processor. canonical_depth: depth is that of a canonical camera (see ``windows``).
    mirrored_classes: pairs of class ids that change places in a mirrored image. mirrored_landmarks: permutation.
    device: where crops are made, whatever device the windows come from; generators must be of the same one.
    """

    def __init__(
        self,
        settings: AugmentationSettings,
        image_size: int,
        grid_size: int,
        margin: float,
        mean: Sequence[float],
        std: Sequence[float],
        canonical_depth: bool = False,
        mirrored_classes: Sequence[tuple[int, int]] = MIRRORED_CLASSES,
        mirrored_landmarks: Sequence[int] = tuple(MIRRORED_LANDMARKS.tolist()),
        device: torch.device | str = "cpu",
    ) -> None:
        self.settings, self.image_size, self.grid_size, self.margin = settings, image_size, grid_size, margin
        self.canonical_depth = canonical_depth
        self.device = torch.device(device)
        with self.device:
            self.photometry = Photometry(settings.photometry, image_size)
            self.mean, self.std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
            self.landmark_order = torch.tensor(mirrored_landmarks)
            self.class_order = torch.arange(256, dtype=torch.uint8)
        for left, right in mirrored_classes:
            self.class_order[left], self.class_order[right] = right, left

    def nominal(self, windows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the centred crops, unchanged: what the image processor would make of the same face boxes."""
        with self.device:
            homographies = nominal_homographies(len(windows["image"]), self.margin)
            return self._crop(self._here(windows), homographies, None, None)

    def augmented(self, windows: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return randomly changed crops; the same generator state gives the same crops.

        Result: pixel_values (B, 3, S, S) float32; landmarks (B, P, 2) float32 in [0, 1] of the crop; segmentation (B,
        G, G) int64, 255
        where unknown or occluded; depth (B, G, G) float32 metres, 0 = none or occluded. Labels that windows lack are
        left out.
        """
        with self.device:
            homographies, mirrored = random_homographies(
                len(windows["image"]), self.margin, self.settings.geometry, generator
            )
            return self._crop(self._here(windows), homographies, mirrored, generator)

    def _here(self, windows: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: value.to(self.device, non_blocking=True) for name, value in windows.items()}

    def _crop(
        self,
        windows: Mapping[str, Tensor],
        homographies: Tensor,
        mirrored: Tensor | None,
        generator: torch.Generator | None,
    ) -> dict[str, Tensor]:
        images = sample_images(windows["image"], sampling_grid(homographies, self.image_size))
        hidden = None
        if generator is not None:
            images, hidden = self.photometry(images, generator)
            hidden = _shrink(hidden, self.grid_size)
        crops = {"pixel_values": images.sub_(self.mean).div_(self.std)}
        if "landmarks" in windows:
            points = move_points(windows["landmarks"], homographies)
            if mirrored is not None:
                points = torch.where(mirrored[:, None, None], points[:, self.landmark_order], points)
            crops["landmarks"] = points
        grid = sampling_grid(homographies, self.grid_size)
        if "segmentation" in windows:
            classes = sample_labels(windows["segmentation"], grid, IGNORED_CLASS)
            if mirrored is not None:
                classes[mirrored] = self.class_order[classes[mirrored].long()]
            if hidden is not None:
                classes[hidden] = IGNORED_CLASS
            crops["segmentation"] = classes.long()
        if "depth" in windows:
            metres = sample_labels(windows["depth"].int(), grid, 0).float() * DEPTH_UNIT
            if self.canonical_depth:
                # A wider crop has a shorter focal length in crop sides, so the canonical camera stands further away.
                metres *= homographies[:, :2, :2].det().abs().sqrt()[:, None, None] * self.margin
            if hidden is not None:
                metres[hidden] = 0.0
            crops["depth"] = metres
        return crops


def _shrink(mask: Tensor, size: int) -> Tensor:
    """Read a (B, S, S) mask at the centres of a coarser grid's cells."""
    steps = ((torch.arange(size) + 0.5) * (mask.shape[-1] / size)).floor().long()
    return mask[:, steps][:, :, steps]
