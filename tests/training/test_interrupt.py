"""Signals become requests; a second SIGINT or SIGTERM acts as before."""

import os
import signal

import pytest

from alexnet.training.interrupt import stop_requests

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_becomes_a_request_and_the_work_goes_on(number: signal.Signals) -> None:
    with stop_requests() as request:
        assert request.reason == ""
        os.kill(os.getpid(), number)
        assert request.reason == number.name


def test_a_second_signal_acts_at_once() -> None:
    with stop_requests() as request:
        os.kill(os.getpid(), signal.SIGINT)
        assert request.reason == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_second_signal_may_be_the_other_one() -> None:
    with stop_requests():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_second_sign_of_a_closed_terminal_or_a_jobs_end_asks_again(
    number: signal.Signals,
) -> None:
    with stop_requests() as request:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert request.reason == number.name
        os.kill(os.getpid(), signal.SIGTERM)
        assert request.reason == "SIGTERM"


def test_what_the_program_was_started_to_ignore_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_requests() as request:
            os.kill(os.getpid(), signal.SIGHUP)
            assert request.reason == ""
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_afterwards_the_handlers_are_what_they_were() -> None:
    before = [signal.getsignal(n) for n in SIGNALS]
    with stop_requests():
        inside = [signal.getsignal(n) for n in SIGNALS]
    assert [signal.getsignal(n) for n in SIGNALS] == before
    assert inside[0] is not before[0]
    with pytest.raises(RuntimeError, match="of the work"), stop_requests():
        raise RuntimeError("of the work")
    assert [signal.getsignal(n) for n in SIGNALS] == before
