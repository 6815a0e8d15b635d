# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernel of ``strokes``. Imported on first use only, because importing Warp takes a third of a second."""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


@wp.kernel
def draw_strokes(
    begin: wp.array(dtype=wp.vec2f),
    way: wp.array(dtype=wp.vec2f),
    value: wp.array(dtype=wp.uint8),
    thickness: wp.int32,
    drawn: wp.array2d(dtype=wp.uint8),
):
    """One thread draws all strokes, in their order: later ones cover earlier ones."""
    for n in range(begin.shape[0]):
        length = wp.length(way[n])
        steps = int(wp.ceil(length)) + 1
        step = way[n] / float(steps)
        across = wp.vec2f(-way[n][1], way[n][0]) / wp.max(length, 1.0e-6)
        for side in range(thickness):
            place = begin[n] + across * (float(side) - 0.5 * float(thickness - 1))
            for _step in range(steps + 1):
                column = int(wp.floor(place[0]))
                row = int(wp.floor(place[1]))
                if column >= 0 and row >= 0 and column < drawn.shape[1] and row < drawn.shape[0]:
                    drawn[row, column] = value[n]
                place += step
