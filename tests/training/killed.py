"""A training that dies, or is asked to stop, at a chosen moment, for the tests of kills.

What a run does to the disk goes through a few functions of `os`; here they are counted.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor

from alexnet.cli import run
from alexnet.data.loader import Batch
from alexnet.nets import NETS
from alexnet.training import loop
from alexnet.training.setup import Run
from tests.conftest import TINY

CALLS = ("write", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "ftruncate")
SAID, ORDER, COUNTED = "said.txt", "order.txt", "calls.txt"
write = os.write


@dataclass(frozen=True)
class Doom:
    """When a training gets a signal, and which."""

    moment: Literal["call", "torn", "update", "validation"]
    """In a call to the disk, in the middle of a write, in an update, or in a validation."""
    count: int
    """Which of them, from 1."""
    kind: Signals = SIGKILL


def as_trainer(words: list[str], doom: Doom | None, begins: Connection) -> None:
    """Run a command in a process of its own; it says when the training begins.

    It leaves, in the folder where it runs, what it said, the pictures of each update, and each
    call to the disk.
    """
    said = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    torch.set_num_threads(1)
    NETS["tiny"] = TINY
    _count("update", loop, "update", doom)
    _count("validation", loop, "validate", doom)
    asked = vars(loop)["stop_requests"]
    mock.patch.object(loop, "stop_requests", _saying(asked, begins)).start()
    _note_order()
    calls = os.open(COUNTED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    _count_calls(calls, doom)
    sys.exit(run(words))


def _saying(real: Callable[[], Any], begins: Connection) -> Callable[[], Any]:
    def stop_requests() -> Any:
        begins.send("")
        return real()

    return stop_requests


def _count(moment: str, owner: Any, name: str, doom: Doom | None) -> None:
    """Send the signal before the call of a function that the doom names."""
    real: Callable[..., Any] = vars(owner)[name]
    left = doom.count if doom and doom.moment == moment else 0

    def counted(*args: Any) -> Any:
        nonlocal left
        left -= 1
        if doom and left == 0:
            os.kill(os.getpid(), doom.kind)
        return real(*args)

    mock.patch.object(owner, name, counted).start()


def _count_calls(calls: int, doom: Doom | None) -> None:
    left = doom.count if doom and doom.moment in ("call", "torn") else 0

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, dir_fd: int | None = None) -> Any:
            nonlocal left
            left -= 1
            write(calls, f"{name}\n".encode())
            if doom and left == 0:
                if doom.moment == "torn" and name == "write":
                    write(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), doom.kind)
            return real(*args) if dir_fd is None else real(*args, dir_fd=dir_fd)

        return call

    for name in CALLS:
        mock.patch.object(os, name, counted(name, vars(os)[name])).start()


def _note_order() -> None:
    """Note each update's pictures."""
    order = os.open(ORDER, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    real = loop.update

    def update(run: Run, batch: Batch, rate: float) -> float | Tensor:
        write(order, f"{run.position.step} {batch.indices.tolist()}\n".encode())
        return real(run, batch, rate)

    mock.patch.object(loop, "update", update).start()


def order(folder: Path) -> dict[int, str]:
    """Return the pictures of each update; an update that was made twice had the same."""
    found: dict[int, str] = {}
    for line in (folder / ORDER).read_text().splitlines():
        step, _, pictures = line.partition(" ")
        assert found.setdefault(int(step), pictures) == pictures, line
    return found
