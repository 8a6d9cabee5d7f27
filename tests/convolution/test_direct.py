"""The sliding window, against the definition in numpy float64."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from alexnet.allocations import held
from alexnet.convolution.direct import DIRECT
from alexnet.convolution.problem import DIRECTIONS, DTYPES, WORKSPACE, Problem, describe
from tests.convolution.drawn import expected, problems, tensors

# Relative to the largest element: the oracle sums in another order; a half is rounded once.
TOLERANCE = {
    torch.float64: 1e-13,
    torch.float32: 1e-5,
    torch.bfloat16: 2**-8,
    torch.float16: 2**-11 + 1e-5,
}


def close(ours: Tensor, exact: Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == dtype
    largest = exact.abs().max().item()
    atol = TOLERANCE[dtype] * largest + torch.finfo(dtype).tiny
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=atol)


def check(problem: Problem, x: Tensor, w: Tensor, dy: Tensor, workspace: int = WORKSPACE) -> None:
    bias = torch.arange(problem.kernels, dtype=problem.dtype)
    y, dx, dw = expected(problem, x, w, dy, bias)
    close(DIRECT.forward(x, w, bias, problem, workspace), y, problem.dtype)
    close(DIRECT.input_gradient(dy, w, problem, workspace), dx, problem.dtype)
    close(DIRECT.weight_gradient(x, dy, problem, workspace), dw, problem.dtype)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_drawn_convolutions_equal_the_definition(problem: Problem) -> None:
    check(problem, *tensors(problem))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_every_type_sums_in_a_wide_one(dtype: torch.dtype, groups: int) -> None:
    x, w = torch.zeros(3, 6, 9, 7, dtype=dtype), torch.zeros(12, 6 // groups, 3, 5, dtype=dtype)
    problem = describe(x, w, stride=(2, 1), padding=[(1, 0), (2, 3)], dilation=1, groups=groups)
    check(problem, *tensors(problem))


def test_pictures_are_taken_one_by_one_where_the_workspace_holds_no_more() -> None:
    x, w = torch.zeros(5, 4, 8, 8, dtype=torch.float64), torch.zeros(6, 4, 3, 3).double()
    problem = describe(x, w, stride=1, padding=1, dilation=1, groups=1)
    one = (4 + 6) * 8 * 8 * 8  # bytes of an input's column and an output's product
    for workspace in (0, 2 * one, 2 * one + one // 2):
        check(problem, *tensors(problem), workspace)
    costs = [DIRECT.cost("forward", problem, size).workspace for size in (0, 2 * one, 9 * one)]
    assert costs == [one + 4 * 6 * 8, 2 * one + 4 * 6 * 8, 5 * one + 4 * 6 * 8]


def test_tensors_in_any_order_in_memory() -> None:
    x = torch.zeros(2, 4, 9, 7, dtype=torch.float64)
    problem = describe(
        *(x, torch.zeros(6, 2, 3, 2).double()), stride=2, padding=1, dilation=2, groups=2
    )
    x, w, dy = tensors(problem)
    last = [each.contiguous(memory_format=torch.channels_last) for each in (x, w, dy)]
    check(problem, last[0], last[1], last[2])
    turned = [each.mT.contiguous().mT for each in (x, w, dy)]
    check(problem, turned[0], turned[1], turned[2])
    check(problem, x, w, dy[:1, :1].expand_as(dy))


def test_no_product_with_the_padding_is_made_or_counted() -> None:
    x, w = torch.ones(2, 3, 4, dtype=torch.float64), torch.ones(5, 3, 3, dtype=torch.float64)
    problem = describe(x, w, stride=1, padding=2, dilation=1, groups=1)
    # Six windows, and each of the three taps meets all four elements in the course of them.
    cost = DIRECT.cost("forward", problem, WORKSPACE)
    assert cost.multiplications == cost.additions == 2 * 5 * 3 * (3 * 4)
    infinite = x.mul(torch.inf)
    y = DIRECT.forward(infinite, w, None, problem, WORKSPACE)
    assert torch.isposinf(y).all()  # 0 * infinity, of the padding, would be no number
    assert problem.output == (6,)


def test_a_tap_that_meets_only_padding_adds_nothing() -> None:
    x, w = torch.ones(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, 3, dtype=torch.float64)
    problem = describe(x, w, stride=3, padding=1, dilation=1, groups=1)
    check(problem, x, w, torch.ones(1, 1, 1, dtype=torch.float64))
    assert DIRECT.cost("forward", problem, WORKSPACE).multiplications == 1


def test_less_padding_than_none_cuts_elements_off() -> None:
    cut = Problem(1, 2, 3, (9,), (3,), (2,), ((-1, -2),), (1,), 1, torch.float64)
    x, w, dy = tensors(cut)
    whole = describe(x[:, :, 1:-2], w, stride=2, padding=0, dilation=1, groups=1)
    y, dx, dw = expected(whole, x[:, :, 1:-2], w, dy)
    close(DIRECT.forward(x, w, None, cut, WORKSPACE), y, torch.float64)
    padded = torch.nn.functional.pad(dx, (1, 2))
    close(DIRECT.input_gradient(dy, w, cut, WORKSPACE), padded, torch.float64)
    close(DIRECT.weight_gradient(x, dy, cut, WORKSPACE), dw, torch.float64)


def test_the_cost_of_a_small_convolution_equals_the_sum_by_hand() -> None:
    def costs(dtype: torch.dtype) -> list[tuple[int, int]]:
        problem = describe(
            *(torch.ones(1, 1, 3, dtype=dtype), torch.ones(1, 1, 1, dtype=dtype)),
            stride=1,
            padding=0,
            dilation=1,
            groups=1,
        )
        forward = DIRECT.cost("forward", problem, WORKSPACE)
        weights = DIRECT.cost("weight_gradient", problem, WORKSPACE)
        return [(each.bytes, each.workspace) for each in (forward, weights)]

    # Arrays of 3, 1 and 3; three meetings, each of which reads an input, writes and reads a column,
    # writes and reads a product, reads and writes a sum: or reads, writes and reads two columns.
    # Held are a column and a product, or two columns, of 3 each, and a tap of 1.
    forward, weights = (7 + 3 * (1 + 2 + 2 + 2)) * 8, (7 + 3 * 2 * 3) * 8
    assert costs(torch.float64) == [(forward, 7 * 8), (weights, 7 * 8)]
    # Of halves all but the arrays and the first reading is float32, and so are sums of 3 or 1.
    forward, weights = (7 + 3) * 2 + 3 * 6 * 4, (7 + 6) * 2 + 3 * 4 * 4
    assert costs(torch.float16) == [(forward, (7 + 3) * 4), (weights, (7 + 1) * 4)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("workspace", [0, 100_000, WORKSPACE])
@pytest.mark.parametrize("groups", [1, 2, 16])
def test_no_more_is_held_than_the_cost_says(
    dtype: torch.dtype, workspace: int, groups: int
) -> None:
    x, w = torch.zeros(3, 16, 20, 20, dtype=dtype), torch.zeros(32, 16 // groups, 3, 3, dtype=dtype)
    problem = describe(x, w, stride=1, padding=1, dilation=1, groups=groups)
    x, w, dy = tensors(problem)
    runs: list[Callable[[], Tensor]] = [
        lambda: DIRECT.forward(x, w, None, problem, workspace),
        lambda: DIRECT.input_gradient(dy, w, problem, workspace),
        lambda: DIRECT.weight_gradient(x, dy, problem, workspace),
    ]
    for direction, run in zip(DIRECTIONS, runs, strict=True):
        formula = DIRECT.cost(direction, problem, workspace).workspace
        # Not all is held at once: halves are summed up when the last column is gone.
        assert 0.5 * formula <= held(run).workspace <= formula
