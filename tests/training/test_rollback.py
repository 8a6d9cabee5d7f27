"""Going back where the loss runs away: from a checkpoint, with half the rate, three times."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.data.loader import Batch
from alexnet.training import loop, rollback, setup
from alexnet.training.guards import GuardStop
from alexnet.training.journal import read_journal
from alexnet.training.look import look
from alexnet.training.recipe import Recipe
from alexnet.training.runaway import RunawayStop
from alexnet.training.setup import Run
from tests.conftest import MakePictures, tiny_recipe
from tests.training.test_resume import same_outcome, train_stopping

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    """3 updates an epoch, 3 epochs, a report after each update, a checkpoint after each epoch."""
    return replace(tiny_recipe(pictures(per_class=10)), epochs=3)


def run_away(monkeypatch: pytest.MonkeyPatch, at: int, above: float) -> None:
    """Let the input of update `at` be no number, as long as the rate is above some value."""
    real = loop.update

    def update(run: Run, batch: Batch, rate: float) -> Any:
        spoiled = run.position.step + 1 == at and rate > above
        with monkeypatch.context() as patch:
            if spoiled:
                patch.setattr(loop, "look", lambda *a, **named: look(*a, **named) * math.nan)
            return real(run, batch, rate)

    monkeypatch.setattr(loop, "update", update)


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in read_journal(folder / "journal.jsonl") if line["kind"] == kind]


def test_a_run_goes_back_to_its_checkpoint_with_half_the_rate(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_away(monkeypatch, at=5, above=0.3 * recipe.lr)
    run = setup.start(recipe, tmp_path / "run")
    counts = rollback.train(run)
    assert counts.seen == 6
    assert math.isfinite(counts.loss)
    back = lines(run.folder, "rollback")
    assert [(line["step"], line["halvings"]) for line in back] == [(3, 1), (3, 2)]
    assert back[0]["reason"].startswith("the loss is nan at update 5: the weights have run away")
    assert "not finite is the pictures as the net sees them" in back[0]["reason"]
    rates = {line["step"]: line["lr"] for line in lines(run.folder, "train")}
    assert list(rates) == list(range(1, 10))
    assert rates[3] == 4 * rates[4]
    assert [line["step"] for line in lines(run.folder, "validation")] == [3, 6, 9]
    assert run.position.halvings == 2


def test_without_a_checkpoint_it_stops(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_away(monkeypatch, at=2, above=0)
    message = r"the loss is nan at update 2.*--clip-norm 10 \(there is no checkpoint yet to go back"
    with pytest.raises(GuardStop, match=message):
        rollback.train(setup.start(recipe, tmp_path / "run"))


def test_after_three_times_it_stops(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_away(monkeypatch, at=5, above=0)
    run = setup.start(recipe, tmp_path / "run")
    message = r"nan at update 5.* \(the rate was halved 3 times before, which has not helped\)"
    with pytest.raises(RunawayStop, match=message):
        rollback.train(run)
    assert [line["halvings"] for line in lines(run.folder, "rollback")] == [1, 2, 3]


def test_asked_to_stop_it_stops(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_away(monkeypatch, at=5, above=0)
    run = setup.start(replace(recipe, on_nan="stop"), tmp_path / "run")
    with pytest.raises(RunawayStop, match=r"the loss is nan at update 5: .*--clip-norm 10$"):
        rollback.train(run)
    resumed = setup.resume(run.folder)
    assert (resumed.position.step, resumed.position.halvings) == (3, 0)
    for tensor in resumed.model.net.state_dict().values():
        assert torch.isfinite(tensor).all()


def test_a_run_that_went_back_and_was_stopped_goes_on_bit_for_bit(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_away(monkeypatch, at=5, above=0.6 * recipe.lr)
    rollback.train(setup.start(recipe, tmp_path / "whole"))
    run = setup.start(recipe, tmp_path / "cut")
    with pytest.raises(RunawayStop):
        loop.train(run)
    assert rollback.go_back(run, lines(tmp_path / "whole", "rollback")[0]["reason"])
    train_stopping(run, 6, monkeypatch)
    rollback.train(setup.resume(tmp_path / "cut"))
    same_outcome(tmp_path / "whole", tmp_path / "cut")
