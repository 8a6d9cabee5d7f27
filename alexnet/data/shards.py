"""Pictures in tar shards, any of them reached at once through an index.

The shards are those of `alexnet.data.pack`, or any that WebDataset reads: a picture and a member
`.cls` of the same name beside it; or plain tars of class folders. Shards without an index get one
in memory (alexnet.data.shard_scan). A picture is read through a memory map and its checksum
compared before it is decoded, so that no damage passes for a picture.
"""

import mmap
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from alexnet.data.folder import CONTENT_RULE, VALIDATION_NAMES, DataError, Split, hold_out, join
from alexnet.data.image import ImageError, Picture, decode
from alexnet.data.shard_index import INDEX, Index, Rows, digest_of, read_index
from alexnet.data.shard_scan import scan_shards

PACKING = ".packing"
"""Folder beside the shards while they are being packed."""
MOST_MAPS = 512
"""Shards that are mapped at once; each takes one of the 1,024 files that a process may open."""


@dataclass
class ShardMaps:
    """The memory maps of a set's shards, made when first used; any thread may read."""

    root: Path
    """The folder of the shards."""
    names: tuple[str, ...]
    """The files of the shards."""
    _maps: dict[int, mmap.mmap] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def read(self, shard: int, offset: int, length: int) -> bytes:
        """Return bytes of a shard.

        Raises:  ImageError when the shard is missing, or was cut since it was opened.
        """
        mapped = self._map(shard)
        # Bytes that a map has and the file no longer would end the process with SIGBUS.
        if offset + length > min(len(mapped), mapped.size()):
            raise ImageError(f"{self.root / self.names[shard]} ends before byte {offset + length}")
        return mapped[offset : offset + length]

    def _map(self, shard: int) -> mmap.mmap:
        with self._lock:
            if shard not in self._maps:
                path = self.root / self.names[shard]
                try:
                    with path.open("rb") as file:
                        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                except (OSError, ValueError) as error:
                    raise ImageError(f"{path} cannot be read: {error}") from error
                if len(self._maps) >= MOST_MAPS:  # the oldest; closed when no thread reads it
                    del self._maps[next(iter(self._maps))]
                self._maps[shard] = mapped
            return self._maps[shard]


@dataclass(frozen=True, eq=False)
class ShardPictures:
    """Labelled pictures in shards; offers what `Pictures` asks for."""

    maps: ShardMaps
    """The shards."""
    classes: tuple[str, ...]
    """Class names; a label is a position in this tuple."""
    paths: tuple[str, ...]
    """The pictures' names in the shards."""
    labels: tuple[int, ...]
    """One label for each picture."""
    rows: Rows
    """Where each picture lies, and its checksum."""
    notes: tuple[str, ...] = ()
    """What a person should know before using the pictures, a sentence each."""

    def __len__(self) -> int:
        return len(self.paths)

    def size(self, index: int) -> int:
        """Return the bytes of a picture's file."""
        return int(self.rows["length"][index])

    def data(self, index: int) -> bytes:
        """Return a picture's file.

        Raises:  ImageError naming shard and byte when the checksum is not the index's.
        """
        row = self.rows[index]
        shard, offset = int(row["shard"]), int(row["offset"])
        data = self.maps.read(shard, offset, int(row["length"]))
        if digest_of(data) != row["digest"].tobytes():
            raise ImageError(
                f"damaged in {self.maps.names[shard]} at byte {offset}: its checksum is not the "
                f"index's; 'alexnet data verify {self.maps.root}' names all that is damaged"
            )
        return data

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return decode(self.data(index), at_least=at_least)


def is_shards(place: Path) -> bool:
    """Return whether a place is a tar file, or a folder of shards.

    A folder with tars beside sub-folders is taken as class folders, unless it has an index.
    """
    if place.is_file():
        return place.suffix == ".tar"
    if not place.is_dir():
        return False
    inside = [path for path in place.iterdir() if not path.name.startswith(".")]
    tars = any(path.suffix == ".tar" for path in inside)
    packed = (place / INDEX).exists() or (place / PACKING).exists()
    return packed or (tars and not any(path.is_dir() for path in inside))


def open_shards(place: Path, *, fraction: float = 0.1) -> Split[ShardPictures]:
    """Open a folder of shards, or one tar file, as a set to train on and one to validate with.

    Parts of the names of `VALIDATION_NAMES` are the validation set, the first that is there;
    without one, the pictures are split by content as `split_folder` does: pictures packed as they
    were are split just as their folder.

    Raises:  DataError when shards are missing, too many, empty, or not those of the index;
             ValueError when `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction {fraction} is not between 0 and 1; 0.1 is usual")
    parts = open_parts(place)
    name = next((name for name in VALIDATION_NAMES if name in parts), None)
    if name is not None and "train" in parts:
        rule = f"the shards' parts train and {name}"
        return join(parts["train"], parts[name], rule=rule)
    if name is not None and len(parts) > 1:
        raise DataError(f"{place} has the parts {', '.join(parts)} and no train; name one so")
    whole = next(iter(parts.values()))
    digests = [row.tobytes() for row in whole.rows["digest"]]
    held, notes = hold_out(digests, whole.labels, fraction)
    mask = np.array(held)
    train, validation = select(whole, ~mask), select(whole, mask)
    return join(train, validation, rule=CONTENT_RULE.format(fraction), notes=notes)


def open_parts(place: Path) -> dict[str, ShardPictures]:
    """Open the parts of a folder of shards, or of one tar file, by their names.

    Raises:  DataError as `open_shards`.
    """
    index, notes = open_index(place)
    root = place if place.is_dir() else place.parent
    maps = ShardMaps(root, tuple(shard.name for shard in index.shards))
    parts = {}
    for number, part in enumerate(index.parts):
        chosen = np.flatnonzero(index.rows["part"] == number)
        rows = index.rows[chosen]
        paths = tuple(index.names[i] for i in chosen.tolist())
        if len(set(paths)) < len(paths):  # others count anew in each shard
            shards = rows["shard"].tolist()
            paths = tuple(f"{maps.names[s]}/{p}" for s, p in zip(shards, paths, strict=True))
        labels = tuple(rows["label"].tolist())
        if len(chosen):
            parts[part] = ShardPictures(maps, index.classes, paths, labels, rows, notes)
    return parts


def open_index(place: Path) -> tuple[Index, tuple[str, ...]]:
    """Read the index of a place and compare it with the shards, or make one; return notes too.

    Raises:  DataError as `open_shards`.
    """
    if place.is_file():
        return scan_shards([place]), ()
    if not (place / INDEX).is_file():
        if (place / PACKING).exists():
            raise DataError(
                f"{place}: the packing was not finished; run the same 'alexnet data pack' again, "
                "it goes on where it stopped"
            )
        tars = sorted(place.glob("*.tar"))
        if not tars:
            raise DataError(f"{place} has no {INDEX} and no tar files; give a folder of shards")
        note = f"the index was made anew; 'alexnet data index {place}' keeps it for the next time"
        return scan_shards(tars), (note,)
    index = read_index(place / INDEX)
    problems = compare_shards(place, index)
    if problems:
        raise DataError("; ".join(problems[:3]))
    skipped = [each for shard in index.shards for each in shard.skipped]
    if not skipped:
        return index, ()
    some = "; ".join(f"{path}: {reason}" for _, path, reason in skipped[:3])
    return index, (f"of the pictures, {len(skipped)} could not be read or packed: {some}",)


def compare_shards(root: Path, index: Index) -> list[str]:
    """Say which shards are not what the index says: missing, too many, of another size or tar."""
    known = {shard.name: number for number, shard in enumerate(index.shards)}
    found = {path.name for path in root.glob("*.tar")}
    again = f"or remove {INDEX} and run 'alexnet data index {root}' to take the tars as they are"
    problems = [
        f"{root / name} is missing; bring it back, run the same 'alexnet data pack' again, {again}"
        for name in known
        if name not in found
    ]
    problems += [
        f"{root / name} is not in {INDEX}; it belongs to another set: take it away, {again}"
        for name in sorted(found - set(known))
    ]
    first = _first_rows(index)
    for name in (name for name in known if name in found):
        shard, size = index.shards[known[name]], (root / name).stat().st_size
        if size == 0:
            problems.append(f"{root / name} is empty; remove it and pack again")
        elif size != shard.size:
            problems.append(
                f"{root / name} has {size:,} bytes and {INDEX} says {shard.size:,}: the shard is "
                f"cut, or the index is older or newer; remove the shard and pack again, {again}"
            )
        elif known[name] in first and _is_other(root / name, index.rows[first[known[name]]]):
            problems.append(
                f"{root / name} is another tar than {INDEX} was made of; bring back the one or "
                f"the other, {again}"
            )
    return problems


def select(pictures: ShardPictures, mask: NDArray[np.bool_]) -> ShardPictures:
    """Return some of the pictures, in their order.

    Shapes:  mask (N,)
    """
    chosen = np.flatnonzero(mask).tolist()
    return replace(
        pictures,
        paths=tuple(pictures.paths[i] for i in chosen),
        labels=tuple(pictures.labels[i] for i in chosen),
        rows=pictures.rows[mask],
    )


def _first_rows(index: Index) -> dict[int, int]:
    """Return for each shard the number of a row in it."""
    shards, rows = np.unique(index.rows["shard"], return_index=True)
    return dict(zip(shards.tolist(), rows.tolist(), strict=True))


def _is_other(path: Path, row: np.void) -> bool:
    """Whether both the picture of a row and its frame differ: not one damaged byte, but a tar."""
    start, offset, stop = (int(row[name]) for name in ("start", "offset", "stop"))
    with path.open("rb") as file:
        file.seek(start)
        span = file.read(stop - start)
    first, last = offset - start, offset - start + int(row["length"])
    same_picture = digest_of(span[first:last]) == row["digest"].tobytes()
    same_frame = digest_of(span[:first] + span[last:])[:8] == row["frame"].tobytes()
    return not same_picture and not same_frame
