"""Times of several pieces of work, taken in turn: A B A B.

Machines change their speed from minute to minute. Work that is compared therefore runs in turn,
and a ratio is the median of the ratios within a round, not the ratio of two medians.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WARM_UPS = 2
TURN_SECONDS = 0.25
MOST_CALLS = 200

Lap = Callable[[int], float]
"""Runs that many calls of some work and returns the seconds of one."""


@dataclass(frozen=True)
class Timing:
    """What n measurements of one piece of work came to, in seconds."""

    median: float
    least: float
    spread: float
    """Distance between the quartiles; half of the measurements lie within it."""
    n: int

    @staticmethod
    def of(seconds: tuple[float, ...]) -> "Timing":
        """Return the figures of these measurements.

        Raises: ValueError if there are none.
        """
        if not seconds:
            raise ValueError("there are no measurements; take at least 1")
        spread = 0.0
        if len(seconds) > 1:
            low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
            spread = high - low
        return Timing(statistics.median(seconds), min(seconds), spread, len(seconds))


@dataclass(frozen=True)
class Rounds:
    """Measurements of several pieces of work; the i-th of each were taken in the same round."""

    seconds: Mapping[str, tuple[float, ...]]
    """Seconds of one call, by the name of the work."""
    calls: Mapping[str, int]
    """Calls in a turn; where it is more than 1, each measurement is the mean of so many."""

    def timing(self, name: str) -> Timing:
        """Return the figures of one piece of work."""
        return Timing.of(self.seconds[name])

    def ratio(self, name: str, other: str) -> float:
        """Return how many times as long `other` takes: the median over rounds of other / name."""
        pairs = zip(self.seconds[name], self.seconds[other], strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


def stopwatch(step: Callable[[], object]) -> Lap:
    """Return the lap of a function: it is called so many times between two looks at the clock."""

    def lap(calls: int) -> float:
        started_at = time.perf_counter()
        for _ in range(calls):
            step()
        return (time.perf_counter() - started_at) / calls

    return lap


def in_turn(
    laps: Mapping[str, Lap],
    *,
    repeats: int,
    warm_ups: int = WARM_UPS,
    turn_seconds: float = TURN_SECONDS,
) -> Rounds:
    """Warm each up, then measure all in turn, in their order, `repeats` times.

    A turn has as many calls as fill `turn_seconds`, so that short work finds its own weights in
    the caches and not those of the work before it.

    Raises: ValueError if `repeats` or `warm_ups` is below 1.
    """
    for name, value in (("repeats", repeats), ("warm_ups", warm_ups)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    calls = {name: _calls(lap, warm_ups, turn_seconds) for name, lap in laps.items()}
    rounds = [{name: lap(calls[name]) for name, lap in laps.items()} for _ in range(repeats)]
    return Rounds({name: tuple(each[name] for each in rounds) for name in laps}, calls)


def _calls(lap: Lap, warm_ups: int, turn_seconds: float) -> int:
    seconds = [lap(1) for _ in range(warm_ups)][-1]
    return min(max(math.ceil(turn_seconds / max(seconds, 1e-9)), 1), MOST_CALLS)
