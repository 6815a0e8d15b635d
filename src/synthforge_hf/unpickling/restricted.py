"""The unpickler itself: an allow-list of stand-ins, inert records for foreign classes, and refusal of all the rest."""

import contextlib
import mmap
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import numpy as np

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.unpickling.arrays import ARRAY_GLOBALS
from synthforge_hf.unpickling.opcodes import check_opcodes


class RefusedPickleError(SynthForgeError):
    """A pickle asked for something that is not on the list. Nothing of it was carried out."""


class InertObject:
    """What stands in for an instance of a class that a file names: it keeps what it is given and does nothing.

    qualified_name: "module.Class" as the file writes it. arguments, keywords: of the constructor. state: what the
    instance's ``__setstate__`` would have received, usually its ``__dict__``; None where the file gives none.
    content: what was appended, and (key, value) pairs of what was set by key.
    """

    __slots__ = ("arguments", "content", "keywords", "state")
    qualified_name: ClassVar[str] = ""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    state: Any
    content: list[Any]

    def __new__(cls, *arguments: Any, **keywords: Any) -> "InertObject":
        self = super().__new__(cls)
        self.arguments, self.keywords, self.state, self.content = arguments, keywords, None, []
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        self.content.append(item)

    def extend(self, items: Iterable[Any]) -> None:
        self.content.extend(items)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.content.append((key, value))

    def __repr__(self) -> str:
        return f"<inert {self.qualified_name}>"


class _StandIn:
    """A function that the pickle may call and otherwise not touch: the BUILD instruction would set its attributes."""

    __slots__ = ("_function", "_name")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self._name, self._function = name, function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise RefusedPickleError(f"it tries to alter {self._name}")


_IMMUTABLE_TYPES = (dict, list, set, frozenset)
"""Handed out as they are: the interpreter lets nobody set attributes of them."""


def _encode(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes so when it has to use protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Python 3 writes empty bytes as a call of their class when it has to use protocol 2."""
    return b""


def _new_instance(cls: Any, base: Any, state: Any = None) -> Any:
    """``copyreg._reconstructor``: how protocols 0 and 1 make instances."""
    if cls not in _IMMUTABLE_TYPES and not (isinstance(cls, type) and issubclass(cls, InertObject)):
        raise ValueError(f"an instance of {cls!r}")
    return cls() if state is None else cls(state)


def _no_function(*arguments: Any) -> Any:
    """Stand in for what a pickle may name, as an argument for a function, but never call."""
    raise ValueError("it calls what it may only name")


CONTAINER_GLOBALS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": dict,
    **{f"{module}.{cls.__name__}": cls for module in ("builtins", "__builtin__") for cls in _IMMUTABLE_TYPES},
    "builtins.bytes": _empty_bytes,
    "__builtin__.bytes": _empty_bytes,
    "builtins.object": _no_function,
    "__builtin__.object": _no_function,
    "copyreg._reconstructor": _new_instance,
    "copy_reg._reconstructor": _new_instance,
    "_codecs.encode": _encode,
}
"""Plain containers, and the helpers with which pickles of Python 2 and 3 write bytes and instances."""


PLAIN_GLOBALS: Mapping[str, Callable[..., Any]] = {**CONTAINER_GLOBALS, **ARRAY_GLOBALS}
"""Containers and numpy arrays."""


def _none_inert(name: str) -> bool:
    return False


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(
        self, stream: BinaryIO, allowed: Mapping[str, Callable[..., Any]], inert: Callable[[str], bool]
    ) -> None:
        super().__init__(stream, fix_imports=False, encoding="latin1")
        self._allowed, self._inert = allowed, inert
        self._records: dict[str, type[InertObject]] = {}

    def find_class(self, module: str, name: str) -> Any:
        qualified = f"{module}.{name}"
        if qualified in self._allowed:
            function = self._allowed[qualified]
            return function if function in _IMMUTABLE_TYPES else _StandIn(qualified, function)
        if not self._inert(qualified):
            raise RefusedPickleError(f"it asks for {_shortened(qualified)}, which no such file needs")
        if qualified not in self._records:
            members = {"__slots__": (), "qualified_name": qualified}
            self._records[qualified] = type(name, (InertObject,), members)
        return self._records[qualified]

    def persistent_load(self, pid: Any) -> Any:
        raise RefusedPickleError("it refers to objects outside the file")


def load_restricted(
    path: Path,
    allowed: Mapping[str, Callable[..., Any]] = PLAIN_GLOBALS,
    inert: Callable[[str], bool] = _none_inert,
) -> Any:
    """Return the object in a pickle file, of any protocol, by Python 2 or 3. Nothing that the file names is imported.

    allowed: what stands in for a global, by its full name as the file writes it ("collections.OrderedDict",
        "numpy.core.multiarray._reconstruct"). Such a function gets its arguments from the file: it must check them.
        dict, list, set and frozenset may stand in for classes derived from them.
    inert: says of any other full name ("chumpy.ch.Ch") whether an ``InertObject`` may stand in for it.

    Strings of Python 2 come back as str, one character a byte. Arrays are writable numpy arrays.
    Raises RefusedPickleError when the file asks for anything else, SynthForgeError when it is damaged or no pickle.
    """
    with _opened(path) as stream:
        return _load(stream, path, allowed, inert)


def load_restricted_npy(
    path: Path,
    allowed: Mapping[str, Callable[..., Any]] = PLAIN_GLOBALS,
    inert: Callable[[str], bool] = _none_inert,
) -> Any:
    """Return the array of a .npy file; one of Python objects is a pickle, and read as ``load_restricted`` reads it.

    An array without axes that holds an object, as ``numpy.save`` makes it of a dictionary, comes back as that object.
    Raises as ``load_restricted`` does.
    """
    with _opened(path) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            dtype = readers[version](stream)[2]
            stream_position = stream.tell()
        except (ValueError, KeyError) as error:
            raise _damaged(path, error) from error
        if not dtype.hasobject:
            stream.seek(0)
            try:
                return np.lib.format.read_array(stream, allow_pickle=False)
            except (ValueError, MemoryError) as error:
                raise _damaged(path, error) from error
        stream.seek(stream_position)
        content = _load(stream, path, allowed, inert)
    return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content


def _load(stream: BinaryIO, path: Path, allowed: Mapping[str, Callable[..., Any]], inert: Callable[[str], bool]) -> Any:
    start = stream.tell()
    try:
        check_opcodes(stream)
        stream.seek(start)
        return _RestrictedUnpickler(stream, allowed, inert).load()
    except RefusedPickleError as error:
        raise RefusedPickleError(
            f"{path} was refused: {error}; nothing of it was run. Use the file as its authors published it"
        ) from None
    except Exception as error:  # whatever a crafted file provokes means the same to the user
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> SynthForgeError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return SynthForgeError(
        f"cannot read {path}: it is damaged or not the file its name says ({_shortened(reason)}); get it again"
    )


def _shortened(text: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return printable if len(printable) <= 160 else f"{printable[:157]}..."


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Map a file into memory: its ``read`` never allocates more than the file has left."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise SynthForgeError(f"{path} is empty; get it again")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield cast(BinaryIO, mapped)
    except OSError as error:
        raise SynthForgeError(f"cannot read {path}: {error.strerror or error}") from error
