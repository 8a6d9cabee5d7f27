"""Unpack a published archive, a tar or a gzipped tar, into a folder of its own.

The archive's names are checked (tar_file.py: no absolute path, no "..", no link, no device, none
twice) before a file is made of any; modes, owners and times are left behind.
"""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from alexnet.data.folder import DataError
from alexnet.data.tar_file import Member, read_members

MOST_RATIO = 200
"""Bytes that one compressed byte may become; more is a bomb, not an archive of pictures."""
FREE_BYTES = 1_000_000
"""What a small archive may become, whatever its ratio."""
PIECE_BYTES = 1_000_000


def unpack(archive: Path, folder: Path, *, show: Callable[[str, int, int | None], None]) -> None:
    """Write an archive's files below a folder, without the one folder that all lie in, if any.

    A gzipped archive is first unpacked to a tar beside it, which is removed again. Hidden files
    are left out. `show` is told the files that have been written, and of how many.

    Raises:  DataError when the archive is damaged, a bomb, empty, or has names that are refused;
             OSError when the disk is full.
    """
    with archive.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            _write_all(file, archive, folder, show)
            return
        file.seek(0)
        plain = archive.with_name(f"{archive.name}.tar")
        try:
            with plain.open("w+b") as unpacked:
                _gunzip(file, unpacked, archive)
                _write_all(unpacked, archive, folder, show)
        finally:
            plain.unlink(missing_ok=True)


def _gunzip(file: BinaryIO, unpacked: BinaryIO, archive: Path) -> None:
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacking:
            while piece := unpacking.read(PIECE_BYTES):
                unpacked.write(piece)
                # A few kB more than was unpacked have been read; that only lowers the ratio.
                if unpacked.tell() > FREE_BYTES + MOST_RATIO * file.tell():
                    raise DataError(
                        f"{archive} unpacks to more than {MOST_RATIO} times its size; pictures "
                        f"do not; this archive is refused"
                    )
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{archive} is damaged: {error}; fetch it again") from error


def _write_all(
    file: BinaryIO, archive: Path, folder: Path, show: Callable[[str, int, int | None], None]
) -> None:
    members = [member for member in read_members(file, archive) if not _is_hidden(member.name)]
    if not members:
        raise DataError(f"{archive} has no files; this archive is refused")
    outermost = f"{members[0].name.partition('/')[0]}/"
    if not all(member.name.startswith(outermost) for member in members):
        outermost = ""
    for count, member in enumerate(members, start=1):
        try:
            _write(file, member, folder / member.name.removeprefix(outermost))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise DataError(
                f"{archive}: {member.name} is in the way of another member, as a file and a folder "
                f"of one name are; this archive is refused"
            ) from None
        show(f"files of {archive.name}", count, len(members))


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _write(file: BinaryIO, member: Member, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    file.seek(member.offset)
    left = member.size
    with target.open("xb") as written:
        while left:
            piece = file.read(min(left, PIECE_BYTES))
            written.write(piece)
            left -= len(piece)
