"""What was found to be the quickest, kept in memory and in a file for the next time.

The file is convolution.json in $ALEXNET_CACHE, or in alexnet/ below $XDG_CACHE_HOME or ~/.cache:

    {"format": 1, "machines": {MACHINE: {WORK: {"algorithm": NAME, "seconds": {NAME: SECONDS}}}}}

Processes that use one file agree: who measures holds a lock, and whoever waited for it reads what
was found. The file is replaced as a whole. One that is damaged, of another format or unreadable is
as good as none and is written anew; where nothing can be written, memory alone remembers.
"""

import fcntl
import json
import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from alexnet import __version__
from alexnet.native import library

FILE = "convolution.json"
FORMAT = 1
CACHE = "ALEXNET_CACHE"
"""Environment variable that names the folder of the file."""


@dataclass(frozen=True)
class Choice:
    """The algorithm that was quickest for some work, and what decided."""

    algorithm: str
    seconds: dict[str, float]
    """Median time by algorithm; those that were hopeless or too far off are missing."""


@dataclass
class _Held:
    """What memory has of one file."""

    by_machine: dict[str, dict[str, Choice]] = field(default_factory=dict)
    stamp: tuple[int, int, int] | None = None
    """Inode, time and size of the file when it was read."""


_held: dict[Path, _Held] = {}  # of this process, by file


def place() -> Path:
    """Return the file that choices are remembered in."""
    return _place(os.environ.get(CACHE, ""), os.environ.get("XDG_CACHE_HOME", ""))


@cache
def _place(own: str, shared: str) -> Path:
    folder = Path(own) if own else Path(shared or Path.home() / ".cache") / "alexnet"
    return folder / FILE


def machine() -> str:
    """Return what the times depend on besides the work: processor, threads, versions, kernels."""
    return _machine(torch.get_num_threads(), library.library() is not None)


@cache
def _machine(threads: int, compiled: bool) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    kernels = torch.backends.cpu.get_cpu_capability() if compiled else "no"
    return (
        f"{names[0] if names else platform.machine()}, {threads} threads, "
        f"torch {torch.__version__}, alexnet {__version__} with {kernels} kernels"
    )


def recall(work: str) -> Choice | None:
    """Return what was chosen for some work on this machine, None if nothing was."""
    path = place()
    held = _held.setdefault(path, _Held())
    if (known := held.by_machine.get(machine(), {}).get(work)) is not None:
        return known
    stamp = _stamp(path)
    if stamp is None or stamp == held.stamp:
        return None
    held.stamp = stamp
    for name, choices_there in _read(path).items():
        # What this process computes with already, it keeps to.
        held.by_machine[name] = choices_there | held.by_machine.get(name, {})
    return held.by_machine.get(machine(), {}).get(work)


def record(work: str, choice: Choice) -> None:
    """Remember what was chosen on this machine; the caller holds the lock of `alone`."""
    path = place()
    _held.setdefault(path, _Held()).by_machine.setdefault(machine(), {})[work] = choice
    there = _read(path)
    there.setdefault(machine(), {})[work] = choice
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            content = {
                name: {w: asdict(c) for w, c in them.items()} for name, them in there.items()
            }
            json.dump({"format": FORMAT, "machines": content}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # a folder that cannot be written, or a full disk: memory has it
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[None]:
    """Keep other processes from measuring meanwhile, if there is a folder to hold a lock in."""
    path = place()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def choices() -> dict[str, Choice]:
    """Return all that was chosen on this machine, by the work it was chosen for."""
    recall("")  # reads the file if it is new
    held = _held[place()].by_machine.get(machine(), {})
    return dict(sorted(held.items()))


def forget() -> None:
    """Forget all choices, of other machines too: from now on each is measured again."""
    _held.pop(place(), None)
    with suppress(OSError):
        place().unlink(missing_ok=True)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> dict[str, dict[str, Choice]]:
    """Return what a file holds; nothing of one that is not whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return {}
    machines = content.get("machines")
    if not isinstance(machines, dict) or not all(isinstance(m, dict) for m in machines.values()):
        return {}
    return {
        name: {work: Choice(**c) for work, c in them.items() if _is_choice(c)}
        for name, them in machines.items()
    }


def _is_choice(record: Any) -> bool:
    return (
        isinstance(record, dict)
        and record.keys() == {"algorithm", "seconds"}
        and isinstance(record["algorithm"], str)
        and isinstance(record["seconds"], dict)
        and all(isinstance(s, float) and math.isfinite(s) for s in record["seconds"].values())
    )
