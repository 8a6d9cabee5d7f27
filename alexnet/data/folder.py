"""List a folder of pictures, one sub-folder per class, and split it into train and validation.

Classes are known by name, never by position: the order is that of the code points of their
NFC-normalised names (as in torchvision), and a validation folder is matched to it by name.
"""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from alexnet.data.image import ImageError, Picture, decode_file, read_file
from alexnet.data.pictures import Pictures
from alexnet.nearest import nearest

SUFFIXES = frozenset([".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".gif"])
"""Suffixes, in any case, of the files that are listed."""
VALIDATION_NAMES = ("val", "valid", "validation", "test")
"""Names of the validation folder beside train/; the first that exists is used."""
CONTENT_RULE = "the first {:.0%} of each class by SHA-256 of the file to validation"


P = TypeVar("P", bound=Pictures, covariant=True)
Either = TypeVar("Either", bound=Pictures)


class DataError(ValueError):
    """A folder of pictures is refused; the message says which part, and the way out."""


@dataclass(frozen=True)
class Listing:
    """The pictures of a folder and their classes."""

    root: Path
    """The folder that `paths` are relative to."""
    classes: tuple[str, ...]
    """Class names; a label is a position in this tuple."""
    paths: tuple[str, ...]
    """Paths with '/', class by class, sorted by code point within a class."""
    labels: tuple[int, ...]
    """One label for each path."""
    ignored: int = 0
    """Number of files left out for their suffix or their place; hidden files are not counted."""
    notes: tuple[str, ...] = ()
    """What a person should know before using the listing, a sentence each."""

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return decode_file(self.root / self.paths[index], at_least=at_least)


@dataclass(frozen=True)
class Split(Generic[P]):
    """Pictures to train on and to validate with, of the same classes."""

    train: P
    """What is learned from."""
    validation: P
    """What the error is measured on."""
    rule: str
    """How the two were told apart, in words."""
    notes: tuple[str, ...] = ()
    """The notes of both listings and those about the split."""


def list_folder(root: Path, *, classes: Sequence[str] | None = None) -> Listing:
    """List the pictures below each class folder of `root`.

    With `classes`, their order is kept and folders are matched by name; a class may lack pictures.

    Raises:  DataError when the folder is missing, unreadable, empty or not one of class folders,
             when a class folder has no pictures, or is not among `classes`.
    """
    folders, num_loose = _find_class_folders(root)
    names = tuple(sorted(folders)) if classes is None else tuple(classes)
    _check_names(root, folders, names)
    paths: list[str] = []
    labels: list[int] = []
    ignored = num_loose
    empty = []
    for label, name in enumerate(names):
        if name not in folders:
            continue
        found, num_ignored = _walk(root, folders[name])
        paths += found
        labels += [label] * len(found)
        ignored += num_ignored
        if not found:
            empty.append(name)
    if not paths or (empty and classes is None):
        raise DataError(
            f"{root}: no pictures in {_some(empty or list(names))}; "
            f"add some ({', '.join(sorted(SUFFIXES))}) or remove the folder"
        )
    notes = _note_order(names) if classes is None else ()
    return Listing(root, names, tuple(paths), tuple(labels), ignored, notes)


def split_folder(root: Path, *, fraction: float = 0.1) -> Split[Listing]:
    """Split a data set: by its folders train/ and val/, or else by the content of its pictures.

    The first of val/, valid/, validation/ and test/ beside train/ is the validation set. Without
    one, round(`fraction` * distinct) distinct pictures of each class, at least 1 of 2, those with
    the smallest SHA-256, go to validation: names, order and machine do not matter. Equal
    files stay together; one that stands in several classes is trained on.

    Raises:  DataError as `list_folder`, or when validation has a class that train lacks;
             ValueError when `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction {fraction} is not between 0 and 1; 0.1 is usual")
    names = {entry.name for entry in _scan(root) if _is_folder(entry)}
    name = next((name for name in VALIDATION_NAMES if name in names), None)
    has_train = "train" in names and _is_set(root / "train", beside=names - {"train"})
    if name is not None and not has_train and names <= set(VALIDATION_NAMES):
        raise DataError(f"{root} has {name}/ but no train/; rename a folder or give {root / name}")
    if not has_train or name is None:
        return split_by_content(list_folder(root / "train" if has_train else root), fraction)
    train = list_folder(root / "train")
    validation = list_folder(root / name, classes=train.classes)
    return join(train, validation, rule=f"train/ and {name}/")


def _is_set(folder: Path, *, beside: set[str]) -> bool:
    """Whether train/ is a training set and not a class of that name among other classes."""
    return beside <= set(VALIDATION_NAMES) or any(_is_folder(entry) for entry in _scan(folder))


# ---- Finding files ------------------------------------------------------------------------------


def _find_class_folders(root: Path) -> tuple[dict[str, str], int]:
    """Return folder names by NFC-normalised class name, and the number of files beside them."""
    folders: dict[str, str] = {}
    files = []
    for entry in _scan(root):
        if not _is_folder(entry):
            files.append(entry.name)
            continue
        name = unicodedata.normalize("NFC", entry.name)
        if not name.isprintable():
            raise DataError(f"{root}: the folder name {name!r} is not printable text; rename it")
        if name in folders:
            raise DataError(
                f"{root}: {folders[name]!a} and {entry.name!a} are the same class name "
                f"{name!r} in Unicode; merge the folders"
            )
        folders[name] = entry.name
    if not folders:
        what = f"has {len(files)} files but no class folders" if files else "is empty"
        raise DataError(f"{root} {what}; put the pictures of each class into a folder of its name")
    return folders, len(files)


def _check_names(root: Path, folders: Iterable[str], classes: tuple[str, ...]) -> None:
    for name in sorted(set(folders) - set(classes)):
        raise DataError(
            f"{root}: class {name!r} is not among {_some(classes)}{nearest(name, classes)}; "
            f"rename or remove the folder"
        )


def _walk(root: Path, folder: str) -> tuple[list[str], int]:
    """Return the pictures below a class folder, each real folder visited once, and what is left."""
    found, ignored = [], 0
    visited = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(root / place)
        if real in visited:  # a link may lead back up
            continue
        visited.add(real)
        inner = []
        for entry in _scan(root / place):
            path = f"{place}/{entry.name}"
            if _is_folder(entry):
                inner.append(path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                found.append(path)
            else:
                ignored += 1
        waiting += reversed(inner)
    return sorted(found), ignored


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder and not hidden, by name."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]
    except FileNotFoundError as error:
        raise DataError(f"{folder} does not exist; {_hint_place(folder)}") from error
    except NotADirectoryError as error:
        raise DataError(f"{folder} is a file; give a folder with a sub-folder per class") from error
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}") from error
    return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _hint_place(folder: Path) -> str:
    """Name the nearest thing that exists to a folder that does not."""
    parent = folder.absolute().parent
    while not parent.is_dir():
        folder, parent = parent, parent.parent
    beside = [entry.name for entry in _scan(parent) if _is_folder(entry)]
    return f"{parent} does, but has no {folder.name!r}{nearest(folder.name, beside)}"


def _some(names: Sequence[str]) -> str:
    """Quote the first five names."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _note_order(classes: Sequence[str]) -> tuple[str, ...]:
    def natural(name: str) -> list[tuple[int, str]]:
        parts = re.findall(r"[0-9]+|[^0-9]+", name)
        return [(int(part), "") if part[0].isdecimal() else (-1, part) for part in parts]

    order = sorted(classes, key=natural)
    if list(classes) == order:
        return ()
    first = next(index for index, name in enumerate(classes) if name != order[index])
    note = (
        f"classes are in code-point order, with {classes[first]!r} before {order[first]!r}; "
        f"a list in numeric order gives other labels"
    )
    return (note,)


# ---- Splitting ----------------------------------------------------------------------------------


def split_by_content(listing: Listing, fraction: float) -> Split[Listing]:
    """Split a listing by `hold_out`, from the SHA-256 of each file."""
    held, notes = hold_out(_digest_all(listing), listing.labels, fraction)
    train, validation = (_select(listing, (h == wanted for h in held)) for wanted in (False, True))
    return join(train, validation, rule=CONTENT_RULE.format(fraction), notes=notes)


def hold_out(
    digests: Sequence[bytes], labels: Sequence[int], fraction: float
) -> tuple[list[bool], list[str]]:
    """Say of each picture whether its content puts it into validation, as `split_folder` does.

    Returns also the notes about it. A digest's first 16 bytes give the answer of the whole.
    """
    labels_of = defaultdict(set)
    for digest, label in zip(digests, labels, strict=True):
        labels_of[digest].add(label)
    digests_of = defaultdict(set)
    for digest, found in labels_of.items():
        for label in found:
            digests_of[label].add(digest)
    held_out: set[bytes] = set()
    for distinct in digests_of.values():
        count = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
        own = sorted(digest for digest in distinct if len(labels_of[digest]) == 1)
        held_out.update(own[:count])
    num_shared = sum(len(found) > 1 for found in labels_of.values())
    notes = [f"{num_shared} pictures stand in several classes"] if num_shared else []
    return [digest in held_out for digest in digests], notes


def _digest_all(listing: Listing) -> list[bytes]:
    def digest(path: str) -> bytes:
        try:
            return hashlib.sha256(read_file(listing.root / path)).digest()
        except ImageError:  # the loader will name it; here it only needs a place
            return hashlib.sha256(os.fsencode(path)).digest()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest, listing.paths, chunksize=64))


def _select(listing: Listing, chosen: Iterable[bool]) -> Listing:
    kept = [index for index, keep in enumerate(chosen) if keep]
    return replace(
        listing,
        paths=tuple(listing.paths[index] for index in kept),
        labels=tuple(listing.labels[index] for index in kept),
    )


def join(
    train: Either, validation: Either, *, rule: str, notes: Iterable[str] = ()
) -> Split[Either]:
    """Put two sets of the same classes together and note what validation lacks."""
    present = set(validation.labels)
    lacking = [name for label, name in enumerate(train.classes) if label not in present]
    if lacking:
        notes = [*notes, f"validation lacks {_some(lacking)}"]
    return Split(train, validation, rule, (*train.notes, *notes))
