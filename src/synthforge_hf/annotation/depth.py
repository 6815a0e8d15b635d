"""Depth on disk: 16-bit integers of 0.1 mm, 0 = no surface."""

import numpy as np

from synthforge_hf.errors import UsageError

DEPTH_UNIT = 1e-4
"""Metres per step of the 16-bit encoding."""

MAX_DEPTH = 65535 * DEPTH_UNIT
"""Metres, the farthest surface that the encoding holds."""


def encode_depth(depth: np.ndarray) -> np.ndarray:
    """Encode depth in metres, any shape and float dtype, 0 = none, as uint16 of the same shape, rounded to 0.1 mm.

    Raises UsageError when a value is negative, not a number, beyond 6.5535 m or so near that it would read as none.
    """
    steps = np.rint(np.asarray(depth) / DEPTH_UNIT)
    valid = (depth == 0) | ((steps >= 1) & (steps <= 65535))
    if not valid.all():
        wrong = float(np.asarray(depth)[~valid].flat[0])
        raise UsageError(
            f"depth of {wrong:g} m does not fit the 16-bit format (0.1 mm to {MAX_DEPTH:.4f} m); "
            "change the camera distance"
        )
    return steps.astype(np.uint16)


def decode_depth(encoded: np.ndarray) -> np.ndarray:
    """Decode uint16 steps of 0.1 mm to float32 metres; 0 stays 0 = none.

    Raises ValueError on any other dtype, so that a depth image squeezed to 8 bits on its way does not pass.
    """
    encoded = np.asarray(encoded)
    if encoded.dtype != np.uint16:
        raise ValueError(f"encoded depth must be uint16, not {encoded.dtype}; was the PNG read as an 8-bit image?")
    return (encoded * DEPTH_UNIT).astype(np.float32)
