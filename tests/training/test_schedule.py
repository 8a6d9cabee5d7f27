"""The rate over a run, against values worked out by hand."""

import pytest

from alexnet.training.recipe import Recipe, Schedule
from alexnet.training.schedule import Plateau, batch_factor, learning_rate


def rates(recipe: Recipe, progress: list[float], *, epochs: float = 10) -> list[float]:
    return [learning_rate(recipe, p, epoch=p * epochs, drops=0) for p in progress]


def test_constant_stays() -> None:
    recipe = Recipe(schedule="constant", lr=0.02)
    assert rates(recipe, [0, 0.3, 1]) == [0.02, 0.02, 0.02]


def test_plateau_divides_by_ten_for_each_drop() -> None:
    recipe = Recipe(schedule="plateau", lr=0.01)
    found = [learning_rate(recipe, 0.5, epoch=3, drops=n) for n in range(4)]
    assert found == pytest.approx([1e-2, 1e-3, 1e-4, 1e-5], rel=1e-12)


def test_steps_divides_by_ten_at_each_milestone() -> None:
    recipe = Recipe(schedule="steps", lr=0.1, milestones=(3, 6.5))
    found = rates(recipe, [0, 0.2999, 0.3, 0.6499, 0.65, 1])
    assert found == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rel=1e-12)


def test_dexp_falls_in_equal_parts_by_equal_factors_to_the_last_rate() -> None:
    recipe = Recipe(schedule="dexp", lr=1.0, lr_factor=1000, lr_steps=4)
    found = rates(recipe, [0, 0.2499, 0.25, 0.4999, 0.5, 0.7499, 0.75, 1])
    expected = [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    assert found == pytest.approx(expected, rel=1e-12)


def test_dexp_of_one_rate_is_constant() -> None:
    recipe = Recipe(schedule="dexp", lr=0.5, lr_factor=250, lr_steps=1)
    assert rates(recipe, [0, 0.5, 1]) == [0.5, 0.5, 0.5]


def test_dexp_of_2012_ends_at_a_250th() -> None:
    recipe = Recipe(schedule="dexp", lr=0.01)
    expected = [0.01, 0.01 / 250 ** (1 / 3), 0.01 / 250 ** (2 / 3), 0.01 / 250]
    assert rates(recipe, [0.1, 0.3, 0.6, 0.9]) == pytest.approx(expected, rel=1e-12)


def test_poly_falls_as_a_power_of_what_is_left() -> None:
    recipe = Recipe(schedule="poly", lr=0.4, power=2)
    assert rates(recipe, [0, 0.5, 0.75, 1]) == pytest.approx([0.4, 0.1, 0.025, 0], abs=1e-15)


def test_cosine_is_half_way_down_in_the_middle_and_zero_at_the_end() -> None:
    recipe = Recipe(schedule="cosine", lr=0.4)
    found = rates(recipe, [0, 1 / 3, 0.5, 2 / 3, 1])
    assert found == pytest.approx([0.4, 0.3, 0.2, 0.1, 0], abs=1e-15)


def test_progress_beyond_the_ends_counts_as_the_ends() -> None:
    recipe = Recipe(schedule="poly", lr=0.4)
    assert rates(recipe, [-1, 2]) == pytest.approx([0.4, 0.0])


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (1, 0.4), (2, 0.7), (3, 1), (9, 1)])
def test_warm_up_rises_in_a_straight_line_from_a_tenth(epoch: float, share: float) -> None:
    recipe = Recipe(schedule="constant", lr=0.02, warmup_epochs=3)
    found = learning_rate(recipe, 0.5, epoch=epoch, drops=0)
    assert found == pytest.approx(0.02 * share, rel=1e-12)


def test_warm_up_multiplies_the_schedule() -> None:
    recipe = Recipe(schedule="cosine", lr=0.4, warmup_epochs=4)
    found = learning_rate(recipe, 0.5, epoch=2, drops=0)
    assert found == pytest.approx(0.2 * 0.55, rel=1e-12)


def test_the_plateau_rule_drops_when_the_error_stops_improving_and_ends_after_the_drops() -> None:
    recipe, plateau = Recipe(patience=2, drops=2), Plateau()
    errors = [9, 7, 7, 8, 6, 6, 6, 5, 5, 5]
    #               ^ equal is no gain       drops: after the 4th, the 7th; ends at the 10th
    ends = [plateau.update(error, recipe) for error in errors]
    assert ends == [False] * 9 + [True]
    assert plateau.best_error == 5
    assert plateau.drops == 3


def test_the_plateau_rule_counts_anew_after_each_drop() -> None:
    recipe, plateau, drops = Recipe(patience=3, drops=9), Plateau(), []
    for _ in range(8):
        plateau.update(4, recipe)
        drops.append(plateau.drops)
    assert drops == [0, 0, 0, 1, 1, 1, 2, 2]


def test_no_drop_ends_at_the_first_plateau() -> None:
    recipe, plateau = Recipe(patience=1, drops=0), Plateau()
    assert [plateau.update(e, recipe) for e in (3, 2, 2)] == [False, False, True]


@pytest.mark.parametrize("schedule", ["constant", "steps", "dexp", "poly", "cosine"])
def test_early_stopping_ends_other_schedules_after_as_many_validations(schedule: Schedule) -> None:
    recipe, plateau = Recipe(schedule=schedule, early_stop=3), Plateau()
    ends = [plateau.update(error, recipe) for error in (5, 6, 4, 4, 5, 4)]
    assert ends == [False, False, False, False, False, True]
    assert plateau.drops == 0


def test_without_early_stopping_nothing_ends_a_cosine() -> None:
    recipe, plateau = Recipe(schedule="cosine"), Plateau()
    assert not any(plateau.update(5, recipe) for _ in range(50))


def test_a_rate_without_a_batch_of_its_own_is_taken_as_it_is() -> None:
    recipe = Recipe(schedule="constant", lr=0.02, batch=1024, fc_batch=128)
    assert batch_factor(recipe) == 1
    assert learning_rate(recipe, 0.5, epoch=3, drops=0, batch=recipe.fc_batch) == 0.02


def test_a_rate_grows_in_proportion_to_the_batch_and_for_some_layers_to_theirs() -> None:
    recipe = Recipe(schedule="poly", lr=0.01, lr_batch=256, batch=1024, fc_batch=128, power=2.0)
    assert batch_factor(recipe) == 4
    assert batch_factor(recipe, recipe.fc_batch) == 0.5
    whole = learning_rate(recipe, 0.5, epoch=3, drops=0)
    fully_connected = learning_rate(recipe, 0.5, epoch=3, drops=0, batch=recipe.fc_batch)
    assert whole == pytest.approx(0.01 * 4 * 0.25, rel=1e-12)
    assert fully_connected == pytest.approx(0.01 * 0.5 * 0.25, rel=1e-12)


def test_the_warm_up_rises_to_the_scaled_rate() -> None:
    recipe = Recipe(schedule="constant", lr=0.1, lr_batch=64, batch=256, warmup_epochs=4)
    found = [learning_rate(recipe, 0.0, epoch=epoch, drops=0) for epoch in (0, 2, 4, 6)]
    assert found == pytest.approx([0.04, 0.22, 0.4, 0.4], rel=1e-12)
