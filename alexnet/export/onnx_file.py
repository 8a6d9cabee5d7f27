"""What an .onnx file says of itself, read without the package onnx and without torch.

An .onnx is a protobuf message, ModelProto. Only what has to be known before a runtime opens the
file is read: its metadata, its input, and whether it would load other files or code. All of the
file is walked through, none of its weights are copied.

Source: onnx.proto, IR version 8: the numbers of the fields below.
"""

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.data.folder import DataError

METADATA = "alexnet"
"""The key of our own metadata: JSON."""
MEAN = "alexnet.mean_image"
"""The key of the mean picture: base64 of float32, (H, W, 3)."""
KNOWN_DOMAINS = frozenset({"", "ai.onnx"})
"""Operators of these are ONNX's own; any other would need code that is not in the file."""
MOST_NESTED = 8
MOST_PIXELS = 20_000
"""The largest side of a picture that a file may ask for."""
_GRAPH, _METADATA, _FUNCTIONS = 7, 14, 25  # of ModelProto
_NODE, _INITIALIZER, _SPARSE = 1, 5, 15  # of GraphProto
_ATTRIBUTE, _OPERATOR, _DOMAIN = 5, 4, 7  # of NodeProto
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS = 5, 6, 10, 11  # of AttributeProto
_EXTERNAL, _LOCATION = 13, 14  # of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # kinds of fields
Field = tuple[int, int, Any]
"""Number, kind, and the value: a whole number, or a memoryview."""


@dataclass(frozen=True)
class OnnxHead:
    """What a file of ours says of itself."""

    net: str
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    """The constants of the model's Preprocessing, and mean_value."""
    inside: bool
    """Whether the graph takes pictures and gives probabilities."""
    weights: str
    """same, int8 or bf16."""
    version: str
    """That of the package that wrote it."""
    model: str
    """The digest of the model that it was made of, "" where it had none."""
    mean_image: str
    """Base64 of the mean picture, "" for none."""

    def metadata(self) -> dict[str, str]:
        """Return it as it is written."""
        content = {key: value for key, value in vars(self).items() if key != "mean_image"}
        mean = {MEAN: self.mean_image} if self.mean_image else {}
        return {METADATA: json.dumps(content), **mean}


def read_head(path: Path) -> OnnxHead:
    """Read what a file says of itself, and refuse one that would load other files or code.

    Raises: DataError if it is damaged, is not ours, keeps weights in other files or needs operators
            that ONNX has not; OSError if it cannot be read.
    """
    return head_of(read_metadata(path), path)


def head_of(metadata: Mapping[str, str], path: Path) -> OnnxHead:
    """Return what metadata say.

    Raises: DataError if they are not ours, or damaged.
    """
    if METADATA not in metadata:
        raise DataError(
            f"{path} has no metadata called {METADATA!r}, which name the classes and say how "
            "pictures become inputs; only files of alexnet export --to onnx have them"
        )
    try:
        content = json.loads(metadata[METADATA])
        return OnnxHead(
            net=content["net"],
            classes=tuple(map(str, content["classes"])),
            preprocessing=_checked(content["preprocessing"]),
            inside=content["inside"] is True,
            weights=content["weights"],
            version=content["version"],
            model=content["model"],
            mean_image=metadata.get(MEAN, ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: the metadata {METADATA!r} are damaged ({error}); export it again"
        ) from None


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return the constants of preprocessing, each of the type that it has in our files."""
    numbers = {key: int(given[key]) for key in ("picture_size", "crop_size")}
    if not 0 < numbers["crop_size"] <= numbers["picture_size"] <= MOST_PIXELS:
        raise ValueError(f"sizes {numbers}")
    mean = [float(value) for value in given["mean_value"]]
    if len(mean) != 3 or not float(given["divide_by"]):
        raise ValueError(f"mean_value {mean} and divide_by {given['divide_by']}")
    words = {key: str(given[key]) for key in ("subtract", "colours")}
    return {**numbers, **words, "divide_by": float(given["divide_by"]), "mean_value": mean}


def read_metadata(path: Path) -> dict[str, str]:
    """Read a file's metadata, and refuse one that would load other files or code.

    Raises: DataError and OSError as `read_head`.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; export it again")
    with path.open("rb") as file:  # the map is closed when nobody holds a part of it any more
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _read_model(view, path)
    except _Damaged as error:
        raise DataError(
            f"{path} is no ONNX file, or a damaged one ({error}); export it again"
        ) from None


class _Damaged(ValueError):
    """The bytes are no message."""


def _read_model(view: memoryview, path: Path) -> dict[str, str]:
    metadata: dict[str, str] = {}
    graphs = 0
    for number, kind, value in _fields(view):
        if number in (_GRAPH, _METADATA, _FUNCTIONS) and kind != _BYTES:
            raise _Damaged(f"field {number} has the kind {kind}")
        if number == _GRAPH:
            graphs += 1
            _check_graph(value, path, 0)
        elif number == _FUNCTIONS:
            _check_nodes(value, 7, path, 0)
        elif number == _METADATA:
            entry = {n: bytes(v) for n, k, v in _fields(value) if k == _BYTES}
            metadata[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    if graphs != 1:
        raise _Damaged(f"it has {graphs} graphs instead of one")
    return metadata


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _Damaged("a text in it is not UTF-8") from None


def _check_graph(graph: memoryview, path: Path, depth: int) -> None:
    if depth > MOST_NESTED:
        raise _Damaged(f"more than {MOST_NESTED} graphs lie in one another")
    for number, kind, value in _fields(graph):
        if number == _INITIALIZER and kind == _BYTES:
            _check_tensor(value, path)
        elif number == _SPARSE and kind == _BYTES:
            for inner, inner_kind, tensor in _fields(value):
                if inner in (1, 2) and inner_kind == _BYTES:
                    _check_tensor(tensor, path)
    _check_nodes(graph, _NODE, path, depth)


def _check_nodes(graph: memoryview, place: int, path: Path, depth: int) -> None:
    """Check all nodes, which stand in a graph under one number and in a function under another."""
    for number, kind, node in _fields(graph):
        if number != place or kind != _BYTES:
            continue
        texts = {n: bytes(v) for n, k, v in _fields(node) if k == _BYTES and n in (4, 7)}
        domain, operator = (_text(texts.get(n, b"")) for n in (_DOMAIN, _OPERATOR))
        if domain not in KNOWN_DOMAINS:
            raise DataError(
                f"{path} needs the operator {operator!r} of {domain!r}, which is not ONNX's own "
                "and would need code from elsewhere; export the net in ONNX's operators"
            )
        for attribute in (v for n, k, v in _fields(node) if n == _ATTRIBUTE and k == _BYTES):
            for inner, inner_kind, value in _fields(attribute):
                if inner in (_TENSOR, _TENSORS) and inner_kind == _BYTES:
                    _check_tensor(value, path)
                elif inner in (_SUBGRAPH, _SUBGRAPHS) and inner_kind == _BYTES:
                    _check_graph(value, path, depth + 1)


def _check_tensor(tensor: memoryview, path: Path) -> None:
    """Refuse a tensor whose numbers lie in another file."""
    for number, kind, value in _fields(tensor):
        if (number == _EXTERNAL and kind == _BYTES) or (number == _LOCATION and value != 0):
            entry = {}
            if number == _EXTERNAL:
                entry = {n: bytes(v) for n, k, v in _fields(value) if k == _BYTES}
            where = f" ({_text(entry[2])!r})" if entry.get(1) == b"location" and 2 in entry else ""
            raise DataError(
                f"{path} keeps weights in another file{where}, which is not read; give one that "
                "holds all of its weights"
            )


def _fields(view: memoryview) -> Iterator[Field]:
    """Yield the fields of a message."""
    place = 0
    while place < len(view):
        key, place = _varint(view, place)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise _Damaged("a field has the number 0")
        if kind == _VARINT:
            value, place = _varint(view, place)
            yield number, kind, value
            continue
        if kind == _BYTES:
            length, place = _varint(view, place)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise _Damaged(f"field {number} has the kind {kind}, which there is not")
        if place + length > len(view):
            raise _Damaged("it ends before its last field")
        yield number, kind, view[place : place + length]
        place += length


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if place + index >= len(view):
            raise _Damaged("it ends in a number")
        byte = view[place + index]
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value, place + index + 1
    raise _Damaged("a number in it has more than 10 bytes")
