"""Reading a published Next3D pickle: its tensors and constructor arguments, none of its code.

The published files carry the source text of their classes, for their own loader to execute. Here every object of a
class becomes an inert record, and nothing that the file names is imported.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.unpickling import PLAIN_GLOBALS, TENSOR_GLOBALS, InertObject, RefusedPickleError, load_restricted

GENERATOR_KEY = "G_ema"
PLAIN_ATTRIBUTES = ("_init_kwargs", "rendering_kwargs", "neural_rendering_resolution", "orth_scale", "orth_shift")

MOST_ENTRIES = 20_000
"""Tensors, modules and settings together; the published network has about 1,000. A small file can refer to one object
so often that a walk through it would not end."""
LONGEST_VALUE = 1000

_STANDARD_LIBRARY = sys.stdlib_module_names | {"__builtin__", "__main__", "commands", "copy_reg", "cPickle"}
_HARMLESS_TORCH = ("torch.nn.modules.", "torch.nn.parameter.")
_TORCH_VALUES = {"torch.device", "torch.Size", "torch.float16", "torch.float32", "torch.float64", "torch.int64"}


class PersistentObject:
    """What stands in for an instance of a class that the file brings along. class_name, state: as written.

    The source text of the class is dropped unread.
    """

    __slots__ = ("class_name", "state")

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __setstate__(self, state: Any) -> None:
        raise RefusedPickleError(f"it tries to alter an object of {self.class_name}")


@dataclass(frozen=True)
class Next3DCheckpoint:
    """tensors: name -> array, as the published class's state dict names them. attributes: plain values by name."""

    tensors: dict[str, np.ndarray]
    attributes: dict[str, Any]


def read_checkpoint(path: Path) -> Next3DCheckpoint:
    """Read a pickle that holds a generator under ``G_ema``, in memory twice its size.

    Raises SynthForgeError when the file is damaged, hostile (RefusedPickleError) or holds no such generator.
    """
    allowed: dict[str, Callable[..., Any]] = {
        **PLAIN_GLOBALS,
        **TENSOR_GLOBALS,
        "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
        "dnnlib.util.EasyDict": dict,
    }
    content = load_restricted(path, allowed, _may_be_inert)
    generator = content.get(GENERATOR_KEY) if isinstance(content, dict) else None
    state = _state(generator)
    if not state.get("_modules"):
        raise SynthForgeError(f"{path} holds no generator '{GENERATOR_KEY}': it is no Next3D checkpoint")
    left = iter(range(MOST_ENTRIES))
    try:
        tensors = dict(_walk(generator, "", left))
        attributes = {name: _plain(state[name], left) for name in PLAIN_ATTRIBUTES if name in state}
    except (StopIteration, RecursionError) as error:
        raise SynthForgeError(f"{path} holds objects that repeat without end: it is no Next3D checkpoint") from error
    if isinstance(state.get("uv_face_mask"), np.ndarray):
        tensors["uv_face_mask"] = state["uv_face_mask"]
    return Next3DCheckpoint(tensors, attributes)


def _may_be_inert(name: str) -> bool:
    """Classes of whatever training code made the file are kept as records, but nothing of Python's own library, of
    numpy or of torch beside its layers has any business in it."""
    package = name.partition(".")[0]
    if package == "torch":
        return name.startswith(_HARMLESS_TORCH) or name in _TORCH_VALUES
    return package not in _STANDARD_LIBRARY and package != "numpy"


def _persistent_object(meta: Any) -> PersistentObject:
    if not isinstance(meta, Mapping) or meta.get("type") != "class":
        raise ValueError("a persistent object that is no class's")
    state, class_name = meta.get("state"), meta.get("class_name")
    if not isinstance(state, dict) or not isinstance(class_name, str):
        raise ValueError("a persistent object without a state")
    return PersistentObject(class_name, state)


def _state(record: Any) -> dict[str, Any]:
    state = record.state if isinstance(record, PersistentObject | InertObject) else None
    return state if isinstance(state, dict) else {}


def _walk(record: Any, prefix: str, left: Iterator[int]) -> list[tuple[str, np.ndarray]]:
    """Return the tensors of a module and of the modules in it, named as torch's state dict would.

    left: yields once for every further entry that may be visited, however often the file refers to one.
    """
    state = _state(record)
    passing = _mapping(state.get("_non_persistent_buffers_set"))
    found: list[tuple[str, np.ndarray]] = []
    for kind in ("_parameters", "_buffers"):
        for name, value in _mapping(state.get(kind)).items():
            next(left)
            if isinstance(value, np.ndarray) and name not in passing:
                found.append((f"{prefix}{name}", value))
    for name, child in _mapping(state.get("_modules")).items():
        next(left)
        found += _walk(child, f"{prefix}{name}.", left)
    return found


def _mapping(value: Any) -> dict[Any, Any]:
    if isinstance(value, set | frozenset | list):
        return dict.fromkeys(value)
    return value if isinstance(value, dict) else {}


def _plain(value: Any, left: Iterator[int]) -> Any:
    """Keep what JSON can hold and people can read; name the rest by its type. left: see ``_walk``."""
    next(left)
    if isinstance(value, np.ndarray | np.generic) and value.size <= LONGEST_VALUE:
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key)[:LONGEST_VALUE]: _plain(item, left) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, left) for item in value]
    if isinstance(value, str):
        return value[:LONGEST_VALUE]
    if value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    return f"<{type(value).__name__}>"
