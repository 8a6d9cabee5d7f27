"""Caffe's prototxt files: protobuf's text format, read into messages and printed from them.

Source: Google's protobuf 3.21, src/google/protobuf/text_format.cc, as BVLC Caffe calls it; what
differs in reading stands in `alexnet.text.parser`. print_text gives what Google's printer gives
letter for letter, but for a float that takes seven or eight digits: 3.21 prints nine.
"""

import math
from pathlib import Path
from typing import Any, Final

from alexnet.nearest import nearest_beside
from alexnet.text.lexer import Tokens
from alexnet.text.message import Message, TextError, checked
from alexnet.text.parser import Parser
from alexnet.text.schema import Field

_NAMED: Final = dict(zip(b"\n\t\r\"'\\", "ntr\"'\\", strict=True))
_ESCAPED: Final = [
    f"\\{_NAMED[byte]}" if byte in _NAMED else chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"
    for byte in range(256)
]
_SIGNATURES: Final = {
    b"\x89HDF": "an HDF5 file, as weights may be",
    b"PK\3\4": "a zip file, as weights of torch are",
    b"\x1f\x8b": "compressed with gzip",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"version https://git-lfs": "a pointer of git-lfs; fetch the file itself with `git lfs pull`",
    b"<!DOCTYPE": "a web page; download the file itself",
    b"<html": "a web page; download the file itself",
}


def load(path: Path, kind: str, *, allow_unknown: list[str] | None = None) -> Message:
    """Read a file that holds one message of a kind, as "NetParameter".

    Fields that are not known are refused, or skipped and described in `allow_unknown`.

    Raises: TextError if there is no such file, or it holds nothing, or no such message.
    """
    if not path.is_file():
        what = "not a file" if path.exists() else f"no such file{nearest_beside(path)}"
        raise TextError(f"{path}: {what}")
    data = path.read_bytes()
    if strange := _not_text(data):
        raise TextError(f"{path}:1:1: this is not text but {strange}")
    # Google's reader takes any bytes; comments and paths in other encodings are common.
    text = data.decode("utf-8", "surrogateescape")
    message = parse(text, kind, source=str(path), allow_unknown=allow_unknown)
    if not any(True for _ in message.items()) and not allow_unknown:
        raise TextError(f"{path}:1:1: nothing is set here; a {kind} was expected")
    return message


def parse(
    text: str, kind: str, *, source: str = "", allow_unknown: list[str] | None = None
) -> Message:
    """Read a text that holds one message of a kind, as "NetParameter"; `source` names it in errors.

    Fields that are not known are refused, or skipped and described in `allow_unknown`.

    Raises: TextError, "file:line:column: ...", if the text holds no such message.
    """
    return Parser(Tokens(text, source=source), allow_unknown).read(kind)


def print_text(message: Message) -> str:
    """Return a message as text, fields in the order of their numbers, as Google's printer does."""
    lines: list[str] = []
    _print(message, "", lines)
    return "".join(lines)


def _not_text(data: bytes) -> str:
    halves = data[:40:2], data[1:40:2]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or any(
        any(half) and not any(other) for half, other in (halves, halves[::-1]) if other
    ):
        return "UTF-16; save it as UTF-8"
    for start, name in _SIGNATURES.items():
        if data.startswith(start):
            return name
    if b"\0" in data or any(byte < 9 or 13 < byte < 32 for byte in data[:4096]):
        return "a binary file, as a caffemodel is; give it where weights are asked for"
    return ""


def _print(message: Message, indent: str, lines: list[str]) -> None:
    for field, value in sorted(message.items(), key=lambda item: item[0].number):
        for each in value if field.repeated else (value,):
            if isinstance(each, Message):
                lines.append(f"{indent}{field.name} {{\n")
                _print(each, indent + "  ", lines)
                lines.append(f"{indent}}}\n")
            else:
                lines.append(f"{indent}{field.name}: {_scalar_text(field, each)}\n")


def _scalar_text(field: Field, value: Any) -> str:
    match field.type:
        case "string":
            return _quoted(value.encode("utf-8", "surrogateescape"))
        case "bytes":
            return _quoted(value)
        case "bool":
            return "true" if value else "false"
        case "float" | "double":
            return _shortest(field, float(value))
    return str(value)


def _shortest(field: Field, value: float) -> str:
    """Return a number in the manner of C's %g, with digits enough to give it back."""
    enough = range(6, 9) if field.type == "float" else range(15, 17)
    if math.isfinite(value):
        for count in enough:
            text = f"{value:.{count}g}"
            if checked(field, float(text)) == value:
                return text
    return f"{value:.{enough.stop}g}"


def _quoted(data: bytes) -> str:
    return f'"{"".join(map(_ESCAPED.__getitem__, data))}"'
