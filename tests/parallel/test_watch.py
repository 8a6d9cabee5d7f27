import os
import threading
import time
from datetime import timedelta

import pytest
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store

from alexnet.parallel import watch
from alexnet.parallel.watch import PeerError, Watch


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_SECONDS", 0.05)
    monkeypatch.setattr(watch, "LOST_AFTER_SECONDS", 1.0)
    monkeypatch.setattr(watch, "BROKEN_AFTER_SECONDS", 0.5)


@pytest.fixture
def store() -> Store:
    limit = timedelta(seconds=5)
    made: Store = dist.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", 0, is_master=True, timeout=limit
    )
    return made


def test_a_rank_that_gives_no_sign_is_named(store: Store) -> None:
    said: list[str] = []
    heard = threading.Event()

    def lost(message: str) -> None:
        said.append(message)
        heard.set()

    signs = PrefixStore("signs", store)
    first, second = (Watch(signs, rank=rank, size=3, lost=lost) for rank in (0, 1))
    with first, second:
        assert heard.wait(5)  # rank 2 was never there
    assert "rank 2 of 3 gave no sign of life" in said[0]
    assert "--resume" in said[0]


def test_ranks_that_leave_in_order_are_not_missed(store: Store) -> None:
    said: list[str] = []
    with Watch(store, rank=0, size=2, lost=said.append):
        with Watch(store, rank=1, size=2, lost=said.append):
            time.sleep(0.2)
        time.sleep(1.5)
    assert not said


def test_rank_0_stays_until_the_others_have_left(store: Store) -> None:
    other = Watch(store, rank=1, size=2, lost=print)
    other.__enter__()
    threading.Timer(0.4, other.__exit__, (None, None, None)).start()
    started_at = time.monotonic()
    with Watch(store, rank=0, size=2, lost=print):
        time.sleep(0.1)
    assert time.monotonic() - started_at >= 0.4


def test_the_end_says_why_and_has_the_code_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    watch.end("rank 2 is gone")
    assert codes == [4]
    assert capsys.readouterr().err == "alexnet: rank 2 is gone\n"


def test_a_fault_of_one_is_known_to_the_others(store: Store) -> None:
    said: list[str] = []
    heard = threading.Event()

    def lost(message: str) -> None:
        said.append(message)
        heard.set()

    fault = ValueError("cat.jpg is no picture")
    with (
        Watch(store, rank=0, size=2, lost=lost),
        Watch(store, rank=1, size=2, lost=print) as second,
    ):
        assert second.explain(fault) is fault
        assert heard.wait(5)
    assert said == ["rank 1: cat.jpg is no picture"]


def test_a_message_that_failed_is_explained_by_the_rank_that_is_lost(store: Store) -> None:
    said: list[str] = []
    with Watch(store, rank=0, size=2, lost=said.append) as first:
        error = first.explain(RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed"))
    assert "rank 1 of 2 gave no sign of life for 0 seconds" in said[0]
    assert isinstance(error, PeerError)


def test_a_message_that_failed_without_a_reason_says_where_to_look(store: Store) -> None:
    with (
        Watch(store, rank=1, size=2, lost=print),
        Watch(store, rank=0, size=2, lost=print) as first,
    ):
        error = first.explain(RuntimeError("[gloo] Connection closed by peer"))
    assert "another process of the run has ended" in str(error)
    assert "see the others' logs" in str(error)
