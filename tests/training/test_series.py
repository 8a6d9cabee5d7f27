"""Runs that are made once each: read, gone on with, or begun."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.model import open_model
from alexnet.store import StoreError
from alexnet.training import loop, series, setup
from alexnet.training.interrupt import Interrupted
from alexnet.training.recipe import Recipe
from alexnet.training.series import complete, curve, kept
from tests.conftest import MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    return replace(tiny_recipe(pictures(per_class=6)), report_every=100)


def test_a_run_is_made_once_and_then_read(recipe: Recipe, tmp_path: Path) -> None:
    said: list[str] = []
    first = complete(recipe, tmp_path / "run", said.append)
    assert said == ["run: starting at update 0 of 4"]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert complete(replace(recipe, workers=2), tmp_path / "run", said.append) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
    assert len(said) == 1
    assert first.pictures == 3
    assert first.epochs == 2
    assert curve(tmp_path / "run")[-1] == (2.0, first.top1_error)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert open_model(tmp_path / "run").classes == ("cross", "disc", "square")


def test_a_run_that_was_cut_off_is_gone_on_with(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = complete(recipe, tmp_path / "whole", print)
    validate, times = loop.validate, []

    def cut_off(run: setup.Run) -> object:
        counts = validate(run)
        times.append(run.position.step)
        if len(times) == 2:
            raise Interrupted("asked to stop")
        return counts

    monkeypatch.setattr(loop, "validate", cut_off)
    with pytest.raises(Interrupted):
        complete(recipe, tmp_path / "run", print)
    said: list[str] = []
    again = complete(recipe, tmp_path / "run", said.append)
    assert said == ["run: going on at update 2 of 4"]
    assert replace(again, run=whole.run) == whole
    assert curve(tmp_path / "run") == curve(tmp_path / "whole")


def test_a_run_that_ended_without_its_result_is_not_trained_again(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: Path, count: object) -> object:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(series, "kept", killed)
        with pytest.raises(KeyboardInterrupt):
            complete(recipe, tmp_path / "run", print)
    monkeypatch.setattr(loop, "update", None)  # which would fail if called
    assert complete(recipe, tmp_path / "run", print).epochs == 2


def test_a_folder_of_another_recipe_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    setup.start(recipe, tmp_path / "run")
    for changed, message in (
        (replace(recipe, lr=0.1), r"run was begun with lr 0\.005, and now it is 0\.1; give what"),
        (replace(recipe, seed=4), r"begun with seed 0, and now it is 4; .* or another --out"),
    ):
        with pytest.raises(ValueError, match=message):
            complete(changed, tmp_path / "run", print)


def test_a_damaged_result_is_named_and_can_be_made_again(recipe: Recipe, tmp_path: Path) -> None:
    first = complete(recipe, tmp_path / "run", print)
    file = tmp_path / "run" / "result.json"
    for damaged in (b"", b"{", b"[]", json.dumps({"pictures": 3}).encode()):
        file.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"result\.json is damaged; remove it, and it is made"):
            complete(recipe, tmp_path / "run", print)
    file.unlink()
    assert complete(recipe, tmp_path / "run", print) == first


def test_a_run_without_its_journal_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    setup.start(recipe, tmp_path / "run").journal.write("train", 1)
    with pytest.raises(StoreError, match="run has lost its journal; remove the folder to run it"):
        series._last_validation(tmp_path / "run")


def test_what_is_counted_is_counted_once(tmp_path: Path) -> None:
    times: list[int] = []

    def count() -> dict[str, object]:
        times.append(1)
        return {"pictures": 4, "epoch": 1.5, "top1_error": 0.25, "top5_error": 0.0}

    first = kept(tmp_path / "views-10.json", count)
    assert kept(tmp_path / "views-10.json", count) == first
    assert first == series.Result(tmp_path, 4, 1.5, 0.25, 0.0)
    assert times == [1]
