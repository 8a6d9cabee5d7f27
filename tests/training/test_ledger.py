"""The ledger: listed = used + skipped + refused + not reached, and each bad file once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alexnet.data import loader
from alexnet.data.loader import Batch, epoch_order
from alexnet.evaluation.metrics import Counts
from alexnet.training import loop, setup
from alexnet.training.interrupt import Interrupted
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.setup import Run
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import train_stopping

pytestmark = pytest.mark.usefixtures("tiny_net")
FIGURES = ("listed", "used", "skipped", "refused", "not_reached")
EMPTY, GONE = "the file is empty", "cannot be read: No such file or directory"
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


@pytest.mark.parametrize("at", [4, 5, 6])
def test_a_stop_inside_an_epoch_leaves_the_same_books(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    with monkeypatch.context() as patch:
        run = setup.start(recipe, tmp_path / "whole")
        lost = lose_after_an_epoch(run, patch, positions=(3, 17))
        loop.train(run)
    for path in lost:  # come back, for the second run to lose them in its turn
        source = next((Path(recipe.data) / "train" / path).parent.glob("*.jpg"))
        (Path(recipe.data) / "train" / path).write_bytes(source.read_bytes())
    run = setup.start(recipe, tmp_path / "cut")
    lose_after_an_epoch(run, monkeypatch, positions=(3, 17))
    train_stopping(run, at, monkeypatch)
    loop.train(setup.resume(tmp_path / "cut"))
    for kind in ("statistics", "epoch", "validation"):
        books = [lines(tmp_path / name, kind) for name in ("whole", "cut")]
        for line in (line for book in books for line in book):
            for name in ("loss", "top1_errors", "top1_error", "top5_errors", "top5_error"):
                line.pop(name, None)  # other pictures came back
        assert books[0] == books[1]


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
