"""Connections under a cap; what else they refuse is in test_http_cases.py."""

from pathlib import Path

import pytest

from tests.serve.http_sent import told
from tests.serve.live import QuickConnection, head, read_answers, start


def test_connections_beyond_the_cap_are_told_so(
    runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickConnection, "most_connections", 3)
    with start(runs_folder) as live:
        kept = [live.connect() for _ in range(3)]
        for each in kept:  # each is known to the server once it is answered
            each.sendall(head("GET /healthz HTTP/1.1"))
            assert each.recv(12) == b"HTTP/1.1 200"
        (answer,) = read_answers(live.connect())
        assert told(answer) == (503, "busy")
        assert answer.json["error"]["message"] == "there are too many connections"


def test_a_connection_that_asks_nothing_more_is_closed_without_a_word(runs_folder: Path) -> None:
    with start(runs_folder) as live:
        (answer,) = live.raw(head("GET /healthz HTTP/1.1"))
        assert answer.status == 200


def test_a_connection_that_never_asks_is_told(runs_folder: Path) -> None:
    with start(runs_folder) as live:
        (answer,) = live.raw(b"")
        assert told(answer) == (408, "too-slow")
        assert answer.json["error"]["message"] == "no whole request came in 1 s"
