"""Many short straight strokes in one picture: hairs of brows. On the CPU."""

import numpy as np

from synthforge_hf.rendering.rasterize import load_warp


def draw_strokes(
    begin: np.ndarray, way: np.ndarray, value: np.ndarray, thickness: int, height: int, width: int
) -> np.ndarray:
    """Return (height, width) uint8, 0 but for strokes; later ones cover earlier ones.

    begin, way: (N, 2) float32 x, y in pixels: where strokes begin, and how far they go. value: (N,) uint8.
    thickness: of the strokes, pixels. What lies outside the picture is not drawn.
    """
    warp, _ = load_warp()
    from synthforge_hf.rendering import stroke_kernels

    drawn = np.zeros((height, width), dtype=np.uint8)
    inputs = [
        warp.array(np.ascontiguousarray(each, dtype=np.float32), dtype=warp.vec2f, device="cpu", copy=False)
        for each in (begin, way)
    ]
    inputs += [warp.array(np.ascontiguousarray(value), dtype=warp.uint8, device="cpu", copy=False), thickness]
    inputs.append(warp.array(drawn, dtype=warp.uint8, device="cpu", copy=False))
    warp.launch(stroke_kernels.draw_strokes, dim=1, inputs=inputs, device="cpu")
    return drawn
