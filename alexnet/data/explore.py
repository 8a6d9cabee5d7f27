"""What the pictures of a data set look like, from some of them: sizes, types, gray, mean, colours.

`alexnet.data.check` decodes every picture and compares it with all others; this looks at a sample,
spread evenly over the pictures to train on, at the size that a training would give them.
Source:  Krizhevsky 2012, sections 2 (mean of each pixel) and 4.1 (PCA of RGB values); the deviation
         of each pixel is not in the paper.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data import statistics
from alexnet.data.check import MOST_BAD_SHARE, judge_classes
from alexnet.data.examine import WHOLE, Progress, read_traits
from alexnet.data.findings import Finding, Item, collect
from alexnet.data.folder import DataError, Listing
from alexnet.data.image import ImageError, Picture, decode, fit_square, read_file
from alexnet.data.kinds import kind_of
from alexnet.data.pictures import Pictures
from alexnet.data.sets import Sets
from alexnet.data.shards import ShardPictures
from alexnet.data.statistics import Statistics

GRAY_LEVELS = 8
"""Red, green and blue of a gray picture are nowhere further apart: chroma is stored coarsely."""
PIXEL_STRIDE = 4
PIXELS = "bare pixels"
_AT_ONCE = 64


class Extent(NamedTuple):
    """Some numbers in brief."""

    least: float
    median: float
    greatest: float


@dataclass(frozen=True, eq=False)
class Colours:
    """Means, deviations and principal colours of a sample, grey levels in [0, 255], RGB."""

    statistics: Statistics
    """What a training would compute of all pictures."""
    deviation_image: Tensor
    """(H, W, 3) float32: the standard deviation of each pixel."""
    deviation_value: Tensor
    """(3,) float32: the standard deviation of each colour, over all pixels of all pictures."""
    levels: NDArray[np.int64]
    """(3, 256): how many of the pixels have each level of red, green and blue."""


@dataclass(eq=False)
class Explored:
    """What was found in a sample of the pictures to train on."""

    sets: Sets
    """All pictures."""
    places: NDArray[np.int64]
    """(n,): which of the first set's pictures were looked at."""
    sides: NDArray[np.int64]
    """(n, 2): height and width, upright, in pixels; 0 for a picture that cannot be read."""
    gray: NDArray[np.bool_]
    """(n,): whether a picture has no colour."""
    kinds: list[str]
    """What each file is, "" for a bad one."""
    bad: dict[int, str] = field(default_factory=dict)
    """Position in the first set -> why the picture cannot be read."""

    def __len__(self) -> int:
        return len(self.places)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Return which pictures could be read, (n,)."""
        mask: NDArray[np.bool_] = self.sides[:, 0] > 0
        return mask

    def path(self, place: int) -> str:
        """Return a picture's name, after that of its set."""
        return self.sets.path(int(self.places[place]))

    def smaller_than(self, crop: int) -> NDArray[np.bool_]:
        """Return which pictures a square of so many pixels does not fit into, (n,)."""
        mask: NDArray[np.bool_] = self.good & (self.sides.min(1) < crop)
        return mask

    def findings(self, crop: int) -> tuple[Finding, ...]:
        """Return what one would want to know before a training, the gravest first."""
        found = judge_classes(self.sets)
        found["bad"] = [Item((self.sets.path(i),), why) for i, why in sorted(self.bad.items())]
        found["gray"] = [Item((self.path(i),)) for i in np.flatnonzero(self.gray).tolist()]
        found["below-crop"] = [
            Item((self.path(i),), f"{self.sides[i, 1]} x {self.sides[i, 0]}")
            for i in np.flatnonzero(self.smaller_than(crop)).tolist()
        ]
        found["remark"] = [Item((), note) for note in self.sets.notes]
        few_bad = len(self.bad) <= MOST_BAD_SHARE * len(self)
        return collect(found, milder=["bad"] if few_bad else [])

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        sides = self.sides[self.good]
        return {
            "form": self.sets.form,
            "sets": {name: len(pictures) for name, pictures in self.sets.parts},
            "classes": dict(zip(self.sets.classes, self.sets.sizes().tolist(), strict=True)),
            "looked_at": len(self),
            "kinds": count_kinds(self),
            "width": extent(sides[:, 1])._asdict(),
            "height": extent(sides[:, 0])._asdict(),
            "aspect": extent(sides[:, 1] / sides[:, 0])._asdict(),
            "gray": int(self.gray.sum()),
            "bad": len(self.bad),
        }


def extent(values: NDArray[Any]) -> Extent:
    """Return the least, the median and the greatest of at least one number."""
    return Extent(float(values.min()), float(np.median(values)), float(values.max()))


def count_kinds(explored: Explored) -> dict[str, int]:
    """Return how many files are of each type, the most frequent first."""
    return dict(Counter(kind for kind in explored.kinds if kind).most_common())


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Return `most` positions spread evenly over `count`, or all if there are no more."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def explore(
    sets: Sets,
    *,
    size: int,
    most: int,
    progress: Progress = lambda done, total: None,
) -> tuple[Explored, Colours]:
    """Look at `most` pictures of the first set, spread evenly, as squares of `size` pixels.

    Raises:  DataError when none of them can be read.
    """
    places = spread(len(sets.parts[0][1]), most)
    count = len(places)
    sides, gray = np.zeros((count, 2), np.int64), np.zeros(count, np.bool_)
    explored = Explored(sets, places, sides, gray, [""] * count)
    sums = _Sums(size)
    batches = _squares(explored, size, progress)
    first = next(batches, None)
    if first is None:
        place, reason = next(iter(explored.bad.items()))
        raise DataError(
            f"none of the {count} pictures looked at can be read; the first is "
            f"{sets.path(place)}: {reason}; give other pictures"
        )
    found = statistics.compute(sums.watch(chain([first], batches)))
    return explored, sums.finish(found)


# ---- Each picture -------------------------------------------------------------------------------


class _Seen(NamedTuple):
    """One picture."""

    sides: tuple[int, int]
    kind: str
    square: Picture


def _squares(explored: Explored, size: int, progress: Progress) -> Iterator[Tensor]:
    """Yield the pictures in batches, writing down what each of them is."""
    look = partial(_look_at, explored.sets.parts[0][1], size)
    places = explored.places.tolist()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(places), _AT_ONCE):
            batch = []
            for place, seen in enumerate(pool.map(look, places[start : start + _AT_ONCE]), start):
                if isinstance(seen, str):
                    explored.bad[places[place]] = seen
                    continue
                explored.sides[place], explored.kinds[place] = seen.sides, seen.kind
                explored.gray[place] = _is_gray(seen.square)
                batch.append(seen.square)
            if batch:
                yield torch.from_numpy(np.stack(batch))
            progress(min(start + _AT_ONCE, len(places)), len(places))


def _look_at(pictures: Pictures, size: int, index: int) -> _Seen | str:
    """Return a picture, or why it cannot be read."""
    try:
        if isinstance(pictures, Listing):
            data = read_file(pictures.root / pictures.paths[index])
        elif isinstance(pictures, ShardPictures):
            data = pictures.data(index)
        else:
            picture = pictures.pixels(index, at_least=WHOLE)
            return _Seen(_sides(picture), PIXELS, fit_square(picture, size))
        picture = decode(data, at_least=size)
        stored = read_traits(data)[0] or _sides(picture)
        # The header's sides are those before the picture is turned upright.
        height, width = stored if _lies(stored) == _lies(_sides(picture)) else stored[::-1]
        return _Seen((height, width), kind_of(data), fit_square(picture, size))
    except ImageError as error:
        return str(error)


def _sides(picture: Picture) -> tuple[int, int]:
    height, width, _ = picture.shape
    return height, width


def _lies(sides: tuple[int, int]) -> bool:
    return sides[1] > sides[0]


def _is_gray(square: Picture) -> bool:
    some = square[::PIXEL_STRIDE, ::PIXEL_STRIDE]
    return int((some.max(2) - some.min(2)).max()) <= GRAY_LEVELS


# ---- All of them --------------------------------------------------------------------------------


class _Sums:
    """Adds up, beside the statistics, squares and levels of the batches that pass."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.total = torch.zeros(size, size, 3, dtype=torch.int64)
        self.squares = torch.zeros(size, size, 3, dtype=torch.int64)
        self.levels = np.zeros((3, 256), np.int64)

    def watch(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        for batch in batches:
            self.count += len(batch)
            self.total += batch.sum(0, dtype=torch.int64)
            self.squares += batch.int().square().sum(0, dtype=torch.int64)
            some = batch[:, ::PIXEL_STRIDE, ::PIXEL_STRIDE].reshape(-1, 3).numpy()
            for colour, row in enumerate(self.levels):
                row += np.bincount(some[:, colour], minlength=256)
            yield batch

    def finish(self, found: Statistics) -> Colours:
        """Return the deviations: the root of the mean square less the squared mean."""
        mean_squares = self.squares.double() / self.count
        mean = self.total.double() / self.count
        variance = (mean_squares - mean.square()).clamp(min=0)
        over_all = mean_squares.mean((0, 1)) - mean.mean((0, 1)).square()
        return Colours(
            found, variance.sqrt().float(), over_all.clamp(min=0).sqrt().float(), self.levels
        )
