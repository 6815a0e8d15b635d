"""The embedded models look at generated faces whose labels are right, moved, or of somebody else."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from synthforge_hf.generators import load_generator
from synthforge_hf.generators.base import GeneratedFace
from synthforge_hf.models.landmark_observer import LandmarkObserver


@pytest.fixture(scope="module")
def observer() -> LandmarkObserver:
    return LandmarkObserver("cpu")


@pytest.fixture(scope="module")
def face() -> GeneratedFace:
    return load_generator("graphics", device="cpu").generate(7, 7, 256)


def moved_camera(face: GeneratedFace, pixels: float) -> GeneratedFace:
    """The same image with labels so many pixels to the right."""
    intrinsics = face.camera.intrinsics.copy()
    intrinsics[0, 2] += pixels
    return replace(face, camera=replace(face.camera, intrinsics=intrinsics))


def test_labels_that_fit_and_labels_that_do_not(observer: LandmarkObserver, face: GeneratedFace) -> None:
    fitting = observer.disagreement_px(face)
    assert 0 < fitting < 11
    assert observer.disagreement_px(face) == fitting
    # 10 of 256 pixels are 20 of 512.
    assert observer.disagreement_px(moved_camera(face, 10)) == pytest.approx(20, abs=fitting + 1)
    assert observer.disagreement_px(moved_camera(face, 100)) > 150


def test_distances_are_counted_at_512(observer: LandmarkObserver, face: GeneratedFace) -> None:
    small = observer.disagreement_px(moved_camera(face, 10))
    image = np.asarray(Image.fromarray(face.image).resize((512, 512), Image.Resampling.BILINEAR))
    camera = moved_camera(face, 10).camera
    intrinsics = camera.intrinsics * np.array([[2.0], [2.0], [1.0]])
    large = replace(face, image=image, camera=replace(camera, intrinsics=intrinsics, width=512, height=512))
    assert observer.disagreement_px(large) == pytest.approx(small, abs=2)


def test_an_image_without_a_face(observer: LandmarkObserver, face: GeneratedFace) -> None:
    assert observer.disagreement_px(replace(face, image=np.full_like(face.image, 90))) == float("inf")
    assert "mini" in observer.version and "detector" in observer.version
