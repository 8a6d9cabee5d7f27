"""Tar archives, read member by member and never extracted; and members as bytes, to be written.

Source:  POSIX.1-2001 (ustar and pax), with GNU's long names and base-256 sizes. Python's tarfile
         passes over a cut header, reads a pax header of any size into memory and takes a sparse
         file for its stored bytes; here each of these is an error, and so is whatever an archive
         of pictures has no use for: links, devices, pipes, paths that lead out, doubled names.
"""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from typing import BinaryIO

from alexnet.data.folder import DataError

BLOCK = 512
END = bytes(2 * BLOCK)
"""What an archive ends with."""
MOST_MEMBERS = 10_000_000
MOST_EXTRA_BYTES = 65_536
"""Largest header of long names and other attributes; a path is 4,096 bytes at most."""
REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"V": "the label of a tape",
    b"M": "the rest of a file on another tape",
}
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LEADS_OUT = re.compile(r"(^|[/\\])\.\.($|[/\\])")


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """Path with '/', without './' before it."""
    start: int
    """Where its headers begin, in bytes from the archive's first."""
    offset: int
    """Where its content begins."""
    size: int
    """Bytes of content."""

    @property
    def end(self) -> int:
        """Return where the next member's headers begin."""
        return self.offset + round_up(self.size)


@dataclass
class _Header:
    """One block, read; `extra` is what came before it for this member alone."""

    kind: bytes
    name: str
    size: int


def round_up(size: int) -> int:
    """Return the bytes that content of some size takes, in whole blocks."""
    return -(-size // BLOCK) * BLOCK


def member_bytes(name: str, content: bytes) -> bytes:
    """Return a file as it stands in an archive: ustar, with pax for a long or foreign name only.

    The bytes depend on name and content alone: time, owner and group are 0.
    """
    info = tarfile.TarInfo(name)
    info.size = len(content)
    header = info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")
    return header + content + bytes(round_up(len(content)) - len(content))


def read_members(file: BinaryIO, place: Path) -> Iterator[Member]:
    """Yield the files of an archive in their order; folders are passed over.

    Raises:  DataError naming the place, the member and the byte when the archive is compressed,
             cut, damaged, or holds what is refused.
    """
    total = file.seek(0, 2)
    position, start = 0, 0
    extra: dict[str, str] = {}
    names: set[str] = set()
    count = 0
    while True:
        header = _read_header(file, place, position, total)
        if header is None:
            if extra:
                raise DataError(f"{place} ends at byte {position}, after a header without its file")
            break
        content = position + BLOCK
        if header.kind in (b"x", b"L", b"g"):
            extra |= _read_extra(file, place, position, header)
            position = content + round_up(header.size)
            continue
        written = extra.get("path", header.name)
        name = _check_name(written, place, position)
        if header.kind not in (*_FILES, _FOLDER) or "sparse" in extra:
            kind = "a sparse file" if "sparse" in extra else REFUSED.get(header.kind)
            raise DataError(
                f"{place}: member {name!r} at byte {position} is "
                f"{kind or f'of the unknown kind {header.kind!r}'}; make the tar of files alone"
            )
        count += 1
        if count > MOST_MEMBERS:
            raise DataError(f"{place} has more than {MOST_MEMBERS:,} members; cut it into shards")
        size = 0 if header.kind == _FOLDER else int(extra.get("size", header.size))
        if content + size > total:
            raise DataError(
                f"{place} is cut: member {name!r} should end at byte {content + size}, the file "
                f"has {total}; use another copy"
            )
        if header.kind != _FOLDER and not written.endswith("/"):
            if name in names:
                raise DataError(f"{place}: member {name!r} at byte {position} is there already")
            names.add(name)
            yield Member(name, start, content, size)
        position = start = content + round_up(size)
        extra = {}
    _check_end(file, place, position)


def _read_header(file: BinaryIO, place: Path, position: int, total: int) -> _Header | None:
    """Read the block at a position; None for one of zeros, which ends the archive."""
    file.seek(position)
    block = file.read(BLOCK)
    if position == 0:
        _check_beginning(block, place)
    if len(block) < BLOCK:
        raise DataError(
            f"{place} is cut: at byte {total} it ends without the blocks of zeros that end a tar; "
            "use another copy"
        )
    if not any(block):
        return None
    sums = sum(block) - sum(block[148:156]) + 8 * 32
    if _number(block[148:156]) != sums:
        if position == 0:
            raise DataError(
                f"{place} is no tar, or its first header is damaged: it starts with {block[:8]!r}; "
                "use another copy"
            )
        raise DataError(
            f"{place}: the header at byte {position} is damaged: its checksum is wrong; use "
            "another copy"
        )
    size = _number(block[124:136])
    if size is None or size < 0:
        raise DataError(
            f"{place}: the header at byte {position} has the size {block[124:136]!r}, which is no "
            "number; use another copy"
        )
    name = _text(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_text(block[345:500])}/{name}"
    return _Header(block[156:157], name, size)


def _check_beginning(block: bytes, place: Path) -> None:
    if not block:
        raise DataError(f"{place} is empty; remove it or use another copy")
    for start, program in COMPRESSED.items():
        if block.startswith(start):
            raise DataError(
                f"{place} is compressed by {program}; unpack it to a plain tar, in which pictures "
                "can be reached one by one"
            )
    if len(block) < BLOCK:
        raise DataError(f"{place} is no tar: it has {len(block)} bytes")


def _check_end(file: BinaryIO, place: Path, position: int) -> None:
    """Check that zeros alone follow the end; `cat a.tar b.tar` would hide the second."""
    file.seek(position)
    first = True
    while chunk := file.read(2**20):
        if first and len(chunk) < len(END):
            raise DataError(f"{place} is cut in the zeros at its end; use another copy")
        if any(chunk):
            raise DataError(
                f"{place}: bytes follow the archive's end at {position}; if two tars were joined, "
                "keep them apart"
            )
        first = False


def _check_name(name: str, place: Path, position: int) -> str:
    reason = None
    if name.startswith(("/", "\\")):
        reason = "is absolute"
    elif re.match(r"[A-Za-z]:", name):
        reason = "begins with a drive"
    elif _LEADS_OUT.search(name):
        reason = "leads out of its folder"
    elif name in ("", ".") or _CONTROL.search(name):
        reason = "is no name"
    if reason:
        raise DataError(f"{place}: the member at byte {position}, {name!r}, {reason}; rename it")
    return normpath(name)


def _read_extra(file: BinaryIO, place: Path, position: int, header: _Header) -> dict[str, str]:
    """Read a header of attributes; return the path, the size and whether it is of a sparse file."""
    if header.size > MOST_EXTRA_BYTES:
        raise DataError(
            f"{place}: the header at byte {position} has {header.size} bytes of attributes; the "
            f"limit is {MOST_EXTRA_BYTES}"
        )
    data = file.read(header.size)
    if header.kind == b"L":
        return {"path": _text(data)}
    found: dict[str, str] = {}
    while data:
        length = re.match(rb"([0-9]{1,5}) ([^=]+)=", data)
        record = data[: int(length[1])] if length else b""
        wrong = length is None or not len(length[0]) < int(length[1]) <= len(data)
        if length is None or wrong or not record.endswith(b"\n"):
            raise DataError(f"{place}: the attributes at byte {position} are damaged")
        key, value = length[2], _text(record[len(length[0]) : -1])
        data = data[len(record) :]
        if key.startswith(b"GNU.sparse"):
            found["sparse"] = value
        elif key in (b"path", b"size"):
            found[key.decode()] = value
    if header.kind == b"g" and found:
        raise DataError(
            f"{place}: the header at byte {position} sets {', '.join(found)} of every member; "
            "make the tar anew"
        )
    if not re.fullmatch(r"[0-9]{1,19}", found.get("size", "0")):
        raise DataError(f"{place}: the attributes at byte {position} are damaged")
    return found


def _number(field: bytes) -> int | None:
    """Return the number in a header's field, octal or base 256; None if it is none."""
    if field[0] in (0x80, 0xFF):
        return int.from_bytes(field[1:], signed=field[0] == 0xFF)
    digits = field.strip(b" \0")
    if not digits:
        return 0
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode(errors="backslashreplace")
