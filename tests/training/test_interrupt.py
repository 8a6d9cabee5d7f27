"""SIGINT and SIGTERM become a request once, and act as before after that."""

import os
import signal

import pytest

from alexnet.training.interrupt import stop_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


def test_afterwards_the_handlers_are_what_they_were() -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with stop_requests():
        inside = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    assert inside[0] is not before[0]
    with pytest.raises(RuntimeError, match="of the work"), stop_requests():
        raise RuntimeError("of the work")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
