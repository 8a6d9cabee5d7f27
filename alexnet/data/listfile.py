"""Lists of picture files with labels, as Caffe's tools take them: "path label" a line.

A folder with train.txt and val.txt is a data set, and so is any one list. Paths are relative to
the list's folder, or to the folder of the list's name beside it (train/ for train.txt), as in
Caffe's ImageNet; the first picture decides which.
Source:  BVLC Caffe, tools/convert_imageset.cpp: the label stands behind the last blank, so that
         paths may have blanks. data/ilsvrc12/synset_words.txt names the classes.
Differs: a label that is no whole number is refused, where Caffe takes 0; blanks around a line and
         empty lines at the end are nothing. A picture that is listed again is "./" and its path.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from alexnet.data.folder import (
    VALIDATION_NAMES,
    DataError,
    Listing,
    Split,
    join,
    split_by_content,
)
from alexnet.nearest import nearest_beside

NAMES_FILES = ("synset_words.txt", "synsets.txt", "labels.txt", "classes.txt")
"""Files of class names, a line each in the labels' order; the first that exists is used."""
MOST_LABELS = 1_000_000
_LINE = re.compile(r"(.*\S)[ \t]+([+-]?[0-9]+)\s*", re.DOTALL)
_SYNSET = re.compile(r"(n[0-9]{8})(\s.*)?")


@dataclass(frozen=True)
class _List:
    """A list that has been read: where its pictures lie, their paths and their labels."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]


def is_list(path: Path) -> bool:
    """Return whether a path is a text file, or a folder with train.txt and a validation list."""
    if path.is_dir():
        return (path / "train.txt").is_file() and _validation_list(path) is not None
    return path.suffix.lower() in (".txt", ".lst", ".list") and path.is_file()


def open_list(path: Path, *, fraction: float) -> Split[Listing]:
    """Open the lists of a folder, or split the pictures of one list by their content.

    The first of val.txt, valid.txt, validation.txt and test.txt beside train.txt is for validation.

    Raises:  DataError, with file and line, for a line or a label that is wrong, and when the first
             picture is not found or validation has a label that train lacks.
    """
    if not path.is_dir():
        return split_by_content(read_listing(path), fraction)
    beside = _validation_list(path)
    if beside is None:
        raise DataError(f"{path} has no val.txt beside train.txt; give the one list itself")
    first, second = _read(path / "train.txt"), _read(beside)
    classes, notes = _class_names(path, {"train.txt": first, beside.name: second})
    unknown = sorted(set(second.labels) - set(first.labels))
    if unknown:
        raise DataError(
            f"{beside} has label {unknown[0]}, which train.txt has not; a net can only answer what "
            f"it was shown"
        )
    both = {os.path.normpath(first.root / each) for each in first.paths}
    shared = sum(os.path.normpath(second.root / each) in both for each in second.paths)
    if shared:
        notes = (*notes, f"{shared} pictures are in train.txt and {beside.name} both")
    return join(
        _listing(first, classes),
        _listing(second, classes),
        rule=f"the lists train.txt and {beside.name}",
        notes=notes,
    )


def read_listing(path: Path) -> Listing:
    """Read one list.

    Raises:  DataError as `open_list`.
    """
    read = _read(path)
    classes, notes = _class_names(path.parent, {path.name: read})
    return Listing(read.root, classes, read.paths, read.labels, notes=notes)


def _listing(read: _List, classes: tuple[str, ...]) -> Listing:
    return Listing(read.root, classes, read.paths, read.labels)


def _validation_list(folder: Path) -> Path | None:
    paths = [folder / f"{name}.txt" for name in VALIDATION_NAMES]
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path) -> _List:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"the list {path} does not exist{nearest_beside(path)}") from None
    except OSError as error:
        raise DataError(f"the list {path} cannot be read: {error.strerror}") from None
    lines = os.fsdecode(text.removeprefix(b"\xef\xbb\xbf")).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise DataError(f"the list {path} is empty; give lines of a path, a blank and a label")
    paths, labels = [], []
    times: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, label = _entry(line, f"{path}:{number}")
        times[name] = times.get(name, -1) + 1
        paths.append("./" * times[name] + name)  # the same file by another name
        labels.append(label)
    return _List(_root(path, paths[0]), tuple(paths), tuple(labels))


def _entry(line: str, place: str) -> tuple[str, int]:
    found = _LINE.fullmatch(line)
    if found is None or "\0" in line:
        raise DataError(
            f"{place}: {line[:80]!a} is not a path, a blank and a whole number as label"
        )
    label = int(found[2]) if len(found[2]) < 12 else MOST_LABELS
    if not 0 <= label < MOST_LABELS:
        raise DataError(f"{place}: the label {found[2][:20]} is not from 0 to {MOST_LABELS - 1}")
    return found[1].strip(), label


def _root(path: Path, first: str) -> Path:
    """Return the folder that the first picture of a list is found in."""
    folders = (path.parent, path.parent / path.stem)
    root = next((folder for folder in folders if (folder / first).is_file()), None)
    if root is None:
        raise DataError(
            f"{path}:1: the picture {first!a} is neither in {folders[0]} nor in {folders[1]}; put "
            f"the list beside its pictures"
        )
    return root


def _class_names(folder: Path, lists: dict[str, _List]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the class names, and a note on where they are from."""
    highest = max(max(each.labels) for each in lists.values())
    found = next((name for name in NAMES_FILES if (folder / name).is_file()), None)
    if found is None:
        note = f"classes have no names but their numbers; {NAMES_FILES[-2]} can name them"
        return tuple(map(str, range(highest + 1))), (note,)
    path = folder / found
    try:
        lines = path.read_text(encoding="utf-8").rstrip().splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; save it so, or remove it") from None
    synsets = [_SYNSET.fullmatch(line) for line in lines]
    names = [each[1] for each in synsets if each] if all(synsets) else [x.strip() for x in lines]
    line_of: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name or name in line_of:
            what = f"stands on line {line_of[name]} too" if name else "is empty"
            raise DataError(f"{path}:{number}: the class name {name!r} {what}; give each its own")
        line_of[name] = number
    for list_name, each in lists.items():
        at = next((line for line, label in enumerate(each.labels) if label >= len(names)), None)
        if at is not None:
            raise DataError(
                f"{folder / list_name}:{at + 1}: label {each.labels[at]} has no name in {path}, "
                f"which has {len(names)}; labels count from 0"
            )
    return tuple(names), (f"classes are named by {found}",)
