"""Ctrl-C and SIGTERM: finish the update, save, and say how to go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


class Interrupted(RuntimeError):
    """The run was asked to stop; it has saved and can go on."""


@dataclass
class StopRequest:
    """Whether somebody asked the run to stop, and how."""

    reason: str = ""


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request; a second one ends the program at once."""
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        for each in before:
            signal.signal(each, before[each])

    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
