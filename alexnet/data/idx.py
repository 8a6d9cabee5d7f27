"""MNIST and the sets of its form (Fashion-MNIST, KMNIST): IDX files, gzipped or not.

An IDX file has the bytes 0, 0, the type of its numbers (8 for unsigned bytes) and the count of its
sides; then each side as 4 bytes, the highest first; then the numbers.
Source:  LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist.
"""

import gzip
import mmap
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.data.arrays import ArrayPictures, Rows, map_file
from alexnet.data.folder import DataError, Split, join

PARTS = ("train", "t10k")
MOST_UNPACKED_BYTES = 1_000_000_000
"""Largest gzipped file, unpacked; the largest of this form, EMNIST's, has 547 MB."""
MOST_RATIO = 1032
"""Bytes that one byte of gzip can stand for at most."""
MOST_SIDE = 20_000
NAMES_FILE = "labels.txt"
NAMES = {
    "fashion": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
"""Class names by a word in the name of the folder or of one of the two above it."""


def is_idx(folder: Path) -> bool:
    """Return whether a folder has IDX pictures to train on or to test with."""
    return any(_find(folder, part, "images", 3) is not None for part in PARTS)


def open_idx(folder: Path, *, fraction: float) -> Split[ArrayPictures]:
    """Open the training and the test pictures; `fraction` is not needed, as there is a test part.

    The classes are named by labels.txt beside the files, a line each; else by Fashion-MNIST's or
    KMNIST's names if a folder is called so; else they are "0", "1", ...

    Raises:  DataError when a file is missing, cut, of another form, or a label has no name.
    """
    parts = {part: _read_part(folder, part) for part in PARTS}
    count = 1 + max(int(labels.content.max()) for labels, _ in parts.values())
    classes = _class_names(folder, count)
    train, test = (_pictures(parts[part], classes) for part in PARTS)
    if train.shape != test.shape:
        raise DataError(
            f"{folder}: training pictures are {train.shape[1:]} pixels, test pictures "
            f"{test.shape[1:]}; use the files of one set"
        )
    return join(train, test, rule="the published test part (t10k) to validation")


@dataclass(frozen=True, eq=False)
class _File:
    """What an IDX file holds."""

    path: Path
    content: NDArray[np.uint8]
    mapped: mmap.mmap | None = None


def _pictures(part: tuple[_File, _File], classes: tuple[str, ...]) -> ArrayPictures:
    labels, images = part
    count, height, width = images.content.shape
    name = images.path.name
    rows = Rows(name, images.content.reshape(count, height * width), images.mapped)
    paths = tuple(f"{name}#{number}" for number in range(count))
    shape = (1, height, width)
    return ArrayPictures(classes, paths, tuple(labels.content.tolist()), (rows,), shape)


def _find(folder: Path, part: str, what: str, num_sides: int) -> Path | None:
    """Return a file in any of its usual spellings, the unpacked one first."""
    names = [f"{part}-{what}{mark}idx{num_sides}-ubyte" for mark in ("-", ".")]
    paths = [folder / f"{name}{suffix}" for suffix in ("", ".gz") for name in names]
    return next((path for path in paths if path.is_file()), None)


def _read_part(folder: Path, part: str) -> tuple[_File, _File]:
    """Return the labels and the pictures of a part."""
    found = []
    for what, num_sides in (("labels", 1), ("images", 3)):
        path = _find(folder, part, what, num_sides)
        if path is None:
            raise DataError(
                f"{folder} has no {part}-{what}-idx{num_sides}-ubyte or its .gz; IDX needs the "
                f"images and labels of train and of t10k"
            )
        found.append(_read(path, num_sides))
    labels, images = found
    if len(labels.content) != len(images.content):
        raise DataError(
            f"{images.path} has {len(images.content):,} pictures, {labels.path.name} "
            f"{len(labels.content):,} labels; use the files of one set"
        )
    return labels, images


def _read(path: Path, num_sides: int) -> _File:
    """Read a file of unsigned bytes; one that is not gzipped is mapped."""
    header_bytes = 4 + 4 * num_sides
    try:
        with path.open("rb") as file:
            start = file.read(header_bytes)
        if start[:2] == b"\x1f\x8b":
            return _File(path, _read_gzip(path, num_sides))
        shape = _read_header(start, num_sides, path)
        _check_length(path, path.stat().st_size, shape, header_bytes)
        mapped = map_file(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    content = np.frombuffer(mapped, np.uint8, offset=header_bytes).reshape(shape)
    return _File(path, content, mapped)


def _read_gzip(path: Path, num_sides: int) -> NDArray[np.uint8]:
    header_bytes = 4 + 4 * num_sides
    packed_bytes = path.stat().st_size
    try:
        with gzip.open(path) as file:
            shape = _read_header(file.read(header_bytes), num_sides, path)
            num_bytes = int(np.prod(shape, dtype=object))
            if num_bytes > min(MOST_UNPACKED_BYTES, packed_bytes * MOST_RATIO):
                raise DataError(
                    f"{path}: the header says {num_bytes:,} bytes, which {packed_bytes:,} bytes "
                    f"of gzip cannot hold, or more than {MOST_UNPACKED_BYTES:,}; use another copy, "
                    f"or unpack it first"
                )
            content = file.read(num_bytes)
            rest = len(file.read(1))  # at the end gzip compares its checksum
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}; download it again") from None
    _check_length(path, header_bytes + len(content) + rest, shape, header_bytes)
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_header(start: bytes, num_sides: int, path: Path) -> tuple[int, ...]:
    wanted = bytes([0, 0, 8, num_sides])
    if start[:4] != wanted or len(start) < 4 + 4 * num_sides:
        raise DataError(
            f"{path} starts with {start[:4].hex(' ')}, not with {wanted.hex(' ')}, as an IDX file "
            f"of unsigned bytes with {num_sides} sides does; download it again"
        )
    shape = struct.unpack_from(f">{num_sides}I", start, 4)
    if min(shape) == 0 or max(shape[1:], default=1) > MOST_SIDE:
        raise DataError(
            f"{path}: the header says {' x '.join(map(str, shape))}; there must be one picture at "
            f"least, and {MOST_SIDE} pixels a side at most; download it again"
        )
    return shape


def _check_length(path: Path, num_bytes: int, shape: tuple[int, ...], header_bytes: int) -> None:
    wanted = header_bytes + int(np.prod(shape, dtype=object))
    if num_bytes != wanted:
        more = "more" if num_bytes > wanted else "less"
        raise DataError(
            f"{path} has {more} than the {wanted:,} bytes that its header says "
            f"({' x '.join(map(str, shape))}); download it again"
        )


def _class_names(folder: Path, count: int) -> tuple[str, ...]:
    path = folder / NAMES_FILE
    names: tuple[str, ...]
    if path.is_file():
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        if "" in names or len(set(names)) < len(names) or len(names) < count:
            raise DataError(
                f"{path} has {len(names)} lines, and the labels go up to {count - 1}; give each "
                f"label a line with a name of its own"
            )
        return names
    words = " ".join(folder.absolute().parts[-3:]).lower()
    names = next((NAMES[word] for word in NAMES if word in words), ())
    return names if len(names) >= count else tuple(map(str, range(count)))
