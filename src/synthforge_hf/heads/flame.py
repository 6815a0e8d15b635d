"""FLAME as a ``ParametricHead``: the user's own licensed files, converted once by ``synthforge convert flame``."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file

from synthforge_hf.errors import SynthForgeError, UsageError
from synthforge_hf.heads.base import HeadCoefficients, LandmarkModel, check_shapes
from synthforge_hf.heads.flame_conversion import FORMAT, METADATA_NAME, WEIGHTS_NAME
from synthforge_hf.heads.flame_model import CONTOUR_YAW_DEG, FlameModel
from synthforge_hf.heads.flame_mouth import cover_triangles, mouth_rim
from synthforge_hf.heads.flame_segmentation import FLAME_CLASS_ID

INNER_LIPS = slice(60, 68)


@dataclass(frozen=True)
class FlameSurface:
    """What labels of a FLAME head are drawn from: its mesh with the mouth covered.

    vertices: (V, 3) float32, in the frame they were given in. faces: (F, 3) int32, counter-clockwise from outside.
    triangle_classes: (F,) uint8 ids of ``flame_segmentation.FLAME_CLASSES``, or 255: read ``label_texture``, (N, N)
    uint8 of the same ids, at corner_uv (F, 3, 2) float32 in [0, 1], u to the right and v down.
    """

    vertices: np.ndarray
    faces: np.ndarray
    triangle_classes: np.ndarray
    corner_uv: np.ndarray
    label_texture: np.ndarray


class FlameHead:
    """``ParametricHead`` on a converted FLAME model. Identity and expression are in standard deviations.

    model: the same head as a differentiable, batched module. license: of the FLAME model, SPDX id or a sentence.
    template: (V, 3) float32 vertices of the mean head, head frame.
    """

    name = "flame"

    def __init__(self, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Take what ``heads.flame_conversion`` wrote; ``load`` reads it."""
        self.version: str = metadata["version"]
        self.license: str = metadata["license"]
        self.joint_names: tuple[str, ...] = tuple(metadata["joints"])
        self.identity_names: tuple[str, ...] = tuple(f"shape_{k:03}" for k in range(metadata["num_identity"]))
        self.expression_names: tuple[str, ...] = tuple(f"expression_{k:03}" for k in range(metadata["num_expression"]))
        self.model = FlameModel(tensors, metadata["num_identity"])
        self.faces: np.ndarray = tensors["faces"]
        self.landmark_model = _landmark_model(tensors)
        self.template = self.vertices(self.neutral())
        self._label_texture: np.ndarray = tensors["label_texture"]
        self._cover_mouth(tensors)

    @classmethod
    def load(cls, folder: str | Path) -> "FlameHead":
        """Read a folder that ``synthforge convert flame`` wrote.

        Raises UsageError when it is none, SynthForgeError when its files are damaged.
        """
        path = Path(folder).expanduser()
        if not (path / METADATA_NAME).is_file():
            raise UsageError(
                f"'{folder}' holds no converted FLAME model; make one: synthforge convert flame DIR {folder}, where "
                "DIR holds your own FLAME files"
            )
        try:
            metadata = json.loads((path / METADATA_NAME).read_text())
            if metadata["format"] != FORMAT:
                raise ValueError(f"format {metadata['format']} instead of {FORMAT}")
            return cls(load_file(path / WEIGHTS_NAME), metadata)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise SynthForgeError(f"the FLAME model in '{folder}' is damaged ({reason}); convert it again") from error

    def neutral(self) -> HeadCoefficients:
        sizes = ((len(self.identity_names),), (len(self.expression_names),), (len(self.joint_names), 3))
        return HeadCoefficients(*(np.zeros(size, dtype=np.float32) for size in sizes))

    def vertices(self, coefficients: HeadCoefficients) -> np.ndarray:
        """Return (V, 3) float32 vertices in the head frame, metres. Raises ValueError for wrong shapes."""
        check_shapes(self, coefficients)
        return self.model(*(_row(getattr(coefficients, name)) for name in ("identity", "expression", "pose")))[
            0
        ].numpy()

    def origin(self, coefficients: HeadCoefficients) -> np.ndarray:
        """Return the (3,) float32 origin of the head frame in FLAME's own frame, metres: vertices + origin are
        FLAME's own."""
        return self.model.origin(_row(coefficients.identity))[0].numpy()

    def landmarks(self, vertices: np.ndarray, yaw: float | None = None) -> np.ndarray:
        """Return (68, 3) float32 landmarks on (V, 3) vertices, in the vertices' frame.

        yaw: radians by which the head is turned towards its own left as the camera sees it; the jaw is then FLAME's
        contour for that angle. Without it, the frontal jaw.
        """
        angle = None if yaw is None else torch.tensor([yaw], dtype=torch.float32)
        return self.model.landmarks(_row(vertices), angle)[0].numpy()

    def labelled_surface(self, vertices: np.ndarray) -> FlameSurface:
        """Return (V, 3) vertices as a surface with a class everywhere, the opening between the lips covered.

        ``flame_segmentation.to_segmentation_classes`` turns its classes and texture into the data sets' classes.
        """
        if self._rim.size:
            vertices = np.concatenate([vertices, vertices[self._rim].mean(0, keepdims=True)])
        return FlameSurface(
            np.ascontiguousarray(vertices, dtype=np.float32),
            self._covered_faces,
            self._triangle_classes,
            self._corner_uv,
            self._label_texture,
        )

    def _cover_mouth(self, tensors: dict[str, np.ndarray]) -> None:
        self._rim = mouth_rim(self.faces, self.template, self.landmarks(self.template)[INNER_LIPS])
        cover = cover_triangles(self._rim, len(self.template))
        inside = np.full(len(cover), FLAME_CLASS_ID["inner_mouth"], dtype=np.uint8)
        corner_uv = tensors["corner_uv"].copy()
        corner_uv[..., 1] = 1 - corner_uv[..., 1]
        self._covered_faces = np.concatenate([self.faces, cover])
        self._triangle_classes = np.concatenate([tensors["triangle_classes"], inside])
        self._corner_uv = np.concatenate([corner_uv, np.zeros((len(cover), 3, 2), dtype=np.float32)])


def _row(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32))[None]


def _landmark_model(tensors: dict[str, np.ndarray]) -> LandmarkModel:
    """Offer each jaw point's 79 positions as a line from back to front.

    On the side that a head turns to, its contour moves forward: the rows go from right to left, so the lines of the
    right side (points 0 to 7) run against them.
    """
    rows = np.arange(2 * CONTOUR_YAW_DEG + 1)
    order = np.stack([rows[::-1] if point < 8 else rows for point in range(17)])
    points = np.arange(17)[:, None]
    return LandmarkModel(
        tensors["landmark_triangles"],
        tensors["landmark_barycentric"],
        tensors["contour_triangles"][order, points],
        tensors["contour_barycentric"][order, points],
    )
