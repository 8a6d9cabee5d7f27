"""Values of protobuf's text format: what a word stands for in a field of a type.

Source: Google's protobuf 3.21, src/google/protobuf/text_format.cc, ConsumeFieldValue, and
io/tokenizer.cc: integers in decimal, 0x hexadecimal and 0 octal; floats in decimal alone, with an f
behind if one likes; bytes of a string by escapes.
"""

import math
import re
from collections.abc import Sequence
from typing import Any, Final

from alexnet.nearest import nearest
from alexnet.text.lexer import clipped
from alexnet.text.message import TextError, checked
from alexnet.text.schema import ENUMS, Field

_INTEGER: Final = re.compile(r"(?:0|[1-9][0-9]*|0[0-7]+|0[xX][0-9a-fA-F]+)\Z")
_DECIMAL: Final = re.compile(
    r"(?:(?:0(?![0-9])|[1-9][0-9]*)\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?\Z"
)
_ESCAPE: Final = re.compile(
    r"\\(?:(?P<octal>[0-7]{1,3})|[xX](?P<byte>[0-9a-fA-F]{1,2})"
    r"|(?P<code>u[0-9a-fA-F]{4}|U00(?:0[0-9a-fA-F]|10)[0-9a-fA-F]{4})|(?P<letter>.))",
    re.DOTALL,
)
_LETTERS: Final = dict(zip("abfnrtv\\?'\"", b"\a\b\f\n\r\t\v\\?'\"", strict=True))
_MANY_DIGITS: Final = 32  # more than any integer of 64 bits has
_TRUE: Final = frozenset({"true", "True", "t"})
_FALSE: Final = frozenset({"false", "False", "f"})


def scalar(field: Field, kind: str, words: Sequence[str], *, negative: bool = False) -> Any:
    """Return the value of a field that is no message, from a word of a kind of `Tokens`.

    Strings that stand side by side are one; all else is one word, after a minus or not.

    Raises: TextError if the words are no value of that field.
    """
    if negative and (field.type in ("string", "bytes", "bool") or kind not in ("name", "number")):
        raise TextError(f"{field.name} cannot be -{words[0][:60]}")
    match field.type:
        case "string" | "bytes":
            return _text(field, kind, words)
        case "bool":
            return _boolean(field, kind, words[0])
        case "float" | "double":
            return checked(field, _number(field, kind, words[0]) * (-1 if negative else 1))
        case "int32" | "uint32" | "int64":
            if kind != "number":
                raise TextError(f"{field.name} takes an integer, not {_seen(words[0])}")
            return checked(field, _integer(field, words[0]) * (-1 if negative else 1))
    return _enum(field, kind, words[0], negative=negative)


def _seen(word: str) -> str:
    return clipped(word) if word else "the end of the text"


def _text(field: Field, kind: str, words: Sequence[str]) -> str | bytes:
    if kind != "string":
        raise TextError(f"{field.name} takes a text in quotes, not {_seen(words[0])}")
    data = b"".join(map(unquoted, words))
    return data if field.type == "bytes" else data.decode("utf-8", "surrogateescape")


def _boolean(field: Field, kind: str, word: str) -> bool:
    if word in _TRUE or (kind == "number" and _INTEGER.match(word) and _integer(field, word) == 1):
        return True
    if word in _FALSE or (kind == "number" and _INTEGER.match(word) and _integer(field, word) == 0):
        return False
    raise TextError(f"{field.name} takes true or false, not {_seen(word)}")


def _number(field: Field, kind: str, word: str) -> float:
    if kind == "name" and word.lower() in ("inf", "infinity"):
        return math.inf
    if kind == "name" and word.lower() == "nan":
        return math.nan
    if kind != "number":
        raise TextError(f"{field.name} takes a number, not {_seen(word)}")
    if not _DECIMAL.match(word):
        raise TextError(f"{field.name} takes a decimal number, not {clipped(word)}")
    return float(word.rstrip("fF"))


def _integer(field: Field, word: str) -> int:
    if not _INTEGER.match(word):
        why = ": digits after a leading zero are octal" if word.isdecimal() else ""
        raise TextError(f"{field.name} takes an integer, not {clipped(word)}{why}")
    if len(word) > _MANY_DIGITS:
        raise TextError(f"{field.name} is {clipped(word)}, more than any integer here")
    return int(word, 16 if word[1:2] in ("x", "X") else 8 if word[0] == "0" else 10)


def _enum(field: Field, kind: str, word: str, *, negative: bool) -> str:
    values = ENUMS[field.type]
    if kind == "name" and not negative:
        return str(checked(field, word))
    number = _integer(field, word) * (-1 if negative else 1) if kind == "number" else None
    for name, value in values.items():
        if value == number:
            return name
    shown = "-" * negative + (word[:60] or "missing")
    close = nearest(shown, values)
    raise TextError(f"{field.name} is {shown}{close}; it must be one of {', '.join(values)}")


def unquoted(word: str) -> bytes:
    """Return the bytes of a string in quotes, its escapes resolved.

    Raises: TextError if it has an escape that is none.
    """
    inside = word[1:-1]
    if "\\" not in inside:
        return _utf8(inside)
    parts, done, code_units = [], 0, ""
    for escape in _ESCAPE.finditer(inside):
        between = inside[done : escape.start()]
        if between or not escape["code"]:
            parts += [_characters(code_units), _utf8(between)]
            code_units = ""
        if escape["code"]:  # two that follow each other may be one character beyond 16 bits
            code_units += chr(int(escape["code"][1:], 16))
        else:
            parts.append(_escaped_byte(escape))
        done = escape.end()
    parts += [_characters(code_units), _utf8(inside[done:])]
    return b"".join(parts)


def _escaped_byte(escape: re.Match[str]) -> bytes:
    if escape["octal"]:
        return bytes([int(escape["octal"], 8) & 255])
    if escape["byte"]:
        return bytes([int(escape["byte"], 16)])
    if escape["letter"] not in _LETTERS:
        raise TextError(
            f"\\{escape['letter'].encode('ascii', 'backslashreplace').decode()} is no escape in a"
            r" string; write \\ for a backslash"
        )
    return bytes([_LETTERS[escape["letter"]]])


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")  # bytes of a file that were no UTF-8
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _characters(code_units: str) -> bytes:
    joined = code_units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode("utf-8", "surrogatepass")
