import os
from pathlib import Path

import pytest

from alexnet.text.binary import map_file, refuse_other_formats
from alexnet.text.message import TextError


def test_a_file_is_mapped_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * 40)
    assert map_file(tmp_path / "a")[:] == bytes(range(256)) * 40


def test_a_missing_file_names_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "lenet_iter_500.caffemodel").write_bytes(b"x")
    with pytest.raises(TextError, match=r"does not exist \(did you mean 'lenet_iter_500.caff"):
        map_file(tmp_path / "lenet_iter_50.caffemodel")


def test_folders_pipes_and_empty_files_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    with pytest.raises(TextError, match="is not a file; give the path of a file"):
        map_file(tmp_path)
    with pytest.raises(TextError, match="is not a file; give the path of a file"):
        map_file(tmp_path / "pipe")
    with pytest.raises(TextError, match="empty is empty; copy or download it again"):
        map_file(tmp_path / "empty")
    with pytest.raises(TextError, match="cannot be read: Not a directory"):
        map_file(tmp_path / "empty" / "inside")


@pytest.mark.parametrize(
    ("start", "match"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 243862414\n",
            r"it is a Git LFS pointer, a note of 74 bytes .* 'git lfs pull'",
        ),
        (b"\x89HDF\r\n\x1a\n\0\0", "it is an HDF5 file"),
        (b"PK\x03\x04\0\0", "it is a PyTorch checkpoint or a zip archive; convert it"),
        (b"\x80\x02}q\0", "it is a PyTorch checkpoint or a zip archive"),
        (b"\x1f\x8b\x08", "it is compressed; unpack it first"),
        (b"BZh91AY", "it is compressed; unpack it first"),
        (b"\n <!DOCTYPE html><html>", "it is an HTML page, perhaps a failed download"),
        (b"<html><body>404", "it is an HTML page, perhaps a failed download"),
        (b"\x93NUMPY\x01\0", "it is a .npy file; only means are read from those"),
        (b'name: "LeNet"\nlayer {\n  name: "data"\n  type: "Input"\n', "it is text; binary"),
    ],
)
def test_what_passes_for_a_caffemodel_in_the_wild_is_named(start: bytes, match: str) -> None:
    with pytest.raises(TextError, match=rf"x\.caffemodel: {match}"):
        refuse_other_formats(start, "x.caffemodel")


def test_a_net_and_a_short_note_are_no_other_format() -> None:
    refuse_other_formats(b"\x0a\x05LeNet\xa2\x06", "x.caffemodel")
    refuse_other_formats(b"\x0a\x05LeNet", "x.caffemodel")
