"""A message of Caffe's, read from text or from a binary file: fields by the names of the schema.

Both readers make it, both writers take it, and everything else asks it for fields. A field that is
not set answers with its default, as in protobuf.
"""

import math
import operator
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from alexnet.nearest import nearest
from alexnet.text.schema import ENUMS, MESSAGES, NUMBERS, Field

Place = tuple[int, int]

RANGES: Final = {"int32": (-(2**31), 2**31), "uint32": (0, 2**32), "int64": (-(2**63), 2**63)}
"""The first integer that a type holds, and the one after its last."""
LAYERS: Final = ("LayerParameter", "V1LayerParameter", "V0LayerParameter")
"""The messages that are layers, of today and of older nets."""


class TextError(ValueError):
    """A prototxt, a caffemodel or another file of Caffe's is refused."""


def checked(field: Field, value: Any) -> Any:
    """Return a value as a field holds it: a float rounded to its 32 bits, a mapping as a message.

    Raises: TextError if the field cannot hold it.
    """
    match field.type:
        case "string" if isinstance(value, str):
            return value
        case "float" if isinstance(value, int | float | np.number):
            return _float32(float(value))
        case "double" if isinstance(value, int | float | np.number):
            return float(value)
        case "bool" if isinstance(value, bool | np.bool_):
            return bool(value)
        case "int32" | "uint32" | "int64" if isinstance(value, int | np.integer):
            low, end = RANGES[field.type]
            if low <= value < end:
                return operator.index(value)
            raise TextError(f"{field.name} is {value}; it must be from {low} to {end - 1}")
        case "bytes" if isinstance(value, bytes):
            return value
    if field.type in ENUMS:
        if isinstance(value, str) and value in ENUMS[field.type]:
            return value
        close, known = nearest(str(value), ENUMS[field.type]), ", ".join(ENUMS[field.type])
        raise TextError(f"{field.name} is {value!r}{close}; it must be one of {known}")
    if isinstance(value, Message) and value.kind == field.type:
        return value
    if field.type in MESSAGES and isinstance(value, Mapping):
        return Message(field.type, value)
    raise TextError(f"{field.name} is {value!r:.60}; it must be a {field.type}")


def _float32(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)  # as Google's reader rounds


def _same(a: Any, b: Any) -> bool:
    """Compare two values of one field; NaN is the same as NaN."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b or (a != a and b != b))


class Message:
    """Fields with values; a repeated field's value is a list, or an array of numbers.

    Enums are held by name, floats as what 32 bits hold of them. `line` of the text that a message
    came from counts from 1 and is 0 where there was no text.
    """

    __slots__ = ("_places", "_values", "kind", "line", "source")

    def __init__(self, kind: str, values: Mapping[str, Any] | None = None) -> None:
        self.kind = kind
        self.source, self.line = "", 0
        self._values: dict[str, Any] = {}
        self._places: dict[str, Place] = {}
        for name, value in (values or {}).items():
            self[name] = value

    @property
    def fields(self) -> dict[str, Field]:
        """What the schema says of each field this message may have."""
        return MESSAGES[self.kind]

    def field(self, name: str) -> Field:
        """Return what the schema says of a field.

        Raises: TextError if the message has no such field; the nearest one is named.
        """
        found = MESSAGES[self.kind].get(name)
        if found is None:
            raise TextError(f"{self.kind} has no field {name!r}{nearest(name, self.fields)}")
        return found

    def __contains__(self, name: str) -> bool:
        """Return whether the field was set; a repeated field without values was not."""
        self.field(name)
        return name in self._values and not (
            self.fields[name].repeated and len(self._values[name]) == 0
        )

    def __getitem__(self, name: str) -> Any:
        field = self.field(name)
        if name in self._values:
            return self._values[name]
        if field.repeated:
            return []
        return Message(field.type) if field.type in MESSAGES else field.default

    def __setitem__(self, name: str, value: Any) -> None:
        field = self.field(name)
        if not field.repeated:
            value = checked(field, value)
        elif not (isinstance(value, np.ndarray) and field.type in NUMBERS):
            value = [checked(field, each) for each in value]
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        self.field(name)
        self._values.pop(name, None)
        self._places.pop(name, None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        mine, theirs = dict(self._set_fields()), dict(other._set_fields())
        return (
            self.kind == other.kind
            and mine.keys() == theirs.keys()
            and all(_same(value, theirs[name]) for name, value in mine.items())
        )

    __hash__ = None  # type: ignore[assignment]  # a message changes

    def _set_fields(self) -> Iterator[tuple[str, Any]]:
        return ((field.name, value) for field, value in self.items())

    def __repr__(self) -> str:
        inside = ", ".join(f"{field.name}={value!r:.60}" for field, value in self.items())
        return f"{self.kind}({inside})"

    def add(self, name: str, values: Mapping[str, Any] | None = None) -> "Message":
        """Append a message to a repeated field and return it."""
        child = Message(self.field(name).type, values)
        self._values.setdefault(name, []).append(child)
        return child

    def append(self, name: str, value: Any) -> None:
        """Append a value to a repeated field."""
        self._values.setdefault(name, []).append(checked(self.field(name), value))

    def child(self, name: str) -> "Message":
        """Return the message in a field, made if it was not set."""
        if name not in self._values:
            self._values[name] = Message(self.field(name).type)
        found = self._values[name]
        assert isinstance(found, Message)
        return found

    def items(self) -> Iterator[tuple[Field, Any]]:
        """Yield the fields that are set with their values, in the order of the schema."""
        for name, field in self.fields.items():
            if name in self:
                yield field, self._values[name]

    def copy(self) -> "Message":
        """Return a copy that shares arrays but no message and no list with this one."""
        twin = Message(self.kind)
        twin.stand_where(self)
        for name, value in self._values.items():
            if isinstance(value, Message):
                twin._values[name] = value.copy()
            elif isinstance(value, list):
                twin._values[name] = [v.copy() if isinstance(v, Message) else v for v in value]
            else:
                twin._values[name] = value
        return twin

    def stand_where(self, other: "Message", field: str = "") -> None:
        """Take the place of another message, or of a field there, and those of fields both have."""
        self.source, self.line = other.source, other._places.get(field, (other.line, 0))[0]
        self._places = {k: v for k, v in other._places.items() if k in self.fields}

    def mark(self, name: str, place: Place) -> None:
        """Remember the line and column where a field was read."""
        self._places[name] = place

    def place(self, name: str | None = None) -> str:
        """Return "file:line:column" of a field, "file:line" of the message, "" if not from text."""
        numbers = self._places.get(name or "", (self.line,) if self.line else ())
        return ":".join([*([self.source] if self.source else []), *map(str, numbers)])

    def refuse(self, why: str, field: str | None = None) -> TextError:
        """Return an error about this message, with its place and its layer's name."""
        place = self.place(field)
        return TextError(f"{place}{': ' if place else ''}{self.named()}{why}")

    def named(self) -> str:
        """Return "layer 'conv1': " for a layer of that name, and "" for what is no layer."""
        name = self["name"] if self.kind in LAYERS else ""
        return f"layer {name!r}: " if name else ""
