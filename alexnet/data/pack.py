"""Write labelled pictures into tar shards with an index, and go on after any interruption.

What goes into which shard is settled before the first byte: pictures are shuffled once, since
readers that stream see classes only as mixed as the shards are, and cut into runs of about
`shard_mb`. So a shard's bytes depend on the pictures and the options alone, any process can write
any shard, and one that was interrupted is written anew. A shard is written to `.tmp`, flushed to
the disk, described by an index of its own in `.packing/`, and renamed; the index of all comes last.

Source:  Krizhevsky 2012, section 2 (shorter side 256). WebDataset's format: a sample is NAME.jpg
         and NAME.cls, one behind the other.
"""

import errno
import fcntl
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg

from alexnet.data.folder import DataError
from alexnet.data.image import ImageError, decode, resize_shorter_side
from alexnet.data.loader import MOST_BAD_SHARE, Share
from alexnet.data.pack_options import PackOptions
from alexnet.data.pack_plan import Plan, PlannedShard
from alexnet.data.shard_index import (
    INDEX,
    ROW,
    Index,
    Shard,
    decode_index,
    digest_of,
    encode_index,
    join_indices,
    read_index,
)
from alexnet.data.shards import PACKING
from alexnet.data.tar_file import END, member_bytes, round_up
from alexnet.store import rename_durably, write_atomically

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SUFFIXES = {b"\xff\xd8": "jpg", b"\x89PNG": "png", b"GIF8": "gif", b"RIFF": "webp", b"BM": "bmp"}

Report = Callable[[str], None]


@dataclass
class Packing:
    """The work of one process: its shards, and for the first process the index."""

    plan: Plan
    """What goes where."""
    out: Path
    """The folder of the shards."""
    share: Share = field(default_factory=Share)
    """Which of the shards are this process's: each `parts`-th from number `part` on."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Threads that decode."""
    patience_seconds: float = 600.0
    """How long the first process waits without any sign of the others."""
    report: Report = lambda text: None
    """Is told of each shard that is done, and of each picture that is skipped."""
    _old: Index | None = field(default=None, init=False)
    """The index that was there already."""

    def run(self) -> Index | None:
        """Write this process's shards, and the index if it is the first.

        Returns the index, or None in another process.
        Raises:  DataError when the folder holds something else, when another process writes there,
                 or too many pictures are bad; OSError when the disk is full, naming the bytes that
                 are needed. What is whole stays, and the next run goes on from there.
        """
        self._old = self._check_out()
        if self._old is not None and all(self._done(i) for i in range(len(self.plan.shards))):
            shutil.rmtree(self.out / PACKING, ignore_errors=True)
            self.report(f"{self.out}: everything is packed already")
            return self._old if self.share.part == 0 else None
        (self.out / PACKING).mkdir(parents=True, exist_ok=True)
        with self._alone(), self._room():
            self._write_shards()
            if self.share.part > 0:
                return None
            self._wait()
            index = self._join()
            write_atomically(self.out / INDEX, encode_index(index))
            shutil.rmtree(self.out / PACKING)
        return index

    # ---- What is there ---------------------------------------------------------------------------

    def _check_out(self) -> Index | None:
        """Refuse a folder that holds something else; return the index of an earlier packing."""
        known = {shard.name for shard in self.plan.shards}
        for path in sorted(self.out.glob("*.tar")):
            if path.name not in known:
                raise DataError(
                    f"{path} does not belong to this packing, of {len(known)} shards; "
                    "give a new folder, or empty this one"
                )
        for path in (self.out / PACKING).glob("*.tar.index"):
            self._read_record(path)
        if not (self.out / INDEX).exists():
            return None
        index = read_index(self.out / INDEX)
        self._check_plan(index, self.out / INDEX)
        return index

    def _check_plan(self, index: Index, path: Path) -> None:
        if index.plan != self.plan.digest:
            raise DataError(
                f"{path} is of other pictures or options: a file came, went or changed its size, "
                "or size, quality, shard-mb or shuffle-seed is another; give a new folder, or "
                "empty this one"
            )

    def _record(self, number: int) -> Path:
        return self.out / PACKING / f"{self.plan.shards[number].name}.index"

    def _done(self, number: int) -> Index | None:
        """Return the index of one shard if that is whole."""
        try:
            size = (self.out / self.plan.shards[number].name).stat().st_size
        except FileNotFoundError:
            return None
        index = self._recorded(number)
        return index if index is not None and index.shards[0].size == size else None

    def _recorded(self, number: int) -> Index | None:
        """Return what is known of one shard: by its record, or else by the index of all."""
        index = self._read_record(self._record(number))
        if index is None and self._old is None:  # the first process may have finished meanwhile
            self._old = self._check_out()
        return self._old.only(number) if index is None and self._old is not None else index

    def _read_record(self, path: Path) -> Index | None:
        """Return the record of a shard; None if there is none, or if it is damaged."""
        try:
            index = decode_index(path.read_bytes(), path)
        except (FileNotFoundError, DataError):
            return None
        self._check_plan(index, path)
        return index

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep a second packing out; the system lets go of the lock when a process ends."""
        path = self.out / PACKING / f"process-{self.share.part}.lock"
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(
                    f"{self.out}: another process is packing there; let it finish or end it"
                ) from None
            yield

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Say how many bytes are needed when the disk is full."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            left = [i for i in range(len(self.plan.shards)) if self._done(i) is None]
            needed = sum(self.plan.shards[i].size for i in left) + 100 * self.plan.count
            raise OSError(
                f"{self.out}: {os.strerror(error.errno).lower()}; about {needed:,} bytes more are "
                f"needed for {len(left)} of {len(self.plan.shards)} shards and the index; what is "
                "whole stays, and the same command goes on from there"
            ) from error

    # ---- Shards ----------------------------------------------------------------------------------

    def _write_shards(self) -> None:
        num_bad = 0
        with ThreadPoolExecutor(self.workers) as pool:
            for number in range(self.share.part, len(self.plan.shards), self.share.parts):
                done = self._done(number)
                if done is None:
                    done = self._write_shard(number, pool)
                    shard = done.shards[0]
                    self.report(f"{shard.name}  {len(done.rows):,} pictures, {shard.size:,} bytes")
                num_bad += len(done.shards[0].skipped)
                self._check_bad(num_bad, done)

    def _write_shard(self, number: int, pool: ThreadPoolExecutor) -> Index:
        """Write one shard and its record; each is there whole or not at all."""
        planned = self.plan.shards[number]
        files, keys = self.plan.parts[planned.part], self.plan.keys[planned.part]
        temporary = self.out / f"{planned.name}.tmp"
        rows, names = np.zeros(len(planned.positions), ROW), list[str]()
        skipped: list[tuple[int, str, str]] = []
        end = 0
        try:
            with temporary.open("wb") as file:
                for position, stored in self._stored(planned, pool):
                    if isinstance(stored, ImageError):
                        skipped.append((position, files.paths[position], str(stored)))
                        self._skip(files.paths[position], str(stored))
                        continue
                    name, label = f"{keys[position]}.{stored.suffix}", files.labels[position]
                    span = _Span(name, f"{keys[position]}.cls", stored.data, label)
                    span.fill(rows[len(names)], end)
                    end += file.write(span.bytes)
                    names.append(name)
                file.write(END)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            temporary.unlink(missing_ok=True)  # its room may be what the rest needs
            raise
        rows["part"] = list(self.plan.parts).index(planned.part)
        shard = Shard(planned.name, end + len(END), digest_of(END).hex(), tuple(skipped))
        index = Index(
            files.classes,
            tuple(self.plan.parts),
            (shard,),
            rows[: len(names)],
            tuple(names),
            self.plan.digest,
            self.plan.options.how,
        )
        write_atomically(self._record(number), encode_index(index))
        rename_durably(temporary, self.out / planned.name)
        return index

    def _stored(
        self, planned: PlannedShard, pool: ThreadPoolExecutor
    ) -> "Iterator[tuple[int, Stored | ImageError]]":
        """Yield what is stored of each picture, some of them computed ahead."""
        files, options = self.plan.parts[planned.part], self.plan.options

        def compute(position: int) -> Stored | ImageError:
            try:
                return store(files.data(position), options)
            except ImageError as error:
                return error

        ahead: deque[tuple[int, Future[Stored | ImageError]]] = deque()
        for position in planned.positions:
            ahead.append((position, pool.submit(compute, position)))
            if len(ahead) > 4 * self.workers:
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()

    def _skip(self, path: str, reason: str) -> None:
        if self.plan.options.on_bad_image == "stop":
            raise DataError(f"{path}: {reason}; remove the file, or go on with --on-bad-image skip")
        self.report(f"skipped {path}: {reason}")

    def _check_bad(self, num_bad: int, last: Index) -> None:
        if num_bad > max(1, MOST_BAD_SHARE * self.plan.count):
            named = "; ".join(f"{path}: {why}" for _, path, why in last.shards[0].skipped[:3])
            raise DataError(
                f"{num_bad} of {self.plan.count} pictures cannot be read, more than 1 %"
                f"{': ' if named else ''}{named}; repair or remove them and give a new folder"
            )

    # ---- The index -------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait until the other processes' shards are there, as long as anything moves."""
        seen: tuple[int, int] | None = None
        since = time.monotonic()
        missing = list(range(len(self.plan.shards)))
        while missing := [number for number in missing if self._done(number) is None]:
            growing = _bytes_of(self.out.glob("*.tmp"))
            if seen != (len(missing), growing):
                seen, since = (len(missing), growing), time.monotonic()
            elif time.monotonic() - since > self.patience_seconds:
                names = ", ".join(self.plan.shards[number].name for number in missing[:5])
                raise DataError(
                    f"{self.out}: {len(missing)} shards of other processes are missing ({names}) "
                    f"and nothing moved for {self.patience_seconds:.0f} s; run the same command "
                    "again, with any number of processes"
                )
            time.sleep(min(1.0, self.patience_seconds / 20))

    def _join(self) -> Index:
        """Put the records together, the pictures in the order in which they were listed."""
        indices, order = [], []
        bases, base = {}, 0
        for part, files in self.plan.parts.items():
            bases[part], base = base, base + len(files.paths)
        for number, planned in enumerate(self.plan.shards):
            index = self._done(number)
            if index is None:
                raise DataError(f"{self.out / planned.name} went away; run the same command again")
            skipped = {position for position, _, _ in index.shards[0].skipped}
            order += [bases[planned.part] + p for p in planned.positions if p not in skipped]
            indices.append(index)
        self._check_bad(
            sum(len(index.shards[0].skipped) for index in indices),
            max(indices, key=lambda index: len(index.shards[0].skipped)),
        )
        return join_indices(indices, np.argsort(np.array(order, np.int64)).tolist())


# ---- A picture -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stored:
    """A picture as it goes into a shard."""

    data: bytes
    """The file."""
    suffix: str
    """What its content is: jpg, png, gif, webp or bmp."""


def store(data: bytes, options: PackOptions) -> Stored:
    """Decode a picture file, so that none is packed that cannot be read, and scale it if asked.

    Raises:  ImageError as `decode`.
    """
    # Half-size decoding still reads every bit, and is what the loader will ask for.
    picture = decode(data, at_least=None if options.size else 256)
    suffix = next(name for start, name in _SUFFIXES.items() if data.startswith(start))
    if not options.size or min(picture.shape[:2]) <= options.size:
        return Stored(data, suffix)
    scaled = resize_shorter_side(picture, options.size)
    # Half the colour's resolution each way, as cameras and ImageNet's own files have it.
    jpeg = simplejpeg.encode_jpeg(
        scaled, quality=options.quality, colorspace="RGB", colorsubsampling="420"
    )
    return Stored(jpeg, "jpg")


class _Span:
    """The bytes of one sample in a tar."""

    def __init__(self, name: str, label_name: str, data: bytes, label: int) -> None:
        picture = member_bytes(name, data)
        self._first = len(picture) - round_up(len(data))
        self.bytes = picture + member_bytes(label_name, str(label).encode())
        self._length, self._label = len(data), label

    def fill(self, row: np.void, start: int) -> None:
        """Write into a row of the index where the sample lies when its span begins at `start`."""
        first, last = self._first, self._first + self._length
        row["label"], row["start"], row["offset"] = self._label, start, start + first
        row["length"], row["stop"] = self._length, start + len(self.bytes)
        row["digest"] = list(digest_of(self.bytes[first:last]))
        row["frame"] = list(digest_of(self.bytes[:first] + self.bytes[last:])[:8])


def _bytes_of(paths: Iterable[Path]) -> int:
    """Return the size of files that may be renamed at any moment."""
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
