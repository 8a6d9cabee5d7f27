"""The index of a folder of shards: where each picture lies, what it is, and how to know it whole.

One file, `index.shards`, little-endian:

    8 bytes             b"AXSHARDS"
    8 bytes             length of the header
    header              JSON: format, plan, how, classes, parts, shards, samples, names (bytes)
    samples x 61 bytes  a row of each picture, as in ROW, in the order in which they are listed
    names               UTF-8, separated by line feeds
    32 bytes            SHA-256 of all that stands before

A picture's span in its shard goes from the end of the one before (or the shard's first byte) to its
own end: its tar header, the picture, and the member with its label. `digest` covers the picture,
`frame` the rest of the span, and a shard's `tail` what follows the last span, so that no byte of a
shard or of the index can change unnoticed. A digest is the beginning of a SHA-256.
"""

import hashlib
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alexnet.data.folder import DataError

INDEX = "index.shards"
MAGIC = b"AXSHARDS"
FORMAT = 1
ROW = np.dtype(
    [
        ("part", "u1"),  # number among the parts
        ("shard", "<u4"),  # number among the shards
        ("label", "<u4"),
        ("start", "<u8"),  # first byte of the span
        ("offset", "<u8"),  # first byte of the picture
        ("length", "<u4"),  # bytes of the picture
        ("stop", "<u8"),  # first byte behind the span
        ("digest", "u1", (16,)),
        ("frame", "u1", (8,)),
    ]
)
Rows = NDArray[np.void]


@dataclass(frozen=True)
class Shard:
    """A tar file of the set."""

    name: str
    """Its file's name."""
    size: int
    """Its bytes."""
    tail: str
    """Digest of what follows the last picture's span, hexadecimal."""
    skipped: tuple[tuple[int, str, str], ...] = ()
    """Pictures that were to be in it and could not be read: place in the listing, path, reason."""


@dataclass(frozen=True, eq=False)
class Index:
    """What the file says."""

    classes: tuple[str, ...]
    """Class names; a label is a position in this tuple."""
    parts: tuple[str, ...]
    """Names of the parts, as train and val."""
    shards: tuple[Shard, ...]
    """The tar files."""
    rows: Rows
    """A row of each picture, all of one part before those of the next."""
    names: tuple[str, ...]
    """The member's name of each picture."""
    plan: str = ""
    """Digest of what was packed and how; empty for shards that others made."""
    how: str = ""
    """How the pictures were stored, in words."""

    def only(self, shard: int) -> "Index":
        """Return what concerns one shard, in the order of its pictures' places in the tar."""
        chosen = np.flatnonzero(self.rows["shard"] == shard)
        chosen = chosen[np.argsort(self.rows["start"][chosen])]
        rows = self.rows[chosen]
        rows["shard"] = 0
        names = tuple(self.names[i] for i in chosen.tolist())
        return replace(self, shards=(self.shards[shard],), rows=rows, names=names)


def join_indices(indices: Sequence[Index], order: Iterable[int]) -> Index:
    """Put the indices of single shards together, their pictures in an order."""
    rows = np.concatenate([np.zeros(0, ROW), *(index.rows for index in indices)])
    rows["shard"] = np.repeat(np.arange(len(indices)), [len(index.rows) for index in indices])
    names = [name for index in indices for name in index.names]
    places = np.fromiter(order, np.int64, len(rows))
    return replace(
        indices[0],
        shards=tuple(index.shards[0] for index in indices),
        rows=rows[places],
        names=tuple(names[place] for place in places.tolist()),
    )


# ---- The file -----------------------------------------------------------------------------------


def encode_index(index: Index) -> bytes:
    """Return the bytes of the file."""
    names = "\n".join(index.names).encode()
    header = {
        "format": FORMAT,
        "plan": index.plan,
        "how": index.how,
        "classes": index.classes,
        "parts": index.parts,
        "shards": [asdict(shard) for shard in index.shards],
        "samples": len(index.rows),
        "names": len(names),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    data = MAGIC + struct.pack("<Q", len(text)) + text + index.rows.tobytes() + names
    return data + hashlib.sha256(data).digest()


def decode_index(data: bytes, place: Path) -> Index:
    """Read the bytes of the file.

    Raises:  DataError when they are damaged, of another format, or contradict themselves.
    """
    if not data.startswith(MAGIC):
        raise DataError(f"{place} is damaged or no index of shards; {_again(place)}")
    if hashlib.sha256(memoryview(data)[:-32]).digest() != data[-32:]:
        raise DataError(f"{place} is damaged: its digest does not match; {_again(place)}")
    try:
        (length,) = struct.unpack_from("<Q", data, 8)
        header = json.loads(data[16 : 16 + length])
        if header["format"] != FORMAT:
            raise DataError(
                f"{place} has format {header['format']}; this version reads format {FORMAT}; "
                f"{_again(place)}"
            )
        index = _of_header(header, memoryview(data)[16 + length : -32])
    except (KeyError, TypeError, struct.error, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{place} contradicts itself: {error!r}; {_again(place)}") from None
    except _WrongIndexError as error:
        raise DataError(f"{place} contradicts itself: {error}; {_again(place)}") from None
    return index


def read_index(path: Path) -> Index:
    """Read the file; see `decode_index`.

    Raises:  DataError also when it is missing or unreadable.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist; run the 'alexnet data pack' that made the shards again, or "
            f"'alexnet data index {path.parent}', which takes them as they are"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return decode_index(data, path)


def digest_of(data: bytes | memoryview) -> bytes:
    """Return the first 16 bytes of the SHA-256."""
    return hashlib.sha256(data).digest()[:16]


class _WrongIndexError(ValueError):
    """The digest is right and the content is not: another program wrote it."""


def _of_header(header: dict[str, Any], rest: memoryview) -> Index:
    samples, names_bytes = header["samples"], header["names"]
    if samples * ROW.itemsize + names_bytes != len(rest):
        raise _WrongIndexError(f"{samples} rows and {names_bytes} bytes of names do not fill it")
    rows = np.frombuffer(rest, ROW, samples)
    text = bytes(rest[samples * ROW.itemsize :]).decode()
    names = tuple(text.split("\n")) if samples else ()
    shards = tuple(
        Shard(each["name"], each["size"], each["tail"], tuple(map(tuple, each["skipped"])))
        for each in header["shards"]
    )
    classes, parts = tuple(header["classes"]), tuple(header["parts"])
    if len(names) != samples:
        raise _WrongIndexError(f"{len(names)} names for {samples} pictures")
    for shard in shards:
        if "/" in shard.name or not shard.name.endswith(".tar") or shard.name.startswith("."):
            raise _WrongIndexError(f"{shard.name!r} is no name of a shard")
    sizes = np.array([shard.size for shard in shards], np.uint64)
    for field, count in (("shard", len(shards)), ("label", len(classes)), ("part", len(parts))):
        if samples and int(rows[field].max()) >= count:
            raise _WrongIndexError(f"a {field} is {rows[field].max()}; there are {count}")
    start, offset, stop = rows["start"], rows["offset"], rows["stop"]
    inside = (start <= offset) & (offset <= stop) & (rows["length"] <= stop - offset)
    if samples and not (inside & (stop <= sizes[rows["shard"]])).all():
        raise _WrongIndexError("a picture lies outside its shard")
    return Index(classes, parts, shards, rows, names, header["plan"], header["how"])


def _again(place: Path) -> str:
    return (
        f"pack anew, or remove it and run 'alexnet data index {place.parent}', which takes the "
        "shards as they are"
    )
