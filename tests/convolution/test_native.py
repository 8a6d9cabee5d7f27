"""Torch's own convolution with our padding, against the definition in numpy float64."""

import torch
from hypothesis import given, settings
from torch import Tensor

from alexnet.convolution.native import NATIVE
from alexnet.convolution.problem import WORKSPACE, Cost, Problem, describe
from tests.convolution.drawn import expected, problems, tensors


def close(ours: Tensor, exact: Tensor) -> None:
    # Float64 in another order of sums; relative to the largest element.
    torch.testing.assert_close(ours, exact, rtol=0, atol=1e-13 * max(1, exact.abs().max().item()))


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_drawn_convolutions_equal_the_definition(problem: Problem) -> None:
    x, w, dy = tensors(problem)
    bias = torch.arange(problem.kernels, dtype=torch.float64)
    y, dx, dw = expected(problem, x, w, dy, bias)
    close(NATIVE.forward(x, w, bias, problem, WORKSPACE), y)
    close(NATIVE.input_gradient(dy, w, problem, WORKSPACE), dx)
    close(NATIVE.weight_gradient(x, dy, problem, WORKSPACE), dw)


def test_the_cost_is_that_of_the_definition_in_all_directions() -> None:
    x, w = torch.zeros(2, 6, 9, 9), torch.zeros(4, 3, 3, 3)
    problem = describe(x, w, stride=2, padding=1, dilation=1, groups=2)
    products = 2 * 4 * 5 * 5 * 3 * 3 * 3
    elements = 2 * 6 * 9 * 9 + 4 * 3 * 3 * 3 + 2 * 4 * 5 * 5
    for direction in ("forward", "input_gradient", "weight_gradient"):
        cost = NATIVE.cost(direction, problem, WORKSPACE)
        assert cost == Cost(products, products, elements * 4, workspace=0)
