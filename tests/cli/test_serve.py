"""`alexnet serve` as a program: what it refuses, and a life from its start to SIGTERM."""

import http.client
import importlib.util
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alexnet.cli import run, serve
from alexnet.data.augment import Preprocessing
from alexnet.data.statistics import compute
from alexnet.model import create, save_model
from tests.cli.conftest import Capture, refused
from tests.serve.live import SECRET, jpeg


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a small model that every process knows by name."""
    pixels = torch.zeros(4, 32, 32, 3, dtype=torch.uint8)
    preprocessing = Preprocessing(compute([pixels]), 32, 28, colours="grey", subtract="mean-value")
    save_model(create("lenet", ("cat", "dog"), preprocessing, seed=0), tmp_path / "model")
    return tmp_path / "model"


def test_outside_loopback_a_token_is_asked_for(model: Path, capsys: Capture) -> None:
    code = run(["serve", str(model), "--host", "0.0.0.0"])
    refused(code, capsys, expected=2, message=r"host is 0\.0\.0\.0, which other machines reach")


def test_a_token_file_that_others_may_read_is_refused(model: Path, capsys: Capture) -> None:
    token = model.parent / "token"
    token.write_text(SECRET)
    token.chmod(0o644)
    code = run(["serve", str(model), "--token-file", str(token)])
    refused(code, capsys, expected=2, message=r"token may be read by others \(mode 0644\)")


def test_numbers_out_of_range_are_refused(model: Path, capsys: Capture) -> None:
    for words, message in (
        (["--port", "70000"], "port is 70000; it must be from 0 to 65535"),
        (["--pending", "0"], "pending is 0; it must be at least 1"),
        (["--decoders", "0"], "decoders is 0; it must be at least 1"),
    ):
        refused(run(["serve", str(model), *words]), capsys, expected=2, message=message)


def test_what_holds_no_model_and_no_pictures_is_refused(model: Path, capsys: Capture) -> None:
    empty = model.parent / "empty"
    empty.mkdir()
    refused(run(["serve", str(empty)]), capsys, expected=3, message="holds no run and no model")
    code = run(["serve", str(model), "--data", str(empty)])
    refused(code, capsys, expected=3, message="has no class folders and nothing else that is known")


def test_a_damaged_model_is_refused_before_anything_is_served(model: Path, capsys: Capture) -> None:
    weights = next(model.glob("weights*"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    refused(run(["serve", str(model), "--port", "0"]), capsys, expected=3, message="damaged")


def test_packages_that_are_missing_are_named(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else known(name))
    code = run(["serve", str(model)])
    refused(code, capsys, expected=4, message=r"serving needs uvicorn; install it with: pip inst")


def test_a_server_answers_until_it_is_asked_to_stop(model: Path) -> None:
    command = [sys.executable, "-m", "alexnet", "serve", str(model), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    with server.stderr:
        line = server.stderr.readline()
        says = (
            r"serving the model model in b?float\d\d on \w+ from .* at http://127\.0\.0\.1:(\d+)/"
        )
        found = re.search(says, line)
        assert found, line
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("POST", "/api/predict", jpeg(), {"Content-Type": "image/jpeg"})
        response = connection.getresponse()
        labels = json.loads(response.read())["pictures"][0]["labels"]
        connection.close()
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
        assert server.stderr.read() == ""
    assert response.status == 200
    assert sum(each["probability"] for each in labels) == pytest.approx(1)
    assert {each["class"] for each in labels} == {"cat", "dog"}
