"""The parts of a training apart, in pictures a second, and which of them is the narrowest.

Reading, decoding, cutting, copying and the step are each measured alone on the same pictures, so
that the one to improve is known. On a GPU they run side by side, and the slowest sets the pace; on
a CPU they share its cores, and their times add up.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from alexnet.bench.case import RATE, Case
from alexnet.data.augment import Preprocessing, cut, random_windows
from alexnet.data.door import open_split
from alexnet.data.folder import DataError, Listing
from alexnet.data.image import ImageError, decode, fit_square, read_file
from alexnet.data.pictures import Pictures
from alexnet.data.statistics import compute
from alexnet.measure import Timing
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work, gradients

PICTURES = 256
"""Most pictures that are read."""
PAGE = 4096
FEW = 0.1
"""Share of files in memory below which a reading counts as the disk's."""
ADVICE = {
    "disk": "put the pictures on a faster or local disk, or into shards (alexnet data pack), which "
    "are read in one go",
    "decode": "store the pictures no larger than training needs (shorter side 256), give more "
    "--workers, or keep them in memory: the loader does once they all fit",
    "read and decode": "unpack it to the local disk, or keep the pictures in memory",
    "augment": "compile the kernels (see kernels above), or take --precision bf16",
    "copy": "use a larger batch; the copy of one is hidden behind the step of another",
    "step": "nothing is to be had from faster data; take --precision bf16, a smaller net or a GPU",
}


@dataclass(frozen=True)
class Stage:
    """One part of a training."""

    name: str
    pictures_per_second: float
    """The median of the repeats."""
    spread: float
    """Distance between the quartiles of the repeats, as a share of the median."""
    note: str = ""
    """What was measured, where the name does not say it."""


@dataclass(frozen=True)
class Journey:
    """How pictures come from a data set into a net."""

    stages: tuple[Stage, ...]
    """In the order that a picture passes them."""
    source: str
    """Which pictures these were."""
    together: float
    """Pictures a second of a training's first epoch, as far as the stages tell."""
    narrowest: str
    """The name of the stage that takes the longest."""
    bad: Mapping[str, str]
    """Path -> reason, of the pictures that could not be read."""

    @property
    def advice(self) -> str:
        """What to do about the narrowest stage."""
        return ADVICE[self.narrowest]


def measure(case: Case, folder: Path, *, device: torch.device, repeats: int) -> Journey:
    """Measure each part of a training of `case` on the pictures of a data set.

    Raises: DataError if the data set is refused or has no readable picture, ValueError if repeats
            is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    whole = open_split(folder).train
    chosen = range(0, len(whole), max(len(whole) // PICTURES, 1))[:PICTURES]
    size = max(256, case.side)
    stages, squares, bad = _reading(whole, chosen, size, repeats=repeats, threads=case.threads)
    if not squares:
        named = next((f"{path}: {reason}" for path, reason in bad.items()), "it is empty")
        raise DataError(f"{folder} has no readable picture; {named}")
    count = case.batch
    pictures = torch.stack([squares[index % len(squares)] for index in range(count)])
    stages += _computing(case, pictures, device=device, repeats=repeats)
    source = f"{len(squares)} of the {len(whole)} training pictures of {folder}"
    seconds = {stage.name: 1 / stage.pictures_per_second for stage in stages}
    together = sum(seconds.values()) if device.type == "cpu" else max(seconds.values())
    narrowest = max(seconds, key=lambda name: seconds[name])
    return Journey(tuple(stages), source, 1 / together, narrowest, bad)


# ---- Reading ------------------------------------------------------------------------------------


def _reading(
    whole: Pictures, chosen: range, size: int, *, repeats: int, threads: int
) -> tuple[list[Stage], list[Tensor], dict[str, str]]:
    """Time the disk and the decoder, apart where the pictures are files of their own."""
    bad: dict[str, str] = {}
    squares: dict[int, Tensor] = {}
    stored: dict[int, bytes] = {}
    stages = []

    def keep(index: int, work: Callable[[int], Tensor]) -> None:
        try:
            squares[index] = work(index)
        except ImageError as error:
            bad[whole.paths[index]] = str(error)

    def each(work: Callable[[int], Tensor]) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda index: keep(index, work), chosen))

    if isinstance(whole, Listing):
        files = {index: whole.root / whole.paths[index] for index in chosen}
        kept = _forget(list(files.values()))

        def take() -> None:
            for index, file in files.items():
                try:
                    stored[index] = read_file(file)
                except ImageError as error:
                    bad[whole.paths[index]] = str(error)

        seconds = _seconds(take, repeats=repeats, before=lambda: _forget(list(files.values())))
        note = "from the disk" if kept < FEW else f"{kept:.0%} from memory: the system keeps them"
        stages.append(_stage("disk", seconds, len(chosen), note))
        chosen_bytes = sum(map(len, stored.values())) / max(len(stored), 1)

        def decoded(index: int) -> Tensor:
            if index not in stored:
                raise ImageError(bad[whole.paths[index]])
            square = fit_square(decode(stored[index], at_least=size), size)
            return torch.from_numpy(square)

        name, work = "decode", decoded
        about = f"{chosen_bytes / 1e3:.0f} kB each; {threads} threads"
    else:
        name, about = "read and decode", f"one work in this form; {threads} threads"

        def work(index: int) -> Tensor:
            return torch.from_numpy(fit_square(whole.pixels(index, at_least=size), size))

    seconds = _seconds(lambda: each(work), repeats=repeats)
    stages.append(_stage(name, seconds, len(chosen), about))
    return stages, [squares[index] for index in sorted(squares)], bad


def _forget(files: Sequence[Path]) -> float:
    """Ask the system to drop what it keeps of files; return the share that it still has."""
    kept = 0
    for file in files:
        try:
            handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:  # the reader of the picture says what is wrong with it
            continue
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            kept += _in_memory(handle)
        finally:
            os.close(handle)
    return kept / max(len(files), 1)


def _in_memory(handle: int) -> bool:
    """Whether the first page of an open file can be had without waiting for the disk."""
    if not hasattr(os, "RWF_NOWAIT"):
        return True
    try:
        return os.preadv(handle, [bytearray(PAGE)], 0, os.RWF_NOWAIT) > 0
    except BlockingIOError:
        return False
    except OSError:  # a file system that cannot tell
        return True


# ---- Computing ----------------------------------------------------------------------------------


def _computing(case: Case, pictures: Tensor, *, device: torch.device, repeats: int) -> list[Stage]:
    """Time what happens to a batch: cut on its device, as training does, and the step."""
    preprocessing = Preprocessing(compute([pictures]), pictures.shape[1], case.side)
    generator = torch.Generator().manual_seed(0)
    count, stages = len(pictures), []
    waiting = torch.cuda.synchronize if device.type == "cuda" else _at_once
    if device.type == "cuda":
        pinned = pictures.pin_memory()
        seconds = _seconds(lambda: pinned.to(device), repeats=repeats, after=waiting)
        stages.append(_stage("copy", seconds, count, f"{pictures.nbytes / 1e6:.0f} MB a batch"))
        pictures = pictures.to(device)

    def augment() -> Tensor:
        windows = random_windows(count, preprocessing.border, generator)
        return cut(pictures, windows, preprocessing, dtype=case.dtype)

    seconds = _seconds(augment, repeats=repeats, after=waiting)
    stages.append(_stage("augment", seconds, count, f"windows of {case.side} pixels"))
    step = _step(case, augment(), device)
    seconds = _seconds(step, repeats=repeats, after=waiting)
    note = f"{case.net}, batch {case.batch}, {case.precision}"
    return [*stages, _stage("step", seconds, count, note)]


def _step(case: Case, x: Tensor, device: torch.device) -> Callable[[], None]:
    """Return a training step of the case on a batch as the net sees it."""
    net = case.draw_net().to(device)
    worker = at_work(net, case.dtype)
    optimizer = MomentumSGD(net, worker=worker)
    labels = case.draw_labels().to(device)
    worker.train()

    def step() -> None:
        gradients(worker, x, labels)
        optimizer.step(RATE)

    return step


# ---- Times --------------------------------------------------------------------------------------


def _at_once() -> None:
    """Wait for nothing: a CPU has done its work when the call returns."""


def _seconds(
    work: Callable[[], object],
    *,
    repeats: int,
    before: Callable[[], object] = _at_once,
    after: Callable[[], object] = _at_once,
) -> Timing:
    """Time some work after one warm-up; `before` is not timed, `after` is."""
    work()
    after()
    measured = []
    for _ in range(repeats):
        before()
        started_at = time.perf_counter()
        work()
        after()
        measured.append(time.perf_counter() - started_at)
    return Timing.of(tuple(measured))


def _stage(name: str, timing: Timing, count: int, note: str) -> Stage:
    return Stage(name, count / timing.median, timing.spread / timing.median, note)
