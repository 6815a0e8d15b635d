"""A look over a pickle's instructions before any of them is carried out."""

import pickletools
from collections.abc import Iterator
from typing import Any, BinaryIO

REFUSED_OPCODES = frozenset(
    {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER"}
)
"""Persistent ids, extension codes, old-style classes and out-of-band buffers: no file that is read here needs them."""

MAX_DEPTH = 500
"""Levels of containers in containers. Hashing or walking deeper ones could overflow the interpreter's stack."""

MAX_TUPLE_SIZE = 10**6
"""Items of a tuple, those of tuples in it counted each time they are referred to: as many does hashing it visit."""

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_MARK = (-1, 0)
_MAKE_TUPLE = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
_ADD_TO_CONTAINER = frozenset({"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"})


def check_opcodes(stream: BinaryIO) -> None:
    """Read one pickle's instructions and raise ValueError, naming the first thing that is not acceptable.

    stream: positioned at the pickle's start. Its ``read`` must return at most what is there, as those of mmap and
    BytesIO do, so that a length that a file merely claims allocates nothing.

    Refused are ``REFUSED_OPCODES``, memo numbers larger than the number of instructions so far (the interpreter would
    allocate a table of that size), nesting beyond ``MAX_DEPTH``, tuples beyond ``MAX_TUPLE_SIZE`` and anything that is
    cut off.
    """
    stack: list[tuple[int, int]] = []  # (depth, size as a tuple) of each object that the interpreter's stack would hold
    memo: dict[int, tuple[int, int]] = {}
    for number, (opcode, argument) in enumerate(_instructions(stream)):
        name = opcode.name
        if name in REFUSED_OPCODES:
            raise ValueError(f"it uses the instruction {name}")
        if name == "MARK":
            stack.append(_MARK)
            continue
        if name == "MEMOIZE" or name in ("PUT", "BINPUT", "LONG_BINPUT"):
            index = len(memo) if argument is None else argument
            if not 0 <= index <= number:
                raise ValueError(f"it stores object {index} when it has made at most {number}")
            memo[index] = _top(stack)
            continue
        if name in ("GET", "BINGET", "LONG_BINGET"):
            if argument not in memo:
                raise ValueError(f"it fetches object {argument}, which it never stored")
            stack.append(memo[argument])
            continue
        popped = _pop(stack, opcode)
        depths = [depth for depth, _ in popped]
        if name in _ADD_TO_CONTAINER:
            depth = max(depths[0], 1 + max(depths[1:], default=-1))
        else:
            depth = 1 + max(depths, default=-1)
        size = 1 + sum(size for _, size in popped) if name in _MAKE_TUPLE else 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it nests objects more than {MAX_DEPTH} deep")
        if size > MAX_TUPLE_SIZE:
            raise ValueError(f"it makes a tuple of more than {MAX_TUPLE_SIZE} items")
        stack.extend([(depth, size)] * len(opcode.stack_after))


def _instructions(stream: BinaryIO) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Yield instructions up to STOP, as ``pickletools.genops`` does, but with Python 2's texts, which it takes for
    ASCII, left as they are.
    """
    while True:
        code = stream.read(1).decode("latin1")
        if code not in _OPCODES:
            raise ValueError("it is no pickle" if code else "it ends too early")
        opcode = _OPCODES[code]
        if opcode.name == "STRING":
            yield opcode, stream.readline()
        else:
            yield opcode, opcode.arg.reader(stream) if opcode.arg else None
        if opcode.name == "STOP":
            return


def _pop(stack: list[tuple[int, int]], opcode: pickletools.OpcodeInfo) -> list[tuple[int, int]]:
    """Take off the stack what an instruction consumes, marks left out."""
    before = opcode.stack_before
    popped: list[tuple[int, int]] = []
    count = len(before)
    if pickletools.markobject in before or (opcode.name == "POP" and stack and stack[-1] == _MARK):
        while _top(stack) != _MARK:
            popped.append(stack.pop())
        stack.pop()
        count = before.index(pickletools.markobject) if pickletools.markobject in before else 0
    if count > len(stack) or _MARK in stack[len(stack) - count :]:
        raise ValueError(f"its instruction {opcode.name} finds too few objects")
    below = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return below + popped


def _top(stack: list[tuple[int, int]]) -> tuple[int, int]:
    if not stack:
        raise ValueError("it takes an object where there is none")
    return stack[-1]
