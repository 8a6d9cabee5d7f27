"""The application: its table of routes, and faults that are told without their insides."""

import logging

import pytest

from alexnet.serve import runs
from alexnet.serve.answers import SAFE_HEADERS
from alexnet.serve.app import ROUTES
from tests.serve.http_sent import told
from tests.serve.live import Live, jpeg


def test_no_two_routes_are_the_same_and_each_path_begins_where_it_should() -> None:
    assert len({(each.method, each.path) for each in ROUTES}) == len(ROUTES)
    named = {"/", "/healthz", "/openapi.json", "/static/{file}"}
    assert {each.path for each in ROUTES if not each.path.startswith("/api/")} == named


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/models", "/nothing", "/openapi.json"])
def test_every_answer_has_the_headers_that_keep_others_out(live: Live, path: str) -> None:
    answer = live.ask(path)
    for name, value in SAFE_HEADERS.items():
        if name != "cache-control":
            assert answer.headers[name] == value, name
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers


def test_what_the_guard_refuses_has_them_too(live: Live) -> None:
    answer = live.ask("/api/predict", jpeg(), headers={"Origin": "http://evil.example"})
    assert answer.headers["content-security-policy"] == SAFE_HEADERS["content-security-policy"]


def test_a_fault_is_logged_and_told_without_its_insides(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("a secret of the inside")

    monkeypatch.setattr(runs, "describe_run", fail)
    with caplog.at_level(logging.ERROR):
        answer = live.ask("/api/runs")
    assert told(answer) == (500, "fault")
    assert b"secret" not in answer.body
    assert "a secret of the inside" in caplog.text
    assert live.ask("/healthz").status == 200


def test_another_method_and_another_path_are_refused_in_the_one_form(live: Live) -> None:
    assert told(live.ask("/api/models", b"")) == (405, "method")
    assert told(live.ask("/api/models/")) == (404, "not-found")
    assert told(live.ask("/API/models")) == (404, "not-found")
    hint = live.ask("/nothing").json["error"]["hint"]
    assert hint == "GET /openapi.json lists all there is"
