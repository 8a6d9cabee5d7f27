"""The race of figure 1, with small nets on a few pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.training import race
from alexnet.training.guards import GuardStop
from alexnet.training.race import RECIPE, Course
from alexnet.training.recipe import Recipe
from alexnet.training.series import Result, complete
from tests.conftest import MakePictures


@pytest.fixture
def recipe(pictures: MakePictures) -> Recipe:
    data = pictures(per_class=10, size=32)
    return replace(
        RECIPE, data=str(data), epochs=4, batch=8, workers=1, validation_share=0.5, device="cpu"
    )


def test_nothing_regularises_the_race() -> None:
    assert (RECIPE.weight_decay, RECIPE.bias_decay, RECIPE.lighting) == (0, 0, 0)
    assert (RECIPE.flip, RECIPE.label_smoothing, RECIPE.schedule) == (False, 0, "constant")
    assert RECIPE.picture_size == RECIPE.input_size  # there is one crop only
    assert (RECIPE.target_error, RECIPE.validate_on) == (0.25, "training")


def test_each_net_runs_at_the_best_of_its_rates(recipe: Recipe, tmp_path: Path) -> None:
    said: list[str] = []
    found = race.race(recipe, tmp_path, said.append, rates=(1e-6, 0.01), trial_epochs=1)
    assert list(found) == ["relu", "tanh"]
    for name, course in found.items():
        assert set(course.tried) == {1e-6, 0.01}
        assert course.lr == min(course.tried, key=lambda lr: course.tried[lr])
        if course.lr == 0.01:  # the final run begins anew, and as the trial did
            assert course.points[0] == (1.0, course.tried[0.01])
        assert (tmp_path / f"trial-{name}-0.01").is_dir()
    assert said[1].startswith("relu at rate 1e-06: error ")
    assert said[1].endswith(" after 1 epochs")
    count = len(said)
    again = race.race(recipe, tmp_path, said.append, rates=(1e-6, 0.01), trial_epochs=1)
    assert again == found
    assert [line for line in said[count:] if "starting" in line or "going on" in line] == []


def test_a_rate_that_a_guard_stops_is_tried_and_not_taken(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def guarded(tried: Recipe, run: Path, say: Callable[[str], None]) -> Result:
        if tried.lr > 1:
            raise GuardStop("the loss is nan at update 3")
        return complete(tried, run, say)

    monkeypatch.setattr(race, "complete", guarded)
    said: list[str] = []
    found = race.race(recipe, tmp_path, said.append, rates=(10.0, 1e-6), trial_epochs=1)
    assert {(course.lr, course.tried[10.0]) for course in found.values()} == {(1e-6, 1.0)}
    assert said[0] == "relu at rate 10: the loss is nan at update 3"


def test_a_net_stops_when_it_has_come_to_the_target(recipe: Recipe, tmp_path: Path) -> None:
    near = replace(recipe, target_error=0.99)
    found = race.race(near, tmp_path, print, rates=(0.001,), trial_epochs=1)
    assert all(len(course.points) == 1 for course in found.values())


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (((1.0, 0.5), (2.0, 0.3), (3.0, 0.2)), 2.5),
        (((1.0, 0.2),), 0.75 / 0.8),
        (((1.0, 0.5), (2.0, 0.25)), None),
        (((1.0, 0.5), (2.0, 0.6), (4.0, 0.1)), 2 + 2 * 0.35 / 0.5),
    ],
)
def test_the_target_is_met_between_two_epochs(
    points: tuple[tuple[float, float], ...], expected: float | None
) -> None:
    found = Course("relu", 0.01, points, {}).epochs_to(0.25)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_race_without_target_or_rates_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target_error is 0; a race needs one, such as 0\.25"):
        race.race(replace(recipe, target_error=0.0), tmp_path, print)
    for rates, epochs in (((), 1), ((0.1,), 0)):
        with pytest.raises(ValueError, match="a race needs a rate or more to try, and an epoch"):
            race.race(recipe, tmp_path, print, rates=rates, trial_epochs=epochs)
