"""``pipeline("face-analysis")`` of a self-contained repository: it brings its face detector along."""

from typing import Any

import torch

from synthforge_hf.models.face_detector import FaceDetector, SynthForgeFaceDetectorModel
from synthforge_hf.models.synthforge.pipeline_face_analysis import FaceAnalysisPipeline


class SelfContainedFaceAnalysisPipeline(FaceAnalysisPipeline):
    """Finds and analyses faces with nothing but the files of the model's repository."""

    @property
    def detector(self) -> Any:
        """The face detector in the repository's folder ``detector``; loaded when it is first needed."""
        if self._detector is None:
            revision = getattr(self.model.config, "_commit_hash", None) or "main"
            self._detector = FaceDetector(
                SynthForgeFaceDetectorModel.from_pretrained(
                    self.model.name_or_path, subfolder="detector", revision=revision, dtype=torch.float32
                )
            )
        return self._detector
