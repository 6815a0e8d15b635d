"""Stand-ins for the functions with which torch writes tensors into an ordinary pickle (not its own zip format).

Tensors come back as numpy arrays.
"""

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from synthforge_hf.unpickling.arrays import as_loaded_array

MAX_EXPANDED = 2**24
"""Values of a tensor that repeats its storage (stride 0), as ``expand`` makes them. Others have what they store."""


class _Storage:
    """The numbers behind one or several tensors. (N,) torch tensor of their type."""

    __slots__ = ("values",)

    def __init__(self, values: torch.Tensor) -> None:
        self.values = values

    def __setstate__(self, state: Any) -> None:
        raise ValueError("it tries to alter a storage")


def _load_storage(content: Any) -> _Storage:
    """Each storage is a little file of torch's own, which torch reads without running anything."""
    if not isinstance(content, bytes):
        raise ValueError("a storage that is no bytes")
    storage = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if not isinstance(storage, torch.storage.TypedStorage):
        raise ValueError(f"a storage that is a {type(storage).__name__}")
    return _Storage(torch.empty(0, dtype=storage.dtype).set_(storage))


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *ignored: Any) -> np.ndarray:
    """ignored: requires_grad, hooks and metadata, which data have no use for."""
    if type(storage) is not _Storage or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise ValueError("a tensor without a storage or a shape")
    if any(type(number) is not int or number < 0 for number in (offset, *size, *stride)) or len(size) != len(stride):
        raise ValueError("a tensor with an impossible shape")
    count, stored = math.prod(size), len(storage.values)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count and (last >= stored or count > max(stored, MAX_EXPANDED)):
        raise ValueError(f"a tensor that reaches beyond its storage of {stored} values")
    if storage.values.dtype == torch.bfloat16:
        raise ValueError("a tensor of type bfloat16, which numpy does not know")
    strided = storage.values.as_strided(size, stride, offset) if count else storage.values.new_empty(size)
    return as_loaded_array(strided.contiguous().numpy())


def _rebuild_parameter(tensor: Any, *ignored: Any) -> np.ndarray:
    """ignored: requires_grad, hooks, and with ``_rebuild_parameter_with_state`` further attributes."""
    if not isinstance(tensor, np.ndarray):
        raise ValueError("a parameter that is no tensor")
    return tensor


TENSOR_GLOBALS: Mapping[str, Callable[..., Any]] = {
    "torch.storage._load_from_bytes": _load_storage,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
}
"""Tensors and parameters on any device; they come back as numpy arrays."""
