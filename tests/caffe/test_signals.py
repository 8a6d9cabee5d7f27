"""SIGINT and SIGHUP become what a solver asks for between two updates."""

import os
import signal

import pytest

from alexnet.caffe.signals import Action, no_action, signal_effects


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("effect", ["stop", "snapshot", "none"])
def test_a_signal_has_the_effect_chosen_for_it_once(effect: Action) -> None:
    with signal_effects(sigint=effect) as requested:
        assert requested() == "none"
        send(signal.SIGINT)
        assert [requested(), requested()] == [effect, "none"]


def test_sighup_comes_first_and_both_have_their_effect() -> None:
    with signal_effects() as requested:
        send(signal.SIGINT)
        send(signal.SIGHUP)
        assert [requested(), requested(), requested()] == ["snapshot", "stop", "none"]


def test_the_handlers_from_before_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
    with signal_effects():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)) == before


def test_without_signals_nothing_is_asked_for() -> None:
    assert no_action() == "none"
