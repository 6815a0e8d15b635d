"""Warp, which compiles our kernels: started once, and called with numpy arrays."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from synthforge_hf.errors import SynthForgeError


@cache
def start_warp() -> ModuleType:
    """Start Warp once per process, without its banner. Importing it takes a third of a second."""
    try:
        import warp
    except ImportError as error:
        raise SynthForgeError(
            f"rendering needs Warp, which does not import ({error}): pip install warp-lang"
        ) from error
    import torch  # not above: who only reads data sets does without

    warp.config.log_level = warp.LOG_WARNING
    with nullcontext() if torch.cuda.is_available() else _native_stderr_silenced():
        warp.init()
    return warp


@cache
def load_kernels(module: str) -> ModuleType:
    """Import one of our modules of kernels by its full name (Warp compiles it on first use and keeps the result in its
    cache folder)."""
    start_warp()
    return import_module(module)


def launch_on_cpu(kernel: Any, inputs: Sequence[Any], threads: int = 1) -> None:
    """Run a kernel over ``threads`` indices, one after the other.

    inputs: what the kernel takes. Arrays are shared with Warp, not copied, also those that it writes to: of the very
    dtype that the kernel declares, vector types as a last axis.
    """
    # Warp takes numpy arrays as they are, in half the time of making arrays of its own.
    start_warp().launch(kernel, dim=threads, inputs=inputs, device="cpu")


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Keep Warp's C library from announcing on every start of every worker that there is no GPU."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
