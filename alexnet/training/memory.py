"""Memory that does not suffice: what to say of it, and `--batch auto`, which looks before.

A batch is kept and cut into parts: then the training is the same but for dropout's masks and what
batch norm takes its statistics over, where another batch would need another rate. `--batch auto`
makes one real update of the whole batch in a process of its own, then of it in 2, 4, ... parts,
until one fits into what the machine has free besides the pictures that are kept in memory.
"""

import gc
import re
import resource
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from alexnet.device import choose_device, choose_dtype
from alexnet.model import architecture
from alexnet.nets.chain import Chain
from alexnet.parallel.team import Team
from alexnet.training.recipe import Recipe
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import at_work, gradients

DOES_NOT_FIT = 3
MESSAGES = re.compile(
    "can't allocate memory|out of memory|bad_alloc|could not (create|execute) a primitive", re.I
)
ASKED = re.compile(r"tried to allocate ([0-9.]+) (bytes|[KMGT]iB)", re.I)
UNITS = {"bytes": 1, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


class OutOfMemory(OSError):
    """A batch needs more memory than there is."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is that of memory that does not suffice, of the CPU or a GPU."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and bool(MESSAGES.search(str(error))))


def asked_bytes(error: BaseException) -> int | None:
    """Return how many bytes were asked for when there were no more, if the error says so."""
    found = ASKED.search(str(error))
    return round(float(found[1]) * UNITS[found[2].lower()]) if found else None


def refuse(
    error: BaseException,
    recipe: Recipe,
    *,
    worker: Chain,
    x: Tensor | None,
    labels: Tensor,
    team: Team,
) -> None:
    """Say what would fit when an update failed for want of memory: it is tried here.

    Any other error is left to the caller, and so is one of several processes: the others would
    wait for a part in the trial.

    Shapes:  x (N, C, H, W), labels (N,): the batch as the net takes it; x is None if not even the
             pictures fit.
    Raises:  OutOfMemory naming parts that fit.
    """
    if team.size > 1 or not is_out_of_memory(error):
        return
    asked = asked_bytes(error)
    more = f" and asked for {asked / 1e6:,.0f} MB more" if asked else ""
    error.__traceback__ = None  # its frames hold the tensors of the step
    fits = (n for n in _more(recipe) if x is not None and _fits_here(worker, x, labels, n))
    parts = next(fits, 0)
    if x is None:
        way = f"the pictures alone are too many; try --batch {max(1, recipe.batch // 2)}; "
    elif parts:
        way = (
            f"--accumulate {parts} fits ({-(-recipe.batch // parts)} at once, the batch as it is), "
            f"and so does --batch {recipe.batch // parts}; "
        )
    else:
        way = "not even one picture at a time fits; "
    raise OutOfMemory(
        f"out of memory: an update of a batch of {recipe.batch} in {recipe.accumulate} part"
        f"{'s' if recipe.accumulate > 1 else ''} does not fit{more}; {way}"
        "--batch auto looks before it trains; --cache-gib 0 keeps no pictures in memory"
    ) from None


def _more(recipe: Recipe) -> Iterator[int]:
    parts = 2 * recipe.accumulate
    while parts <= recipe.batch:
        yield parts
        parts *= 2


def _fits_here(worker: Chain, x: Tensor, labels: Tensor, parts: int) -> bool:
    worker.zero_grad()
    gc.collect()
    try:
        gradients(worker, x, labels, parts=parts)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        worker.zero_grad()
    return True


# ---- --batch auto -------------------------------------------------------------------------------


def parts_that_fit(recipe: Recipe, *, classes: int, free_bytes: int | None = None) -> int:
    """Return the smallest number of parts, 1, 2, 4, ..., in which the recipe's batch fits.

    `free_bytes` is what the machine has for it; None asks the machine.

    Raises: OutOfMemory if not even a picture at a time does.
    """
    context, parts = get_context("spawn"), 1
    free = free_memory() if free_bytes is None else free_bytes
    while parts <= recipe.batch:
        process = context.Process(target=_try, args=(recipe, classes, parts, free))
        process.start()
        process.join()
        code = process.exitcode
        if code == 0:
            return parts
        if code is not None and code > 0 and code != DOES_NOT_FIT:
            raise RuntimeError(f"the process that tried a batch in {parts} parts ended with {code}")
        parts *= 2  # a signal is the system's: it ends what takes too much
    raise OutOfMemory(
        f"{recipe.net} does not fit into {free / 1e6:,.0f} MB with one picture at a time; choose a "
        "smaller net or --input-size"
    )


def free_memory() -> int:
    """Return the bytes that this process may still take: of the machine, and of its group."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file():
        most = (group / "memory.max").read_text().strip()
        if most != "max":
            free = min(free, int(most) - int((group / "memory.current").read_text()))
    return max(free, 0)


def _try(recipe: Recipe, classes: int, parts: int, free_bytes: int) -> None:
    """Make an update of a batch in some parts; end this process with DOES_NOT_FIT if it fails."""
    device = choose_device(recipe.device)
    try:
        found = architecture(recipe.net)
        net = found.build(classes=classes, input_size=recipe.input_size or found.input_size)
        net.init_weights(torch.Generator().manual_seed(0))
        worker = at_work(net.train().to(device), choose_dtype(recipe.precision, device))
        optimizer = MomentumSGD(net, worker=worker)
        shape = (found.channels, net.input_size, net.input_size)
        dtype = next(worker.parameters()).dtype
        _update(worker, optimizer, torch.zeros(2, *shape, device=device, dtype=dtype), parts=1)
        if device.type == "cpu":  # libraries, threads and weights are there: now the batch
            limit = _address_space() + free_bytes
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        x = torch.zeros(recipe.batch, *shape, device=device, dtype=dtype)
        _update(worker, optimizer, x, parts=parts)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(DOES_NOT_FIT)


def _update(worker: Chain, optimizer: MomentumSGD, x: Tensor, *, parts: int) -> None:
    labels = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    gradients(worker, x, labels, parts=parts)
    optimizer.step(1e-9)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
