"""Configuration of the face detector."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class SynthForgeFaceDetectorConfig(PreTrainedConfig):
    r"""
    channels: feature channels at strides 4, 8, 16 and 32.
    depths: residual blocks at those strides.
    neck_channels: channels of the feature pyramid that carries coarse context back to stride 8.
    detection_sizes: the photo is searched at each of these longest sides, pixels, in ascending order. The first finds
        faces that fill the frame, the later ones small faces in large photos; a later size is left out for photos of
        less than 1.25 times that size.
    score_threshold: finds below this score are dropped.
    finer_margin: added to the threshold at the later sizes, where ears, hands and patterns come to the size of faces.
    iou_threshold: of two finds that overlap more than this, the lower score is dropped.
    max_faces: at most this many finds are returned.
    image_mean, image_std: RGB normalisation of pixel values in [0, 1].
    """

    model_type = "synthforge_face_detector"

    channels: list[int] | tuple[int, ...] = (24, 40, 80, 112)
    depths: list[int] | tuple[int, ...] = (0, 1, 3, 3)
    neck_channels: int = 48
    detection_sizes: list[int] | tuple[int, ...] = (192, 384)
    score_threshold: float = 0.35
    finer_margin: float = 0.1
    iou_threshold: float = 0.4
    max_faces: int = 100
    image_mean: list[float] | tuple[float, ...] = (0.5, 0.5, 0.5)
    image_std: list[float] | tuple[float, ...] = (0.25, 0.25, 0.25)

    def __post_init__(self, **kwargs: Any) -> None:
        if len(self.channels) != 4 or len(self.depths) != 4:
            raise ValueError(
                f"channels and depths need one number for each of the strides 4, 8, 16 and 32; "
                f"got {self.channels} and {self.depths}"
            )
        if not self.detection_sizes or any(size % 32 for size in self.detection_sizes):
            raise ValueError(f"detection_sizes must be multiples of 32, got {self.detection_sizes}")
        self.detection_sizes = sorted(self.detection_sizes)
        super().__post_init__(**kwargs)


__all__ = ["SynthForgeFaceDetectorConfig"]
