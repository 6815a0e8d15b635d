# mypy: ignore-errors
# (Kernels are read by Warp's compiler, whose types are not Python's.)

"""The Warp kernel of ``anny``. Imported on first use only, because importing Warp takes a third of a second."""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False, "fuse_fp": False})


@wp.kernel
def add_targets(
    active: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.float32),
    starts: wp.array(dtype=wp.int64),
    rows: wp.array(dtype=wp.int32),
    deltas: wp.array(dtype=wp.vec3f),
    moved: wp.array(dtype=wp.vec3f),
):
    """One thread adds up the active targets, each times its weight. Target t moves rows[starts[t] : starts[t + 1]]."""
    for n in range(active.shape[0]):
        target = active[n]
        for entry in range(int(starts[target]), int(starts[target + 1])):
            row = rows[entry]
            moved[row] = moved[row] + weights[target] * deltas[entry]
