"""Caffe's messages as bytes: the wire format of protobuf, read and written by the schema.

Source:  Protocol Buffers, "Encoding"; BVLC Caffe, src/caffe/util/io.cpp. Numbers of blobs and of
         Datum.float_data become arrays, packed or not. Strings that are not UTF-8 survive as
         surrogates.
Differs: groups are refused, though protobuf skips them: Caffe has none. A file may have no more
         than MAX_VALUES fields beside the numbers in arrays, and its length is not limited to
         Caffe's 2 GB. Messages are read one inside the other only as deep as the schema goes,
         which is eight, so no file can nest deeper.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from alexnet.text.binary import Bytes, map_file, refuse_other_formats
from alexnet.text.message import RANGES, Message, TextError
from alexnet.text.schema import ENUMS, MESSAGES, Field

MAX_VALUES: Final = 100_000
"""Most fields of a file beside the numbers in arrays; a net of 3,000 layers has some 60,000."""
MAX_BYTES: Final = 2**31 - 1
"""Longest message that protobuf, and so Caffe, can read."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_WIRE_TYPES: Final = {"float": _FIXED32, "double": _FIXED64, "string": _LENGTH, "bytes": _LENGTH}
_NUMBER_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "float": np.dtype("<f4"),
    "double": np.dtype("<f8"),
}


def _wire_type(field: Field) -> int:
    """Return the wire type of one value of a field."""
    return _WIRE_TYPES.get(field.type, _LENGTH if field.type in MESSAGES else _VARINT)


_FIELDS: Final = {
    kind: {field.number: (field, _wire_type(field)) for field in fields.values()}
    for kind, fields in MESSAGES.items()
}
_ENUM_NAMES: Final = {
    kind: {number: name for name, number in names.items()} for kind, names in ENUMS.items()
}


def load(path: Path, kind: str, *, unknown: list[str] | None = None) -> Message:
    """Read a binary file of Caffe's, such as a .caffemodel ("NetParameter"); see `decode`.

    Raises:  TextError when the path is no file, is empty, has another format, or is damaged.
    """
    data = map_file(path)
    refuse_other_formats(data, str(path))
    return decode(data, kind, source=str(path), unknown=unknown)


def decode(
    data: Bytes, kind: str, *, source: str = "", unknown: list[str] | None = None
) -> Message:
    """Read the bytes of a message; numbers of arrays are copied, so the bytes may go.

    As in protobuf a field that stands twice keeps its last value, a message that does is merged,
    and fields that the schema lacks, enum values without a name among them, are skipped; each is
    listed once in `unknown`, as "LayerParameter field 150".

    Raises:  TextError with the place, a byte's number, when the bytes are no message.
    """
    reader = _Reader(memoryview(data).cast("B"), source, unknown)
    return reader.message(kind, 0, len(reader.view), Message(kind))


class _Reader:
    """The bytes, how many more values they may have, and the way to the message now read."""

    def __init__(self, view: memoryview, source: str, unknown: list[str] | None) -> None:
        self.view = view
        self.source = source
        self.unknown = unknown
        self.values_left = MAX_VALUES
        self.way: list[str] = []

    def refuse(self, position: int, why: str) -> TextError:
        where = f"{self.source}: " if self.source else ""
        inside = f" in {'.'.join(self.way)}" if self.way else ""
        return TextError(f"{where}byte {position}{inside}: {why}; copy or download the file again")

    def message(self, kind: str, position: int, end: int, into: Message) -> Message:
        """Read the bytes from `position` to `end` as a message of a kind."""
        into.source = self.source
        fields = _FIELDS[kind]
        lists: dict[str, list[Any]] = {}
        while position < end:
            start = position
            tag, position = self.varint(position, end)
            self.count(start)
            if tag < 8 or tag >> 32:
                raise self.refuse(start, f"{tag >> 3} is no field's number")
            field, wire_type = fields.get(tag >> 3, (None, -1))
            if field is None:
                position = self.skip(kind, start, tag, end)
                continue
            self.way.append(field.name)
            if wire_type != tag & 7 and not (field.repeated and tag & 7 == _LENGTH):
                position = self.skip(kind, start, tag, end)
            elif field.repeated:
                values = lists.setdefault(field.name, [])
                position = self.repeated(field, values, (start, position, end), tag)
            else:
                position = self.single(field, into, position, end)
            self.way.pop()
        for name, values in lists.items():
            field = MESSAGES[kind][name]
            if field.type in _NUMBER_TYPES and not is_array(kind, field):
                self.count(end, sum(len(piece) for piece in values))
            into[name] = _gather(kind, field, into[name], values)
        return into

    def single(self, field: Field, into: Message, position: int, end: int) -> int:
        if field.type in MESSAGES:
            start, position = self.length(position, end)
            before = into[field.name]
            into[field.name] = self.message(field.type, start, position, before)
            return position
        value, position = self.value(field, position, end)
        if value is not None:
            into[field.name] = value
        return position

    def repeated(
        self, field: Field, values: list[Any], place: tuple[int, int, int], tag: int
    ) -> int:
        """Read a value, packed values, or all of an array whose values follow one another."""
        start, position, end = place
        number = _NUMBER_TYPES.get(field.type)
        if number is not None and tag & 7 != _LENGTH:
            rows, position = self.run(start, position, end, number.itemsize)
            values.append(rows.view(number).reshape(-1))
        elif number is not None:
            begin, position = self.length(position, end)
            if (position - begin) % number.itemsize:
                raise self.refuse(begin, f"{position - begin} bytes are no {field.type} values")
            values.append(np.frombuffer(self.view[begin:position], number).copy())
        elif field.type in MESSAGES:
            begin, position = self.length(position, end)
            self.way[-1] = f"{field.name}[{len(values)}]"
            values.append(self.message(field.type, begin, position, Message(field.type)))
        elif tag & 7 == _LENGTH and _wire_type(field) != _LENGTH:
            begin, stop = self.length(position, end)
            while begin < stop:
                self.count(begin)
                value, begin = self.value(field, begin, stop)
                values.extend([] if value is None else [value])
            position = stop
        else:
            value, position = self.value(field, position, end)
            values.extend([] if value is None else [value])
        return position

    def value(self, field: Field, position: int, end: int) -> tuple[Any, int]:
        """Read one value; an enum's number without a name is None."""
        start = position
        if field.type in ("string", "bytes"):
            begin, position = self.length(position, end)
            found = bytes(self.view[begin:position])
            text = found.decode("utf-8", "surrogateescape") if field.type == "string" else found
            return text, position
        number = _NUMBER_TYPES.get(field.type)
        if number is not None:
            position += number.itemsize
            if position > end:
                raise self.refuse(start, f"the file is cut in a {field.type}")
            return np.frombuffer(self.view[start:position], number)[0].item(), position
        bits, position = self.varint(position, end)
        if field.type in ENUMS:
            name = _ENUM_NAMES[field.type].get(_signed(bits, 32))
            if name is None:
                self.note(f"{field.type} value {_signed(bits, 32)}")
            return name, position
        match field.type:
            case "bool":
                return bits != 0, position
            case "uint32":
                return bits & 0xFFFFFFFF, position
        return _signed(bits, 64 if field.type == "int64" else 32), position

    def varint(self, position: int, end: int) -> tuple[int, int]:
        view, value = self.view, 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise self.refuse(position, "the file is cut in a number")
            byte = view[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, position
        raise self.refuse(position, "a number has more than 10 bytes")

    def length(self, position: int, end: int) -> tuple[int, int]:
        """Return where the bytes that a length announces begin and end."""
        length, start = self.varint(position, end)
        if length > end - start:
            raise self.refuse(position, f"{length} bytes are announced, but {end - start} are left")
        return start, start + length

    def run(self, start: int, position: int, end: int, width: int) -> tuple[NDArray[np.uint8], int]:
        """Read values from `position` on for as long as the bytes of the first tag come again."""
        tag = bytes(self.view[start:position])
        step = len(tag) + width
        if position + width > end:
            raise self.refuse(position, "the file is cut in a number")
        found = 1
        rows = np.frombuffer(self.view[start:end], np.uint8)
        rows = rows[: len(rows) // step * step].reshape(-1, step)
        while found < len(rows):  # in growing pieces: a short run must not look at the whole file
            piece = (rows[found : 8 * found, : len(tag)] == list(tag)).all(axis=1)
            same = len(piece) if piece.all() else int(piece.argmin())
            found += same
            if same < len(piece):
                break
        return np.ascontiguousarray(rows[:found, len(tag) :]), start + found * step

    def skip(self, kind: str, start: int, tag: int, end: int) -> int:
        """Return where a field that is not known ends."""
        _, position = self.varint(start, end)
        wire_type = tag & 7
        if (kind, tag >> 3) == ("BlobProto", 12):
            raise TextError(
                f"{self.source}: a blob holds raw data (half precision), as NVIDIA's fork of Caffe "
                "writes it; save the weights as float with that fork"
            )
        if wire_type == _VARINT:
            _, position = self.varint(position, end)
        elif wire_type == _LENGTH:
            _, position = self.length(position, end)
        elif wire_type in (_FIXED32, _FIXED64):
            position += 4 if wire_type == _FIXED32 else 8
            if position > end:
                raise self.refuse(start, "the file is cut in a field that is not known")
        elif wire_type in (3, 4):
            raise self.refuse(start, f"field {tag >> 3} is a group, which Caffe does not have")
        else:
            raise self.refuse(start, f"{wire_type} is no wire type (field {tag >> 3})")
        self.note(f"{kind} field {tag >> 3}")
        return position

    def note(self, what: str) -> None:
        if self.unknown is not None and what not in self.unknown:
            self.unknown.append(what)

    def count(self, position: int, values: int = 1) -> None:
        self.values_left -= values
        if self.values_left < 0:
            raise self.refuse(
                position, f"this is no file of Caffe's: more than {MAX_VALUES} fields"
            )


def _signed(bits: int, width: int) -> int:
    bits &= (1 << width) - 1
    return bits - (1 << width) if bits >> (width - 1) else bits


def is_array(kind: str, field: Field) -> bool:
    """Return whether a field's values are held as an array: numbers of blobs and of a Datum."""
    return field.repeated and field.type in _NUMBER_TYPES and kind in ("BlobProto", "Datum")


def _gather(kind: str, field: Field, before: Any, values: list[Any]) -> Any:
    """Return the value of a repeated field: what it had, if it is merged, and what came."""
    if field.type not in _NUMBER_TYPES:
        return [*before, *values]
    if is_array(kind, field):
        pieces = [before, *values] if len(before) else values
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    return [*before, *(value for piece in values for value in piece.tolist())]


# ---- Writing ------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write a message, its fields by number, as protobuf does.

    Raises:  TextError when a number does not fit its field, or when the message would be longer
             than Caffe can read.
    """
    pieces, size = _encode(message)
    if size > MAX_BYTES:
        raise message.refuse(
            f"{message.kind} needs {size} bytes; Caffe reads at most {MAX_BYTES}; write HDF5 "
            "(snapshot_format: HDF5, a name that ends in .h5)"
        )
    return b"".join(pieces)


_Pieces = list[bytes | memoryview]


def _encode(message: Message) -> tuple[_Pieces, int]:
    pieces: _Pieces = []
    size = 0
    for field, value in sorted(message.items(), key=lambda item: item[0].number):
        for tag, part, length in _encode_field(message, field, value):
            pieces.append(tag)
            pieces.extend(part)
            size += len(tag) + length
    return pieces, size


def _encode_field(
    message: Message, field: Field, value: Any
) -> Iterator[tuple[bytes, _Pieces, int]]:
    """Yield a tag, its length with it, the pieces that follow, and how long these are."""
    number = _NUMBER_TYPES.get(field.type)
    if number is not None and field.repeated and field.packed:
        size = len(value) * number.itemsize
        head = _varint(field.number << 3 | _LENGTH) + _varint(size)
        if size > MAX_BYTES:  # only the length counts: `encode` will refuse it
            yield head, [], size
        else:
            yield head, [np.ascontiguousarray(value, number).view(np.uint8).data], size
    elif number is not None and is_array(message.kind, field):
        tag = _varint(field.number << 3 | _wire_type(field))
        rows = np.empty((len(value), len(tag) + number.itemsize), np.uint8)
        rows[:, : len(tag)] = list(tag)
        numbers = np.ascontiguousarray(value, number).view(np.uint8)
        rows[:, len(tag) :] = numbers.reshape(-1, number.itemsize)
        yield b"", [rows.reshape(-1).data], rows.size
    elif field.packed:
        inside = b"".join(_encode_value(message, field, each) for each in value)
        yield _varint(field.number << 3 | _LENGTH) + _varint(len(inside)), [inside], len(inside)
    else:
        tag = _varint(field.number << 3 | _wire_type(field))
        for each in value if field.repeated else [value]:
            if isinstance(each, Message):
                part, size = _encode(each)
                yield tag + _varint(size), part, size
            else:
                inside = _encode_value(message, field, each)
                head = tag + _varint(len(inside)) if _wire_type(field) == _LENGTH else tag
                yield head, [inside], len(inside)


def _encode_value(message: Message, field: Field, value: Any) -> bytes:
    if field.type == "string":
        return str(value).encode("utf-8", "surrogateescape")
    if field.type == "bytes":
        return bytes(value)
    if field.type in _NUMBER_TYPES:
        return bytes(np.array(value, _NUMBER_TYPES[field.type]).data)
    if field.type in ENUMS:
        return _varint(ENUMS[field.type][value] & 0xFFFFFFFFFFFFFFFF)
    low, end = RANGES.get(field.type, (0, 2))
    if not low <= value < end:  # an array of integers, which the message takes as it is
        raise message.refuse(f"{field.name} is {value}; it must be from {low} to {end - 1}")
    return _varint(int(value) & 0xFFFFFFFFFFFFFFFF)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
