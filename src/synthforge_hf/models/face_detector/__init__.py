"""The face detector: finds face boxes in photos, with no download at run time."""

from synthforge_hf.models.face_detector.configuration_face_detector import SynthForgeFaceDetectorConfig
from synthforge_hf.models.face_detector.detection import DetectedFace, FaceDetector, load_face_detector
from synthforge_hf.models.face_detector.modeling_face_detector import FaceDetectorOutput, SynthForgeFaceDetectorModel

__all__ = [
    "DetectedFace",
    "FaceDetector",
    "FaceDetectorOutput",
    "SynthForgeFaceDetectorConfig",
    "SynthForgeFaceDetectorModel",
    "load_face_detector",
]
