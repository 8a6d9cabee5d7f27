"""Runs of several processes whose ranks may end themselves at a chosen moment.

Processes are forked from one that has imported what they need, so a run takes seconds.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import torch
import torch.distributed as dist

from alexnet import store
from alexnet.cli import run
from alexnet.nets import NETS
from alexnet.parallel import watch
from alexnet.training import loop
from tests.conftest import TINY
from tests.forks import CONTEXT

LIMIT_SECONDS = 30
MESSAGES = (dist.all_reduce, dist.all_gather)
Moment = Literal["update", "sum", "gather", "save", "stopped"]


@dataclass(frozen=True)
class Doom:
    """Who is lost, and when."""

    rank: int
    moment: Moment
    count: int
    """The update, message or file in which it happens, from 1."""


def launch(size: int, words: list[str], doom: Doom | None = None) -> list[int | None]:
    """Run a command in several processes and return their exit codes.

    None stands for one that has outlived its time, and for one that was stopped.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes: list[BaseProcess] = []
    for rank in range(size):
        arguments = (rank, size, port, words, doom)
        processes.append(CONTEXT.Process(target=as_rank, args=arguments))
        processes[-1].start()
    until = time.monotonic() + LIMIT_SECONDS
    for rank, process in enumerate(processes):
        if doom is None or (doom.rank, doom.moment) != (rank, "stopped"):
            process.join(max(0.0, until - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    return codes


def as_rank(rank: int, size: int, port: int, words: list[str], doom: Doom | None) -> None:
    """Run a command as a rank that torchrun has started; its words go to the folder `said`.

    RANK in a word of the command stands for the rank.
    """
    said = Path("said")
    said.mkdir(exist_ok=True)
    file = os.open(said / f"{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    NETS["tiny"] = TINY
    watch.EVERY_SECONDS, watch.BROKEN_AFTER_SECONDS, watch.LOST_AFTER_SECONDS = 0.1, 1.5, 3.0
    if doom is not None and doom.rank == rank:
        prepare(doom)
    sys.exit(run([word.replace("RANK", str(rank)) for word in words]))


def prepare(doom: Doom) -> None:
    """Let this process die in the call that the doom names."""
    places: dict[Moment, tuple[Any, str]] = {
        "update": (loop, "update"),
        "stopped": (loop, "update"),
        "sum": (dist, "all_reduce"),
        "gather": (dist, "all_gather"),
        "save": (store, "_sync_folder"),
    }
    owner, name = places[doom.moment]
    end = signal.SIGSTOP if doom.moment == "stopped" else signal.SIGKILL
    real = vars(owner)[name]
    mock.patch.object(owner, name, wraps=real, side_effect=_Count(real, doom.count, end)).start()


class _Count:
    """What is done before each call of a function: in one of them the process gets a signal."""

    def __init__(self, function: Callable[..., Any], count: int, end: signal.Signals) -> None:
        self._function, self._left, self._end = function, count, end

    def __call__(self, *args: Any, **named: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            if self._function in MESSAGES:  # the others have got some of it, or nothing
                self._function(*args, group=named.get("group"), async_op=True)
            os.kill(os.getpid(), self._end)
        return mock.DEFAULT
