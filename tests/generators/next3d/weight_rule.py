"""The weights that the reference arrays were made with: every tensor from its own name, none from a file."""

import re
import zlib
from collections.abc import Mapping

import numpy as np
import torch

from synthforge_hf.generators.next3d.modeling_next3d import Next3DModel

RULES = (
    (r"mapping\.fc\d+\.weight$", 0.0, 100.0),
    (r"mapping\.fc\d+\.bias$", 0.0, 10.0),
    (r"\.affine\.bias$", 1.0, 0.1),
    (r"^decoder\.net\.2\.weight$", 0.0, 5.0),
    (r"^decoder\.net\.2\.bias$", 1.0, 0.1),
    (r"(\.bias|\.noise_strength|\.w_avg)$", 0.0, 0.1),
    ("", 0.0, 1.0),
)
"""(pattern of the name, offset, scale), the first that matches counts."""

MESH = ("faces", "uvfaces", "raw_uvcoords", "uvcoords", "face_uvcoords", "dense_faces", "uv_face_mask")


def normals(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float64 numbers that depend on the name only."""
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return one float32 tensor of the rule."""
    if name.endswith("resample_filter"):
        taps = np.array([1, 3, 3, 1])
        return (np.outer(taps, taps) / 64).astype(np.float32)
    offset, scale = next(rule[1:] for rule in RULES if re.search(rule[0], name))
    return np.asarray(offset + scale * normals(name, shape), dtype=np.float32)


def crc(array: np.ndarray) -> str:
    """CRC-32 of an array's bytes, hexadecimal."""
    return f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"


@torch.no_grad()
def load_by_rule(model: Next3DModel, mesh: Mapping[str, np.ndarray]) -> None:
    """Fill a model's networks by the rule and give it the mesh (arrays ``faces``, ``uvfaces``, ``uvs``,
    ``uv_face_eye_mask``)."""
    for name, tensor in model.state_dict().items():
        if name not in MESH:
            tensor.copy_(torch.from_numpy(weight(name, tuple(tensor.shape))))
    model.set_mesh(
        torch.from_numpy(mesh["faces"]),
        torch.from_numpy(mesh["uvfaces"]),
        torch.from_numpy(mesh["uvs"]),
        torch.from_numpy(mesh["uv_face_eye_mask"]) / 255,
    )
