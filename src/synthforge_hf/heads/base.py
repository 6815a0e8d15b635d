"""What every parametric head model offers: coefficients in, one labelled mesh out.

Head frame (also the world frame of a sample): x to the subject's left, y up, z out of the face, metres; origin between
the eyeballs' centres of the same identity with neutral expression and pose. Moving the neck moves the head in this
frame.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class HeadCoefficients:
    """Coefficients that rebuild one head.

    identity: (I,) float32, named by ``ParametricHead.identity_names``.
    expression: (E,) float32, named by ``ParametricHead.expression_names``.
    pose: (J, 3) float32 axis-angle in radians of the joints ``ParametricHead.joint_names``, each relative to its
    parent.
    """

    identity: np.ndarray
    expression: np.ndarray
    pose: np.ndarray


@dataclass(frozen=True)
class LandmarkModel:
    """Where iBUG's 68 points sit on a mesh topology.

    triangles: (68, 3) int32 vertex indices and barycentric: (68, 3) float32 weights (rows sum to 1) give fixed surface
    points; rows 0-16 are the frontal jaw, the "static" variant.
    contour_triangles: (17, K, 3) int32 and contour_barycentric: (17, K, 3) float32: for each jaw point the candidates
    along a line over the surface, among which ``annotation.landmarks`` picks the one on the contour visible in a view.
    """

    triangles: np.ndarray
    barycentric: np.ndarray
    contour_triangles: np.ndarray
    contour_barycentric: np.ndarray


@runtime_checkable
class ParametricHead(Protocol):
    """A parametric head model. All instances are immutable and safe to share between samples.

    name, version: str, stored with every sample.
    identity_names, expression_names, joint_names: tuples of str.
    faces: (F, 3) int32, counter-clockwise seen from outside.
    landmark_model: ``LandmarkModel`` of this topology.
    """

    name: str
    version: str
    identity_names: tuple[str, ...]
    expression_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    faces: np.ndarray
    landmark_model: LandmarkModel

    def vertices(self, coefficients: HeadCoefficients) -> np.ndarray:
        """Return (V, 3) float32 vertices in the head frame, metres.

        Raises ValueError when a coefficient array has the wrong shape.
        """
        ...

    def neutral(self) -> HeadCoefficients:
        """Return the coefficients of the template: mean identity, neutral expression, rest pose."""
        ...


def check_shapes(head: ParametricHead, coefficients: HeadCoefficients) -> None:
    """Raise ValueError, naming the array, when coefficients are not those of a head."""
    expected = {
        "identity": (len(head.identity_names),),
        "expression": (len(head.expression_names),),
        "pose": (len(head.joint_names), 3),
    }
    for field, shape in expected.items():
        actual = getattr(coefficients, field).shape
        if actual != shape:
            raise ValueError(f"{field} coefficients of {head.name} have shape {shape}, got {actual}")
