"""A server that stops as it should: what it has begun is answered, and new requests are refused."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from alexnet.serve.server import Noise, allow_many_files, prepare
from tests.serve.http_sent import upload
from tests.serve.live import head, jpeg, read_answers, start


def test_what_was_admitted_is_answered_and_new_connections_are_refused(runs_folder: Path) -> None:
    with start(runs_folder) as live:
        assert live.ask("/api/predict", jpeg()).status == 200
        gate = threading.Event()
        live.service.compute.run(gate.wait)
        with ThreadPoolExecutor(3) as clients:
            waiting = [clients.submit(live.ask, "/api/predict", jpeg(n)) for n in range(3)]
            while live.service.pending < 3:
                assert not waiting[0].done()
            idle = live.connect()
            idle.sendall(head("GET /healthz HTTP/1.1"))
            assert idle.recv(12) == b"HTTP/1.1 200"
            live.running.server.should_exit = True  # as SIGTERM does
            while idle.recv(65_536):  # until it is closed: nothing is asked on it any more
                pass
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", live.port), timeout=10)
            gate.set()
            assert [each.result().status for each in waiting] == [200, 200, 200]
        live.thread.join(60)
        assert not live.thread.is_alive()


def test_followers_of_a_run_do_not_keep_a_server_from_stopping(runs_folder: Path) -> None:
    lock = runs_folder / "one" / "lock"
    lock.write_text('{"pid": 1, "host": "elsewhere"}')  # it trains for ever, somewhere
    try:
        with start(runs_folder) as live:
            reader = live.connect()
            reader.sendall(head("GET /api/runs/one/events HTTP/1.1"))
            assert reader.recv(12) == b"HTTP/1.1 200"
            live.running.server.should_exit = True
            live.thread.join(60)
            assert not live.thread.is_alive()
    finally:
        lock.unlink()


def test_a_request_that_comes_while_the_server_stops_is_told_so(runs_folder: Path) -> None:
    with start(runs_folder) as live:
        connection = live.connect()
        connection.sendall(upload(jpeg())[:-5])  # it has begun, and goes on below
        while not live.service.room.taken:
            assert live.thread.is_alive()
        live.running.server.should_exit = True
        connection.sendall(upload(jpeg())[-5:])
        (answer,) = read_answers(connection)
        assert answer.status in (200, 503)  # 503: the signal was seen first


def test_a_port_that_is_taken_is_an_error_of_the_system(runs_folder: Path) -> None:
    with (
        start(runs_folder) as live,
        pytest.raises(OSError, match="Address already in use"),
    ):
        prepare(live.service, host="127.0.0.1", port=live.port)


def test_as_many_files_are_allowed_as_the_system_grants() -> None:
    import resource

    allow_many_files()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft >= min(4096, hard)


def test_what_is_merely_odd_is_not_logged() -> None:
    import logging

    odd = logging.LogRecord("uvicorn.error", logging.WARNING, "", 1, "Invalid HTTP", (), None)
    bad = logging.LogRecord("uvicorn.error", logging.ERROR, "", 1, "fault", (), None)
    assert [Noise().filter(each) for each in (odd, bad)] == [False, True]
