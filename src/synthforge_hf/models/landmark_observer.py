"""Does somebody who sees only a generated image find the face where its labels are? The filter of the SynthForge paper.

The released code threw a face away in which a landmark detector saw no face, or saw the 68 points on average more than
11 of 512 pixels from the labels. Here the embedded detector and the embedded model look; they know the jaw that follows
the visible contour, as the labels do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

# Before our pipeline: its registration waits for this import and would otherwise find the module half made.
import transformers.pipelines  # noqa: F401
from PIL import Image
from transformers.utils import logging

from synthforge_hf.annotation.landmarks import landmarks
from synthforge_hf.checkpoints import pretrained
from synthforge_hf.converted_folder import file_sha256
from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.models.face_detector import load_face_detector
from synthforge_hf.models.synthforge.image_processing_synthforge import SynthForgeImageProcessor
from synthforge_hf.models.synthforge.modeling_synthforge import SynthForgeModel
from synthforge_hf.models.synthforge.pipeline_face_analysis import FaceAnalysisPipeline

REFERENCE_SIDE = 512
"""Distances are pixels of an image with this side."""


class LandmarkObserver:
    """``FaceObserver`` with the embedded checkpoints ``detector`` and ``mini``.

    device: "auto" (CUDA if there is any), "cpu" or "cuda".
    """

    def __init__(self, device: str = "auto") -> None:
        place = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
        folder = pretrained()
        with _silent():
            detector = load_face_detector()
            model = SynthForgeModel.from_pretrained(folder["mini"]).eval()
            processor = SynthForgeImageProcessor.from_pretrained(folder["mini"])
        detector.model.to(place)
        self._analyse = FaceAnalysisPipeline(
            model=model, image_processor=processor, task="face-analysis", detector=detector, device=place
        )
        weights = {name: file_sha256(Path(folder[name]) / "model.safetensors")[:12] for name in ("detector", "mini")}
        self.version = ", ".join(f"{name} {digest}" for name, digest in weights.items())

    def disagreement_px(self, face: GeneratedFace) -> float:
        """Return how far, on average, the 68 points seen are from the labels; of several faces seen, the nearest's.

        In pixels of an image of 512 x 512; infinite where no face is seen.
        """
        _, labels = landmarks(face)
        found = self._analyse(Image.fromarray(face.image))
        distances = [np.linalg.norm(seen["landmarks"] - labels, axis=1).mean() for seen in found]
        return float(min(distances, default=np.inf)) * REFERENCE_SIDE / face.camera.width


@contextmanager
def _silent() -> Iterator[None]:
    """Load weights without progress bars: every worker process of a generation loads them."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
