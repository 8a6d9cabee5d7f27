"""Pictures of one size that lie side by side in arrays, as published files of small pictures do."""

import mmap
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.data.image import ImageError, Picture


@dataclass(frozen=True, eq=False)
class Rows:
    """Pictures of one file."""

    name: str
    """The file's name."""
    pixels: NDArray[np.uint8]
    """(n, C * H * W): a picture a row, plane by plane."""
    mapped: mmap.mmap | None = None
    """The file, when `pixels` lie in it and not in memory."""

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        # Bytes that a map has and the file no longer would end the process with SIGBUS.
        if self.mapped is not None and self.mapped.size() < len(self.mapped):
            raise ImageError(f"{self.name} was cut short while it was in use; restart")
        row: NDArray[np.uint8] = self.pixels[index]
        return row


@dataclass(frozen=True, eq=False)
class ArrayPictures:
    """Labelled pictures whose bytes lie in arrays, mapped from a file or in memory."""

    classes: tuple[str, ...]
    """Class names; a label is a position in this tuple."""
    paths: tuple[str, ...]
    """A name for each picture: its file and its place there, counted from 0."""
    labels: tuple[int, ...]
    """One label for each picture."""
    rows: tuple[Rows, ...]
    """Pictures of one file after another."""
    shape: tuple[int, int, int]
    """(C, H, W) of a picture: C is 3 planes of RGB, or 1 of gray."""
    notes: tuple[str, ...] = ()
    """What a person should know before using the pictures, a sentence each."""
    _ends: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", tuple(accumulate(len(rows.pixels) for rows in self.rows)))

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Return a picture in its own size, as `Pictures` says."""
        place = bisect_right(self._ends, index)
        rows = self.rows[place]
        planes = rows[index - self._ends[place] + len(rows.pixels)].reshape(self.shape)
        if len(planes) == 1:
            planes = np.repeat(planes, 3, axis=0)
        return np.array(planes.transpose(1, 2, 0), order="C")


def map_file(path: Path) -> mmap.mmap:
    """Map a file that is not empty, for reading.

    Raises:  OSError when it cannot be read.
    """
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
