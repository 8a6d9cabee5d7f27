"""IDX files, gzipped or not: what they hold, their names of classes, and damaged headers."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.data import idx
from alexnet.data.folder import DataError
from alexnet.data.idx import NAMES, is_idx, open_idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def encode(array: NDArray[np.uint8]) -> bytes:
    sides = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sides + array.tobytes()


def write(
    folder: Path, *, zipped: bool = False, mark: str = "-", classes: int = 10
) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for part, count in (("train", 2 * classes), ("t10k", classes)):
        images = random.integers(0, 256, (count, 5, 4), np.uint8)
        labels = (np.arange(count) % classes).astype(np.uint8)
        content[part] = images, labels
        for name, array in ((f"images{mark}idx3", images), (f"labels{mark}idx1", labels)):
            data = gzip.compress(encode(array)) if zipped else encode(array)
            (folder / f"{part}-{name}-ubyte{'.gz' * zipped}").write_bytes(data)
    return content


def refused(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_idx(folder, fraction=0.1)


@pytest.mark.parametrize(("zipped", "mark"), [(False, "-"), (True, "-"), (False, "."), (True, ".")])
def test_pictures_and_labels_are_those_of_the_files(
    tmp_path: Path, zipped: bool, mark: str
) -> None:
    content = write(tmp_path, zipped=zipped, mark=mark)
    assert is_idx(tmp_path)
    split = open_idx(tmp_path, fraction=0.1)
    assert split.rule == "the published test part (t10k) to validation"
    for pictures, part in ((split.train, "train"), (split.validation, "t10k")):
        images, labels = content[part]
        assert pictures.labels == tuple(labels.tolist())
        assert pictures.classes == tuple("0123456789")
        assert pictures.paths[3] == f"{part}-images{mark}idx3-ubyte{'.gz' * zipped}#3"
        for index, image in enumerate(images):
            found = pictures.pixels(index, at_least=1)
            np.testing.assert_array_equal(found, np.dstack([image] * 3), strict=True)


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("fashion-mnist", NAMES["fashion"]),
        ("FashionMNIST/raw", NAMES["fashion"]),
        ("kmnist", NAMES["kmnist"]),
        ("digits", tuple("0123456789")),
    ],
)
def test_classes_are_named_by_the_folder(
    tmp_path: Path, name: str, classes: tuple[str, ...]
) -> None:
    write(tmp_path / name)
    assert open_idx(tmp_path / name, fraction=0.1).train.classes == classes


def test_more_labels_than_a_set_of_that_name_has_are_numbers(tmp_path: Path) -> None:
    write(tmp_path / "kmnist", classes=12)
    split = open_idx(tmp_path / "kmnist", fraction=0.1)
    assert split.train.classes == tuple(map(str, range(12)))


def test_labels_txt_names_the_classes(tmp_path: Path) -> None:
    write(tmp_path, classes=3)
    names = tmp_path / "labels.txt"
    names.write_text("one\ntwo\nthree\n")
    assert open_idx(tmp_path, fraction=0.1).train.classes == ("one", "two", "three")
    for text, count in (("one\ntwo\n", 2), ("one\ntwo\none\n", 3), ("one\n\nthree\n", 3)):
        names.write_text(text)
        refused(tmp_path, f"has {count} lines, and the labels go up to 2; give each label a line")


def test_a_folder_without_them_is_none_and_half_a_set_is_refused(tmp_path: Path) -> None:
    assert not is_idx(tmp_path)
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert is_idx(tmp_path)
    refused(tmp_path, "has no t10k-labels-idx1-ubyte or its .gz; IDX needs the images and labels")


@pytest.mark.parametrize("zipped", [False, True])
def test_every_cut_and_every_surplus_is_refused(tmp_path: Path, zipped: bool) -> None:
    write(tmp_path, zipped=zipped)
    for name in (IMAGES, LABELS):
        path = tmp_path / f"{name}{'.gz' * zipped}"
        content = path.read_bytes()
        plain = gzip.decompress(content) if zipped else content
        for end in range(0, len(plain), 7):
            path.write_bytes(gzip.compress(plain[:end]) if zipped else plain[:end])
            refused(tmp_path, f"{path.name} (has less than|starts with)")
        more = plain + b"x"
        path.write_bytes(gzip.compress(more) if zipped else more)
        refused(tmp_path, "has more than the .* bytes that its header says")
        if zipped:
            for end in (5, len(content) // 2, len(content) - 3):
                path.write_bytes(content[:end])
                refused(tmp_path, "is damaged: .*; download it again")
            path.write_bytes(content[:-6] + b"\xff" + content[-5:])
            refused(tmp_path, "is damaged: CRC check failed")
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"\0\0\x08\x01\0\0\0\x14\0\0\0\x05\0\0\0\x04", "starts with 00 00 08 01, not with 00 0"),
        (b"\0\0\x0d\x03\0\0\0\x14\0\0\0\x05\0\0\0\x04", "starts with 00 00 0d 03"),
        (b"<htm", "starts with 3c 68 74 6d"),
        (b"\0\0\x08\x03\0\0\0\0\0\0\0\x05\0\0\0\x04", "the header says 0 x 5 x 4; there must be"),
        (b"\0\0\x08\x03\0\0\0\x14\0\0\x4e\x21\0\0\0\x04", "says 20 x 20001 x 4"),
        (b"\0\0\x08\x03\xff\xff\xff\xff\0\0\x4e\x20\0\0\x4e\x20", "less than the 1,717,986,"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, header: bytes, message: str) -> None:
    write(tmp_path)
    (tmp_path / IMAGES).write_bytes(header + bytes(400))
    refused(tmp_path, message)


def test_a_header_that_promises_more_than_gzip_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, zipped=True)
    path = tmp_path / f"{IMAGES}.gz"
    header = b"\0\0\x08\x03\0\x01\0\0\0\0\0\x05\0\0\0\x04"
    path.write_bytes(gzip.compress(header + bytes(400)))
    refused(tmp_path, r"the header says 1,310,720 bytes, which \d+ bytes of gzip cannot hold")
    path.write_bytes(gzip.compress(header + bytes(1_310_720)))
    refused(tmp_path, "has 65,536 pictures, train-labels-idx1-ubyte.gz 20 labels; use the files")
    monkeypatch.setattr(idx, "MOST_UNPACKED_BYTES", 1_000_000)
    refused(tmp_path, "or more than 1,000,000; use another copy, or unpack it first")


def test_parts_of_two_sets_are_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(encode(np.zeros((10, 4, 4), np.uint8)))
    refused(tmp_path, r"training pictures are \(5, 4\) pixels, test pictures \(4, 4\)")


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)

    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(idx, "map_file", fail)
    refused(tmp_path, "train-labels-idx1-ubyte cannot be read: Permission denied")
