"""Many short straight strokes in one picture: hairs of brows. On the CPU."""

import numpy as np

from synthforge_hf.rendering.launching import launch_on_cpu
from synthforge_hf.rendering.rasterize import load_warp


def draw_strokes(
    begin: np.ndarray, way: np.ndarray, value: np.ndarray, thickness: int, height: int, width: int
) -> np.ndarray:
    """Return (height, width) uint8, 0 but for strokes; later ones cover earlier ones.

    begin, way: (N, 2) float32 x, y in pixels: where strokes begin, and how far they go. value: (N,) uint8.
    thickness: of the strokes, pixels. What lies outside the picture is not drawn.
    """
    load_warp()
    from synthforge_hf.rendering import stroke_kernels

    drawn = np.zeros((height, width), dtype=np.uint8)
    inputs = [np.ascontiguousarray(each, dtype=np.float32) for each in (begin, way)]
    launch_on_cpu(stroke_kernels.draw_strokes, [*inputs, np.ascontiguousarray(value), thickness, drawn])
    return drawn
