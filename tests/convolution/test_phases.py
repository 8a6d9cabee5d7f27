"""Strides, dilation and padding by parts, each of which is torch's own plain convolution."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional as F

from alexnet.allocations import held
from alexnet.convolution.phases import Plain, parts, plain_problem, split
from alexnet.convolution.problem import (
    DIRECTIONS,
    WORKSPACE,
    Cost,
    Direction,
    Problem,
    describe,
    wide,
)
from tests.convolution.drawn import expected, problems, tensors

CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
SCRATCH = 1000  # bytes


def correlate(x: Tensor, w: Tensor, groups: int, workspace: int) -> Tensor:
    y: Tensor = CONVOLVE[x.dim() - 2](x, w, groups=groups)
    return y


def spread(dy: Tensor, w: Tensor, groups: int, workspace: int) -> Tensor:
    dx: Tensor = TRANSPOSED[dy.dim() - 2](dy, w, groups=groups)
    return dx


def weights(x: Tensor, dy: Tensor, groups: int, workspace: int) -> Tensor:
    sizes = (h - p + 1 for h, p in zip(x.shape[2:], dy.shape[2:], strict=True))
    w = dy.new_zeros(dy.shape[1], x.shape[1] // groups, *sizes, requires_grad=True)
    with torch.enable_grad():
        y = correlate(x, w, groups, workspace)
    (dw,) = torch.autograd.grad(y, w, dy)
    return dw


def plain_cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    """Return the definition's products and sums, and no bytes but of scratch."""
    products = math.prod(problem.y_shape) * math.prod(problem.w_shape[1:])
    return Cost(products, products, 0, SCRATCH)


TORCH = split(Plain(correlate, spread, weights, plain_cost), "torch", lambda _: "")


def take_scratch(*_: object) -> None:
    torch.empty(SCRATCH, dtype=torch.uint8)


def empty_correlate(x: Tensor, w: Tensor, groups: int, workspace: int) -> Tensor:
    sizes = (h - r + 1 for h, r in zip(x.shape[2:], w.shape[2:], strict=True))
    y = x.new_empty(x.shape[0], w.shape[0], *sizes)
    take_scratch()
    return y


def empty_spread(dy: Tensor, w: Tensor, groups: int, workspace: int) -> Tensor:
    sizes = (p + r - 1 for p, r in zip(dy.shape[2:], w.shape[2:], strict=True))
    dx = dy.new_empty(dy.shape[0], w.shape[1] * groups, *sizes)
    take_scratch()
    return dx


def empty_weights(x: Tensor, dy: Tensor, groups: int, workspace: int) -> Tensor:
    sizes = (h - p + 1 for h, p in zip(x.shape[2:], dy.shape[2:], strict=True))
    dw = x.new_empty(dy.shape[1], x.shape[1] // groups, *sizes)
    take_scratch()
    return dw


EMPTY = split(Plain(empty_correlate, empty_spread, empty_weights, plain_cost), "", lambda _: "")
"""Computes nothing, but takes the memory that its cost says."""


def check(problem: Problem) -> None:
    x, w, dy = tensors(problem)
    bias = torch.linspace(-1, 1, problem.kernels).to(problem.dtype)
    y = TORCH.forward(x, w, bias, problem, WORKSPACE)
    dx = TORCH.input_gradient(dy, w, problem, WORKSPACE)
    dw = TORCH.weight_gradient(x, dy, problem, WORKSPACE)
    # Sums of some hundred products near 1 in another order; halves are rounded once at the end.
    last = {torch.bfloat16: 2**-8, torch.float16: 2**-11}.get(problem.dtype, 0.0)
    exact = 1e-12 if problem.dtype == torch.float64 else 1e-5
    for ours, true in zip((y, dx, dw), expected(problem, x, w, dy, bias), strict=True):
        assert ours.dtype == problem.dtype
        torch.testing.assert_close(ours.double(), true, rtol=last + exact, atol=10 * exact)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_the_parts_of_drawn_convolutions_add_up_to_them(problem: Problem) -> None:
    check(problem)


def problem_of(
    x: tuple[int, ...], w: tuple[int, ...], *, dtype: torch.dtype = torch.float64, **given: int
) -> Problem:
    constants = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | given
    return describe(torch.empty(x, dtype=dtype), torch.empty(w, dtype=dtype), **constants)


KINDS: dict[str, Callable[[], Problem]] = {
    "stride and dilation that share a divisor": lambda: problem_of(
        (1, 2, 23, 20), (3, 2, 3, 2), stride=4, dilation=6
    ),
    "stride and dilation that share none": lambda: problem_of(
        (1, 2, 17, 15), (3, 2, 3, 2), stride=2, dilation=3
    ),
    "more stride than taps": lambda: problem_of((2, 2, 14, 17), (3, 2, 2, 1), stride=5),
    "more stride than input": lambda: problem_of((2, 2, 3, 4), (3, 2, 2, 3), stride=7),
    "more dilation than outputs": lambda: problem_of((2, 2, 19), (3, 2, 4), dilation=6),
    "a window in the padding alone": lambda: problem_of(
        (1, 2, 2), (3, 2, 3), stride=4, padding=5, dilation=2
    ),
    "groups by strides": lambda: problem_of((1, 6, 9, 8), (4, 3, 3, 3), stride=2, groups=2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
def test_strides_and_gaps_of_every_kind(kind: str, dtype: torch.dtype) -> None:
    check(replace(KINDS[kind](), dtype=dtype))


def test_a_stride_leaves_out_phases_without_taps() -> None:
    # One tap at 0 with stride 5: one part of fifteen elements, every fifth.
    problem = problem_of((1, 1, 15), (1, 1, 1), stride=5)
    (part,) = parts(problem)
    assert part.x[2] == slice(0, 11, 5)
    # Taps at 0, 6 and 12 with stride 4 meet inputs whose places are 0 or 2 modulo 4.
    problem = problem_of((1, 1, 15), (1, 1, 3), stride=4, dilation=6)
    assert [part.x[2].start for part in parts(problem)] == [0, 2]


def test_parts_of_a_dilation_share_neither_inputs_nor_outputs() -> None:
    problem = problem_of((1, 1, 14), (1, 1, 3), dilation=3)
    inputs = [i for part in parts(problem) for i in range(14)[part.x[2]]]
    outputs = [p for part in parts(problem) for p in range(8)[part.y[2]]]
    assert sorted(inputs) == list(range(14))
    assert sorted(outputs) == list(range(8))


def test_a_batch_of_no_pictures() -> None:
    check(replace(KINDS["more stride than taps"](), batch=0))


@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=30, deadline=None)
@given(problem=problems())
def test_memory_equals_its_formula_for_drawn_convolutions(
    direction: Direction, problem: Problem
) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert_memory(direction, replace(problem, dtype=dtype))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_memory_equals_its_formula(kind: str, dtype: torch.dtype, direction: Direction) -> None:
    assert_memory(direction, replace(KINDS[kind](), dtype=dtype))


def assert_memory(direction: Direction, problem: Problem) -> None:
    x, w, dy = tensors(problem)
    calls: dict[Direction, Callable[[], Tensor]] = {
        "forward": lambda: EMPTY.forward(x, w, None, problem, 0),
        "input_gradient": lambda: EMPTY.input_gradient(dy, w, problem, 0),
        "weight_gradient": lambda: EMPTY.weight_gradient(x, dy, problem, 0),
    }
    outputs = {"forward": dy, "input_gradient": x, "weight_gradient": w}
    taken = held(calls[direction])
    assert taken.kept == outputs[direction].nbytes
    assert taken.workspace == EMPTY.cost(direction, problem, 0).workspace


def test_products_are_those_of_the_whole_convolution() -> None:
    # 11 taps at stride 4 come in parts of 3, 3, 3 and 2: as many products as without parts.
    problem = problem_of((2, 3, 30, 31), (4, 3, 11, 11), stride=4)
    products = math.prod(problem.y_shape) * 3 * 121
    for direction in DIRECTIONS:
        assert EMPTY.cost(direction, problem, 0).multiplications == products


def test_additions_include_those_of_the_parts() -> None:
    # Two parts of 3 and 2 taps: the first is the sum to which the second is added.
    problem = problem_of((2, 3, 30), (4, 3, 5), stride=2)
    y = math.prod(problem.y_shape)
    forward = EMPTY.cost("forward", problem, 0)
    assert forward.additions == y * 3 * 5 + y
    assert forward.bytes == 2 * 8 * y  # read and written again
    # Inputs of the two parts are apart from each other; both are added to zeros.
    dx = sum(math.prod(plain_problem(part, problem).x_shape) for part in parts(problem))
    assert EMPTY.cost("input_gradient", problem, 0).additions == y * 3 * 5 + dx


def test_copies_are_counted() -> None:
    padded = problem_of((2, 3, 10), (4, 3, 3), padding=1)
    copy = 8 * 2 * 3 * 12
    assert EMPTY.cost("forward", padded, 0).workspace == SCRATCH + copy
    assert EMPTY.cost("forward", padded, 0).bytes == 2 * copy
    half = replace(padded, padding=((0, 0),), dtype=torch.float16)
    exact = wide(torch.float16).itemsize
    x, w, y = 2 * 3 * 10, 4 * 3 * 3, 2 * 4 * 8
    # Copies in float32 of x and w, and y before it is rounded, less y itself.
    assert EMPTY.cost("forward", half, 0).workspace == exact * (x + w + y) + SCRATCH - 2 * y
