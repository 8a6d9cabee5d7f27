"""The archives as they are published, and such as nobody should trust."""

import gzip
import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc_archives import check_md5, files, gunzip, training_classes
from tests.data.small_ilsvrc import BIRD, CRANE, TENCH, Published, jpeg, tar_of

PICTURES = {f"{TENCH}_1.JPEG": jpeg(1), f"{TENCH}_2.JPEG": jpeg(2)}


def contents(source: Path) -> dict[str, bytes]:
    return {entry.path: entry.read(most=10**6) for entry in files(source)}


def read_classes(source: Path) -> dict[str, dict[str, bytes]]:
    return {
        wnid: {entry.name: entry.read(most=10**6) for entry in entries}
        for wnid, entries in training_classes(source)
    }


def write(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("gzipped", [False, True])
def test_a_tar_offers_its_files_and_leaves_hidden_ones_out(tmp_path: Path, gzipped: bool) -> None:
    hidden = {"./._x.JPEG": b"macOS", ".DS_Store": b"macOS"}
    archive = write(tmp_path, tar_of(PICTURES | hidden, gzipped=gzipped))
    assert contents(archive) == PICTURES


def test_entries_are_read_after_the_archive_was_walked_over(tmp_path: Path) -> None:
    entries = list(files(write(tmp_path, tar_of(PICTURES))))
    assert {entry.path: entry.read(most=10**6) for entry in reversed(entries)} == PICTURES


def test_an_archive_is_closed_when_its_entries_are_forgotten(tmp_path: Path) -> None:
    archive = write(tmp_path, tar_of(PICTURES))
    before = len(os.listdir("/proc/self/fd"))
    entries = list(files(archive))
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del entries
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_folder_offers_its_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b/2.txt", "b/1.txt", "c.txt", ".git/x", ".hidden"):
        (tmp_path / name).write_text(name)
    assert list(contents(tmp_path)) == ["c.txt", "b/1.txt", "b/2.txt"]
    assert contents(tmp_path)["b/1.txt"] == b"b/1.txt"


@pytest.mark.parametrize("form", ["tar of tars", "folder of tars", "folder of folders"])
def test_classes_to_train_on_come_alike_in_each_form(tmp_path: Path, form: str) -> None:
    published = Published()
    source = tmp_path / "train"
    if form == "tar of tars":
        published.write(tmp_path)
        source = tmp_path / "train.tar"
    else:
        source.mkdir()
        (source / "notes.txt").write_text("ours")
    for wnid, pictures in published.train.items():
        if form == "folder of tars":
            (source / f"{wnid}.tar").write_bytes(tar_of(pictures))
        elif form == "folder of folders":
            (source / wnid).mkdir()
            for name, data in pictures.items():
                (source / wnid / name).write_bytes(data)
    found = read_classes(source)
    assert found == published.train
    order = [CRANE, BIRD, TENCH] if form == "tar of tars" else [TENCH, BIRD, CRANE]
    assert list(found) == order


def test_other_archives_are_not_taken_for_the_training_pictures(tmp_path: Path) -> None:
    published = Published()
    published.write(tmp_path)
    with pytest.raises(DataError, match=r"val_00000002.JPEG is no class's tar, as n01440764.tar"):
        list(training_classes(tmp_path / "val.tar"))
    with pytest.raises(DataError, match=r"has no class folder, as n01440764/, and no n01440764"):
        list(training_classes(tmp_path))
    doubled = write(tmp_path, tar_of({f"{TENCH}.tar": b"", f"again/{TENCH}.tar": b""}))
    with pytest.raises(DataError, match=f"has two members {TENCH}.tar; download it again"):
        list(training_classes(doubled))
    (tmp_path / "both" / TENCH).mkdir(parents=True)
    (tmp_path / "both" / f"{TENCH}.tar").touch()
    with pytest.raises(DataError, match=f"has both {TENCH}/ and {TENCH}.tar; keep one"):
        list(training_classes(tmp_path / "both"))


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    write(tmp_path, b"")
    with pytest.raises(DataError, match=r"b.tar does not exist \(did you mean 'a.tar'\?\)"):
        list(files(tmp_path / "b.tar"))
    with pytest.raises(DataError, match="is neither a file nor a folder; give an archive"):
        list(files(Path("/dev/null")))
    with pytest.raises(DataError, match="is no tar"):
        list(files(write(tmp_path, b"<html>not found</html>")))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(1024)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (member("/etc/passwd"), "'/etc/passwd', is absolute"),
        (member("a/../../b"), "leads out"),
        (member("C:/b.JPEG"), "begins with a drive"),
        (member("x", tarfile.SYMTYPE, "/etc/passwd"), "a symbolic link"),
        (member("x", tarfile.LNKTYPE, "y"), "a hard link"),
        (member("x", tarfile.CHRTYPE), "a character device"),
        (member("x", tarfile.BLKTYPE), "a block device"),
        (member("x", tarfile.FIFOTYPE), "a pipe"),
    ],
)
@pytest.mark.parametrize("inner", [False, True])
def test_what_could_harm_is_refused_outside_and_inside(
    tmp_path: Path, data: bytes, message: str, inner: bool
) -> None:
    archive = write(tmp_path, tar_of({f"{TENCH}.tar": data}) if inner else data)
    with pytest.raises(DataError, match=message):
        read_classes(archive)
    assert sorted(os.listdir(tmp_path)) == ["a.tar"]


def test_a_doubled_name_is_refused(tmp_path: Path) -> None:
    archive = write(tmp_path, member("x")[:512] + member("x"))
    with pytest.raises(DataError, match="'x' at byte 512 is there already"):
        list(files(archive))


def test_a_cut_anywhere_is_found(tmp_path: Path) -> None:
    whole = tar_of({f"{TENCH}.tar": tar_of({"1.JPEG": b"x" * 700}), f"{BIRD}.tar": tar_of({})})
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for length in [1, 511, 512, 513, 1024, 1535, 1536, 3000, end - 512, end]:
        archive = write(tmp_path, whole[:length])
        with pytest.raises(DataError, match=r"a\.tar"):
            read_classes(archive)


def test_a_cut_class_inside_a_whole_archive_is_found(tmp_path: Path) -> None:
    inner = tar_of({"1.JPEG": b"x" * 700})
    archive = write(tmp_path, tar_of({f"{TENCH}.tar": inner[:1024]}))
    with pytest.raises(DataError, match=rf"a.tar: {TENCH}.tar is cut: member '1.JPEG'"):
        read_classes(archive)


def test_damage_to_a_gzipped_archive_is_found(tmp_path: Path) -> None:
    whole = tar_of(PICTURES, gzipped=True)
    for length in [3, 12, len(whole) // 2, len(whole) - 1]:
        with pytest.raises(DataError, match=r"a.tar is damaged: .*; download it again"):
            list(files(write(tmp_path, whole[:length])))
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # the checksum
    with pytest.raises(DataError, match=r"a.tar is damaged: CRC check failed"):
        list(files(write(tmp_path, bytes(flipped))))


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) * 200 < 20_000_000
    with pytest.raises(DataError, match="unpacks to more than 200 times its size"):
        list(files(write(tmp_path, bomb)))
    with pytest.raises(DataError, match=r"x.JPEG unpacks to more than [0-9,]+ bytes; that is no"):
        gunzip(bomb, "x.JPEG", most=10**8)


def test_a_gzipped_picture_is_unpacked_or_named() -> None:
    data = jpeg(1)
    packed = gzip.compress(data)
    assert gunzip(packed, "x", most=10**6) == data
    with pytest.raises(DataError, match="unpacks to more than 10 bytes"):
        gunzip(packed, "x", most=10)
    with pytest.raises(DataError, match="x is damaged: its gzip ends early"):
        gunzip(packed[:-9], "x", most=10**6)
    with pytest.raises(DataError, match="x is damaged: "):
        gunzip(b"\x1f\x8b" + bytes(20), "x", most=10**6)


def test_a_file_that_is_too_long_or_changes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    (entry,) = files(tmp_path)
    with pytest.raises(DataError, match="x has 5 bytes; the limit is 4"):
        entry.read(most=4)
    (tmp_path / "x").write_bytes(b"123456")
    with pytest.raises(DataError, match="x changed while it was read; begin again"):
        entry.read(most=10)
    (tmp_path / "x").unlink()
    with pytest.raises(DataError, match="x: cannot be read: No such file"):
        entry.read(most=10)


def test_an_md5_is_compared_and_the_way_shown(tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    archive = write(tmp_path, data)
    shown: list[tuple[int, int]] = []
    right = hashlib.md5(data, usedforsecurity=False).hexdigest()
    check_md5(archive, right, report=lambda done, total: shown.append((done, total)))
    assert shown == [(n, 20_000_000) for n in (8_000_000, 16_000_000, 20_000_000)]
    with pytest.raises(DataError, match=f"has the MD5 {right}, not 0+ as published; download"):
        check_md5(archive, "0" * 32, report=lambda done, total: None)
    with pytest.raises(ValueError, match="is a folder and has no MD5"):
        check_md5(tmp_path, right, report=lambda done, total: None)


def test_long_names_of_both_kinds_are_read(tmp_path: Path) -> None:
    name = "/".join(["deep" * 10] * 4) + "/1.JPEG"
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
            info = tarfile.TarInfo(name)
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        assert contents(write(tmp_path, buffer.getvalue())) == {name: b"abc"}
