"""One door to every form of labelled pictures: whoever opens a data set need not know which it is.

The forms are tried in the order of `FORMS`; a folder per class is what is left, and speaks for
itself when it is none.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from alexnet.data.cifar import is_cifar, open_cifar
from alexnet.data.folder import (
    VALIDATION_NAMES,
    DataError,
    Listing,
    Split,
    list_folder,
    split_folder,
)
from alexnet.data.idx import is_idx, open_idx
from alexnet.data.image import Picture
from alexnet.data.listfile import is_list, open_list, read_listing
from alexnet.data.pictures import Pictures
from alexnet.data.shard_index import INDEX
from alexnet.data.shards import PACKING, is_shards, open_parts, open_shards
from alexnet.nearest import nearest


@dataclass(frozen=True)
class Form:
    """A form that a data set can have."""

    title: str
    """What it is."""
    sign: str
    """What it is known by."""
    fits: Callable[[Path], bool]
    """Whether a path has that sign."""
    split: Callable[[Path, float], Split[Pictures]]
    """Opens it as training and validation pictures, a share held out if it has no two parts."""
    whole: Callable[[Path], Pictures]
    """Opens all of its pictures."""


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir() and each.name[0] != ".")


def _is_shards(path: Path) -> bool:
    """Return whether a path is of shards; a tar that lies beside class folders makes none."""
    indexed = any((path / name).exists() for name in (INDEX, PACKING))
    return is_shards(path) and (path.is_file() or indexed or not _folders(path))


def _whole_list(path: Path) -> Pictures:
    return _both(open_list(path, fraction=0.1)) if path.is_dir() else read_listing(path)


def _whole_shards(path: Path) -> Pictures:
    parts = open_parts(path)
    return Joined(tuple(parts[name] for name in sorted(parts, key=lambda name: name != "train")))


def _both(split: Split[Pictures]) -> Pictures:
    return Joined((split.train, split.validation), split.notes)


FORMS = (
    Form(
        title="shards",
        sign="a .tar file, or a folder of them",
        fits=_is_shards,
        split=lambda path, fraction: open_shards(path, fraction=fraction),
        whole=_whole_shards,
    ),
    Form(
        title="CIFAR-10 or CIFAR-100",
        sign="batches.meta.txt, data_batch_1.bin and so on, or the python version's files",
        fits=is_cifar,
        split=lambda path, fraction: open_cifar(path, fraction=fraction),
        whole=lambda path: _both(open_cifar(path, fraction=0.1)),
    ),
    Form(
        title="IDX, as MNIST",
        sign="train-images-idx3-ubyte and so on, or their .gz",
        fits=is_idx,
        split=lambda path, fraction: open_idx(path, fraction=fraction),
        whole=lambda path: _both(open_idx(path, fraction=0.1)),
    ),
    Form(
        title="a list of files",
        sign="a .txt file of lines 'path label', or a folder with train.txt and val.txt",
        fits=is_list,
        split=lambda path, fraction: open_list(path, fraction=fraction),
        whole=_whole_list,
    ),
)
MOST_LOOKED_INTO = 3
"""Sub-folders that are looked into for a published set, which some archives wrap into one."""
CLASS_FOLDERS = "a folder with a sub-folder of pictures for each class"


def open_split(path: Path, *, fraction: float = 0.1) -> Split[Pictures]:
    """Open a data set of any form as pictures to train on and to validate with.

    A set that has two parts is taken by them; of another `fraction` is held out by content.

    Raises:  DataError when the path is no data set or a damaged one; ValueError when `fraction` is
             not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction {fraction} is not between 0 and 1; 0.1 is usual")
    form = _form_of(path)
    return split_folder(path, fraction=fraction) if form is None else form.split(path, fraction)


def open_all(path: Path, *, classes: Sequence[str] | None = None) -> Pictures:
    """Open all pictures of a data set of any form, those to train on first.

    With `classes`, their order is kept and the set's classes are matched to it by name.

    Raises:  DataError as `open_split`, or when a class of the set is not among `classes`.
    """
    form = _form_of(path)
    if form is None:
        return _whole_folder(path, classes)
    pictures = form.whole(path)
    return pictures if classes is None else among(pictures, classes, place=str(path))


def name_form(path: Path) -> str:
    """Return what a data set is, in words.

    Raises:  DataError when the path is none.
    """
    form = _form_of(path)
    return CLASS_FOLDERS if form is None else form.title


def among(pictures: Pictures, classes: Sequence[str], *, place: str) -> Pictures:
    """Label pictures by another order of classes, matched by name.

    Raises:  DataError, naming `place`, when a class of the pictures is not among `classes`.
    """
    if tuple(classes) == pictures.classes:
        return pictures
    position = {name: label for label, name in enumerate(classes)}
    for name in pictures.classes:
        if name not in position:
            raise DataError(
                f"{place}: class {name!r} is not among the {len(classes)} classes asked for"
                f"{nearest(name, classes)}; give a data set of the same classes"
            )
    labels = tuple(position[pictures.classes[label]] for label in pictures.labels)
    return Relabelled(pictures, tuple(classes), labels)


def _form_of(path: Path) -> Form | None:
    """Return the form that a path has; None for a folder that may be one of class folders."""
    form = next((form for form in FORMS if form.fits(path)), None)
    if form is not None or not path.exists():  # the lister of folders says best what is missing
        return form
    if not path.is_dir():
        archive = path.suffix.lower() in (".gz", ".tgz", ".zip", ".bz2", ".xz")
        hint = "; unpack it first" if archive else ""
        raise DataError(f"{path} is a file of no form that is known{hint}; {_all_forms()}")
    folders = _folders(path)
    if not folders:
        raise DataError(
            f"{path} has no class folders and nothing else that is known; {_all_forms()}"
        )
    for folder in folders[:MOST_LOOKED_INTO]:
        if is_cifar(folder) or is_idx(folder):
            raise DataError(f"{path} is no data set itself, but {folder} is; give that")
    return None


def _all_forms() -> str:
    signs = "; ".join(f"{form.title}: {form.sign}" for form in FORMS)
    return f"a data set is {CLASS_FOLDERS}; {signs}"


def _whole_folder(path: Path, classes: Sequence[str] | None) -> Listing:
    """List train/ and the validation folder beside it, or else the class folders themselves."""
    sets = [name for name in VALIDATION_NAMES if (path / name).is_dir()]
    if not (path / "train").is_dir() or not sets:
        return list_folder(path, classes=classes)
    trained = list_folder(path / "train", classes=classes)
    tested = list_folder(path / sets[0], classes=trained.classes)
    paths = (
        *(f"train/{each}" for each in trained.paths),
        *(f"{sets[0]}/{each}" for each in tested.paths),
    )
    return Listing(path, trained.classes, paths, trained.labels + tested.labels)


# ---- Pictures made of others --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Joined:
    """Pictures of several sets of the same classes, one set after another."""

    parts: tuple[Pictures, ...]
    """The sets."""
    notes: tuple[str, ...] = ()
    """What a person should know before using the pictures, a sentence each."""
    classes: tuple[str, ...] = field(init=False)
    """Class names; a label is a position in this tuple."""
    paths: tuple[str, ...] = field(init=False)
    """The sets' own names; one that stands in two sets ends in " (2)" in the second."""
    labels: tuple[int, ...] = field(init=False)
    """One label for each picture."""
    _ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        times: dict[str, int] = {}
        paths = []
        for path in (path for part in self.parts for path in part.paths):
            times[path] = times.get(path, 0) + 1
            paths.append(path if times[path] == 1 else f"{path} ({times[path]})")
        set_field = object.__setattr__  # the class is frozen
        set_field(self, "classes", self.parts[0].classes)
        set_field(self, "paths", tuple(paths))
        set_field(self, "labels", tuple(label for part in self.parts for label in part.labels))
        set_field(self, "_ends", tuple(accumulate(map(len, self.parts))))

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        place = bisect_right(self._ends, index)
        part = self.parts[place]
        return part.pixels(index - self._ends[place] + len(part), at_least=at_least)


@dataclass(frozen=True, eq=False)
class Some:
    """Some pictures of a set, in its order."""

    pictures: Pictures
    """The set."""
    chosen: tuple[int, ...]
    """Their positions in it."""

    @classmethod
    def spread(cls, pictures: Pictures, count: int) -> "Some":
        """Return so many of a set, or all that there are, evenly spread over it."""
        count = min(count, len(pictures))
        return cls(pictures, tuple(place * len(pictures) // count for place in range(count)))

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a position in this tuple."""
        return self.pictures.classes

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """A name for each picture, the set's own."""
        return tuple(self.pictures.paths[index] for index in self.chosen)

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """One label for each picture."""
        return tuple(self.pictures.labels[index] for index in self.chosen)

    @property
    def notes(self) -> tuple[str, ...]:
        """The set's own notes."""
        return self.pictures.notes

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return self.pictures.pixels(self.chosen[index], at_least=at_least)


@dataclass(frozen=True, eq=False)
class Relabelled:
    """Pictures under labels of another order of classes."""

    pictures: Pictures
    """The pictures."""
    classes: tuple[str, ...]
    """Class names; a label is a position in this tuple."""
    labels: tuple[int, ...]
    """One label for each picture."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> tuple[str, ...]:
        """A name for each picture, the pictures' own."""
        return self.pictures.paths

    @property
    def notes(self) -> tuple[str, ...]:
        """The pictures' own notes."""
        return self.pictures.notes

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return self.pictures.pixels(index, at_least=at_least)
