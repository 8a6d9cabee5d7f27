"""What is shown while a net trains, and how speed and waiting are counted."""

import io
import sys
import time

import pytest

from alexnet.cli import run
from alexnet.training.progress import Display, Meter


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_speed_waiting_and_seconds_are_those_since_the_last_reading(clock: Clock) -> None:
    meter = Meter()
    with meter.waiting():
        clock.now += 1
    clock.now += 3
    assert meter.add(30) == 4.0
    assert meter.add(10) == 0.0
    assert meter.read() == (10.0, 0.25)
    clock.now += 2
    assert meter.add(1) == 2.0
    assert meter.read() == (0.5, 0.0)


def report(display: Display, *, seconds_left: float) -> None:
    values = {"loss": 1.23456, "lr": 0.0025, "images_per_second": 200.4, "wait_share": 0.071}
    display.report(40, values, seconds_left=seconds_left)


@pytest.mark.parametrize(("seconds_left", "left"), [(0, "0:00"), (59.4, "0:59"), (3725, "1:02:05")])
def test_without_a_terminal_a_report_is_a_plain_line_on_standard_error(
    capsys: pytest.CaptureFixture[str], seconds_left: float, left: str
) -> None:
    with Display(100, 5) as display:
        display.step(40, 1)
        report(display, seconds_left=seconds_left)
    shown = capsys.readouterr()
    line = f"update 40/100  loss 1.235  lr 0.0025  200 img/s  {left} left  waiting 7%\n"
    assert (shown.out, shown.err) == ("", line)


def test_on_a_terminal_there_is_a_bar_with_the_epoch_and_the_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Display(100, 5) as display:
        display.step(40, 1)
        report(display, seconds_left=1.0)
        display.say("after 1 epochs")
    shown = capsys.readouterr().err
    assert "epoch 2/5" in shown
    assert "loss 1.235" in shown
    assert "0:01 left" in shown
    assert "after 1 epochs" in shown


class Closed(io.StringIO):
    """A terminal whose window was closed."""

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("terminal", ["", "1"])
def test_a_terminal_that_was_closed_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, terminal: str
) -> None:
    monkeypatch.setenv("FORCE_COLOR", terminal)
    steps = []
    with Display(100, 5) as display:
        monkeypatch.setattr(sys, "stderr", Closed())
        for step in (40, 41):
            display.step(step, 1)
            report(display, seconds_left=1.0)
            display.say("after 1 epochs")
            steps.append(step)
    assert steps == [40, 41]


def test_with_its_terminal_closed_a_command_still_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", Closed())
    assert run(["train", "--resume", "nowhere"]) == 3
