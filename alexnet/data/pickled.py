"""Read a pickled dictionary of plain values and byte arrays without executing anything.

A pickle is a program that may call any function. Here only the instructions that lay out data are
understood, and three of numpy's names, which stand for an array of bytes: that is what the
published CIFAR files hold (written by Python 2, protocol 2). Anything else is refused by name.
Source:  Python's Lib/pickletools.py, which describes the instructions and only lists them.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.data.folder import DataError

MOST_BYTES = 1_000_000_000
"""Largest file; CIFAR-100's training file has 155 MB."""


def read_pickled(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of text, whole numbers, lists and arrays of bytes.

    Shapes:  an array of bytes -> uint8 of its own shape
    Raises:  DataError, with the place of the byte, for an instruction or a name that could run
             code, for damage, and for a file that is missing or too large.
    """
    try:
        size = path.stat().st_size
        if not 0 < size <= MOST_BYTES:
            raise DataError(f"{path} has {size:,} bytes; a pickled batch has 1 to {MOST_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    value = _run(content, path)
    if not isinstance(value, dict):
        raise DataError(f"{path} holds no dictionary, as a batch of CIFAR does")
    return {
        key: each.finish(f"{path}: {key!r}") if isinstance(each, _Array) else each
        for key, each in value.items()
    }


class _Refused(ValueError):
    """An instruction cannot be followed; the message says why."""


@dataclass(frozen=True)
class _Name:
    """One of numpy's names; it is never looked up."""

    text: str


@dataclass(eq=False)
class _Array:
    """An array that is laid out but has no content yet."""

    shape: tuple[int, ...] = ()
    content: memoryview | bytes | None = None

    def finish(self, place: str) -> NDArray[np.uint8]:
        if self.content is None:
            raise DataError(f"{place} is an array without content; use another copy")
        return np.frombuffer(self.content, np.uint8).reshape(self.shape)


class _Type:
    """The type of an array's numbers: unsigned bytes."""


class _Mark:
    """Where a run of values begins on the stack."""


@dataclass
class _Machine:
    """The stack and the memory that instructions work on."""

    stack: list[Any] = field(default_factory=list)
    memory: dict[int, Any] = field(default_factory=dict)

    def pop(self, *kinds: type) -> Any:
        if not self.stack:
            raise _Refused("there is no value to take")
        value = self.stack.pop()
        if kinds and not isinstance(value, kinds):
            raise _Refused(f"{type(value).__name__} stands where it cannot")
        return value

    def pop_run(self) -> list[Any]:
        values: list[Any] = []
        while not isinstance(value := self.pop(), _Mark):
            values.append(value)
        return values[::-1]

    def top(self, *kinds: type) -> Any:
        value = self.pop(*kinds)
        self.stack.append(value)
        return value


ARRAY, TYPE = "numpy ndarray", "numpy dtype"
RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")


def _run(content: bytes, path: Path) -> Any:
    machine = _Machine()
    position, name = 0, "the first instruction"
    try:
        for code, argument, place in pickletools.genops(content):
            position, name = place or 0, code.name
            if name == "STOP":
                return machine.pop()
            if name not in _INSTRUCTIONS:
                raise _Refused("a batch of CIFAR has no such instruction")
            given: Any = argument
            if name == "BINSTRING":  # the long form, that pixels have; no copy
                given = memoryview(content)[position + 5 : position + 5 + len(given)]
            _INSTRUCTIONS[name](machine, given)
    except _Refused as error:
        raise DataError(
            f"{path}, byte {position}: {name} is refused: {error}; pickles are read as data and "
            f"never run, so take the published file, or the binary version"
        ) from None
    except ValueError as error:  # what genops says of an instruction that is cut or unknown
        raise DataError(
            f"{path} is damaged after byte {position} ({error}); use another copy"
        ) from None
    raise DataError(f"{path} is damaged: it ends without STOP; use another copy")


def _protocol(machine: _Machine, version: int) -> None:
    if version != 2:
        raise _Refused(f"protocol {version} is not 2")


def _set_items(machine: _Machine, pairs: list[Any]) -> None:
    target = machine.top(dict)
    if len(pairs) % 2:
        raise _Refused("a key has no value")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if not isinstance(key, str):
            raise _Refused("a key is not text")
        target[key] = value


def _append(machine: _Machine, values: list[Any]) -> None:
    machine.top(list).extend(values)


def _tuple(machine: _Machine, count: int) -> None:
    machine.stack.append(tuple([machine.pop() for _ in range(count)][::-1]))


def _name(machine: _Machine, text: str) -> None:
    if text not in (*RECONSTRUCT, ARRAY, TYPE):
        raise _Refused(f"it asks for {text.replace(' ', '.')!r}")
    machine.stack.append(_Name(text))


def _call(machine: _Machine, _: object) -> None:
    """Lay out an array or the type of one, where numpy would have been called."""
    arguments = machine.pop(tuple)
    name = machine.pop(_Name).text
    if name in RECONSTRUCT and arguments[:1] == (_Name(ARRAY),):
        machine.stack.append(_Array())
    elif name == TYPE and arguments[:1] == ("u1",):
        machine.stack.append(_Type())
    else:
        raise _Refused(f"numpy's {name.split()[-1]} is not called for an array of bytes")


def _fill(machine: _Machine, _: object) -> None:
    """Give an array its shape and content; a type's state says nothing about bytes."""
    state = machine.pop(tuple)
    target = machine.top(_Array, _Type)
    if isinstance(target, _Type):
        return
    if len(state) != 5 or not isinstance(state[2], _Type) or state[3] is not False:
        raise _Refused("the array is not one of bytes in C order")
    _, shape, _, _, content = state
    if isinstance(content, str):  # a short one
        content = content.encode("latin-1")
    sides = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
    if not sides or not isinstance(content, memoryview | bytes):
        raise _Refused("the array has no shape or no bytes")
    product = 1
    for side in shape:
        product *= side
    if product != len(content):
        raise _Refused(f"the array's shape is {shape}, but it has {len(content)} bytes")
    target.shape, target.content = shape, content


def _get(machine: _Machine, key: int) -> None:
    if key not in machine.memory:
        raise _Refused(f"nothing was kept as number {key}")
    machine.stack.append(machine.memory[key])


def _keep(machine: _Machine, key: int) -> None:
    machine.memory[key] = machine.top()


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _protocol,
    "MARK": lambda machine, _: machine.stack.append(_Mark()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "SETITEM": lambda machine, _: _set_items(machine, [machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_run()),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_run()),
    "EMPTY_TUPLE": lambda machine, _: _tuple(machine, 0),
    "TUPLE1": lambda machine, _: _tuple(machine, 1),
    "TUPLE2": lambda machine, _: _tuple(machine, 2),
    "TUPLE3": lambda machine, _: _tuple(machine, 3),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_run())),
    "NONE": _push,
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "BININT": _push,
    "BININT1": _push,
    "BININT2": _push,
    "SHORT_BINSTRING": _push,
    "BINSTRING": _push,
    "BINUNICODE": _push,
    "BINPUT": _keep,
    "LONG_BINPUT": _keep,
    "BINGET": _get,
    "LONG_BINGET": _get,
    "GLOBAL": _name,
    "REDUCE": _call,
    "BUILD": _fill,
}
