"""The ledger: listed = used + skipped + refused + not reached, and each bad file once."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.data import loader
from alexnet.data.loader import Batch, epoch_order
from alexnet.evaluation.metrics import Counts
from alexnet.store import StoreError
from alexnet.training import loop, setup
from alexnet.training.interrupt import Interrupted
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.setup import Run
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import same_outcome, train_stopping

pytestmark = pytest.mark.usefixtures("tiny_net")
FIGURES = ("listed", "used", "skipped", "refused", "not_reached")
EMPTY, GONE = "the file is empty", "is missing since the run began"
BROKEN = "cross/0003.jpg"


@pytest.fixture
def recipe(pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """24 pictures to train on in batches of 8, one of them empty; 6 to validate, one empty too."""
    monkeypatch.setattr(loader, "MOST_BAD_SHARE", 0.5)
    data = pictures("set/train").parent
    pictures("set/val", per_class=2, seed=1)
    (data / "train" / BROKEN).write_bytes(b"")
    (data / "val" / "disc" / "0001.jpg").write_bytes(b"")
    return replace(tiny_recipe(data), epochs=3, cache_gib=0.0)


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in read_journal(folder / "journal.jsonl") if line["kind"] == kind]


def figures(folder: Path) -> list[list[int]]:
    return [[line[name] for name in FIGURES] for line in lines(folder, "epoch")]


def lose_after_an_epoch(
    run: Run, monkeypatch: pytest.MonkeyPatch, *, positions: tuple[int, ...]
) -> list[str]:
    """Let pictures go once the first epoch is over; return their paths in the second's order."""
    order = [run.split.train.paths[i] for i in epoch_order(24, 1, run.recipe.seed).tolist()]
    lost = [order[position] for position in positions]
    real = loop.validate

    def validate(run: Run) -> Counts:
        if run.position.epoch == 1:
            for path in lost:
                (Path(run.recipe.data) / "train" / path).unlink()
        return real(run)

    monkeypatch.setattr(loop, "validate", validate)
    return lost


def test_pictures_are_bad_before_the_first_epoch(recipe: Recipe, tmp_path: Path) -> None:
    run = setup.start(recipe, tmp_path / "run")
    (line,) = read_journal(run.folder / "journal.jsonl")
    assert line == {
        "kind": "statistics",
        "step": 0,
        "listed": 24,
        "used": 23,
        "refused": 1,
        "files": {BROKEN: EMPTY},
    }


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_what_becomes_of_every_picture_does_not_depend_on_the_threads(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    run = setup.start(replace(recipe, workers=workers), tmp_path / "run")
    lost = lose_after_an_epoch(run, monkeypatch, positions=(3, 17))
    assert BROKEN not in lost
    loop.train(run)
    assert figures(run.folder) == [[24, 23, 1, 0, 0], [24, 21, 1, 2, 0], [24, 21, 3, 0, 0]]
    assert [line["files"] for line in lines(run.folder, "epoch")] == [
        {},
        dict.fromkeys(lost, GONE),
        {},
    ]
    assert [line["step"] for line in lines(run.folder, "epoch")] == [3, 6, 9]
    tested = lines(run.folder, "validation")
    assert [(line["listed"], line["pictures"]) for line in tested] == [(6, 5)] * 3
    assert [line["files"] for line in tested] == [{"disc/0001.jpg": EMPTY}] * 3
    assert [line["bad_pictures"] for line in tested] == [2, 4, 4]


def test_pictures_kept_in_memory_are_used_when_their_files_are_gone(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = setup.start(replace(recipe, cache_gib=1.0), tmp_path / "run")
    lose_after_an_epoch(run, monkeypatch, positions=(3, 17))
    loop.train(run)
    assert figures(run.folder) == [[24, 23, 1, 0, 0]] * 3


def test_a_run_that_ends_inside_an_epoch_has_not_reached_the_rest(
    recipe: Recipe, tmp_path: Path
) -> None:
    loop.train(setup.start(replace(recipe, steps=4), tmp_path / "run"))
    first, second = figures(tmp_path / "run")
    assert first == [24, 23, 1, 0, 0]
    skipped = second[2]
    assert second == [24, 8 - skipped, skipped, 0, 16]


@pytest.mark.parametrize("at", [5, 6])
def test_a_stop_inside_an_epoch_leaves_the_same_books(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patch:
        run = setup.start(recipe, tmp_path / "whole")
        shutil.copytree(recipe.data, tmp_path / "kept")
        lost = lose_after_an_epoch(run, patch, positions=(3, 9))
        loop.train(run)
    for path in lost:  # come back, for the second run to lose them in its turn
        shutil.copy2(tmp_path / "kept" / "train" / path, Path(recipe.data) / "train" / path)
    run = setup.start(recipe, tmp_path / "cut")
    lose_after_an_epoch(run, monkeypatch, positions=(3, 9))
    train_stopping(run, at, monkeypatch)
    loop.train(setup.resume(tmp_path / "cut"))
    assert figures(tmp_path / "cut")[1] == [24, 21, 1, 2, 0]
    same_outcome(tmp_path / "whole", tmp_path / "cut")


def test_a_picture_that_is_lost_unnoticed_is_missed_on_resume(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = setup.start(recipe, tmp_path / "run")
    lost = lose_after_an_epoch(run, monkeypatch, positions=(3, 20))
    train_stopping(run, 4, monkeypatch)
    with pytest.raises(StoreError, match=rf"began with: 1 missing \({lost[1]}\); put them back"):
        setup.resume(tmp_path / "run")


def test_an_interrupted_epoch_has_no_line_yet(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.update

    def update(run: Run, batch: Batch, rate: float) -> Any:
        if run.position.step == 4:
            raise Interrupted("enough")
        return real(run, batch, rate)

    monkeypatch.setattr(loop, "update", update)
    with pytest.raises(Interrupted, match="enough"):
        loop.train(setup.start(recipe, tmp_path / "run"))
    assert figures(tmp_path / "run") == [[24, 23, 1, 0, 0]]
