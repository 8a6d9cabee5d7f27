"""Which pictures go into which shard, under which names: settled before any is written."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from alexnet.data.folder import VALIDATION_NAMES, DataError, Listing, list_folder
from alexnet.data.image import read_file
from alexnet.data.loader import epoch_order
from alexnet.data.pack_options import PackOptions
from alexnet.data.shard_index import FORMAT
from alexnet.data.tar_file import BLOCK, END, round_up

BYTES_OF_256 = 40_000
"""Bytes of a photo of shorter side 256 at quality 95: 39,000 in the mean of 100 of ImageNet's."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Files(Protocol):
    """Labelled picture files in a fixed order: what can be packed."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a position in this tuple."""

    @property
    def paths(self) -> tuple[str, ...]:
        """A name for each picture, no two the same."""

    @property
    def labels(self) -> tuple[int, ...]:
        """One label for each picture."""

    def size(self, index: int) -> int:
        """Return about how many bytes a picture's file has."""

    def data(self, index: int) -> bytes:
        """Return a picture's file.

        Raises:  ImageError if it cannot be read.
        """


@dataclass(frozen=True)
class FolderFiles:
    """The picture files of a folder."""

    listing: Listing
    """What is in it."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; a label is a position in this tuple."""
        return self.listing.classes

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths below the folder."""
        return self.listing.paths

    @property
    def labels(self) -> tuple[int, ...]:
        """One label for each picture."""
        return self.listing.labels

    def size(self, index: int) -> int:
        """Return the bytes of a file, 0 if there is none."""
        try:
            return os.stat(self.listing.root / self.listing.paths[index]).st_size
        except OSError:  # it is named when its turn comes
            return 0

    def data(self, index: int) -> bytes:
        """Return a file; see `read_file`."""
        return read_file(self.listing.root / self.listing.paths[index])


@dataclass(frozen=True)
class PlannedShard:
    """A shard that is to be written."""

    name: str
    """Its file's name."""
    part: str
    """The part that its pictures belong to."""
    positions: tuple[int, ...]
    """The pictures' positions in the part, in the order of the tar."""
    size: int
    """About how many bytes it will have; exact for files as they are with names of 100 letters."""


@dataclass(frozen=True)
class Plan:
    """All shards of a set."""

    shards: tuple[PlannedShard, ...]
    """In the order of their names within a part."""
    parts: Mapping[str, Files]
    """What is packed."""
    keys: Mapping[str, tuple[str, ...]]
    """The name of each picture in the tar, without its suffix."""
    digest: str
    """Of the names, sizes and labels of the pictures, and of the options that matter."""
    options: PackOptions
    """How it is packed."""

    @property
    def count(self) -> int:
        """Return the number of pictures."""
        return sum(len(files.paths) for files in self.parts.values())


def parts_of_folder(root: Path) -> dict[str, FolderFiles]:
    """List the parts of a folder of pictures: train/ and val/ (or test/) if it has them, or all.

    Raises:  DataError as `list_folder`.
    """
    name = next((name for name in VALIDATION_NAMES if (root / name).is_dir()), None)
    if name is None or not (root / "train").is_dir():
        return {"train": FolderFiles(list_folder(root))}
    train = list_folder(root / "train")
    validation = list_folder(root / name, classes=train.classes)
    return {"train": FolderFiles(train), name: FolderFiles(validation)}


def plan_shards(parts: Mapping[str, Files], options: PackOptions) -> Plan:
    """Settle what goes where; the same on every machine that sees the same files.

    Raises:  DataError when the parts' classes differ.
    """
    classes = next(iter(parts.values())).classes
    shards: list[PlannedShard] = []
    facts = []
    for part, files in parts.items():
        if files.classes != classes:
            raise DataError(f"the classes of {part} are not those of {next(iter(parts))}")
        sizes = [files.size(index) for index in range(len(files.paths))]
        facts.append((part, files.paths, files.labels, sizes))
        shards += _cut(part, sizes, options)
    settings = asdict(options) | {"on_bad_image": "", "shard_mb": float(options.shard_mb)}
    facts_text = json.dumps([FORMAT, classes, settings, facts], ensure_ascii=True)
    digest = hashlib.sha256(facts_text.encode()).hexdigest()[:32]
    keys = {part: _keys(files.paths) for part, files in parts.items()}
    return Plan(tuple(shards), dict(parts), keys, digest, options)


def _cut(part: str, sizes: list[int], options: PackOptions) -> list[PlannedShard]:
    """Cut a part's order into runs that reach the wanted size."""
    wanted = options.shard_mb * 1e6
    seed = None if options.shuffle_seed < 0 else options.shuffle_seed
    runs: list[list[int]] = []
    totals: list[int] = []
    for position in epoch_order(len(sizes), 0, seed).tolist():
        stored = sizes[position]
        if options.size:
            stored = min(stored, BYTES_OF_256 * options.size**2 // 256**2)
        sample = 3 * BLOCK + round_up(stored)  # two headers and a label
        if not runs or totals[-1] + sample > wanted:
            runs.append([])
            totals.append(len(END))
        runs[-1].append(position)
        totals[-1] += sample
    return [
        PlannedShard(f"{part}-{number:06d}.tar", part, tuple(run), total)
        for number, (run, total) in enumerate(zip(runs, totals, strict=True))
    ]


def _keys(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that WebDataset takes whole: no dot in the last part, no two the same."""
    keys: list[str] = []
    taken: set[str] = set()
    for path in paths:
        folder, slash, name = os.path.splitext(path)[0].rpartition("/")
        text = folder + slash + name.replace(".", "_")
        text = _CONTROL.sub("_", text.encode(errors="replace").decode())
        key, number = text, 1
        while key in taken:
            number += 1
            key = f"{text}_{number}"
        taken.add(key)
        keys.append(key)
    return tuple(keys)
