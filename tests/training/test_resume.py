"""A run that was stopped and goes on is the run that was never stopped, bit for bit."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from alexnet import store
from alexnet.data.loader import Batch
from alexnet.training import loop, setup
from alexnet.training.checkpoint import newest_checkpoint
from alexnet.training.interrupt import Interrupted
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe
from alexnet.training.setup import Run
from tests.conftest import MakePictures, tiny_recipe

pytestmark = pytest.mark.usefixtures("tiny_net")
EPOCHS, STEPS_PER_EPOCH = 3, 3
CLOCK = ("images_per_second", "wait_share")


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    return replace(tiny_recipe(pictures(per_class=10)), epochs=EPOCHS, lighting=0.5)


def train_stopping(run: Run, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train until a signal arrives in the middle of update `at`, counted from 1."""
    real = loop.update

    def update(run: Run, batch: Batch, rate: float) -> float | Tensor:
        if run.position.step + 1 == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(run, batch, rate)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", update)
        total = EPOCHS * STEPS_PER_EPOCH
        message = f"SIGTERM: saved at update {at} of {total}; go on with: alexnet train --resume "
        with pytest.raises(Interrupted, match=message + str(run.folder)):
            loop.train(run)


def same_outcome(first: Path, second: Path) -> None:
    """Compare checkpoints, models and journals, all but the clock."""
    folders = [newest_checkpoint(run / "checkpoints") for run in (first, second)]
    assert folders[0].name == folders[1].name
    for parts in (folders, [first / "model", second / "model"]):
        (content, groups), (other_content, other_groups) = map(store.read, parts)
        positions = [content.pop("position", {}), other_content.pop("position", {})]
        assert {**positions[0], "seconds": 0} == {**positions[1], "seconds": 0}
        assert without_digest(content) == without_digest(other_content)
        for group, tensors in groups.items():
            different = [
                n for n, t in tensors.items() if not torch.equal(t, other_groups[group][n])
            ]
            assert different == []
    assert journal(first) == journal(second)


def without_digest(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "digest"}


def journal(run: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in CLOCK}
        for line in read_journal(run / "journal.jsonl")
    ]


VARIANTS: dict[str, dict[str, Any]] = {
    "the paper's crops": {},
    "random-resized crops": {"crop": "random-resized", "subtract": "mean-value"},
    "in parts, clipped, a report every 4": {"accumulate": 2, "clip_norm": 1.0, "report_every": 4},
    "a plateau": {"lr": 1e-9, "patience": 1, "schedule": "plateau"},
    "biases as in 2012, cosine": {"bias_lr": 2.0, "bias_decay": 0.0, "schedule": "cosine"},
    "no memory for pictures": {"cache_gib": 0.0},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stopped_twice_it_ends_as_if_never_stopped(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    recipe = replace(recipe, **VARIANTS[variant])
    loop.train(setup.start(recipe, tmp_path / "whole"))
    train_stopping(setup.start(recipe, tmp_path / "cut"), 2, monkeypatch)
    train_stopping(setup.resume(tmp_path / "cut"), 7, monkeypatch)
    loop.train(setup.resume(tmp_path / "cut"))
    same_outcome(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("at", [1, STEPS_PER_EPOCH, EPOCHS * STEPS_PER_EPOCH])
def test_it_may_be_stopped_at_the_first_update_at_an_epochs_last_and_at_the_last(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    loop.train(setup.start(recipe, tmp_path / "whole"))
    train_stopping(setup.start(recipe, tmp_path / "cut"), at, monkeypatch)
    loop.train(setup.resume(tmp_path / "cut"))
    same_outcome(tmp_path / "whole", tmp_path / "cut")


class Killed(BaseException):
    """Stands for a power cut."""


def test_after_a_power_cut_it_goes_on_from_the_last_checkpoint(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop.train(setup.start(recipe, tmp_path / "whole"))
    run, real = setup.start(recipe, tmp_path / "cut"), loop.update

    def update(run: Run, batch: Batch, rate: float) -> float | Tensor:
        if run.position.step == 5:
            raise Killed
        return real(run, batch, rate)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "update", update)
        with pytest.raises(Killed):
            loop.train(run)
    with (tmp_path / "cut" / "journal.jsonl").open("a") as file:
        file.write('{"kind": "train", "st')  # what a power cut leaves
    resumed = setup.resume(tmp_path / "cut")
    assert resumed.position.step == 3  # the first epoch's end
    loop.train(resumed)
    same_outcome(tmp_path / "whole", tmp_path / "cut")


def test_checkpoints_are_written_by_the_clock_too(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []
    real = loop.save

    def save(run: Run) -> None:
        saved.append(run.position.step)
        real(run)

    monkeypatch.setattr(loop, "save", save)
    loop.train(setup.start(replace(recipe, epochs=1, checkpoint_minutes=1e-9), tmp_path / "run"))
    assert saved == [1, 2, 3, 3]


def test_the_journal_has_one_line_for_every_step(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_stopping(setup.start(recipe, tmp_path / "run"), 4, monkeypatch)
    loop.train(setup.resume(tmp_path / "run"))
    found = [(line["kind"], line["step"]) for line in journal(tmp_path / "run")]
    assert len(set(found)) == len(found)
    assert [step for kind, step in found if kind == "train"] == list(range(1, 10))
    assert [step for kind, step in found if kind == "validation"] == [3, 6, 9]
