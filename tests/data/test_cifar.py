"""CIFAR-10 and CIFAR-100 in their four published forms, and what is said of damaged ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.data.cifar import is_cifar, open_cifar
from alexnet.data.folder import DataError
from tests.data.pickling import CIFAR10, batch, dump

FINE = tuple(f"fine_{number}" for number in range(100))
FIVE = tuple(f"data_batch_{number}" for number in range(1, 6))
Content = dict[str, tuple[NDArray[np.uint8], list[int]]]
"""Pictures (n, 3, 32, 32) and labels by the name of the batch."""


def make(names: tuple[str, ...], classes: int, *, seed: int = 0) -> Content:
    random = np.random.default_rng(seed)
    return {
        name: (
            random.integers(0, 256, (count, 3, 32, 32), np.uint8),
            random.integers(0, classes, count).tolist(),
        )
        for count, name in enumerate(names, start=12)
    }


def cifar10_binary(folder: Path) -> Content:
    content = make((*FIVE, "test_batch"), 10)
    for name, (pictures, labels) in content.items():
        records = b"".join(
            bytes([label]) + picture.tobytes()
            for label, picture in zip(labels, pictures, strict=True)
        )
        (folder / f"{name}.bin").write_bytes(records)
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR10) + "\n\n")
    return {f"{name}.bin": each for name, each in content.items()}


def cifar10_python(folder: Path) -> Content:
    content = make((*FIVE, "test_batch"), 10)
    for name, (pictures, labels) in content.items():
        (folder / name).write_bytes(batch(pictures.reshape(-1, 3072), labels))
    (folder / "batches.meta").write_bytes(dump({"label_names": list(CIFAR10), "num_vis": 3072}))
    return content


def cifar100_binary(folder: Path) -> Content:
    content = make(("train.bin", "test.bin"), 100)
    for name, (pictures, labels) in content.items():
        records = b"".join(
            bytes([label // 5, label]) + picture.tobytes()
            for label, picture in zip(labels, pictures, strict=True)
        )
        (folder / name).write_bytes(records)
    (folder / "fine_label_names.txt").write_text("\n".join(FINE) + "\n")
    (folder / "coarse_label_names.txt").write_text("coarse\n")
    return content


def cifar100_python(folder: Path) -> Content:
    content = make(("train", "test"), 100)
    for name, (pictures, labels) in content.items():
        (folder / name).write_bytes(batch(pictures.reshape(-1, 3072), labels, "fine_labels"))
    (folder / "meta").write_bytes(dump({"coarse_label_names": ["c"], "fine_label_names": [*FINE]}))
    return content


FORMS = (cifar10_binary, cifar10_python, cifar100_binary, cifar100_python)


@pytest.mark.parametrize("write", FORMS)
def test_every_form_gives_its_pictures_labels_and_test_part(
    tmp_path: Path, write: Callable[[Path], Content]
) -> None:
    content = write(tmp_path)
    assert is_cifar(tmp_path)
    split = open_cifar(tmp_path, fraction=0.1)
    *trained, tested = content
    for pictures, names in ((split.train, trained), (split.validation, [tested])):
        assert pictures.classes == (CIFAR10 if len(content) == 6 else FINE)
        assert pictures.labels == tuple(label for name in names for label in content[name][1])
        expected = np.concatenate([content[name][0] for name in names])
        assert pictures.paths == tuple(
            f"{name}#{number}" for name in names for number in range(len(content[name][1]))
        )
        assert len(pictures) == len(expected)
        for index, planes in enumerate(expected):
            found = pictures.pixels(index, at_least=256)
            np.testing.assert_array_equal(found, planes.transpose(1, 2, 0), strict=True)
    assert split.rule == f"the published test part ({tested}) to validation"
    coarse = "labels are the 100 fine classes; the 20 coarse ones are left out"
    assert (coarse in split.notes) == (len(content) == 2)


def test_another_folder_is_none(tmp_path: Path) -> None:
    assert not is_cifar(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "meta").write_text("")
    assert not is_cifar(tmp_path)
    with pytest.raises(DataError, match=r"has no batches of CIFAR \(CIFAR-10, binary version; "):
        open_cifar(tmp_path, fraction=0.1)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (cifar10_binary, "data_batch_3.bin"),
        (cifar10_binary, "test_batch.bin"),
        (cifar10_python, "batches.meta"),
        (cifar100_binary, "test.bin"),
        (cifar100_python, "train"),
    ],
)
def test_a_missing_file_is_named(
    tmp_path: Path, write: Callable[[Path], Content], name: str
) -> None:
    write(tmp_path)
    (tmp_path / name).unlink()
    assert is_cifar(tmp_path)
    with pytest.raises(DataError, match=f"but has no {name}; unpack the archive again"):
        open_cifar(tmp_path, fraction=0.1)


def refused(folder: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_cifar(folder, fraction=0.1)


def test_every_cut_of_a_binary_batch_is_refused(tmp_path: Path) -> None:
    cifar10_binary(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    content = path.read_bytes()
    for end in (0, 1, 3072, 3074, len(content) - 1):
        path.write_bytes(content[:end])
        refused(tmp_path, f"has {end:,} bytes, which is no whole number of records of 3073")


def test_a_label_without_a_class_is_named(tmp_path: Path) -> None:
    cifar10_binary(tmp_path)
    path = tmp_path / "data_batch_2.bin"
    content = bytearray(path.read_bytes())
    content[3 * 3073] = 10
    path.write_bytes(content)
    refused(tmp_path, r"picture 3 has label 10, but batches.meta.txt names 10 classes")


def test_a_python_batch_of_another_content_is_refused(tmp_path: Path) -> None:
    cifar10_python(tmp_path)
    path = tmp_path / "data_batch_1"
    pictures = np.zeros((2, 3072), np.uint8)
    cases: tuple[tuple[dict[str, object], str], ...] = (
        ({"data": pictures}, "has 'data', where CIFAR-10, python version has 'data' and 'labels'"),
        ({}, "has nothing, where"),
        ({"data": pictures.T.copy(), "labels": [1, 2]}, r"are \(3072, 2\), not \(n, 3072\)"),
        ({"data": pictures, "labels": [1, -2]}, "a label is no whole number from 0 to 255"),
        ({"data": pictures, "labels": ["1", "2"]}, "a label is no whole number"),
        ({"data": pictures, "labels": [1]}, "has 2 pictures and 1 labels"),
        ({"data": pictures[:0], "labels": []}, "has 0 pictures and 0 labels"),
    )
    for values, message in cases:
        path.write_bytes(dump(values))
        refused(tmp_path, message)


def test_class_names_must_be_there_once_each(tmp_path: Path) -> None:
    cifar10_binary(tmp_path)
    names = tmp_path / "batches.meta.txt"
    for text in (b"\n", b"cat\ndog\ncat\n"):
        names.write_bytes(text)
        refused(tmp_path, "batches.meta.txt has no class names, or one twice")
    names.write_bytes(b"\xff\xfe\x00")
    refused(tmp_path, "batches.meta.txt is not text")
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    cifar10_python(tmp_path)
    (tmp_path / "batches.meta").write_bytes(dump({"label_names": [1]}))
    refused(tmp_path, "batches.meta has no list of names 'label_names'")
