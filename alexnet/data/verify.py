"""Compare every byte of a folder of shards with its index, and name what is damaged."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from alexnet.data.shard_index import INDEX, Index, read_index
from alexnet.data.shard_scan import measure_span, measure_tail
from alexnet.data.shards import compare_shards


@dataclass(frozen=True)
class Damage:
    """Something that is not as the index says."""

    shard: str
    """The tar file, or nothing where the message is about the whole folder."""
    sample: str
    """The picture's name, or nothing where no picture is touched."""
    what: str
    """picture: its bytes; header: the tar header or label around it; end; shard."""
    message: str
    """A sentence that names it."""


@dataclass(frozen=True)
class Verified:
    """What was looked at."""

    shards: int
    """Shards of the index."""
    samples: int
    """Pictures of the index."""
    read_bytes: int
    """Bytes of the shards."""
    damages: tuple[Damage, ...]
    """In the order of the shards, and of the places in them."""


def verify_shards(root: Path, report: Callable[[str], None] = lambda text: None) -> Verified:
    """Read all shards of a folder and compare them with the index, some at once.

    Every flipped, missing or added byte is found: of a picture, of what stands around it, of a
    shard's end; in the index itself it raises.

    Raises:  DataError when the index is missing or damaged.
    """
    index = read_index(root / INDEX)
    damages = [Damage("", "", "shard", message) for message in compare_shards(root, index)]
    present = [i for i, shard in enumerate(index.shards) if (root / shard.name).is_file()]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for number, found in zip(
            present, pool.map(lambda i: list(_verify_shard(root, index, i)), present), strict=True
        ):
            report(f"{index.shards[number].name}  {_count(found)}")
            damages += found
    read_bytes = sum((root / index.shards[number].name).stat().st_size for number in present)
    return Verified(len(index.shards), len(index.rows), read_bytes, tuple(damages))


def _verify_shard(root: Path, index: Index, number: int) -> Iterator[Damage]:
    shard, own = index.shards[number], index.only(number)
    end = 0
    with (root / shard.name).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for row, name in zip(own.rows, own.names, strict=True):
            start, offset, end = end, int(row["offset"]), int(row["stop"])
            place = f"{shard.name}: {name!r} at byte {offset:,}"
            if int(row["start"]) != start:
                message = f"{place}: the index leaves out bytes before it"
                yield Damage(shard.name, name, "header", message)
            if size < end:
                yield Damage(shard.name, name, "picture", f"{place} is cut off, wholly or in part")
                continue
            picture, frame = measure_span(file, row)
            if picture != row["digest"].tobytes():
                message = f"{place} is damaged: its checksum is not the index's"
                yield Damage(shard.name, name, "picture", message)
            if frame != row["frame"].tobytes():
                message = f"{shard.name}: the header or label of {name!r}, at byte {start:,}, is "
                yield Damage(shard.name, name, "header", message + "damaged")
        if measure_tail(file, end) != shard.tail:
            message = f"{shard.name}: the archive's end, from byte {end:,} on, is damaged"
            yield Damage(shard.name, "", "end", message)


def _count(found: list[Damage]) -> str:
    return f"{len(found)} damaged" if found else "whole"
