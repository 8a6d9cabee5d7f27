"""An index of tars that others made, from one pass over each; nothing is extracted.

A sample of WebDataset is a run of members with one key, the path up to the first dot of its last
part: here one picture and `.cls`, a whole number from 0 or a class name. Tars without any `.cls`
are taken as class folders: a picture's class is the folder that it lies in. Members of other kinds
are left alone. The parts come from the shards' names (train-..., val-...) or, if all pictures of
a plain tar lie in train/, val/ and their like, from these.

Source:  github.com/webdataset/webdataset, the format's reference; its readers take what they find,
         so that a name that stands twice or a sample whose files lie apart gives a wrong sample.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np

from alexnet.data.folder import SUFFIXES, VALIDATION_NAMES, DataError
from alexnet.data.image import DEFAULT_LIMITS
from alexnet.data.shard_index import ROW, Index, Rows, Shard
from alexnet.data.tar_file import END, Member, read_members

MOST_CLASSES = 100_000
"""Largest number of classes; a label beyond it is a mistake."""
MOST_LABEL_BYTES = 1_000
PARTS = ("train", *VALIDATION_NAMES)
_PART = re.compile(rf"({'|'.join(PARTS)})(?![a-z])")


@dataclass(frozen=True)
class _Sample:
    """A picture that was found, and what is said of its class."""

    name: str
    start: int
    offset: int
    length: int
    word: str | None
    """The content of its .cls, if there is one."""
    part: str
    """The part that its shard's name says, or nothing."""


def scan_shards(paths: Sequence[Path]) -> Index:
    """Make the index of tar files.

    Raises:  DataError when one cannot be read, holds what is refused or no picture, when a sample
             is not whole, or labels do not fit together.
    """
    shards: list[Shard] = []
    samples: list[_Sample] = []
    tables: list[Rows] = []
    for number, path in enumerate(paths):
        try:
            with path.open("rb") as file:
                found = list(_samples(file, path))
                shard, table = _measure(file, path, found)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        table["shard"] = number
        shards.append(shard)
        samples += found
        tables.append(table)
    parts, folders = _parts_and_folders(samples)
    classes, labels = _labels(samples, folders)
    rows = np.concatenate([np.zeros(0, ROW), *tables])
    order = sorted(range(len(samples)), key=lambda i: PARTS.index(parts[i]))
    names = sorted(set(parts), key=PARTS.index)
    rows["part"] = [names.index(part) for part in parts]
    rows["label"] = labels
    return Index(
        classes,
        tuple(names),
        tuple(shards),
        rows[order],
        tuple(samples[i].name for i in order),
        how="as they were",
    )


def measure_span(file: BinaryIO, row: np.void) -> tuple[bytes, bytes]:
    """Return the digests of a picture and of the rest of its span."""
    start, offset, stop = (int(row[name]) for name in ("start", "offset", "stop"))
    frame, picture = hashlib.sha256(), hashlib.sha256()
    end = offset + int(row["length"])
    file.seek(start)
    for number, (first, last) in enumerate([(start, offset), (offset, end), (end, stop)]):
        digest = picture if number == 1 else frame
        left = last - first
        while left and (chunk := file.read(min(left, 2**20))):
            digest.update(chunk)
            left -= len(chunk)
    return picture.digest()[:16], frame.digest()[:8]


def measure_tail(file: BinaryIO, start: int) -> str:
    """Return the digest of a file from a byte on, hexadecimal."""
    digest = hashlib.sha256()
    file.seek(start)
    while chunk := file.read(2**20):
        digest.update(chunk)
    return digest.hexdigest()[:32]


# ---- Samples ------------------------------------------------------------------------------------


def _samples(file: BinaryIO, path: Path) -> Iterator[_Sample]:
    found = _PART.match(path.name)
    part = found[1] if found else ""
    count = 0
    for key, group in groupby(read_members(file, path), key=lambda member: _key(member.name)):
        members = list(group)
        pictures = [m for m in members if os.path.splitext(m.name)[1].lower() in SUFFIXES]
        words = [_word(file, path, m) for m in members if m.name[len(key) :] == ".cls"]
        if words and len(pictures) != 1:
            what = "no picture" if not pictures else f"{len(pictures)} pictures"
            raise DataError(
                f"{path}: sample {key!r} has {what} beside its .cls; a sample is one picture and "
                "one .cls, one behind the other"
            )
        for picture in pictures:
            if picture.size > DEFAULT_LIMITS.max_bytes:
                raise DataError(
                    f"{path}: {picture.name!r} has {picture.size:,} bytes; the limit is "
                    f"{DEFAULT_LIMITS.max_bytes:,}"
                )
            start = members[0].start if len(pictures) == 1 else picture.start
            word = words[0] if words else None
            yield _Sample(picture.name, start, picture.offset, picture.size, word, part)
            count += 1
    if count == 0:
        raise DataError(
            f"{path} holds no picture ({', '.join(sorted(SUFFIXES))}); take it away, or, if it is "
            "one of ILSVRC's archives, use 'alexnet data imagenet'"
        )


def _key(name: str) -> str:
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _word(file: BinaryIO, path: Path, member: Member) -> str:
    if member.size > MOST_LABEL_BYTES:
        raise DataError(f"{path}: {member.name!r} has {member.size} bytes; it should hold a label")
    place = file.tell()
    file.seek(member.offset)
    text = file.read(member.size)
    file.seek(place)
    try:
        word = text.decode().strip()
    except UnicodeDecodeError:
        word = ""
    if not word.isprintable() or not word:
        raise DataError(
            f"{path}: {member.name!r} holds {text[:20]!r}; it should hold a whole number or a "
            "class name"
        )
    return word


def _measure(file: BinaryIO, path: Path, samples: list[_Sample]) -> tuple[Shard, Rows]:
    """Compute the digests of a shard's samples and of its tail."""
    size = file.seek(0, os.SEEK_END)
    members_end = _end_of_members(file, size, samples[-1])
    rows = np.zeros(len(samples), ROW)
    rows["start"] = [0, *(sample.start for sample in samples[1:])]
    rows["stop"] = [*(sample.start for sample in samples[1:]), members_end]
    rows["offset"] = [sample.offset for sample in samples]
    rows["length"] = [sample.length for sample in samples]
    for row in rows:
        digest, frame = measure_span(file, row)
        row["digest"], row["frame"] = list(digest), list(frame)
    return Shard(path.name, size, measure_tail(file, members_end)), rows


def _end_of_members(file: BinaryIO, size: int, last: _Sample) -> int:
    """Return where the last picture's content ends, or the zeros at the archive's end begin."""
    end = last.offset + last.length
    position = size
    while position - len(END) >= end:
        file.seek(position - len(END))
        if any(file.read(len(END))):
            break
        position -= len(END)
    return max(position, end)


# ---- Parts and labels ---------------------------------------------------------------------------


def _parts_and_folders(samples: list[_Sample]) -> tuple[list[str], list[str]]:
    """Return of each sample its part and the folder that it lies in."""
    ways = [sample.name.split("/")[:-1] for sample in samples]
    parts = [sample.part or "train" for sample in samples]
    if not any(sample.part for sample in samples) and all(
        way and way[0] in PARTS and (len(way) > 1 or sample.word is not None)
        for way, sample in zip(ways, samples, strict=True)
    ):
        parts = [way[0] for way in ways]
        ways = [way[1:] for way in ways]
    return parts, [way[0] if way else "" for way in ways]


def _labels(samples: list[_Sample], folders: list[str]) -> tuple[tuple[str, ...], list[int]]:
    """Return the classes and each sample's label."""
    words = [sample.word for sample in samples]
    if None in words:
        with_label = next((s.name for s in samples if s.word is not None), None)
        without = samples[words.index(None)].name
        if with_label is not None:
            raise DataError(
                f"{with_label!r} has a .cls and {without!r} has none beside it; a sample's files "
                "stand one behind the other"
            )
        if "" in folders:
            lost = samples[folders.index("")].name
            raise DataError(f"{lost!r} has no .cls and lies in no class folder; give it either")
        words = list(folders)
    known = [word for word in words if word is not None]
    if not all(re.fullmatch(r"[0-9]+", word) for word in known) or samples[0].word is None:
        classes = sorted(set(known))
        numbers = {name: number for number, name in enumerate(classes)}
        return tuple(classes), [numbers[word] for word in known]
    for sample, word in zip(samples, known, strict=True):
        if len(word) > 9 or int(word) >= MOST_CLASSES:
            raise DataError(f"{sample.name!r} has the label {word[:20]}; the limit is 99,999")
    labels = [int(word) for word in known]
    return _names_of(labels, folders), labels


def _names_of(labels: list[int], folders: Iterable[str]) -> tuple[str, ...]:
    """Name each label by the one folder that its pictures lie in, or all by their numbers."""
    pairs = sorted(set(zip(labels, folders, strict=True)))
    names = {label: folder for label, folder in pairs if folder}
    count = max(labels) + 1
    if len(pairs) == len(names) == len(set(names.values())) == count:
        return tuple(names[label] for label in range(count))
    return tuple(str(label) for label in range(count))
