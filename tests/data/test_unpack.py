"""Archives are unpacked whole and only below their folder; what is unsafe is refused."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from alexnet.data import unpack as module
from alexnet.data.folder import DataError
from alexnet.data.unpack import unpack

FILES = {"set/a.txt": b"a" * 700, "set/deep/er/b.bin": bytes(3000), "set/c": b""}


def archive(path: Path, files: dict[str, bytes], *, zipped: bool = True) -> Path:
    """Write a tar by the standard library."""
    with tarfile.open(path, "w:gz" if zipped else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def silent(*_: object) -> None:
    """Show nothing."""


def refused(path: Path, message: str) -> None:
    folder = path.parent / "out"
    with pytest.raises(DataError, match=message):
        unpack(path, folder, show=silent)
    assert [
        each.name for each in path.parent.iterdir() if each.name not in ("out", path.name)
    ] == []


@pytest.mark.parametrize("zipped", [True, False])
def test_files_lie_below_the_folder_without_the_outermost_one(tmp_path: Path, zipped: bool) -> None:
    path = archive(tmp_path / "a.tgz", FILES, zipped=zipped)
    shown: list[tuple[str, int, int | None]] = []
    unpack(path, tmp_path / "out", show=lambda *each: shown.append(each))
    expected = {name.removeprefix("set/"): content for name, content in FILES.items()}
    assert contents(tmp_path / "out") == expected
    assert shown == [("files of a.tgz", count, 3) for count in (1, 2, 3)]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tgz", "out"]


def test_files_of_no_common_folder_stay_where_they_are(tmp_path: Path) -> None:
    files = {"train/x/1": b"a", "val/x/1": b"b", "about": b"c"}
    unpack(archive(tmp_path / "a.tgz", files), tmp_path / "out", show=silent)
    assert contents(tmp_path / "out") == files


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", {"._set": b"x", "set/._a": b"x", "set/a": b"a"})
    unpack(path, tmp_path / "out", show=silent)
    assert contents(tmp_path / "out") == {"a": b"a"}


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "set/../../x", "set/x/../../../y"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    refused(archive(tmp_path / "a.tgz", {"set/a": b"a", name: b"b"}), "a.tgz: .*")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a character device"),
        (tarfile.FIFOTYPE, "a pipe"),
    ],
)
def test_links_devices_and_pipes_are_refused_before_anything_is_written(
    tmp_path: Path, kind: bytes, message: str
) -> None:
    path = tmp_path / "a.tgz"
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("set/a")
        tar.addfile(info, io.BytesIO(b""))
        link = tarfile.TarInfo("set/b")
        link.type, link.linkname = kind, "/etc/passwd"
        tar.addfile(link)
    refused(path, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "has no files; this archive is refused"),
        ({"set/a": b"", "set/a/b": b""}, "set/a/b is in the way of another member, as a file and"),
        ({"set/a/b": b"", "set/a": b""}, "set/a is in the way of another member"),
    ],
)
def test_an_archive_without_files_or_with_one_in_the_way_is_refused(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    refused(archive(tmp_path / "a.tgz", files), message)


def test_every_cut_and_a_wrong_checksum_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tgz", FILES)
    content = path.read_bytes()
    for end in range(2, len(content), 5):
        path.write_bytes(content[:end])
        refused(path, "is damaged: .*; fetch it again")
    path.write_bytes(content[:-6] + bytes([content[-6] ^ 1]) + content[-5:])
    refused(path, "is damaged: CRC check failed")
    plain = gzip.decompress(content)
    path.write_bytes(gzip.compress(plain[: 512 * 3]))
    refused(path, "a.tgz")


def test_a_bomb_is_refused_before_it_fills_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path / "a.tgz", {"set/a": bytes(1_000_000)})
    monkeypatch.setattr(module, "FREE_BYTES", 1000)
    monkeypatch.setattr(module, "PIECE_BYTES", 10_000)
    refused(path, "unpacks to more than 200 times its size; pictures do not; this archive is ref")
