"""The sets of pictures that lie at a path, opened for looking, whatever is wrong with them.

Training refuses a folder with an empty class, or a class that only validation has. Whoever checks
a data set wants to hear of that together with everything else.
"""

import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.data.door import CLASS_FOLDERS, name_form, open_split
from alexnet.data.folder import VALIDATION_NAMES, DataError, Listing, list_folder
from alexnet.data.pictures import Pictures
from alexnet.data.strays import HIDDEN


@dataclass(frozen=True)
class Sets:
    """One set of pictures, or one to train on and one to validate with, numbered through."""

    root: Path
    """Where they lie."""
    form: str
    """What the data set is, in words."""
    parts: tuple[tuple[str, Pictures], ...]
    """Names, "" for a set alone, and pictures; all of the same classes."""
    notes: tuple[str, ...] = ()
    """What their readers say of them."""
    folders: tuple[str, ...] = ()
    """The folder below the root of each set of class folders, "" for the root; else nothing."""
    _ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        ends = tuple(accumulate(len(pictures) for _, pictures in self.parts))
        object.__setattr__(self, "_ends", ends)  # the class is frozen

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a position in this tuple."""
        return self.parts[0][1].classes

    def locate(self, index: int) -> tuple[Pictures, int]:
        """Return the set of a picture and its position there."""
        part = bisect_right(self._ends, index)
        pictures = self.parts[part][1]
        return pictures, index - self._ends[part] + len(pictures)

    def path(self, index: int) -> str:
        """Return a picture's name, after that of its set."""
        name = self.parts[bisect_right(self._ends, index)][0]
        pictures, inner = self.locate(index)
        return f"{name}/{pictures.paths[inner]}" if name else pictures.paths[inner]

    def labels(self) -> NDArray[np.int64]:
        """Return every picture's label, (N,)."""
        return np.array([label for _, part in self.parts for label in part.labels], np.int64)

    def numbers(self) -> NDArray[np.int64]:
        """Return the position of every picture's set, (N,)."""
        counts = [len(pictures) for _, pictures in self.parts]
        return np.repeat(np.arange(len(counts)), counts)

    def sizes(self) -> NDArray[np.int64]:
        """Return how many pictures each class has in each set, (classes, sets)."""
        width = len(self.classes)
        counts = [
            np.bincount(np.array(part.labels, int), minlength=width) for _, part in self.parts
        ]
        return np.stack(counts, axis=1)


def open_sets(path: Path) -> Sets:
    """Open the sets at a path: any form of data set, and folders with something wrong, too.

    Raises:  DataError when there are no pictures that could be looked at.
    """
    form = name_form(path)
    if form != CLASS_FOLDERS:
        split = open_split(path)
        named = (("train", split.train), ("validation", split.validation))
        return Sets(path, f"{form} ({split.rule})", named, split.notes)
    has_train, held_out = _find_sets(path)
    if not has_train:
        listing = _list_all(path)
        return Sets(path, form, (("", listing),), listing.notes, ("",))
    trained = _list_all(path / "train")
    if not held_out:
        return Sets(path, form, (("train", trained),), trained.notes, ("train",))
    tested = _list_all(path / held_out)
    if set(trained.classes) != set(tested.classes):
        classes = tuple(sorted({*trained.classes, *tested.classes}))
        trained = list_folder(path / "train", classes=classes)
        tested = list_folder(path / held_out, classes=classes)
    parts = (("train", trained), (held_out, tested))
    return Sets(path, form, parts, trained.notes, ("train", held_out))


def _find_sets(path: Path) -> tuple[bool, str]:
    """Return whether there is a train/, and the name of the validation folder beside it."""
    names = _folders(path)
    if "train" not in names or not (_folders(path / "train") or names == ["train"]):
        return False, ""
    return True, next((name for name in VALIDATION_NAMES if name in names), "")


def _list_all(folder: Path) -> Listing:
    """List a folder of classes, some of which may be empty."""
    try:
        return list_folder(folder)
    except DataError:
        classes = tuple(sorted(unicodedata.normalize("NFC", name) for name in _folders(folder)))
        if not classes:
            raise
    return list_folder(folder, classes=classes)


def _folders(path: Path) -> list[str]:
    """Return the names of the folders in a folder that are not hidden, of none if unreadable."""
    try:
        found = [each for each in path.iterdir() if not each.name.startswith(HIDDEN)]
    except OSError:  # whoever lists the folder says why
        return []
    return sorted(each.name for each in found if each.is_dir())
