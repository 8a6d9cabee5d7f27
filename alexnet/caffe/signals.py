"""What SIGINT and SIGHUP do to a solver: stop it, make it write a snapshot, or nothing.

Source: Caffe, util/signal_handler.cpp. A signal takes effect after the update in progress; of two
that came meanwhile SIGHUP comes first.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

Action = Literal["none", "stop", "snapshot"]


def no_action() -> Action:
    """Return "none": what a solver is asked to do that no signal reaches."""
    return "none"


@contextmanager
def signal_effects(
    *, sigint: Action = "stop", sighup: Action = "snapshot"
) -> Iterator[Callable[[], Action]]:
    """Catch both signals and yield a function that returns what was asked for since its last call.

    The handlers that were there before come back at the end.
    """
    effects = {signal.SIGHUP: sighup, signal.SIGINT: sigint}
    came: set[int] = set()

    def remember(number: int, frame: FrameType | None) -> None:
        came.add(number)

    def requested() -> Action:
        for number, effect in effects.items():
            if number in came:
                came.remove(number)
                return effect
        return "none"

    before = {number: signal.signal(number, remember) for number in effects}
    try:
        yield requested
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
