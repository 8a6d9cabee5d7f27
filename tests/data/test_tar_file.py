"""Tar archives: written as Python's tarfile and WebDataset read them; read strictly."""

import contextlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.data import tar_file
from alexnet.data.folder import DataError
from alexnet.data.tar_file import END, Member, member_bytes, read_members

PLACE = Path("some.tar")
Change = Callable[[tarfile.TarInfo], None]


def members_of(data: bytes) -> list[Member]:
    return list(read_members(io.BytesIO(data), PLACE))


def special(change: Change, *, name: str = "a.jpg") -> bytes:
    """Return an archive by tarfile whose only member was changed."""
    info = tarfile.TarInfo(name)
    change(info)
    return info.tobuf(tarfile.GNU_FORMAT) + END


def typed(kind: bytes) -> bytes:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    return special(change)


def edited(data: bytes, start: int, new: bytes) -> bytes:
    """Put bytes into the first header and make its checksum right again."""
    header = bytearray(data[:512])
    header[start : start + len(new)] = new
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


@pytest.mark.parametrize(
    "name", ["a.jpg", "cat/b.png", "x" * 100, "long/" * 30 + "c.jpg", "K\u00e4fer/\u4e09.jpg"]
)
def test_what_is_written_is_read_by_tarfile_and_by_us(name: str) -> None:
    data = member_bytes("first.cls", b"7") + member_bytes(name, b"content") + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        infos = archive.getmembers()
        assert [info.name for info in infos] == ["first.cls", name]
        assert {(i.mtime, i.uid, i.gid, i.uname, i.mode) for i in infos} == {(0, 0, 0, "", 0o644)}
        file = archive.extractfile(name)
        assert file is not None
        assert file.read() == b"content"
    first, second = members_of(data)
    assert (first.name, first.start, first.offset, first.size, first.end) == (
        *("first.cls", 0, 512, 1),
        1024,
    )
    assert (second.name, second.start) == (name, 1024)
    assert data[second.offset : second.offset + second.size] == b"content"
    plain = name.isascii() and len(name) <= 100
    assert second.offset == 1024 + (512 if plain else 3 * 512)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_tarfile_are_read(form: int) -> None:
    buffer = io.BytesIO()
    names = ["./short.jpg", "f" * 90 + "/" + "g" * 90 + ".jpg", "h/i.txt"]
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("h")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = 700, 1.5
            archive.addfile(info, io.BytesIO(name.encode().ljust(700, b".")))
    data = buffer.getvalue()
    found = members_of(data)
    assert [member.name for member in found] == ["short.jpg", *names[1:]]
    for member, name in zip(found, names, strict=True):
        assert data[member.offset :].startswith(name.encode() + b".")


def test_a_size_in_base_256_or_in_pax_is_read() -> None:
    data = member_bytes("a", b"x" * 700) + END
    assert members_of(edited(data, 124, b"\x80" + (700).to_bytes(11)))[0].size == 700
    info = tarfile.TarInfo("a")
    info.pax_headers = {"size": "700", "comment": "as it is"}
    written = info.tobuf(tarfile.PAX_FORMAT) + bytes(1024) + END
    assert members_of(written)[0].size == 700


def test_an_old_archive_without_a_magic_is_read() -> None:
    data = edited(member_bytes("a", b"x") + END, 257, bytes(8))
    assert [member.name for member in members_of(data)] == ["a"]


def test_a_comment_for_all_members_is_passed_over() -> None:
    comment = tarfile.TarInfo.create_pax_global_header({"comment": "made by git"})
    assert [m.name for m in members_of(comment + member_bytes("a", b"x") + END)] == ["a"]


WHOLE = member_bytes("a.jpg", b"x" * 600) + member_bytes("b.jpg", b"y") + END
BAD = {
    "leads out": (special(lambda i: None, name="a/../../b.jpg"), "at byte 0.*leads out of its fol"),
    "leads out by backslash": (special(lambda i: None, name="..\\b.jpg"), "leads out of its fold"),
    "absolute": (special(lambda i: None, name="/etc/b.jpg"), "'/etc/b.jpg', is absolute"),
    "a drive": (special(lambda i: None, name="C:/b.jpg"), "begins with a drive"),
    "no name": (special(lambda i: None, name="."), "'.', is no name"),
    "a control character": (special(lambda i: None, name="a\nb.jpg"), r"'a\\nb.jpg', is no name"),
    "a link": (typed(tarfile.SYMTYPE), "member 'a.jpg' at byte 0 is a symbolic link"),
    "a hard link": (typed(tarfile.LNKTYPE), "is a hard link"),
    "a device": (typed(tarfile.CHRTYPE), "is a character device"),
    "a disk": (typed(tarfile.BLKTYPE), "is a block device"),
    "a pipe": (typed(tarfile.FIFOTYPE), "is a pipe"),
    "a sparse file": (typed(tarfile.GNUTYPE_SPARSE), "is a sparse file"),
    "an unknown kind": (typed(b"Q"), "is of the unknown kind b'Q'"),
    "a doubled name": (member_bytes("a", b"1") * 2 + END, "'a' at byte 1024 is there already"),
    "empty": (b"", r"some.tar is empty"),
    "cut in a header": (WHOLE[:1700], "is cut: at byte 1700 it ends without the blocks of zeros"),
    "cut in content": (
        WHOLE[:1000],
        "is cut: member 'a.jpg' should end at byte 1112, the file has",
    ),
    "cut between members": (WHOLE[:1536], "is cut: at byte 1536 it ends"),
    "cut in the end": (WHOLE[:-500], "is cut in the zeros at its end"),
    "a changed first header": (b"z" + WHOLE[1:], "is no tar, or its first header is damaged"),
    "a changed header": (
        WHOLE[:1536] + b"z" + WHOLE[1537:],
        "header at byte 1536 is damaged: its checksum is wrong",
    ),
    "a wrong size": (edited(WHOLE, 124, b"12345678901x"), "has the size b'12345678901x', which is"),
    "a negative size": (edited(WHOLE, 124, b"\xff" * 12), "which is no number"),
    "gzip": (b"\x1f\x8b\x08" + bytes(600), "is compressed by gzip; unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(600), "is compressed by zstd"),
    "a picture": (
        b"\xff\xd8\xff\xe0" * 300,
        "is no tar, or its first header is damaged: it starts with",
    ),
    "text": (b"hello", "is no tar: it has 5 bytes"),
    "two archives in one": (WHOLE + WHOLE, "bytes follow the archive's end at 2560"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_archive_is_refused_and_the_member_named(case: str) -> None:
    data, message = BAD[case]
    with pytest.raises(DataError, match=message):
        members_of(data)


def attributes(content: bytes, kind: bytes = b"x") -> bytes:
    """Return an archive whose first header is one of attributes."""
    header = edited(member_bytes("pax", content), 156, kind)
    return header + member_bytes("a.jpg", b"x") + END


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (attributes(b"18 GNU.sparse.a=1\n"), "member 'a.jpg' at byte 1024 is a sparse file"),
        (attributes(b"99 path=a\n"), "the attributes at byte 0 are damaged"),
        (attributes(b"no attribute"), "the attributes at byte 0 are damaged"),
        (attributes(b"12 size=abc\n"), "the attributes at byte 0 are damaged"),
        (attributes(b"9 path=b\n", b"g"), "sets path of every member; make the tar anew"),
        (attributes(b"x" * 70_000), "has 70000 bytes of attributes; the limit is 65536"),
        (attributes(b"y" * 70_000, b"L"), "has 70000 bytes of attributes; the limit is 65536"),
        (edited(member_bytes("p", b"9 path=b\n"), 156, b"x") + END, "after a header without its"),
    ],
)
def test_attributes_that_bend_the_archive_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        members_of(data)


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_file, "MOST_MEMBERS", 3)
    data = b"".join(member_bytes(str(i), b"") for i in range(4)) + END
    with pytest.raises(DataError, match=r"some\.tar has more than 3 members; cut it into shards"):
        members_of(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_archives_are_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(attributes(b"9 path=b\n")[:3000])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(damaged)))
    with contextlib.suppress(DataError):
        for member in members_of(bytes(damaged[:end])):
            assert member.offset + member.size <= end
