"""Many short straight strokes in one picture: hairs of brows. On the CPU."""

import numpy as np

from synthforge_hf.warp_runtime import launch_on_cpu, load_kernels


def draw_strokes(
    begin: np.ndarray, way: np.ndarray, value: np.ndarray, thickness: int, height: int, width: int
) -> np.ndarray:
    """Return (height, width) uint8, 0 but for strokes; later ones cover earlier ones.

    begin, way: (N, 2) float32 x, y in pixels: where strokes begin, and how far they go. value: (N,) uint8.
    thickness: of the strokes, pixels. What lies outside the picture is not drawn.
    """
    drawn = np.zeros((height, width), dtype=np.uint8)
    inputs = [np.ascontiguousarray(each, dtype=np.float32) for each in (begin, way)]
    kernel = load_kernels("synthforge_hf.rendering.stroke_kernels").draw_strokes
    launch_on_cpu(kernel, [*inputs, np.ascontiguousarray(value), thickness, drawn])
    return drawn
