"""What every generator of faces offers, and the sample it hands to annotation.

A generator makes an image and the geometry behind it; all labels are derived from that geometry and the camera by
``synthforge_hf.annotation``, the same way for every generator.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from synthforge_hf.heads.base import HeadCoefficients, LandmarkModel
from synthforge_hf.rendering.camera import PinholeCamera

LOOK_UP_CLASS = 255
"""In ``LabelledMesh.triangle_classes``: read the class from the label texture."""


@dataclass(frozen=True)
class LabelledMesh:
    """A triangle mesh that knows the class of every point on its surface. This is what labels are rasterised from.

    vertices: (V, 3) float32, world frame, metres.
    faces: (F, 3) int32, counter-clockwise seen from outside.
    vertex_normals: (V, 3) float32 unit vectors, world frame.
    triangle_classes: (F,) uint8 class id, or ``LOOK_UP_CLASS``.
    corner_uv: (F, 3, 2) float32 in [0, 1], u to the right and v down in ``label_texture``; only read for LOOK_UP_CLASS.
    label_texture: (H, W) uint8 class ids, read at the nearest texel.
    see_through: (F,) bool or None: clear glass. It names the class of what is behind it, except of eyes and brows, but
    hides nothing from depth, normals and visibility.
    num_one_sided: that many of the first triangles are not seen from behind.
    """

    vertices: np.ndarray
    faces: np.ndarray
    vertex_normals: np.ndarray
    triangle_classes: np.ndarray
    corner_uv: np.ndarray
    label_texture: np.ndarray
    see_through: np.ndarray | None = None
    num_one_sided: int = 0


@dataclass(frozen=True)
class GeneratedFace:
    """One generated photo with everything needed to label it.

    image: (H, W, 3) uint8 RGB.
    camera: the camera that took it (H, W as in the image).
    mesh: all surfaces that labels show (eyelashes and other thin hairs are left out on purpose).
    head_vertices: (V_head, 3) float32, world frame: the vertices that ``landmark_model`` indexes.
    coefficients: rebuild the head with the model named by head_name and head_version.
    identity_id: same number = same person.
    attributes: flat dictionary of str -> str | int | float | bool | list[float], the same keys and types for every
    sample of a generator.
    depth: (H, W) float32 planar z, metres, 0 = no surface, of a generator that renders a volume; depth and normals are
    then its, and what the mesh shows beyond it is no label. None: the mesh is all there is.
    """

    image: np.ndarray
    camera: PinholeCamera
    mesh: LabelledMesh
    head_vertices: np.ndarray
    landmark_model: LandmarkModel
    head_name: str
    head_version: str
    coefficients: HeadCoefficients
    identity_id: int
    attributes: dict[str, Any]
    depth: np.ndarray | None = None


class FaceObserver(Protocol):
    """Looks at a generated image without knowing its labels, and says how far from them it sees the face.

    A generator whose images may miss their labels can throw such faces away. The trained one is
    ``models.landmark_observer.LandmarkObserver``; it lies above generators, so they are given it and never import it.

    version: tells observers apart that may judge differently, such as by the hash of their weights.
    """

    version: str

    def disagreement_px(self, face: GeneratedFace) -> float:
        """Return the mean distance between the landmarks seen in the image and the labels', in pixels of an image of
        512 x 512 whatever the face's resolution; infinite where no face is seen. The same face always gives the same
        number on the same kind of device.
        """
        ...


@runtime_checkable
class FaceGenerator(Protocol):
    """Turns (seed, index) into a face. Deterministic: the same pair always gives the same bytes on the same kind of
    device.

    name: "graphics", "next3d", ...
    license: SPDX expression or short sentence on what may be done with the images.
    """

    name: str
    license: str

    def generate(self, seed: int, index: int, resolution: int) -> GeneratedFace:
        """Make sample ``index`` of the data set with ``seed`` as a square image of ``resolution`` pixels."""
        ...


def generate_many(
    generator: FaceGenerator, seed: int, indices: Sequence[int], resolution: int
) -> Iterator[GeneratedFace]:
    """Make samples one after the other, or as a generator's own method ``generate_many`` makes several: the same
    ones."""
    several = getattr(generator, "generate_many", None)
    if several is None:
        return (generator.generate(seed, index, resolution) for index in indices)
    return iter(several(seed, indices, resolution))
