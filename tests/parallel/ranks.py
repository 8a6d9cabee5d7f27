"""Ranks for tests: processes that stay from test to test."""

import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import torch

from tests.forks import CONTEXT

P = ParamSpec("P")
Result = TypeVar("Result")
MOST = 4
LIMIT_SECONDS = 120


def _settle() -> None:
    torch.set_num_threads(1)


@contextmanager
def processes() -> Iterator[ProcessPoolExecutor]:
    """Start processes for at most `MOST` ranks."""
    with ProcessPoolExecutor(MOST, mp_context=CONTEXT, initializer=_settle) as pool:
        yield pool


def on_ranks(
    pool: ProcessPoolExecutor,
    size: int,
    function: Callable[P, Result],
    *args: P.args,
    **named: P.kwargs,
) -> list[Result]:
    """Call a function in `size` processes, as torchrun would start them; return what each gives."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    calls = [pool.submit(_as_rank, rank, size, port, function, args, named) for rank in range(size)]
    return [call.result(timeout=LIMIT_SECONDS) for call in calls]


def _as_rank(
    rank: int,
    size: int,
    port: int,
    function: Callable[..., Result],
    args: tuple[Any, ...],
    named: dict[str, Any],
) -> Result:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    return function(*args, **named)
