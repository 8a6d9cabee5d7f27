"""Trainings that the page starts: real processes, stopped, gone on with, ended with the server."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.model import open_model
from alexnet.serve import training
from alexnet.serve.answers import Refused
from alexnet.serve.models import Place, Shelf
from alexnet.serve.training import Trainings, read_recipe
from alexnet.training.recipes import RECIPES
from tests.conftest import MakePictures

SMALL = {
    "net": "lenet-5",
    "epochs": 500,
    "batch": 8,
    "picture_size": 32,
    "input_size": 0,
    "subtract": "mean-value",
    "workers": 1,
    "report_every": 1,
    "precision": "fp32",
    "device": "cpu",
    "crop": "centre",
    "lighting": 0.0,
    "init": "source",
    "minutes": 0.0,
}


@pytest.fixture
def data(pictures: MakePictures) -> Path:
    """Return a folder of pictures that may be trained on."""
    return pictures("photos", per_class=8, size=40)


@pytest.fixture
def trainings(data: Path, tmp_path: Path) -> Iterator[Trainings]:
    """Return trainings below an empty folder."""
    (tmp_path / "runs").mkdir()
    made = Trainings(Shelf(tmp_path / "runs", device=torch.device("cpu")), data)
    yield made
    made.close()


def wait(trainings: Trainings, name: str, folder: Path) -> None:
    """Wait until a training has written a line, or ended."""
    until = time.monotonic() + 120
    while not has_trained(folder):
        told = trainings.describe(name)
        assert told is not None
        assert told["training"], told
        assert time.monotonic() < until, told
        time.sleep(0.05)


def has_trained(folder: Path) -> bool:
    """Return whether a run has made an update; a signal before that has nothing to save."""
    journal = folder / "journal.jsonl"
    return journal.is_file() and '"train"' in journal.read_text()


def ended(trainings: Trainings, name: str) -> dict[str, Any]:
    """Wait until a training has ended."""
    trainings._started[name].process.wait(120)
    told = trainings.describe(name)
    assert told is not None
    return told


def test_a_run_is_started_stopped_and_gone_on_with(trainings: Trainings, data: Path) -> None:
    name = trainings.start({"data": str(data), "name": "first", "fields": SMALL})
    folder = trainings.shelf.path / name
    with pytest.raises(Refused, match="'first' is being trained"):
        trainings.start({"data": str(data)})
    wait(trainings, name, folder)
    trainings.stop(name)
    assert ended(trainings, name)["exit_code"] == 75  # saved, can go on
    with pytest.raises(Refused, match="this server does not train 'first' now"):
        trainings.stop(name)
    before = (folder / "journal.jsonl").stat().st_size
    trainings.resume(Place(name, folder))
    until = time.monotonic() + 120
    while (folder / "journal.jsonl").stat().st_size <= before:
        assert time.monotonic() < until, trainings.describe(name)
        time.sleep(0.05)
    trainings.close()  # as the server does at its end
    process = trainings._started[name].process
    assert process.returncode == 75
    recipe = read_recipe(Place(name, folder))
    assert recipe is not None
    assert (recipe.net, recipe.epochs, recipe.data) == ("lenet-5", 500, str(data))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent-death signal")
def test_a_training_does_not_outlive_a_server_that_is_killed(tmp_path: Path, data: Path) -> None:
    (tmp_path / "runs").mkdir()
    code = (
        "import sys, json, time, torch; from pathlib import Path\n"
        "from alexnet.serve.models import Shelf; from alexnet.serve.training import Trainings\n"
        "root, data, fields = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])\n"
        "trainings = Trainings(Shelf(root, device=torch.device('cpu')), data)\n"
        "trainings.start({'data': str(data), 'name': 'one', 'fields': fields})\n"
        "print(trainings._started['one'].process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    arguments = [str(tmp_path / "runs"), str(data), json.dumps(SMALL)]
    server = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    with server.stdout:
        child = int(server.stdout.readline())
    until = time.monotonic() + 120
    while not has_trained(tmp_path / "runs" / "one"):
        assert time.monotonic() < until
        time.sleep(0.05)
    server.kill()
    server.wait()
    while _lives(child):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert open_or_none(tmp_path / "runs" / "one")  # it had saved before it ended


def _lives(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def open_or_none(run: Path) -> bool:
    """Return whether a run has a checkpoint or a model that can be opened."""
    if (run / "model").is_dir():
        return open_model(run).name == "lenet-5"
    return any(run.glob("checkpoints/step-*/manifest.json"))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"dat": "x"}, r"unknown key 'dat' \(did you mean 'data'\?\)"),
        ({"recipe": "quik"}, "recipe is 'quik'; it must be one of paper, quick"),
        ({"recipe": "/etc/passwd.toml"}, "it must be one of paper, quick"),
        ({"data": "/etc"}, "data is none of the sets that this server may train on"),
        ({"data": None}, "data is none of the sets that this server may train on"),
        ({"data": ["x"]}, "data is none of the sets that this server may train on"),
        ({"fields": []}, "fields is no object of a recipe's fields without data"),
        ({"fields": {"data": "/etc"}}, "fields is no object of a recipe's fields without data"),
        ({"fields": {"epoch": 1}}, r"unknown key 'epoch' \(did you mean 'epochs'\?\)"),
        ({"fields": {"lr": "fast"}}, "lr is 'fast'; it must be of type float"),
        ({"fields": {"lr": -1}}, "lr is -1; it must be above 0"),
        ({"fields": {"net": "../net.prototxt"}}, "net.prototxt"),
        ({"fields": {"net": "alexnat"}}, "did you mean"),
        ({"name": "../x"}, "the name of a run has letters, digits and"),
        ({"name": ".x"}, "the name of a run has letters, digits and"),
        ({"name": 5}, "the name of a run has letters, digits and"),
        ({"name": "taken"}, "there is a run 'taken' already"),
    ],
)
def test_what_cannot_be_started_is_refused(
    trainings: Trainings, data: Path, wanted: dict[str, Any], message: str
) -> None:
    (trainings.shelf.path / "taken").mkdir()
    with pytest.raises(Refused, match=message) as refused:
        trainings.start({"data": str(data)} | wanted)
    assert refused.value.status in (400, 403, 409)
    assert trainings._started == {}


def test_data_are_those_of_the_server_and_of_its_runs(
    trainings: Trainings, data: Path, pictures: MakePictures
) -> None:
    other = pictures("others", per_class=2, size=32)
    for name, place in (("a", other), ("b", other / "gone")):
        folder = trainings.shelf.path / name
        folder.mkdir()
        (folder / "recipe.toml").write_text(f'data = "{place}"')
    (trainings.shelf.path / "c").mkdir()
    (trainings.shelf.path / "c" / "recipe.toml").write_text("broken")
    assert trainings.allowed_data() == [str(data), str(other)]
    assert "digits" in RECIPES
    assert asdict(RECIPES["quick"])["data"] == ""


def test_a_server_of_one_run_starts_no_other_and_a_model_does_not_go_on(
    trainings: Trainings, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").write_text("")
    single = Trainings(Shelf(run, device=torch.device("cpu")), data)
    with pytest.raises(Refused, match="this server serves one run"):
        single.start({"data": str(data)})
    single.close()
    with pytest.raises(Refused, match="'model' is a model and no run"):
        trainings.resume(Place("model", tmp_path))
    assert trainings.describe("model") is None


def test_names_count_on_and_are_made_of_what_the_data_are_called(trainings: Trainings) -> None:
    assert trainings._free_name("my photos!-alexnet") == "my-photos--alexnet-1"
    (trainings.shelf.path / "x-1").mkdir()
    assert trainings._free_name("x") == "x-2"
    assert trainings._free_name("...") == "run-1"


def test_a_training_that_does_not_end_is_killed(
    trainings: Trainings, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.2)
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    log = trainings.shelf.path / "log"
    log.write_text("")
    trainings._started["stuck"] = training._Training(process, log, log)
    trainings.close()
    assert process.returncode == -signal.SIGKILL
    assert not os.path.exists(f"/proc/{process.pid}")
