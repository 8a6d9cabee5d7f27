"""ILSVRC's archives where they lie: a tar of 1,000 tars, plain tars, gzipped tars, and their MD5s.

Nothing is extracted by name: an entry is a range of bytes, which any thread reads when it is
needed. What was extracted already, train/nXXXXXXXX/*.JPEG and val/*.JPEG, is offered in the same
way.
Source:  image-net.org's download pages of 2010 and 2012; MD5s as published beside the archives.
"""

import gzip
import hashlib
import io
import os
import re
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from alexnet.data.folder import DataError
from alexnet.data.image import ImageError, read_file
from alexnet.data.tar_file import read_members
from alexnet.nearest import nearest_beside

WNID = re.compile(r"n[0-9]{8}")
"""The name of a class: a noun's place in WordNet 3.0."""
PUBLISHED_MD5: Final = {
    "train": "1d675b47d978889d74fa0da5fadfb00e",
    "val": "29b22e2961454d5413ddabcf34fc5622",
    "devkit": "fa75699e90414af021442c21a62c3abf",
    "boxes": "9271167e2176350e65cfe4e546f14b17",
    "val_boxes": "f4cd18b5ea29fe6bbea62ec9c20d80f0",
}
"""MD5s of the archives of 2012, by what they hold; none is known for those of 2010."""
MOST_RATIO = 200
"""Bytes that one compressed byte may become; more is a bomb, not an archive."""

_FREE_BYTES = 1_000_000  # what a small file may grow to whatever its ratio
_CHUNK = 1_000_000


class _Open:
    """An open file, which closes when the last range of it is forgotten."""

    def __init__(self, file: IO[bytes]) -> None:
        self.descriptor = os.dup(file.fileno())
        self.num_bytes = os.fstat(self.descriptor).st_size
        weakref.finalize(self, os.close, self.descriptor)


class _Span(io.RawIOBase):
    """A range of an open file, with a position of its own; `read_at` is for any thread."""

    def __init__(self, file: _Open, start: int, num_bytes: int) -> None:
        self._file, self._start, self._position = file, start, 0
        self.num_bytes = num_bytes

    def read_at(self, offset: int, count: int) -> bytes:
        """Return `count` bytes, or fewer where the range ends."""
        count = max(0, min(count, self.num_bytes - offset))
        return os.pread(self._file.descriptor, count, self._start + offset)

    def part(self, offset: int, num_bytes: int) -> "_Span":
        """Return a range of this range."""
        return _Span(self._file, self._start + offset, num_bytes)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + {0: 0, 1: self._position, 2: self.num_bytes}[whence]
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read_at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


@dataclass(frozen=True, slots=True)  # there are 1.3 million of them
class Entry:
    """A regular file of an archive or folder."""

    source: str
    """The archive or folder, for messages."""
    path: str
    """Its path in there, with '/'."""
    num_bytes: int
    """Its length."""
    inside: "_Span | Path" = field(repr=False, compare=False)
    """What has the bytes."""
    offset: int = field(default=0, compare=False)
    """Where they begin in there."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def place(self) -> str:
        """Where it lies, for messages."""
        return f"{self.source}: {self.path}"

    def read(self, *, most: int) -> bytes:
        """Return its bytes.

        Raises:  DataError when there are more than `most`, or it changed or cannot be read.
        """
        if self.num_bytes > most:
            raise DataError(f"{self.place} has {self.num_bytes:,} bytes; the limit is {most:,}")
        try:
            data = (
                read_file(self.inside)
                if isinstance(self.inside, Path)
                else self.inside.read_at(self.offset, self.num_bytes)
            )
        except ImageError as error:
            raise DataError(f"{self.place}: {error}") from error
        if len(data) != self.num_bytes:
            raise DataError(f"{self.place} changed while it was read; begin again")
        return data


def training_classes(source: Path) -> Iterator[tuple[str, Iterator[Entry]]]:
    """Yield each class's WNID and files: of a tar of tars, or a folder of tars or folders.

    Raises:  DataError when the source is missing, damaged, or holds anything else.
    """
    if source.is_dir():
        yield from _classes_of_folder(source)
        return
    seen = set()
    for entry in files(source):
        wnid = entry.name.removesuffix(".tar")
        if not entry.name.endswith(".tar") or not WNID.fullmatch(wnid):
            raise DataError(
                f"{entry.place} is no class's tar, as n01440764.tar; give "
                f"ILSVRC2012_img_train.tar as published, or a folder with one folder a class"
            )
        if wnid in seen:
            raise DataError(f"{source} has two members {wnid}.tar; download it again")
        seen.add(wnid)
        assert isinstance(entry.inside, _Span)
        inner = entry.inside.part(entry.offset, entry.num_bytes)
        yield wnid, _entries(inner, entry.place)


def files(source: Path) -> Iterator[Entry]:
    """Yield the files of a tar, a gzipped tar or a folder, hidden ones left out.

    A gzipped tar is unpacked into a temporary file without a name. A folder's are sorted.
    Raises:  DataError when the source is missing, damaged, or holds a link, a device or a name
             that leads out.
    """
    if source.is_dir():
        yield from _files_below(source)
        return
    file = _open_archive(source)
    yield from _entries(_Span(file, 0, file.num_bytes), str(source))


def gunzip(data: bytes, place: str, *, most: int) -> bytes:
    """Unpack a gzipped file that is no longer than `most` bytes.

    Raises:  DataError when it is longer, damaged, or grows more than 200 times.
    """
    limit = min(most, _FREE_BYTES + MOST_RATIO * len(data))
    unpacking = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacking.decompress(data, limit + 1)
    except zlib.error as error:
        raise DataError(f"{place} is damaged: {error}; take another copy") from error
    if len(unpacked) > limit:
        raise DataError(f"{place} unpacks to more than {limit:,} bytes; that is no picture")
    if not unpacking.eof:
        raise DataError(f"{place} is damaged: its gzip ends early; take another copy")
    return unpacked


def check_md5(source: Path, expected: str, *, report: Callable[[int, int], None]) -> None:
    """Compare an archive with its published MD5; `report` is told bytes read and bytes in all.

    Raises:  DataError when they differ; ValueError when the source is a folder.
    """
    if source.is_dir():
        raise ValueError(f"{source} is a folder and has no MD5; give the archive or no --check-md5")
    with _open_file(source) as file:
        digest, num_bytes = hashlib.md5(usedforsecurity=False), os.fstat(file.fileno()).st_size
        while piece := file.read(8 * _CHUNK):
            digest.update(piece)
            report(file.tell(), num_bytes)
    if digest.hexdigest() != expected:
        raise DataError(
            f"{source} has the MD5 {digest.hexdigest()}, not {expected} as published; "
            f"download it again"
        )


def _entries(span: _Span, source: str) -> Iterator[Entry]:
    # A buffer of one header: a larger one would read the beginning of every file in vain.
    with io.BufferedReader(span, buffer_size=512) as reader:
        for member in read_members(reader, Path(source)):
            if not member.name.rpartition("/")[2].startswith("."):
                yield Entry(source, member.name, member.size, span, member.offset)


def _classes_of_folder(source: Path) -> Iterator[tuple[str, Iterator[Entry]]]:
    found: dict[str, Path] = {}
    for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
        wnid = entry.name.removesuffix(".tar")
        if not WNID.fullmatch(wnid) or (entry.is_dir() == entry.name.endswith(".tar")):
            continue
        if wnid in found:
            raise DataError(f"{source} has both {wnid}/ and {wnid}.tar; keep one of them")
        found[wnid] = Path(entry.path)
    if not found:
        raise DataError(
            f"{source} has no class folder, as n01440764/, and no n01440764.tar; give the folder "
            f"that ILSVRC2012_img_train.tar was extracted to"
        )
    for wnid, path in found.items():
        yield wnid, files(path)


def _files_below(folder: Path) -> Iterator[Entry]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place, name)
            if path.is_file():
                shown = path.relative_to(folder).as_posix()
                yield Entry(str(folder), shown, path.stat().st_size, path)


def _open_file(source: Path) -> IO[bytes]:
    if not source.exists():
        raise DataError(f"{source} does not exist{nearest_beside(source)}; give its path")
    if not source.is_file():
        raise DataError(f"{source} is neither a file nor a folder; give an archive")
    return open(source, "rb")


def _open_archive(source: Path) -> _Open:
    """Open a tar; a gzipped one is unpacked first."""
    with _open_file(source) as file, tempfile.TemporaryFile() as unpacked:
        if os.pread(file.fileno(), 2, 0) != b"\x1f\x8b":
            return _Open(file)
        try:
            unpacking = gzip.GzipFile(fileobj=file, mode="rb")
            while piece := unpacking.read(_CHUNK):
                unpacked.write(piece)
                # A few kB more than was unpacked have been read; that only lowers the ratio.
                if unpacked.tell() > _FREE_BYTES + MOST_RATIO * file.tell():
                    raise DataError(
                        f"{source} unpacks to more than {MOST_RATIO} times its size; "
                        f"that is no archive of ILSVRC"
                    )
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{source} is damaged: {error}; download it again") from error
        unpacked.flush()
        return _Open(unpacked)
