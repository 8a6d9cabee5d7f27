"""Pictures in batches, decoded by threads while the net works.

The order depends on the seed and the epoch alone, never on the number of threads. A position is
(epoch, index): the loader can start anywhere in an epoch and goes on as if it had come from its
beginning.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.folder import DataError
from alexnet.data.image import ImageError, fit_square
from alexnet.data.pictures import Pictures

BATCHES_AHEAD = 3
RUN_PICTURES = 8
"""Pictures that a thread decodes in one go, at most."""
MOST_BAD_SHARE = 0.01
OnBadImage = Literal["skip", "stop"]


@dataclass(frozen=True)
class Batch:
    """Some pictures of an epoch, in its order, without those that could not be read."""

    pictures: Tensor
    """(N, H, W, 3) uint8."""
    labels: Tensor
    """(N,) int64."""
    indices: Tensor
    """(N,) int64: positions in the listing."""
    end: int
    """Pictures of the epoch's order that are done with after this batch, bad ones included."""
    first: int = 0
    """Pictures of the batch that stand before these, in other processes."""
    others: int = 0
    """Pictures of the batch that other processes have."""
    refused: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of the pictures of the batch that turned out bad, in the batch's order."""
    skipped: int = 0
    """Pictures of the batch that were known to be bad, and not read again."""

    @property
    def whole(self) -> int:
        """Pictures of the batch, over all processes."""
        return len(self.labels) + self.others

    @property
    def rows(self) -> slice:
        """Where these pictures stand in the whole batch."""
        return slice(self.first, self.first + len(self.labels))


@dataclass(frozen=True)
class Share:
    """Which part of each batch a loader reads: number `part` of `parts` runs of nearly one size."""

    part: int = 0
    parts: int = 1


@dataclass
class Loader:
    """Reads pictures; keeps them decoded if they all fit into `cache_bytes`."""

    listing: Pictures
    batch_size: int
    picture_size: int = 256
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    cache_bytes: int = 4 * 2**30
    on_bad_image: OnBadImage = "skip"
    share: Share = field(default_factory=Share)
    bad: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of every picture that was refused so far."""

    def __post_init__(self) -> None:
        side = self.picture_size
        fits = len(self.listing) * side * side * 3 <= self.cache_bytes
        self._cache = np.empty((len(self.listing) if fits else 0, side, side, 3), dtype=np.uint8)
        self._cached = np.zeros(len(self.listing), dtype=bool)
        self._labels = torch.tensor(self.listing.labels, dtype=torch.int64)

    @property
    def keeps_pictures(self) -> bool:
        """Whether the decoded pictures stay in memory."""
        return len(self._cache) > 0

    @property
    def cached_bytes(self) -> int:
        """Memory set aside for decoded pictures."""
        return self._cache.nbytes

    def epoch(self, epoch: int, *, seed: int | None, start: int = 0) -> Iterator[Batch]:
        """Yield this process's share of the batches of one epoch from position `start` on.

        An epoch is cut into ceil(pictures / batch_size) batches whose sizes differ by one at most,
        so that every picture is used once and no batch is tiny. `seed` None keeps the listing's
        order.

        Raises: DataError if pictures are bad and `on_bad_image` is "stop", or more than 1 % are.
        """
        order = epoch_order(len(self.listing), epoch, seed)
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers) as decoders, ThreadPoolExecutor(1) as assembler:
            try:
                for begin, end in batch_bounds(len(order), self.batch_size):
                    if end <= start:
                        continue
                    whole = order[max(begin, start) : end]
                    indices = whole.tensor_split(self.share.parts)[self.share.part]
                    ahead.append(assembler.submit(self._assemble, indices, end, decoders))
                    if len(ahead) > BATCHES_AHEAD:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for batch in ahead:
                    batch.cancel()

    def _assemble(self, indices: Tensor, end: int, decoders: ThreadPoolExecutor) -> Batch:
        """Decode what is not in memory and put a batch together; runs beside the training step.

        In numpy, which stays in this thread: torch would start threads of its own for each copy,
        and they would take the processors from the training step.
        """
        wanted = [i for i in indices.tolist() if self.listing.paths[i] not in self.bad]
        missing = [i for i in wanted if not self._cached[i]]
        fresh: dict[int, NDArray[np.uint8]] = {}
        refused: dict[str, str] = {}
        # a task costs as much as a tenth of a small picture: several pictures make one
        run = min(max(1, len(missing) // (2 * self.workers)), RUN_PICTURES)
        runs = [missing[start : start + run] for start in range(0, len(missing), run)]
        answers = chain.from_iterable(decoders.map(self._pictures, runs))
        for i, found in zip(missing, answers, strict=True):
            if isinstance(found, str):
                refused[self.listing.paths[i]] = found
            else:
                fresh[i] = found
        self._refuse(refused)
        good = [i for i in wanted if i in fresh or self._cached[i]]
        if self.keeps_pictures:
            for i, picture in fresh.items():
                self._cache[i] = picture
                self._cached[i] = True
            pictures = self._cache[good]
        else:
            pictures = np.empty((len(good), *self._cache.shape[1:]), dtype=np.uint8)
            for row, i in enumerate(good):
                pictures[row] = fresh[i]
        kept = torch.tensor(good, dtype=torch.int64)
        return Batch(
            torch.from_numpy(pictures),
            self._labels[kept],
            kept,
            end,
            refused=refused,
            skipped=len(indices) - len(wanted),
        )

    def _pictures(self, indices: list[int]) -> list[NDArray[np.uint8] | str]:
        return [self._picture(index) for index in indices]

    def _picture(self, index: int) -> NDArray[np.uint8] | str:
        """Return a picture, or the reason why it is bad."""
        side = self.picture_size
        try:
            return fit_square(self.listing.pixels(index, at_least=side), side)
        except ImageError as error:
            return str(error)
        except Exception as error:  # a fault of ours: without the path nobody could look for it
            path = self.listing.paths[index]
            raise RuntimeError(
                f"{path} was not read, for a reason that is none of the picture's: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _refuse(self, refused: dict[str, str]) -> None:
        self.bad.update(refused)
        if refused and self.on_bad_image == "stop":
            path, reason = next(iter(refused.items()))
            raise DataError(f"{path}: {reason}; remove the file, or go on with --on-bad-image skip")
        if refused:
            self.check_bad()

    def check_bad(self) -> None:
        """Raise DataError if more than 1 % of the pictures have been refused."""
        if len(self.bad) > max(1, MOST_BAD_SHARE * len(self.listing)):
            named = "; ".join(f"{path}: {reason}" for path, reason in list(self.bad.items())[:5])
            raise DataError(
                f"{len(self.bad)} of {len(self.listing)} pictures cannot be read, more than 1 %: "
                f"{named}; repair or remove them"
            )


def epoch_order(count: int, epoch: int, seed: int | None) -> Tensor:
    """Return the order of one epoch: a permutation drawn from seed and epoch, (count,) int64."""
    if seed is None:
        return torch.arange(count)
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


def batch_bounds(count: int, batch_size: int) -> list[tuple[int, int]]:
    """Cut `count` pictures into ceil(count / batch_size) runs whose sizes differ by one at most."""
    batches = -(-count // batch_size)
    ends = [(i + 1) * count // batches for i in range(batches)]
    return list(zip([0, *ends], ends, strict=False))


def derive_seed(seed: int, *names: str | int) -> int:
    """Return a seed for one use of randomness, independent of all others: a hash of its name."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
