"""Predictions over HTTP: beside `alexnet.predict`, one by one and many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from alexnet.model import open_model
from alexnet.predict import predict
from tests.serve.live import CLASSES, Live, jpeg, multipart, part, start

MULTIPART = {"Content-Type": "multipart/form-data; boundary=edge"}


def test_a_picture_has_the_answer_of_the_command_line(
    live: Live, runs_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(jpeg(3))
    (expected,) = predict(open_model(runs_folder / "one"), [str(file)], top=3)
    answer = live.ask("/api/predict?top=3", jpeg(3))
    assert answer.status == 200
    found = answer.json["pictures"][0]["labels"]
    assert [each["class"] for each in found] == [name for name, _ in expected.labels]
    assert [CLASSES[each["number"]] for each in found] == [each["class"] for each in found]
    for each, (_, p) in zip(found, expected.labels, strict=True):
        assert each["probability"] == pytest.approx(p, abs=1e-6)
    assert answer.json["model"] == "one"


def test_a_crowd_has_the_answers_of_each_alone(live: Live) -> None:
    pictures = [jpeg(seed) for seed in range(12)]
    alone = [live.ask("/api/predict", each).json["pictures"][0]["labels"] for each in pictures]
    before = live.service.compute.batches
    with ThreadPoolExecutor(12) as clients:
        crowd = list(clients.map(lambda each: live.ask("/api/predict", each), pictures))
    assert live.service.compute.batches - before < 12  # some were answered together
    for one, answer in zip(alone, crowd, strict=True):
        found = answer.json["pictures"][0]["labels"]
        assert [each["class"] for each in found] == [each["class"] for each in one]
        for mine, other in zip(one, found, strict=True):
            assert mine["probability"] == pytest.approx(other["probability"], abs=1e-6)


def test_several_pictures_keep_their_names_and_order(live: Live) -> None:
    body = multipart([part("b.jpg", jpeg(1)), part("no.jpg", b"none"), part("a.jpg", jpeg(2))])
    found = live.ask("/api/predict?top=1", body, headers=MULTIPART).json["pictures"]
    assert [each["name"] for each in found] == ["b.jpg", "no.jpg", "a.jpg"]
    assert found[1]["error"]["code"] == "picture"
    alone = live.ask("/api/predict?top=1", jpeg(2)).json["pictures"][0]["labels"][0]
    assert found[2]["labels"][0]["class"] == alone["class"]
    assert found[2]["labels"][0]["probability"] == pytest.approx(alone["probability"], abs=1e-6)


def test_pictures_that_are_all_none_are_refused(live: Live) -> None:
    body = multipart([part("a.jpg", b"none"), part("b.jpg", b"no")])
    answer = live.ask("/api/predict", body, headers=MULTIPART)
    assert (answer.status, answer.code) == (422, "picture")
    assert "no known picture" in answer.json["error"]["message"]


@pytest.mark.parametrize("top", ["0", "-1", "five", "1e3", "999999999", "\u0663"])
def test_a_top_that_is_no_count_is_refused(live: Live, top: str) -> None:
    from urllib.parse import quote

    answer = live.ask(f"/api/predict?top={quote(top)}", jpeg())
    assert (answer.status, answer.code) == (400, "query")
    assert "top is no whole number from 1 to 100000" in answer.json["error"]["message"]


def test_an_unknown_model_is_refused_with_the_nearest(live: Live) -> None:
    answer = live.ask("/api/predict?model=oen", jpeg())
    assert answer.status == 404
    assert "did you mean 'one'?" in answer.json["error"]["message"]


def test_a_net_that_fails_costs_its_batch_alone(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alexnet.serve import models

    def fail(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("the device has gone")

    with monkeypatch.context() as patch:
        patch.setattr(models, "probabilities", fail)
        answer = live.ask("/api/predict", jpeg())
    assert (answer.status, answer.code) == (503, "compute")
    assert "the device has gone" in answer.json["error"]["message"]
    assert live.ask("/api/predict", jpeg()).status == 200


def test_too_many_are_told_to_come_again_and_the_server_stays_healthy(runs_folder: Path) -> None:
    with start(runs_folder, most_pending=2) as live:
        assert live.ask("/api/predict", jpeg()).status == 200  # the model is open now
        gate = threading.Event()
        live.service.compute.run(gate.wait)  # whatever comes has to wait
        with ThreadPoolExecutor(8) as clients:
            waiting = [clients.submit(live.ask, "/api/predict", jpeg()) for _ in range(2)]
            while live.service.pending < 2:
                assert not waiting[0].done()
            refused = [live.ask("/api/predict", jpeg()) for _ in range(4)]
            health = live.ask("/healthz")
            gate.set()
            assert [each.result().status for each in waiting] == [200, 200]
        assert {(each.status, each.code) for each in refused} == {(503, "busy")}
        assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
        assert health.json["status"] == "ok"
        assert health.json["pending"] == 2
        assert (live.service.pending, live.service.room.taken) == (0, 0)
