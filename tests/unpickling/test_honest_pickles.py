"""What the restricted unpickler reads: containers, arrays and tensors of every protocol; all else as inert records."""

import collections
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.unpickling import PLAIN_GLOBALS, TENSOR_GLOBALS, InertObject, load_restricted, load_restricted_npy

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
ARRAYS = {
    "double": np.arange(12.0).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    "big endian": np.arange(5, dtype=">i4"),
    "unsigned": np.array([2**32 - 1, 0], dtype=np.uint32),
    "boolean": np.array([[True, False]]),
    "empty": np.zeros((0, 3), dtype=np.int64),
    "no axes": np.array(2.5),
    "text": np.array(["face", "ear"]),
    "bytes": np.array([b"\xff\x00", b"a"]),
    "complex": np.array([1 + 2j]),
}


def written(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_every_kind(tmp_path: Path, protocol: int) -> None:
    loaded = load_restricted(written(tmp_path / "arrays.pkl", ARRAYS, protocol))
    assert list(loaded) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert loaded[name].dtype.newbyteorder("=") == array.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_containers_and_scalars(tmp_path: Path, protocol: int) -> None:
    content = {
        "plain": [1, -(2**70), 0.5, "é", b"\xff", None, True, (1,), {"a": {1}}, frozenset({2})],
        "ordered": collections.OrderedDict(b=1, a=2),
        "number": np.float64(0.25),
        "shared": [[]] * 2,
        "objects": np.array([{"a": 1}, None], dtype=object),
    }
    loaded = load_restricted(written(tmp_path / "content.pkl", content, protocol))
    assert loaded["plain"] == content["plain"]
    assert loaded["ordered"] == {"b": 1, "a": 2} and list(loaded["ordered"]) == ["b", "a"]
    assert loaded["number"] == 0.25 and type(loaded["number"]) is np.float64
    assert loaded["shared"][0] is loaded["shared"][1]
    assert loaded["objects"].tolist() == [{"a": 1}, None]


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """As its cPickle wrote it: module names of then, byte strings, protocols 0 and 2."""
    text = (
        b"(dp1\nS'f'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n"
        b"(I1\n(I2\ntcnumpy\ndtype\np6\n(S'u2'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        b"S'\\xff\\x00\\x01\\x80'\np8\ntbs."
    )
    binary = (
        b"\x80\x02}q\x01U\x01fcnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nK\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02u2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x04\xff\x00\x01\x80tbs."
    )
    for name, content in (("text", text), ("binary", binary)):
        loaded = load_restricted(written(tmp_path / f"{name}.pkl", content))
        assert loaded["f"].dtype == np.uint16 and loaded["f"].tolist() == [255, 0x8001], name


def test_loaded_arrays_can_be_written_to(tmp_path: Path) -> None:
    loaded = load_restricted(written(tmp_path / "array.pkl", np.zeros(3)))
    loaded += 1
    assert np.asarray(loaded).tolist() == [1, 1, 1]


@pytest.fixture
def foreign_module() -> Any:
    """Return a module of classes that exists while a test pickles them."""
    module = types.ModuleType("foreign_library")

    class Thing:
        def __init__(self) -> None:
            self.x = np.arange(3)

    class Listing(list):
        pass

    for cls in (Thing, Listing):
        cls.__module__, cls.__qualname__ = module.__name__, cls.__name__
        setattr(module, cls.__name__, cls)
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_foreign_classes_become_inert_records(tmp_path: Path, protocol: int, foreign_module: Any) -> None:
    listing = foreign_module.Listing([foreign_module.Thing()])
    path = written(tmp_path / "foreign.pkl", listing, protocol)
    del sys.modules["foreign_library"]
    loaded = load_restricted(path, inert=lambda name: name.startswith("foreign_library."))
    sys.modules["foreign_library"] = foreign_module
    assert isinstance(loaded, InertObject) and loaded.qualified_name == "foreign_library.Listing"
    items = loaded.content or loaded.arguments[0]  # the oldest protocols hand the items to the constructor
    assert items[0].qualified_name == "foreign_library.Thing"
    assert items[0].state["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS[2:])
def test_tensors_come_back_as_arrays(tmp_path: Path, protocol: int) -> None:
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {
        "whole": base,
        "view": base[:, 1, ::2].T,
        "expanded": torch.tensor([[7]]).expand(1, 5),
        "parameter": torch.nn.Parameter(base[0]),
        "half": base.half(),
        "empty": torch.zeros(0, 4),
    }
    path = written(tmp_path / "tensors.pkl", content, protocol)
    loaded = load_restricted(path, {**PLAIN_GLOBALS, **TENSOR_GLOBALS})
    for name, tensor in content.items():
        np.testing.assert_array_equal(loaded[name], tensor.detach().numpy(), err_msg=name)
        assert loaded[name].dtype == tensor.detach().numpy().dtype


def test_npy_files_of_numbers_and_of_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "numbers.npy", ARRAYS["double"])
    np.testing.assert_array_equal(load_restricted_npy(tmp_path / "numbers.npy"), ARRAYS["double"])
    content = {"faces": torch.arange(3), "weights": np.ones((2, 3))}
    np.save(tmp_path / "objects.npy", content, allow_pickle=True)  # type: ignore[arg-type]
    loaded = load_restricted_npy(tmp_path / "objects.npy", {**PLAIN_GLOBALS, **TENSOR_GLOBALS})
    assert loaded["faces"].tolist() == [0, 1, 2] and loaded["weights"].shape == (2, 3)


@pytest.mark.parametrize("content", [b"", b"\x80", b"hello, world", b"PK\x03\x04" + bytes(40), b"N", b"\x80\x04N"])
def test_what_is_no_pickle_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "model.pkl", content)
    with pytest.raises(SynthForgeError, match=r"model\.pkl.*get it again"):
        load_restricted(path)


def test_a_pickle_cut_anywhere_is_called_damaged(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": np.arange(50), "b": [1, {2: "c"}]}, 2)
    for length in range(0, len(whole) - 1, 7):
        with pytest.raises(SynthForgeError):
            load_restricted(written(tmp_path / "cut.pkl", whole[:length]))


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SynthForgeError, match=r"absent\.pkl: No such file"):
        load_restricted(tmp_path / "absent.pkl")
