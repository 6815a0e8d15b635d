"""A trained model with everything around it: photos and boxes in, labels in the photos' pixels out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

# Before our pipeline: its registration waits for this import and would otherwise find the module half made.
import transformers.pipelines  # noqa: F401
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from synthforge_hf.checkpoints import resolve_model
from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.models.label_finetuning.configuration_label_finetuning import SynthForgeForLabelFinetuningConfig
from synthforge_hf.models.label_finetuning.modeling_label_finetuning import SynthForgeForLabelFinetuning
from synthforge_hf.models.synthforge.configuration_synthforge import SynthForgeConfig
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.mirroring import landmark_mirror, mirror_is_known, run_both_ways
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel, SynthForgeOutput
from synthforge_hf.segmentation_classes import SEGMENTATION_CLASSES

_KINDS: dict[str, Any] = {
    SynthForgeConfig.model_type: SynthForgeModel,
    SynthForgeForLabelFinetuningConfig.model_type: SynthForgeForLabelFinetuning,
}
"""Type in config.json -> class."""


@dataclass(frozen=True)
class FaceAnalyser:
    """model, processor: as ``from_pretrained`` gives them. name: what to call the model in results.

    flip_test: average each prediction with that for the mirrored crop; None: wherever it is known what a mirrored image
    exchanges (see ``mirror_is_known``). refine: crop again around the first landmarks and predict once more.
    batch_size: faces per forward pass.
    """

    model: SynthForgeModel | SynthForgeForLabelFinetuning
    processor: SynthForgeImageProcessor
    name: str
    flip_test: bool | None = None
    refine: bool = False
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.flip_test and landmark_mirror(self.model.config) is None:
            raise UsageError(
                f"flip averaging needs to know which of the {self.model.config.num_landmarks} landmarks of {self.name} "
                "change places in a mirrored image: set mirrored_landmarks in its configuration"
            )

    @classmethod
    def load(cls, model: str, device: str = "auto", **options: Any) -> "FaceAnalyser":
        """Load a model by the name of an embedded checkpoint, a folder or a Hub repository.

        device: "auto" (CUDA if there is any), "cpu" or "cuda". options: flip_test, refine, batch_size.
        Raises UsageError or SynthForgeError when there is no such model, or it is of another kind.
        """
        folder = Path(resolve_model(model))
        kind = _model_type(folder)
        if kind not in _KINDS:
            raise UsageError(f"'{model}' is a model of type '{kind}', not one that analyses faces")
        try:
            network = _KINDS[kind].from_pretrained(folder).eval()
            processor = SynthForgeImageProcessor.from_pretrained(folder)
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise SynthForgeError(f"the model '{model}' is incomplete or damaged: {reason}") from error
        network.to(choose_device(device))
        return cls(network, processor, str(model).rstrip("/"), **options)

    @property
    def averages_mirrored(self) -> bool:
        """Whether predictions are averaged with those for the mirrored crop."""
        return mirror_is_known(self.model.config) if self.flip_test is None else self.flip_test

    @property
    def class_names(self) -> tuple[str, ...]:
        """The segmentation classes by id."""
        return tuple(self._id2label[number] for number in range(len(self._id2label)))

    @property
    def _id2label(self) -> dict[int, str]:
        return cast(dict[int, str], self.model.config.id2label)

    @property
    def parses_our_classes(self) -> bool:
        return self.class_names == SEGMENTATION_CLASSES

    def landmarks(self, photos: Sequence[Image.Image], boxes: Sequence[np.ndarray]) -> np.ndarray:
        """Return (F, P, 2) float64 landmarks in continuous pixels of the photos, for all boxes in order.

        photos: upright Pillow images. boxes: per photo (N, 4) face boxes.
        """
        faces = self.analyse(photos, boxes, masks=False)
        return np.array([face["landmarks"] for face in faces]).reshape(-1, self.model.config.num_landmarks, 2)

    def analyse(
        self,
        photos: Sequence[Image.Image],
        boxes: Sequence[np.ndarray] | None,
        masks: bool = True,
        focal_lengths: Sequence[float] | None = None,
    ) -> list[dict[str, Any]]:
        """Return one dictionary per face, as ``SynthForgeImageProcessor.post_process`` describes them.

        photos: upright Pillow images. boxes: per photo (N, 4) face boxes, or None: every whole photo is one crop.
        masks: whether to make segmentation and depth, which are as large as the photo.
        focal_lengths: per photo in pixels, for depth in metres; a typical lens is assumed without.
        """
        used = None if boxes is None else [np.asarray(each, np.float64).reshape(-1, 4) for each in boxes]
        if self.refine and used is not None and any(len(each) for each in used):
            # A first look only says where to look.
            once = self.with_options(flip_test=False)
            again = np.stack([face["face_box"] for face in once._look(photos, used, False, focal_lengths)])
            used = np.split(again, np.cumsum([len(each) for each in used])[:-1])
        return self._look(photos, used, masks, focal_lengths)

    def _look(
        self,
        photos: Sequence[Image.Image],
        boxes: list[np.ndarray] | None,
        masks: bool,
        focal_lengths: Sequence[float] | None,
    ) -> list[dict[str, Any]]:
        """One pass of the model over all faces."""
        sizes = [(photo.height, photo.width) for photo in photos]
        pixels = self.processor.preprocess(list(photos), boxes, return_tensors="pt")["pixel_values"]
        if not len(pixels):
            return []
        return self.processor.post_process(
            self._forward(pixels), sizes, boxes, masks=masks, focal_lengths=focal_lengths
        )

    @torch.inference_mode()
    def _forward(self, pixels: Tensor) -> SynthForgeOutput:
        outputs = []
        for batch in pixels.split(self.batch_size):
            batch = batch.to(self.model.device)
            outputs.append(run_both_ways(self.model, batch) if self.averages_mirrored else self.model(batch))
        parts = [name for name in outputs[0] if name != "features"]
        fields: dict[str, Any] = {part: torch.cat([output[part] for output in outputs]).float().cpu() for part in parts}
        return SynthForgeOutput(**fields)

    def with_options(self, **options: Any) -> "FaceAnalyser":
        """The same model with other options."""
        return replace(self, **options)


def choose_device(device: str) -> str:
    """Return "cpu" or "cuda". Raises UsageError for another name, or when CUDA is asked for and there is none."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device not in ("cpu", "cuda"):
        raise UsageError(f"the device is '{device}': it must be auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("the device is 'cuda', but PyTorch finds no CUDA device here: take auto or cpu")
    return device


def _model_type(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type"))
    except (OSError, ValueError, AttributeError) as problem:
        raise SynthForgeError(f"{folder / 'config.json'} cannot be read: {problem}") from problem
