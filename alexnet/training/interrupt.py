"""Ctrl-C, SIGTERM and their like: finish the update, save, and say how to go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

URGENT = (signal.SIGINT, signal.SIGTERM)
PATIENT = (signal.SIGHUP, signal.SIGUSR1)


class Interrupted(RuntimeError):
    """The run was asked to stop; it has saved and can go on."""


@dataclass
class StopRequest:
    """Whether somebody asked the run to stop, and how."""

    reason: str = ""


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Turn a signal into a request; a second SIGINT or SIGTERM ends the program at once.

    SIGHUP comes when a terminal is closed, often twice; SIGUSR1 is what SLURM sends before a job's
    time is up (sbatch --signal=USR1@120). Of those a second one asks again. A signal that the
    program was started to ignore (nohup) stays ignored.
    """
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        request.reason = signal.Signals(number).name
        if number in URGENT:
            for each in URGENT:
                signal.signal(each, before[each])

    before = {number: signal.getsignal(number) for number in (*URGENT, *PATIENT)}
    for number in (*URGENT, *(n for n in PATIENT if before[n] != signal.SIG_IGN)):
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
