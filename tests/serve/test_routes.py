"""Every route over HTTP: what it answers, and what it refuses."""

import http.client
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.serve.http_sent import told
from tests.serve.live import CLASSES, SECRET, Live, jpeg, multipart, part, start

JSON = {"Content-Type": "application/json"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=edge"}


def image(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


def when_done(live: Live, path: str, body: bytes | None = None) -> Any:
    """Ask until the pictures have been looked through."""
    until = time.monotonic() + 60
    while (answer := live.ask(path, body)).status == 202:
        assert time.monotonic() < until
        assert answer.json["done"] <= answer.json["of"] == 6
        time.sleep(0.02)
    assert answer.status == 200, answer.body
    return answer.json


def test_the_page_and_its_files_are_served(live: Live) -> None:
    page = live.ask("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.body == live.ask("/static/index.html").body
    assert b"<title>alexnet</title>" in page.body
    assert live.ask("/", method="HEAD").body == b""
    assert live.ask("/?token=any").status == 303  # there is none to be asked for


def test_a_model_tells_its_classes_preprocessing_and_layers(live: Live) -> None:
    assert live.ask("/api/models").json == {"models": ["one"], "default": "one"}
    found = live.ask("/api/model").json
    assert found["classes"] == list(CLASSES)
    assert found["preprocessing"]["crop_size"] == 67
    assert found["layers"][0]["name"] == "conv1"
    assert found["parameters"] == sum(each["parameters"] for each in found["layers"])
    assert (found["net"], found["weights"]) == ("tiny", "same")
    assert (found["device"], found["arithmetic"]) == ("cpu", "float32")
    assert 0 <= time.time() - found["written_at"] < 600
    assert told(live.ask("/api/model?model=none")) == (404, "not-found")


def test_each_look_is_a_picture_or_numbers(live: Live) -> None:
    for kind in ("activations", "grad-cam", "occlusion", "deconvnet"):
        answer = live.ask(f"/api/look?kind={kind}", jpeg())
        assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
        assert image(answer.body).shape[2] == 3
    assert live.ask("/api/look?kind=statistics&layer=fc8", jpeg()).json["shape"] == [3]
    values = live.ask("/api/look?kind=values&layer=conv1&unit=2", jpeg()).json["values"]
    one = image(live.ask("/api/look?layer=conv1&unit=2", jpeg()).body)
    assert one.shape[0] == one.shape[1] == 512 // len(values) * len(values)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=gradcam", r"kind is 'gradcam' \(did you mean 'grad-cam'\?\)"),
        ("layer=conv9", "no layer is called 'conv9'"),
        ("unit=x", "unit is no whole number from 0 to"),
        ("unit=-1", "unit is no whole number from 0 to"),
        ("class=99&kind=grad-cam", "class number 99 is not among the 3 of the net"),
    ],
)
def test_a_look_at_what_is_not_there_is_refused(live: Live, query: str, message: str) -> None:
    import re

    answer = live.ask(f"/api/look?{query}", jpeg())
    assert told(answer) == (400, "query")
    assert re.search(message, answer.json["error"]["message"])


def test_one_picture_is_looked_at(live: Live) -> None:
    two = multipart([part("a"), part("b")])
    answer = live.ask("/api/look", two, headers=MULTIPART)
    assert told(answer) == (400, "too-many")
    assert answer.json["error"]["message"] == "2 pictures came; send one"
    assert live.ask("/api/look", multipart([part()]), headers=MULTIPART).status == 200
    assert told(live.ask("/api/look", b"none")) == (422, "picture")


def test_kernels_are_drawn(live: Live) -> None:
    assert image(live.ask("/api/kernels").body).shape[2] == 3


def test_confusion_leads_to_the_pictures_behind_a_cell(live: Live) -> None:
    found = when_done(live, "/api/confusion")
    assert found["classes"] == list(CLASSES)
    assert sum(map(sum, found["confusion"])) == 6
    total = 0
    for truth in range(3):
        for answer in range(3):
            cell = live.ask(f"/api/confusion?truth={truth}&answer={answer}").json["pictures"]
            assert len(cell) == found["confusion"][truth][answer]
            total += len(cell)
            for each in cell:
                shown = live.ask(f"/api/pictures/{each['picture']}?size=40")
                assert max(image(shown.body).shape[:2]) == 40
    assert total == 6
    assert told(live.ask("/api/confusion?truth=3&answer=0")) == (400, "query")


def test_mistakes_and_neighbours_are_named_by_number(live: Live) -> None:
    wrong = when_done(live, "/api/mistakes")["mistakes"]
    assert len(wrong) == when_done(live, "/api/confusion")["top1_errors"]
    for each in wrong:
        assert each["class"] != each["answer"]
    first = live.ask("/api/pictures/0?size=1024").body
    found = when_done(live, "/api/similar?count=3", first)
    assert len(found["pictures"]) == 3
    assert found["pictures"][0]["picture"] == 0
    assert found["layer"] == "relu7"
    assert told(live.ask("/api/similar?count=1001", jpeg())) == (400, "query")


@pytest.mark.parametrize("number", ["6", "999999999", "-1", "x", "1e1", "%2e%2e%2f0", "../0"])
def test_a_picture_that_is_not_there_is_not_found(live: Live, number: str) -> None:
    assert live.ask(f"/api/pictures/{number}").status in (400, 404)


def test_a_picture_has_the_size_that_is_asked_for_within_bounds(live: Live) -> None:
    for size in ("15", "1025", "x"):
        assert told(live.ask(f"/api/pictures/0?size={size}")) == (400, "query")


def test_runs_are_listed_and_described(live: Live) -> None:
    found = live.ask("/api/runs").json
    assert [each["name"] for each in found["runs"]] == ["one"]
    assert found["may_start"]
    run = live.ask("/api/runs/one").json
    assert [line["step"] for line in run["journal"]] == [1]
    assert run["recipe"]["net"] == "tiny"
    assert told(live.ask("/api/runs/two")) == (404, "not-found")


def test_a_run_is_followed_until_it_ends(live: Live) -> None:
    answer = live.ask("/api/runs/one/events")
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert b'"step": 1' in answer.body
    assert answer.body.endswith(b'event: state\ndata: {"training": false}\n\n')
    last = answer.body.split(b"id: ")[1].split(b"\n")[0].decode()
    again = live.ask("/api/runs/one/events", headers={"Last-Event-ID": last})
    assert b'"step": 1' not in again.body
    assert told(live.ask("/api/runs/one/events?after=x")) == (400, "query")
    live.service.followers = 32
    assert told(live.ask("/api/runs/one/events")) == (503, "busy")
    live.service.followers = 0


def test_a_report_may_run_nothing_in_the_pages_name(live: Live, runs_folder: Path) -> None:
    assert told(live.ask("/api/runs/one/report")) == (404, "no-report")
    (runs_folder / "one" / "report.html").write_text("<script>alert(1)</script>")
    answer = live.ask("/api/runs/one/report")
    (runs_folder / "one" / "report.html").unlink()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy


def test_a_recipe_is_told_as_a_form_needs_it(live: Live) -> None:
    found = live.ask("/api/recipe").json
    assert "alexnet" in found["nets"]
    assert found["recipes"]["paper"]["lr"] == 0.01
    assert found["fields"][0]["name"] == "net"
    assert {each["group"] for each in found["fields"]} == set(found["groups"])
    assert len(found["data"]) == 1


def test_what_cannot_be_started_stopped_or_gone_on_with_is_refused(live: Live) -> None:
    body = json.dumps({"data": "/etc"}).encode()
    assert told(live.ask("/api/runs", body, headers=JSON)) == (403, "data")
    assert told(live.ask("/api/runs/one/stop", b"")) == (409, "not-training")
    assert told(live.ask("/api/runs/two/stop", b"")) == (404, "not-found")
    assert told(live.ask("/api/runs/two/resume", b"")) == (404, "not-found")


def test_runs_are_started_and_gone_on_with_by_name(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(
        live.service.trainings, "_launch", lambda name, words: begun.append([name, *words])
    )
    (data,) = live.ask("/api/recipe").json["data"]
    body = json.dumps({"data": data, "fields": {"net": "lenet"}}).encode()
    answer = live.ask("/api/runs", body, headers=JSON)
    assert (answer.status, answer.json) == (201, {"name": "data-lenet-1"})
    assert live.ask("/api/runs/one/resume", b"").status == 202
    assert [each[1] for each in begun] == ["train", "train"]
    assert begun[0][2] == data
    assert begun[1][2:3] == ["--resume"]


def test_only_a_server_on_loopback_trains(runs_folder: Path) -> None:
    with start(runs_folder, allows_training=False) as live:
        for path in ("/api/runs", "/api/runs/one/stop", "/api/runs/one/resume"):
            assert told(live.ask(path, b"{}", headers=JSON)) == (403, "training")
        assert not live.ask("/api/recipe").json["may_start"]


def test_a_stopping_server_starts_no_training(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.service, "is_stopping", lambda: True)
    assert told(live.ask("/api/runs", b"{}", headers=JSON)) == (503, "busy")
    health = live.ask("/healthz")
    assert (health.status, health.json["status"]) == (503, "stopping")


def test_without_labelled_pictures_there_is_no_confusion(runs_folder: Path) -> None:
    recipe = runs_folder / "one" / "recipe.toml"
    text = recipe.read_text()
    try:
        recipe.write_text("")
        with start(runs_folder) as live:
            for path, body in (("/api/confusion", None), ("/api/similar", jpeg())):
                answer = live.ask(path, body)
                assert told(answer) == (404, "no-data")
                assert answer.json["error"]["hint"] == "start the server with --data FOLDER"
    finally:
        recipe.write_text(text)


def test_pictures_that_were_not_looked_through_are_said(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_done(live, "/api/confusion")
    (look,) = live.service.tested._looks.values()
    monkeypatch.setattr(look, "error", "the disk has gone")
    monkeypatch.setattr(look, "done", 3)
    for path, body in (("/api/mistakes", None), ("/api/similar", jpeg())):
        answer = live.ask(path, body)
        assert told(answer) == (503, "compute")
        assert "the disk has gone" in answer.json["error"]["message"]


def test_a_token_in_the_cookie_is_the_servers_alone(runs_folder: Path) -> None:
    from alexnet.serve.guard import Rules

    with start(runs_folder, rules=Rules(token=SECRET)) as live:
        connection = http.client.HTTPConnection("127.0.0.1", live.port)
        connection.request("GET", f"/?token={SECRET}")
        cookie = connection.getresponse().getheader("set-cookie", "")
        connection.close()
        assert cookie.startswith(f"alexnet-token={SECRET};")
