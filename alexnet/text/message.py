"""A message of Caffe's, read from text or from a binary file: fields by the names of the schema.

Both readers make it, both writers take it, and everything else asks it for fields. A field that is
not set answers with its default, as in protobuf.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from alexnet.nearest import nearest
from alexnet.text.schema import ENUMS, MESSAGES, Field

Place = tuple[int, int]


class TextError(ValueError):
    """A prototxt, a caffemodel or another file of Caffe's is refused."""


class Message:
    """Fields with values; a repeated field's value is a list, or an array of numbers.

    Enums are held by name. `line` and `column` of the text that a message or a field came from
    count from 1 and are 0 where there was no text.
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
        if field.repeated and not isinstance(value, list | np.ndarray):
            value = list(value)
        if field.type in ENUMS:
            for each in value if field.repeated else [value]:
                if each not in ENUMS[field.type]:
                    close = nearest(str(each), ENUMS[field.type])
                    known = ", ".join(ENUMS[field.type])
                    raise TextError(f"{name} is {each!r}{close}; it must be one of {known}")
        self._values[name] = value

    def __delitem__(self, name: str) -> None:
        self.field(name)
        self._values.pop(name, None)
        self._places.pop(name, None)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message) or self.kind != other.kind:
            return NotImplemented if not isinstance(other, Message) else False
        return dict(self._compared()) == dict(other._compared())

    __hash__ = None  # type: ignore[assignment]  # a message changes

    def _compared(self) -> Iterator[tuple[str, Any]]:
        for field, value in self.items():
            yield field.name, value.tolist() if isinstance(value, np.ndarray) else value

    def __repr__(self) -> str:
        inside = ", ".join(f"{field.name}={value!r:.60}" for field, value in self.items())
        return f"{self.kind}({inside})"

    def add(self, name: str, values: Mapping[str, Any] | None = None) -> "Message":
        """Append a message to a repeated field and return it."""
        child = Message(self.field(name).type, values)
        self._values.setdefault(name, []).append(child)
        return child

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
        twin.source, twin.line, twin._places = self.source, self.line, dict(self._places)
        for name, value in self._values.items():
            if isinstance(value, Message):
                twin._values[name] = value.copy()
            elif isinstance(value, list):
                twin._values[name] = [v.copy() if isinstance(v, Message) else v for v in value]
            else:
                twin._values[name] = value
        return twin

    def mark(self, name: str, place: Place) -> None:
        """Remember the line and column where a field was read."""
        self._places[name] = place

    def place(self, name: str | None = None) -> str:
        """Return "file:line:column" of a field, "file:line" of the message, "" if not from text."""
        if name is not None and name in self._places:
            line, column = self._places[name]
            return f"{self.source}:{line}:{column}"
        return f"{self.source}:{self.line}" if self.line else self.source

    def refuse(self, why: str, field: str | None = None) -> TextError:
        """Return an error about this message, with its place and its layer's name."""
        place = self.place(field)
        name = self["name"] if "name" in self.fields else ""
        return TextError(
            f"{place}{': ' if place else ''}{f'layer {name!r}: ' if name else ''}{why}"
        )
