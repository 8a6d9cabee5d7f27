"""CIFAR-10 and CIFAR-100 as published: batches of 32 x 32 pictures, binary or pickled by Python.

Source:  Krizhevsky 2009, "Learning multiple layers of features from tiny images"; the layout is
         that of the page cs.toronto.edu/~kriz/cifar.html. A picture is 3072 bytes: its red, green
         and blue planes, row by row. CIFAR-100's labels are its 100 fine ones.
Differs: the pickles of the python version are read as plain data and never run (pickled.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alexnet.data.arrays import ArrayPictures, Rows, map_file
from alexnet.data.folder import DataError, Split, join
from alexnet.data.pickled import read_pickled

SHAPE = (3, 32, 32)
PICTURE_BYTES = 3072


@dataclass(frozen=True)
class Version:
    """One of the four forms in which the two sets are published."""

    title: str
    """What messages call it."""
    train: tuple[str, ...]
    """Files of training pictures, all of which must be there."""
    test: str
    """File of test pictures."""
    names: str
    """File of class names."""
    coding: Literal["binary", "python"]
    """How the files are written."""
    key: str
    """Key of the class names in `names`, when pickled."""
    labels: str
    """Key of the labels in a batch, when pickled."""
    label_bytes: int
    """Bytes in front of each picture, when binary; the last of them is the label."""

    def found(self, folder: Path) -> int:
        """Return how many of its files a folder has: the class names, the first batch, the last."""
        return sum((folder / name).is_file() for name in (self.names, self.train[0], self.test))


FIVE = tuple(f"data_batch_{number}" for number in range(1, 6))
VERSIONS = (
    Version(
        title="CIFAR-10, binary version",
        train=tuple(f"{name}.bin" for name in FIVE),
        test="test_batch.bin",
        names="batches.meta.txt",
        coding="binary",
        key="",
        labels="",
        label_bytes=1,
    ),
    Version(
        title="CIFAR-10, python version",
        train=FIVE,
        test="test_batch",
        names="batches.meta",
        coding="python",
        key="label_names",
        labels="labels",
        label_bytes=0,
    ),
    Version(
        title="CIFAR-100, binary version",
        train=("train.bin",),
        test="test.bin",
        names="fine_label_names.txt",
        coding="binary",
        key="",
        labels="",
        label_bytes=2,
    ),
    Version(
        title="CIFAR-100, python version",
        train=("train",),
        test="test",
        names="meta",
        coding="python",
        key="fine_label_names",
        labels="fine_labels",
        label_bytes=0,
    ),
)


def is_cifar(folder: Path) -> bool:
    """Return whether a folder has two of a version's class names, first batch and test batch."""
    return _version(folder) is not None


def open_cifar(folder: Path, *, fraction: float) -> Split[ArrayPictures]:
    """Open the training and the test pictures; `fraction` is not needed, as there is a test part.

    Raises:  DataError when a file is missing, cut or of another form, or a label has no class.
    """
    version = _version(folder)
    if version is None:
        titles = "; ".join(version.title for version in VERSIONS)
        raise DataError(
            f"{folder} has no batches of CIFAR ({titles}); give the folder of the files"
        )
    missing = [
        name
        for name in (*version.train, version.test, version.names)
        if not (folder / name).is_file()
    ]
    if missing:
        raise DataError(
            f"{folder} looks like {version.title}, but has no {', '.join(missing)}; "
            f"unpack the archive again"
        )
    classes = _read_names(folder / version.names, version)
    return join(
        _open(folder, version.train, version, classes),
        _open(folder, (version.test,), version, classes),
        rule=f"the published test part ({version.test}) to validation",
    )


def _version(folder: Path) -> Version | None:
    return next((version for version in VERSIONS if version.found(folder) >= 2), None)


def _notes(version: Version) -> tuple[str, ...]:
    fine = version.title.startswith("CIFAR-100")
    return ("labels are the 100 fine classes; the 20 coarse ones are left out",) if fine else ()


def _open(
    folder: Path, names: tuple[str, ...], version: Version, classes: tuple[str, ...]
) -> ArrayPictures:
    labels: list[int] = []
    paths: list[str] = []
    rows = []
    for name in names:
        path = folder / name
        read = _read_binary if version.coding == "binary" else _read_python
        own, pictures = read(path, version)
        wrong = np.flatnonzero(own >= len(classes))
        if len(wrong):
            raise DataError(
                f"{path}: picture {wrong[0]} has label {own[wrong[0]]}, but {version.names} names "
                f"{len(classes)} classes; use another copy"
            )
        labels += own.tolist()
        paths += [f"{name}#{number}" for number in range(len(own))]
        rows.append(pictures)
    return ArrayPictures(classes, tuple(paths), tuple(labels), tuple(rows), SHAPE, _notes(version))


def _read_binary(path: Path, version: Version) -> tuple[NDArray[np.uint8], Rows]:
    record = version.label_bytes + PICTURE_BYTES
    size = path.stat().st_size
    if size == 0 or size % record:
        raise DataError(
            f"{path} has {size:,} bytes, which is no whole number of records of {record} "
            f"({version.title}); unpack the archive again"
        )
    mapped = map_file(path)
    table = np.frombuffer(mapped, np.uint8).reshape(-1, record)
    pictures = Rows(path.name, table[:, version.label_bytes :], mapped)
    return np.array(table[:, version.label_bytes - 1]), pictures


def _read_python(path: Path, version: Version) -> tuple[NDArray[np.uint8], Rows]:
    batch = read_pickled(path)
    pictures, labels = batch.get("data"), batch.get(version.labels)
    if not isinstance(pictures, np.ndarray) or not isinstance(labels, list):
        raise DataError(
            f"{path} has {', '.join(map(repr, batch)) or 'nothing'}, where {version.title} has "
            f"'data' and {version.labels!r}; use the published file"
        )
    if pictures.ndim != 2 or pictures.shape[1] != PICTURE_BYTES:
        raise DataError(
            f"{path}: the pictures are {pictures.shape}, not (n, {PICTURE_BYTES}); cuda-convnet's "
            f"own batches, with a picture a column, are not read"
        )
    if any(type(label) is not int or not 0 <= label < 256 for label in labels):
        raise DataError(f"{path}: a label is no whole number from 0 to 255; use another copy")
    if len(labels) != len(pictures) or not labels:
        raise DataError(
            f"{path} has {len(pictures)} pictures and {len(labels)} labels; use another copy"
        )
    return np.array(labels, np.uint8), Rows(path.name, pictures)


def _read_names(path: Path, version: Version) -> tuple[str, ...]:
    if version.coding == "python":
        names = read_pickled(path).get(version.key)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{path} has no list of names {version.key!r}; use the published file")
    else:
        try:
            names = path.read_text(encoding="utf-8").split()
        except UnicodeDecodeError:
            raise DataError(f"{path} is not text; use the published file") from None
    if not names or len(set(names)) < len(names):
        raise DataError(f"{path} has no class names, or one twice; use the published file")
    return tuple(names)
