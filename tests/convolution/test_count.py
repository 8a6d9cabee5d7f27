"""Counts beside loops that do every product, and ratios beside arithmetic by hand."""

import itertools
from dataclasses import replace

import pytest
import torch

from alexnet.convolution.algorithms import ALGORITHMS
from alexnet.convolution.count import (
    compare,
    count,
    count_all,
    definition,
    intensity,
    operations,
)
from alexnet.convolution.problem import DIRECTIONS, Cost, Problem


def problem_of(axes: int = 2, *, groups: int = 1, dtype: torch.dtype = torch.float32) -> Problem:
    return Problem(
        batch=2,
        channels=4,
        kernels=6,
        size=(7, 6, 5)[:axes],
        kernel=(3, 2, 1)[:axes],
        stride=(2, 1, 1)[:axes],
        padding=((1, 1), (0, 1), (0, 0))[:axes],
        dilation=(1, 2, 1)[:axes],
        groups=groups,
        dtype=dtype,
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_definition_makes_one_product_for_each_tap_of_each_output(
    axes: int, groups: int
) -> None:
    problem = problem_of(axes, groups=groups)
    products = 0
    for _ in itertools.product(*map(range, problem.y_shape)):
        products += sum(
            1 for _ in itertools.product(range(4 // groups), *map(range, problem.kernel))
        )
    found = definition(problem)
    assert (found.multiplications, found.additions) == (products, products)
    assert operations(found) == 2 * products


def test_the_definition_moves_each_array_once_in_its_type() -> None:
    arrays = 2 * 4 * 7 * 6 + 6 * 4 * 3 * 2 + 2 * 6 * 4 * 5
    assert definition(problem_of()).bytes == 4 * arrays
    assert definition(problem_of(dtype=torch.bfloat16)).bytes == 2 * arrays
    assert definition(problem_of()).workspace == 0


def test_native_is_counted_as_the_definition() -> None:
    for direction in DIRECTIONS:
        found = count("native", direction, problem_of())
        assert found.cost == definition(problem_of())
        assert (found.saving, found.refusal) == (1.0, "")


def test_all_are_counted_direction_by_direction() -> None:
    found = count_all(problem_of(), ["native", "native"], directions=["forward", "weight_gradient"])
    assert [each.direction for each in found] == ["forward"] * 2 + ["weight_gradient"] * 2
    with pytest.raises(ValueError, match="no algorithm is called 'natif'"):
        count_all(problem_of(), ["natif"])


def test_a_refusal_is_told_and_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = replace(ALGORITHMS["native"], name="lazy", refusal=lambda _: "it is Sunday")
    monkeypatch.setitem(ALGORITHMS, "lazy", lazy)
    found = count("lazy", "forward", problem_of())
    assert (found.cost, found.refusal, found.saving) == (None, "it is Sunday", 0.0)


def test_a_ratio_of_times_is_one_of_operations_by_one_of_paces() -> None:
    tall, small = Cost(400, 200, 8000, 0), Cost(100, 100, 1000, 0)
    found = compare(tall, 12.0, small, 2.0)
    assert found.time == 6.0
    assert found.operations == 3.0
    assert found.pace == 2.0  # 600 / 12 = 50 a second beside 200 / 2 = 100
    assert found.bytes == 8.0
    assert intensity(small) == 0.2
