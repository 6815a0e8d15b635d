"""Training data of the face detector: scenes composed on the fly from synthetic faces."""

from synthforge_hf.training.face_detector.faces import FacePool
from synthforge_hf.training.face_detector.scenes import Scene, SceneComposer

__all__ = ["FacePool", "Scene", "SceneComposer"]
