"""Files made to run code, to eat memory or to crash the reader are refused in one line, and leave no trace."""

import collections
import io
import os
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthforge_hf.errors import SynthForgeError
from synthforge_hf.unpickling import (
    PLAIN_GLOBALS,
    TENSOR_GLOBALS,
    RefusedPickleError,
    load_restricted,
    load_restricted_npy,
)

EVERYTHING = {**PLAIN_GLOBALS, **TENSOR_GLOBALS}


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Return instructions that call a global with arguments, each given as instructions."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


NAMED_CODE = {
    "os.system": call("os", "system", text("touch trace")),
    "posix.system": call("posix", "system", text("touch trace")),
    "builtins.eval": call("builtins", "eval", text("open('trace', 'w')")),
    "__builtin__.eval": call("__builtin__", "eval", text("open('trace', 'w')")),
    "builtins.exec": call("builtins", "exec", text("open('trace', 'w')")),
    "subprocess.Popen": call("subprocess", "Popen", text("touch trace")),
    "runpy._run_code": call("runpy", "_run_code", text("open('trace', 'w')"), b"}"),
    "builtins.getattr": call("builtins", "getattr", call("builtins", "__import__", text("os")), text("system")),
    "builtins.__import__": call("builtins", "__import__", text("os")),
    "numpy.f2py.crackfortran.getlincoef": call("numpy.f2py.crackfortran", "getlincoef", text("1"), b"}"),
    "numpy.load": call("numpy", "load", text("trace")),
    "numpy.testing._private.utils.runstring": call("numpy.testing._private.utils", "runstring", text("1"), b"}"),
    "torch.load": call("torch", "load", text("trace")),
    "torch.serialization.load": call("torch.serialization", "load", text("trace")),
    "pickle.loads": call("pickle", "loads", text("")),
    "scipy.sparse.linalg.eigs": call("scipy.sparse.linalg", "eigs"),
    "importlib.import_module": call("importlib", "import_module", text("this")),
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(content: bytes, allowed: Any = EVERYTHING, inert: Callable[[str], bool] = lambda name: False) -> str:
    """Return the message with which a pickle is refused, having checked that it did nothing."""
    path = Path("hostile.pkl")
    path.write_bytes(content)
    with pytest.raises(SynthForgeError) as refusal:
        load_restricted(path, allowed, inert)
    assert not Path("trace").exists()
    message = str(refusal.value)
    assert "\n" not in message and "hostile.pkl" in message and len(message) < 500
    return message


@pytest.mark.parametrize(("name", "instructions"), NAMED_CODE.items(), ids=NAMED_CODE)
def test_code_by_name(name: str, instructions: bytes) -> None:
    message = refused(instructions + b".")
    assert name in message and "nothing of it was run" in message


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reduce_in_any_place(protocol: int) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, ("touch trace",)

        def __hash__(self) -> int:
            return 1

    for content in (Bomb(), [Bomb()], {"v_template": {"deep": (Bomb(),)}}, {Bomb(): 1}, np.array([Bomb()], object)):
        refused(pickle.dumps(content, protocol))


def test_dotted_names_reach_nothing_behind_what_is_allowed() -> None:
    for dotted in ("_reconstruct.__globals__", "_reconstruct.__class__.__base__", "scalar.__self__"):
        stack_global = b"\x80\x04" + text("numpy.core.multiarray") + text(dotted) + b"\x93)R."
        assert dotted in refused(stack_global)
    assert "builtins.dict.__subclasses__" in refused(
        b"\x80\x04" + text("builtins") + text("dict.__subclasses__") + b"\x93)R."
    )


def test_inert_stand_ins_import_and_call_nothing() -> None:
    Path("payload.py").write_text("open('trace', 'w')")
    Path("file.pkl").write_bytes(b"(" + call("payload", "main") + call("os", "system", text("touch trace")) + b"l.")
    loaded = load_restricted(Path("file.pkl"), inert=lambda name: True)
    assert [record.qualified_name for record in loaded] == ["payload.main", "os.system"]
    assert loaded[1].arguments == ("touch trace",)
    assert not Path("trace").exists()
    # an inert record is no function, so what a stream does with it next fails
    refused(call("os", "system") + b"(tR.", inert=lambda name: True)


def test_what_is_allowed_cannot_be_altered() -> None:
    """The BUILD instruction would set attributes of functions and classes, and change every later file."""
    state = b"}(" + text("__call__") + text("changed") + b"u"
    for name in ("numpy.core.multiarray\n_reconstruct", "collections\nOrderedDict", "builtins\ndict", "numpy\ndtype"):
        for build in (state + b"b.", b"N" + state + b"\x86b."):
            refused(f"c{name}\n".encode() + build)
    refused(b"cos\nsystem\n" + state + b"b.", inert=lambda name: True)
    Path("honest.pkl").write_bytes(pickle.dumps(collections.OrderedDict(a=np.ones(2))))
    assert load_restricted(Path("honest.pkl"))["a"].tolist() == [1, 1]


def test_persistent_ids_extensions_and_old_classes() -> None:
    for instructions in (b"Panything\n.", b"NQ.", b"\x82\x01.", b"(ios\nsystem\n.", b"(cos\nsystem\no."):
        refused(instructions, inert=lambda name: True)


def array(shape: bytes, dtype: str = "f8", content: bytes = b"C\x08" + bytes(8)) -> bytes:
    kind = call("numpy", "dtype", text(dtype), b"I0\n", b"I1\n") + b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xff" * 1
    kind += b"J\xff\xff\xff\xffK\x00tb"
    empty = call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", b"(K\x00t", b"C\x01b")
    return empty + b"(K\x01" + shape + kind + b"\x89" + content + b"tb"


LARGE = b"\x8a\x06" + (10**12).to_bytes(6, "little")
GREEDY = {
    "array without its data": array(b"(" + LARGE + b"t") + b".",
    "array of objects": array(b"(" + LARGE + b"t", "O", b"]") + b".",
    "overflowing shape": array(b"(" + LARGE * 4 + b"t") + b".",
    "negative shape": array(b"(I-1\nt") + b".",
    "array that is never filled": call(
        "numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", b"(" + LARGE + b"t", b"C\x01b"
    ) + b"b.",
    "call ndarray": call("numpy", "ndarray", LARGE) + b".",
    "wide text": array(b"(K\x01t", "S99999999") + b".",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**50) + b"x.",
    "bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**50) + b"x.",
    "text": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "frame": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "memo": b"N" + b"r" + struct.pack("<I", 2**31) + b".",
    "memo as text": b"Np99999999999\n.",
    "negative memo": b"Np-5\n.",
    "buffer": call("numpy.core.numeric", "_frombuffer", b"C\x00", b"N", b"(" + LARGE + b"t", text("C")) + b".",
    "storage": call("torch._utils", "_rebuild_tensor_v2", b"N", b"K\x00", b"(" + LARGE + b"t", b"(K\x01t") + b".",
    "digits": b"I" + b"9" * 10**6 + b"\n.",
}  # fmt: skip


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY)
def test_claimed_sizes_allocate_nothing(content: bytes) -> None:
    tracemalloc.start()
    start = time.process_time()
    refused(content)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 2 and peak < 50e6


def test_the_array_used_above_is_right_but_for_its_size() -> None:
    Path("honest.pkl").write_bytes(array(b"(K\x01t") + b".")
    assert load_restricted(Path("honest.pkl")).tolist() == [0.0]


def tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    blob = io.BytesIO()
    torch.save(torch.arange(6.0)._typed_storage(), blob, _use_new_zipfile_serialization=False)
    stored = b"B" + struct.pack("<I", len(blob.getvalue())) + blob.getvalue()
    storage = call("torch.storage", "_load_from_bytes", stored)
    numbers = [b"(" + b"".join(b"L%dL\n" % item for item in items) + b"t" for items in (size, stride)]
    return call("torch._utils", "_rebuild_tensor_v2", storage, b"I%d\n" % offset, *numbers, b"\x89", b"}") + b"."


def test_tensors_stay_within_their_storage() -> None:
    Path("honest.pkl").write_bytes(tensor((2, 3), (3, 1)))
    assert load_restricted(Path("honest.pkl"), EVERYTHING).tolist() == [[0, 1, 2], [3, 4, 5]]
    for size, stride, offset in (((7,), (1,), 0), ((2, 3), (3, 2), 0), ((6,), (1,), 1), ((6,), (-1,), 5)):
        assert "tensor" in refused(tensor(size, stride, offset))
    assert "beyond" in refused(tensor((10**12,), (0,)))
    assert "shape" in refused(tensor((2,), (1, 1)))


def test_code_inside_a_storage() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, ("touch trace",)

    for legacy in (True, False):
        blob = io.BytesIO()
        torch.save(Bomb(), blob, _use_new_zipfile_serialization=not legacy)
        stored = b"B" + struct.pack("<I", len(blob.getvalue())) + blob.getvalue()
        refused(call("torch.storage", "_load_from_bytes", stored) + b".")
    refused(call("torch.storage", "_load_from_bytes", text("trace")) + b".")


def test_memo_tricks() -> None:
    """Objects fetched before they are stored, swapped, or used as two things at once."""
    refused(b"h\x05.")
    refused(b"g7\n.")
    refused(b"\x80\x04\x94.")  # memoise nothing
    refused(b"0.")  # pop nothing
    refused(b"(u.")  # fill no dictionary
    refused(b"(a.")
    # the name of an allowed function and a hostile one, exchanged through the memo
    refused(b"cnumpy\ndtype\nq\x000cos\nsystem\nq\x000h\x00(" + text("touch trace") + b"tR.")
    # a stand-in as the state or the argument of another
    refused(b"cnumpy\ndtype\ncnumpy\nndarray\nb.")
    refused(b"cnumpy\ndtype\n(cnumpy\nndarray\ntR.")


def test_doubling_references_cost_nothing_to_read() -> None:
    content = b"]q\x00"
    for level in range(60):  # each list holds the one before it twice: 2 ** 60 leaves, 61 lists
        content += b"](h%ch%ceq%c" % (level, level, level + 1)
    Path("laughs.pkl").write_bytes(content + b".")
    start = time.process_time()
    assert len(load_restricted(Path("laughs.pkl"))) == 2
    assert time.process_time() - start < 1


def test_doubling_tuples_are_not_hashed() -> None:
    """Hashing visits 2 ** 60 items, where no interrupt reaches."""
    content = b")q\x00"
    for level in range(60):
        content += b"h%ch%c\x86q%c" % (level, level, level + 1)
    assert "tuple of more than" in refused(b"}" + content + b"Ns.")


def test_nesting_that_would_overflow_the_stack() -> None:
    assert "deep" in refused(b"N" + b"\x85" * 10**5 + b".")
    assert "deep" in refused(b"}" + b"N" + b"\x85" * 10**5 + b"Ns.")
    assert "deep" in refused(b"]" * 10**5 + b"a" * (10**5 - 1) + b".")


def test_an_object_array_file_is_no_way_round() -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, ("touch trace",)

    np.save("hostile.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(RefusedPickleError, match=r"hostile\.npy was refused: it asks for posix\.system"):
        load_restricted_npy(Path("hostile.npy"))
    assert not Path("trace").exists()


def test_a_npy_header_claims_what_is_not_there() -> None:
    np.save("numbers.npy", np.zeros(4))
    honest = Path("numbers.npy").read_bytes()
    for shape in (b"(4000000000000,), }", b"(-4,), }", b"(__import__('os').system('touch trace'),), }"):
        start = honest.index(b"(4,), }")
        header = honest[:start] + shape
        Path("numbers.npy").write_bytes(header.ljust(len(honest) - 33, b" ") + b"\n" + bytes(32))
        with pytest.raises(SynthForgeError, match="damaged"):
            load_restricted_npy(Path("numbers.npy"))
    assert not Path("trace").exists()


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    honest = [pickle.dumps({"a": np.arange(4.0), "b": [1, {2: ("c",)}], "s": {1}}, protocol) for protocol in range(6)]
    honest.append(tensor((2, 3), (3, 1)))
    random = np.random.default_rng(0)
    outcomes = collections.Counter[str]()
    for number in range(600):
        content = bytearray(honest[number % len(honest)])
        for _ in range(random.integers(1, 4)):
            place, other = random.integers(len(content), size=2)
            if random.random() < 0.5:
                content[place] = random.integers(256)
            else:
                content[place:place] = content[other : other + 12]
        Path("mutated.pkl").write_bytes(content)
        try:
            load_restricted(Path("mutated.pkl"), EVERYTHING)
            outcomes["read"] += 1
        except SynthForgeError:
            outcomes["refused"] += 1
    assert outcomes["read"] > 10 and outcomes["refused"] > 300
    assert pickle.loads(pickle.dumps(np.arange(3))).tolist() == [0, 1, 2]
