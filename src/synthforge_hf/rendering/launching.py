"""Our Warp kernels on the CPU, with numpy arrays as arguments."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from synthforge_hf.rendering.rasterize import load_warp


def launch_on_cpu(kernel: Any, inputs: Sequence[Any], threads: int = 1) -> None:
    """Run a kernel over ``threads`` indices, one after the other.

    inputs: what the kernel takes. Arrays are shared with Warp, not copied, also those that it writes to: C-contiguous
    and of the very dtype that the kernel declares, vector types as a last axis.
    """
    warp, _ = load_warp()
    arguments = [
        warp.array(value, dtype=argument.type.dtype, device="cpu", copy=False)
        if isinstance(value, np.ndarray)
        else value
        for argument, value in zip(kernel.adj.args, inputs, strict=True)
    ]
    warp.launch(kernel, dim=threads, inputs=arguments, device="cpu")
