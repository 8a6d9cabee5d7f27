"""`alexnet train` and what goes wrong in a run: two trainers, changed data, memory, no numbers."""

import shutil
from pathlib import Path

import pytest

from alexnet.cli import run
from alexnet.training.lock import LOCK, hold
from alexnet.training.recipe import load
from tests.cli.conftest import Capture, Train, refused
from tests.conftest import MakePictures

pytestmark = pytest.mark.usefixtures("tiny_net")


def test_a_second_trainer_exits_4_and_names_the_first(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    data, message = pictures(), r"run is in use: process \d+ on .*, since .* trains in it; wait"
    with hold(tmp_path / "run"):
        refused(train(data), capsys, expected=4, message=message)
        (tmp_path / "run" / "recipe.toml").write_text("")
        code = run(["train", "--resume", str(tmp_path / "run")])
        refused(code, capsys, expected=4, message=message)
    (tmp_path / "run" / "recipe.toml").unlink()
    assert train(data, "--steps", "1") == 0
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_run_that_could_not_start_leaves_no_folder(
    train: Train, tmp_path: Path, capsys: Capture
) -> None:
    refused(train(tmp_path / "nothing"), capsys, expected=3, message="nothing does not exist")
    assert not (tmp_path / "run").exists()
    gone = tmp_path / "gone"
    refused(run(["train", "--resume", str(gone)]), capsys, expected=3, message="is not a run")
    assert not gone.exists()


def test_changed_data_are_gone_on_with_when_asked_to(
    train: Train, pictures: MakePictures, tmp_path: Path, capsys: Capture
) -> None:
    data = pictures(per_class=10)
    assert train(data, "--epochs", "1") == 0
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    (data / "disc" / "0001.jpg").unlink()
    assert recipe.count("epochs = 1\n") == 1
    code = run(["train", "--resume", str(tmp_path / "run"), "--accept-changed-data"])
    assert code == 0  # without a checkpoint it begins anew, with what is there


def test_accepting_changes_needs_a_run(train: Train, tmp_path: Path, capsys: Capture) -> None:
    message = "--accept-changed-data is for a run that goes on; give --resume RUN too"
    refused(train(tmp_path, "--accept-changed-data"), capsys, expected=2, message=message)


def test_batch_auto_writes_down_in_how_many_parts_the_batch_fits(
    train: Train,
    pictures: MakePictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr("alexnet.training.pictures.parts_that_fit", lambda *_, **__: 2)
    assert train(pictures(), "--batch", "auto", "--steps", "1") == 0
    assert "a batch of 8 fits in 2 parts\n" in capsys.readouterr().err
    recipe = load(tmp_path / "run" / "recipe.toml")
    assert (recipe.batch, recipe.accumulate) == (8, 2)


def test_a_batch_is_a_number_or_auto(train: Train, tmp_path: Path, capsys: Capture) -> None:
    refused(train(tmp_path, "--batch", "most"), capsys, expected=2, message="batch.*most")
