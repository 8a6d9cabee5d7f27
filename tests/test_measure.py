"""Times in turn: the order, the figures, the ratio."""

import re
import time
from collections.abc import Callable

import pytest

from alexnet.measure import Rounds, Timing, in_turn, stopwatch


def recorded(log: list[tuple[str, int]], name: str, seconds: float) -> Callable[[int], float]:
    """Return a lap that notes its name and calls and always takes the same time."""

    def lap(calls: int) -> float:
        log.append((name, calls))
        return seconds

    return lap


def test_after_the_warm_ups_the_order_is_a_b_a_b() -> None:
    log: list[tuple[str, int]] = []
    laps = {"a": recorded(log, "a", 1.0), "b": recorded(log, "b", 2.0)}
    in_turn(laps, repeats=3, warm_ups=2)
    assert [name for name, _ in log] == ["a", "a", "b", "b", "a", "b", "a", "b", "a", "b"]


def test_short_work_is_called_as_often_as_fills_a_turn() -> None:
    log: list[tuple[str, int]] = []
    laps = {"long": recorded(log, "long", 1.0), "short": recorded(log, "short", 0.03)}
    rounds = in_turn(laps, repeats=1, warm_ups=1, turn_seconds=0.1)
    assert log == [("long", 1), ("short", 1), ("long", 1), ("short", 4)]
    assert rounds.calls == {"long": 1, "short": 4}
    assert rounds.seconds == {"long": (1.0,), "short": (0.03,)}


def test_calls_in_a_turn_have_a_limit() -> None:
    assert in_turn({"no time": lambda _: 0.0}, repeats=1).calls == {"no time": 200}


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    rounds = Rounds({"a": (1.0, 2.0, 4.0), "b": (3.0, 4.0, 4.0)}, {"a": 1, "b": 1})
    # 3, 2, 1 in the rounds; the medians' ratio would be 4 / 2 = 2 as well, so also the other way
    assert rounds.ratio("a", "b") == 2.0
    uneven = Rounds({"a": (1.0, 2.0, 10.0), "b": (5.0, 2.0, 1.0)}, {"a": 1, "b": 1})
    assert uneven.ratio("a", "b") == 1.0  # of 5, 1, .1
    assert uneven.ratio("b", "a") == 1.0


def test_a_timing_has_median_least_and_the_distance_of_the_quartiles() -> None:
    assert Timing.of((5.0, 1.0, 2.0, 4.0, 3.0)) == Timing(3.0, 1.0, 2.0, 5)  # quartiles 2 and 4
    assert Timing.of((7.0,)) == Timing(7.0, 7.0, 0.0, 1)
    with pytest.raises(ValueError, match="there are no measurements; take at least 1"):
        Timing.of(())


def test_the_stopwatch_gives_the_time_of_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [10.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def step() -> None:
        now[0] += 2.0

    assert stopwatch(step)(3) == 2.0
    assert now[0] == 16.0


@pytest.mark.parametrize(("repeats", "warm_ups", "name"), [(0, 1, "repeats"), (1, 0, "warm_ups")])
def test_it_takes_at_least_one_of_each(repeats: int, warm_ups: int, name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} is 0; it must be at least 1")):
        in_turn({"a": lambda _: 1.0}, repeats=repeats, warm_ups=warm_ups)
