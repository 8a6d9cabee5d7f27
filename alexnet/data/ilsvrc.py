"""ILSVRC's development kit: the classes, the true labels of its pictures, and the orders of labels.

A label of ours is the place of a class's WNID among the sorted WNIDs, from 0, as Caffe and
torchvision have it. The development kit counts classes in an order of its own, ILSVRC2012_ID from
1, and cuda-convnet takes that less one. English names repeat (crane, maillot); WNIDs do not.
Source:  ILSVRC2012_devkit_t12.tar.gz and ILSVRC2010_devkit-1.0.tar.gz, readme.txt: data/meta.mat
         and data/ILSVRC20xx_validation_ground_truth.txt, a line for each picture by number.
         ILSVRC2010_test_ground_truth.txt is published beside the kit of 2010.
         cuda-convnet2, make-data/make-data.py (labels are ILSVRC2012_ID - 1).
"""

import io
import json
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from alexnet.data.folder import DataError
from alexnet.data.ilsvrc_archives import WNID, files

YEARS: Final = (2010, 2012)
"""The years that are read."""

_MOST_BYTES = 64_000_000
_GROUND_TRUTH = re.compile(r"ILSVRC(20[0-9]{2})_(validation|test)_ground_truth\.txt")
_COMPRESSED = 15  # miCOMPRESSED, the type of an element of a MAT-file


@dataclass(frozen=True)
class Synset:
    """A class: a set of synonyms of WordNet."""

    wnid: str
    """Its name in WordNet, as n01440764: what classes are known by."""
    words: str
    """Its synonyms in English, separated by commas."""
    ilsvrc_id: int
    """Its number in the development kit, from 1."""
    num_train_images: int
    """Number of pictures to train on, as published."""
    gloss: str = ""
    """What it is, in a sentence."""


@dataclass(frozen=True)
class Devkit:
    """What the development kit says."""

    year: int
    """2010 or 2012."""
    classes: tuple[Synset, ...]
    """By WNID: the position is our label."""
    validation: tuple[int, ...] = ()
    """The ilsvrc_id of each validation picture; that of number 1 comes first."""
    test: tuple[int, ...] = ()
    """The same of the test pictures, published for 2010 only."""


def read_devkit(source: Path, *, test_labels: Path | None = None) -> Devkit:
    """Read a development kit, as published or extracted.

    Raises:  DataError when it lacks a file, or one is damaged or says what cannot be;
             OSError when scipy, which reads meta.mat, is not installed.
    """
    texts: dict[str, str] = {}
    meta = None
    for entry in files(source):
        if entry.name == "meta.mat" or _GROUND_TRUTH.fullmatch(entry.name):
            if entry.name in texts or (meta and entry.name == "meta.mat"):
                raise DataError(f"{source} has two files {entry.name}; give one development kit")
            data = entry.read(most=_MOST_BYTES)
            if entry.name == "meta.mat":
                meta = data
            else:
                texts[entry.name] = data.decode("ascii", errors="replace")
    if meta is None:
        raise DataError(f"{source} has no meta.mat; give ILSVRC2012_devkit_t12.tar.gz as published")
    year, classes = _read_meta(meta, f"{source}: meta.mat")
    name = f"ILSVRC{year}_validation_ground_truth.txt"
    if name not in texts:
        raise DataError(f"{source} has no {name}; give the development kit as published")
    validation = _read_ground_truth(texts[name], f"{source}: {name}", len(classes))
    name = f"ILSVRC{year}_test_ground_truth.txt"
    test: tuple[int, ...] = ()
    if test_labels is not None:
        text = test_labels.read_text("ascii", errors="replace")
        test = _read_ground_truth(text, str(test_labels), len(classes))
    elif name in texts:
        test = _read_ground_truth(texts[name], f"{source}: {name}", len(classes))
    return Devkit(year, classes, validation, test)


# ---- Orders of labels ---------------------------------------------------------------------------


def to_devkit(classes: Sequence[Synset]) -> npt.NDArray[np.int64]:
    """Return the ILSVRC ID, from 1, of each of our labels.

        id = to_devkit(classes)[label]

    Shapes:  -> (len(classes),)
    """
    return np.array([synset.ilsvrc_id for synset in classes], dtype=np.int64)


def to_cuda_convnet(classes: Sequence[Synset]) -> npt.NDArray[np.int64]:
    """Return cuda-convnet's label, from 0, of each of ours.

    The scores of a net of cuda-convnet come into our order by
        scores[:, to_cuda_convnet(classes)]

    Shapes:  -> (len(classes),)
    """
    return to_devkit(classes) - 1


def write_classes(devkit: Devkit) -> bytes:
    """Return classes.json: the classes by our label, and both other orders."""
    content = {
        "year": devkit.year,
        "classes": [
            {"label": label, **asdict(synset)} for label, synset in enumerate(devkit.classes)
        ],
        "to_devkit": to_devkit(devkit.classes).tolist(),
        "to_cuda_convnet": to_cuda_convnet(devkit.classes).tolist(),
    }
    return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"


def read_classes(path: Path) -> tuple[Synset, ...]:
    """Read the classes of a classes.json, by our label.

    Raises:  DataError when it is no such file.
    """
    names = [field.name for field in fields(Synset)]
    try:
        content = json.loads(path.read_bytes())
        return tuple(Synset(**{name: row[name] for name in names}) for row in content["classes"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no classes.json ({error}); alexnet data imagenet writes one"
        ) from error


# ---- The files of the development kit -----------------------------------------------------------


def _read_meta(data: bytes, place: str) -> tuple[int, tuple[Synset, ...]]:
    """Return the year and the classes by WNID; inner nodes of the hierarchy are left out."""
    rows = _load_synsets(data, place)
    names = rows.dtype.names or ()
    year = next((year for year in YEARS if f"ILSVRC{year}_ID" in names), None)
    lacking = {"WNID", "words", "num_children", "num_train_images"} - set(names)
    if year is None or lacking:
        raise DataError(
            f"{place} has synsets with the fields {', '.join(names) or 'none'}; those of 2010 and "
            f"2012 have ILSVRC2012_ID, WNID, words, num_children and num_train_images"
        )
    classes = []
    for row in rows:
        if int(row["num_children"]) == 0:
            wnid, number = str(row["WNID"]), int(row[f"ILSVRC{year}_ID"])
            count = int(row["num_train_images"])
            gloss = str(row["gloss"]) if "gloss" in names else ""
            classes.append(Synset(wnid, str(row["words"]), number, count, gloss))
    wrong = [synset.wnid for synset in classes if not WNID.fullmatch(synset.wnid)]
    if wrong:
        raise DataError(f"{place} has the WNID {wrong[0]!r}; one is n and eight digits")
    if len({synset.wnid for synset in classes}) != len(classes):
        raise DataError(f"{place} has a WNID twice; take another copy of the development kit")
    if sorted(synset.ilsvrc_id for synset in classes) != list(range(1, len(classes) + 1)):
        raise DataError(
            f"{place} has {len(classes)} classes whose IDs are not 1 to {len(classes)}; "
            f"take another copy of the development kit"
        )
    return year, tuple(sorted(classes, key=lambda synset: synset.wnid))


def _load_synsets(data: bytes, place: str) -> npt.NDArray[Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise OSError(
            "scipy, which reads the development kit's meta.mat, is not installed; "
            "pip install alexnet[data]"
        ) from error
    _check_inflation(data, place)
    try:
        found = loadmat(io.BytesIO(data), squeeze_me=True, variable_names=["synsets"])
        return np.atleast_1d(found["synsets"])
    except Exception as error:  # scipy's reader raises anything from KeyError to TypeError
        raise DataError(
            f"{place} is damaged: no synsets can be read ({type(error).__name__}: {error}); "
            f"take another copy of the development kit"
        ) from error


def _check_inflation(data: bytes, place: str) -> None:
    """Unpack the compressed elements once, so that none can fill the memory."""
    position, unpacked_bytes = 128, 0
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<II", data, position)
        if kind == _COMPRESSED:
            unpacking = zlib.decompressobj()
            try:
                element = data[position + 8 : position + 8 + length]
                unpacked_bytes += len(unpacking.decompress(element, _MOST_BYTES))
            except zlib.error as error:
                raise DataError(f"{place} is damaged: {error}; take another copy") from error
            if unpacking.unconsumed_tail or unpacked_bytes > _MOST_BYTES:
                raise DataError(f"{place} unpacks to more than {_MOST_BYTES:,} bytes; refused")
        # Compressed elements are not padded; others are, to 8 bytes.
        position += 8 + (length if kind == _COMPRESSED else -(-length // 8) * 8)


def _read_ground_truth(text: str, place: str, num_classes: int) -> tuple[int, ...]:
    numbers = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not re.fullmatch(r"\s*[0-9]{1,6}\s*", line) or not 1 <= int(line) <= num_classes:
            raise DataError(
                f"{place}:{number}: {line[:40]!r} is no class; each line is a number from 1 to "
                f"{num_classes}"
            )
        numbers.append(int(line))
    if not numbers:
        raise DataError(f"{place} is empty; it has a line for each picture")
    return tuple(numbers)
