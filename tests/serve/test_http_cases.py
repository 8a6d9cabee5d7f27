"""The 34 bad or strange requests of `tests.serve.http_cases`, one server for all."""

from pathlib import Path

import pytest

from alexnet.serve.guard import Rules
from tests.serve.http_cases import CASES
from tests.serve.http_sent import told
from tests.serve.live import SECRET, Live, jpeg, start

TOKEN_CASE = "token missing, wrong"


def test_there_are_34_cases() -> None:
    assert len({*CASES, TOKEN_CASE}) == 34


@pytest.mark.parametrize("name", CASES)
def test_a_request_gets_its_answer_and_the_server_goes_on(live: Live, name: str) -> None:
    CASES[name](live)
    health = live.ask("/healthz")
    assert (health.status, health.json["status"]) == (200, "ok")


def test_a_token_that_is_missing_or_wrong_is_refused(runs_folder: Path) -> None:
    with start(runs_folder, rules=Rules(token=SECRET)) as live:
        wrong = (SECRET[:-1], SECRET + "x", SECRET.upper(), "", "\xe9" * 20)
        for path, body in (("/api/models", None), ("/api/predict", jpeg()), ("/", None)):
            assert told(live.ask(path, body)) == (401, "token")
            for each in wrong:
                sent = {"Authorization": f"Bearer {each}"}
                assert told(live.ask(path, body, headers=sent)) == (401, "token")
                sent = {"Cookie": f"alexnet-token={each}"}
                assert told(live.ask(path, body, headers=sent)) == (401, "token")
        assert told(live.ask("/?token=wrong")) == (401, "token")
        assert told(live.ask("/api/models", headers={"Authorization": f"Basic {SECRET}"}))[0] == 401
        assert told(live.ask(f"/api/models?token={SECRET}")) == (401, "token")  # the page alone
        assert live.ask("/healthz").status == 200

        sent = {"Authorization": f"Bearer {SECRET}"}
        assert live.ask("/api/predict", jpeg(), headers=sent).status == 200
        first = live.ask(f"/?token={SECRET}")
        assert (first.status, first.headers["location"]) == (303, "/")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        sent = {"Cookie": cookie.partition(";")[0]}
        assert live.ask("/", headers=sent).status == 200
        assert live.ask("/api/models", headers=sent).json["models"] == ["one"]
