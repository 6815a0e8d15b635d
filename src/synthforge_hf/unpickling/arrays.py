"""Stand-ins for the functions with which numpy writes its arrays into a pickle. Every size is checked against the data
that is really there before anything is allocated.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_PLAIN_DTYPE = re.compile(r"[<>|=]?(?:b1|i[1248]|u[1248]|f[248]|c8|c16|O[48]?|[SU]\d{1,4})")


class _DType:
    """A data type under construction: the file names it, then gives its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (8, 9) or any(item is not None for item in state[2:5]):
            raise ValueError("a structured data type")
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])
        elif state[1] not in ("|", "="):
            raise ValueError("a data type without a byte order")


class _Array(np.ndarray):
    """An array that takes its content only after checking it. Otherwise like any other."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise ValueError("an array without content")
        shape, dtype, fortran, content = state[-4:]
        plain = _plain_dtype(dtype)
        count = _count(shape)
        if plain.hasobject:
            if not isinstance(content, list) or len(content) != count:
                raise ValueError(f"an array of {count} objects that brings another number of them")
        else:
            content = _bytes_of(content)
            if len(content) != count * plain.itemsize:
                raise ValueError(f"an array of {count} values that brings {len(content)} bytes")
        super().__setstate__((1, shape, plain, bool(fortran), content))  # type: ignore[arg-type]


def as_loaded_array(array: np.ndarray) -> np.ndarray:
    """Return an array as one that a pickle cannot alter behind its checks."""
    return array.view(_Array)


def _plain_dtype(record: Any) -> np.dtype:
    if type(record) is not _DType:
        raise ValueError("an array without a data type")
    return record.dtype


def _count(shape: Any) -> int:
    if not isinstance(shape, tuple) or len(shape) > 32 or any(type(size) is not int or size < 0 for size in shape):
        raise ValueError("an array without a proper shape")
    return math.prod(shape)


def _bytes_of(content: Any) -> bytes:
    if isinstance(content, str):  # a string of Python 2
        return content.encode("latin1")
    if isinstance(content, bytes | bytearray):
        return bytes(content)
    raise ValueError(f"an array whose content is a {type(content).__name__}")


def _make_dtype(name: Any, *flags: Any) -> _DType:
    if isinstance(name, bytes):
        name = name.decode("latin1")
    if not isinstance(name, str) or not _PLAIN_DTYPE.fullmatch(name):
        raise ValueError(f"an array of type {name!r}")
    return _DType(np.dtype(name.rstrip("48") if name.lstrip("<>|=").startswith("O") else name))


def _reconstruct(subtype: Any, shape: Any, typecode: Any) -> _Array:
    """Return an empty array whatever shape the file asks for: the real one comes with the content."""
    return np.ndarray.__new__(_Array, (0,), np.uint8)


def _scalar(dtype: Any, content: Any = None) -> Any:
    plain = _plain_dtype(dtype)
    content = _bytes_of(content)
    if plain.hasobject or len(content) != plain.itemsize:
        raise ValueError("a number of the wrong size")
    return np.frombuffer(content, plain)[0]


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> np.ndarray:
    """How protocol 5 writes contiguous arrays."""
    plain = _plain_dtype(dtype)
    content = _bytes_of(content)
    if plain.hasobject or len(content) != _count(shape) * plain.itemsize or order not in ("C", "F"):
        raise ValueError("an array whose content does not fit its shape")
    if axis_order is not None:
        raise ValueError("an array with permuted axes")
    return as_loaded_array(np.frombuffer(bytearray(content), plain).reshape(shape, order=order))


def _only_a_name(*arguments: Any) -> Any:
    raise ValueError("an array made by calling its class")


ARRAY_GLOBALS: Mapping[str, Callable[..., Any]] = {
    "numpy.ndarray": _only_a_name,
    "numpy.dtype": _make_dtype,
    **{f"numpy.{core}.multiarray._reconstruct": _reconstruct for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _from_buffer for core in ("core", "_core")},
}
"""numpy's arrays of numbers, text and objects, and its scalars, as every version of numpy pickles them."""
