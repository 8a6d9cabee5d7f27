"""What a set of pictures was when a run began, so that a change is found before it is trained on.

Of each picture its name, its label and the first 8 bytes of a SHA-256: of its file, or of its
pixels where many lie in one file; of shards it is the index's. Taking it reads every file once,
which is little beside decoding it. To compare costs less: a file whose length and time of change
are those of before is taken for unchanged, another is read; and `Watched` compares the content
again whenever a picture is read to be trained on, so that a change that kept both is found there.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.folder import Listing
from alexnet.data.image import ImageError, Picture, decode, read_file
from alexnet.data.pictures import Pictures
from alexnet.data.shards import ShardPictures

MOST_NAMED = 3
Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Census:
    """The pictures of a set, one by one."""

    names: tuple[str, ...]
    """Their names."""
    labels: Numbers
    """(n,) their labels."""
    digests: Numbers
    """(n,) what their content hashes to; 0 where it could not be read."""
    stamps: Numbers
    """(n, 2) length of the file in bytes and its time of change in nanoseconds, or -1."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the census as tensors, to be stored."""
        names = zlib.compress(json.dumps(self.names).encode())
        return {
            "names": torch.from_numpy(np.frombuffer(names, np.uint8).copy()),
            "labels": torch.from_numpy(self.labels),
            "digests": torch.from_numpy(self.digests),
            "stamps": torch.from_numpy(self.stamps),
        }


def from_tensors(tensors: Mapping[str, Tensor]) -> Census:
    """Return the census that was stored."""
    names = json.loads(zlib.decompress(tensors["names"].numpy().tobytes()))
    numbers = (tensors[name].numpy() for name in ("labels", "digests", "stamps"))
    return Census(tuple(names), *numbers)


def take(pictures: Pictures, digests: Numbers) -> Census:
    """Write the census of pictures whose digests are known.

    Shapes:  digests (n,)
    """
    labels = np.array(pictures.labels, np.int64)
    return Census(pictures.paths, labels, digests, stamps_of(pictures))


def digests_of(pictures: Pictures, *, part: int = 0, parts: int = 1) -> Numbers:
    """Hash the content of every picture, or of one of several parts; the others have 0.

    Shapes:  -> (n,)
    """
    mine = range(part, len(pictures), parts)
    found = np.zeros(len(pictures), np.int64)
    with ThreadPoolExecutor() as pool:
        numbers = list(pool.map(lambda index: _digest(pictures, index), mine, chunksize=64))
    found[part::parts] = np.array(numbers, np.int64)
    return found


def stamps_of(pictures: Pictures) -> Numbers:
    """Return length and time of change of every picture's own file, -1 where it has none.

    Shapes:  -> (n, 2)
    """
    found = np.full((len(pictures), 2), -1, np.int64)
    if isinstance(pictures, Listing):
        for index, path in enumerate(pictures.paths):
            try:
                status = os.stat(pictures.root / path)
            except OSError:
                continue
            found[index] = status.st_size, status.st_mtime_ns
    return found


def _digest(pictures: Pictures, index: int) -> int:
    if isinstance(pictures, ShardPictures):
        return _number(pictures.rows["digest"][index].tobytes())
    try:
        if isinstance(pictures, Listing):
            return _of_bytes(read_file(pictures.root / pictures.paths[index]))
        return _of_bytes(pictures.pixels(index, at_least=2**30).tobytes())
    except ImageError:
        return 0


def _of_bytes(data: bytes) -> int:
    return _number(hashlib.sha256(data).digest())


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little", signed=True)


# ---- Comparing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """In what a set of pictures differs from a census."""

    new: Sequence[str] = ()
    """Names that are not in the census."""
    missing: Sequence[str] = ()
    """Names that are in the census only."""
    altered: Sequence[str] = ()
    """Names whose content or label is another."""

    def __bool__(self) -> bool:
        return bool(self.new or self.missing or self.altered)

    def without(self, names: Collection[str]) -> "Changes":
        """Return the changes of other pictures than these, which are known to be bad."""
        missing = [name for name in self.missing if name not in names]
        return Changes(self.new, missing, [name for name in self.altered if name not in names])

    def describe(self) -> str:
        """Return the numbers and the first names, as `2 missing (a.jpg, b.jpg), 1 new (c.jpg)`."""
        kinds = (("missing", self.missing), ("altered", self.altered), ("new", self.new))
        return ", ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in kinds if names)


def _some(names: Sequence[str]) -> str:
    rest = [f"and {len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *rest])


def compare(before: Sequence[Census], now: Sequence[Pictures]) -> Changes:
    """Say in what sets of pictures differ from what they were, whichever set a picture is in.

    A picture whose file has another length or time of change than before is read.
    """
    known = {name: (census, row) for census in before for row, name in enumerate(census.names)}
    new: list[str] = []
    found: set[str] = set()
    altered: set[str] = set()
    unsure: list[tuple[Pictures, int]] = []
    for pictures in now:
        stamps = stamps_of(pictures)
        for index, (name, label) in enumerate(zip(pictures.paths, pictures.labels, strict=True)):
            if name not in known:
                new.append(name)
                continue
            found.add(name)
            census, row = known[name]
            if label != census.labels[row]:
                altered.add(name)
            elif stamps[index][0] < 0 or (stamps[index] != census.stamps[row]).any():
                unsure.append((pictures, index))
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda each: _digest(*each), unsure, chunksize=64))
    for (pictures, index), digest in zip(unsure, digests, strict=True):
        census, row = known[pictures.paths[index]]
        if digest != census.digests[row]:
            altered.add(pictures.paths[index])
    missing = [name for name in known if name not in found]
    return Changes(new, missing, [name for name in known if name in altered])


@dataclass(frozen=True, eq=False)
class Watched:
    """Pictures that are refused when their content is not that of a census."""

    pictures: Listing
    """The pictures."""
    census: Census
    """What they were."""
    classes: tuple[str, ...] = field(init=False)
    """Class names; a label is a position in this tuple."""
    paths: tuple[str, ...] = field(init=False)
    """The pictures' own names."""
    labels: tuple[int, ...] = field(init=False)
    """One label for each picture."""
    notes: tuple[str, ...] = field(init=False)
    """The pictures' own notes."""

    def __post_init__(self) -> None:
        for name, value in (
            ("classes", self.pictures.classes),
            ("paths", self.pictures.paths),
            ("labels", self.pictures.labels),
            ("notes", self.pictures.notes),
        ):
            object.__setattr__(self, name, value)  # the class is frozen

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        path = self.pictures.root / self.paths[index]
        before = int(self.census.stamps[index][0])
        if not os.path.lexists(path):
            raise ImageError("is missing since the run began")
        data = read_file(path)
        if _of_bytes(data) != self.census.digests[index]:
            was = f"{before:,} bytes" if before >= 0 else "it could not be read"
            raise ImageError(
                f"has changed since the run began: {was}, now {len(data):,} bytes of other content"
            )
        return decode(data, at_least=at_least)


def watch(pictures: Pictures, census: Census) -> Pictures:
    """Return the pictures, of which those in files of their own are compared whenever read.

    Those in shards are compared with the shards' index, those in arrays lie in one file.
    """
    return Watched(pictures, census) if isinstance(pictures, Listing) else pictures


def as_before(pictures: Pictures, census: Census) -> Pictures:
    """Return pictures of class folders as the census lists them, be their files there or not."""
    if not isinstance(pictures, Listing) or pictures.paths == census.names:
        return pictures
    return replace(pictures, paths=census.names, labels=tuple(census.labels.tolist()))
