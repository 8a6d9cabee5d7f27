"""Convolution by columns and one matrix product, against the definition in numpy float64."""

import math
from collections.abc import Callable
from typing import TypedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.allocations import held
from alexnet.convolution.convolve import convolve
from alexnet.convolution.im2col import IM2COL, plan
from alexnet.convolution.problem import (
    DIRECTIONS,
    DTYPES,
    WORKSPACE,
    Direction,
    Pair,
    Problem,
    Sizes,
    describe,
)
from alexnet.native import im2col, im2col_plan, library
from tests.oracles import convolution as oracle

# Both sum in the same type and differ in the order only; a half is rounded once, at the end. Sums
# here are of up to some hundred products near 1.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 5e-5,
    torch.bfloat16: 2**-7,
    torch.float16: 2**-10,
}


def draw(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(ours: Tensor, expected: object, like: Tensor) -> None:
    tolerance = TOLERANCE[like.dtype]
    assert ours.dtype == like.dtype
    exact = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(ours.double(), exact, rtol=tolerance, atol=4 * tolerance)


def check(x: Tensor, w: Tensor, problem: Problem, *, workspace: int = WORKSPACE) -> None:
    """Compare the three directions with the oracle."""
    bias, dy = draw(w.shape[0], dtype=x.dtype, seed=2), draw(*problem.y_shape, seed=3).to(x.dtype)
    x64, w64, bias64, dy64 = (each.double().numpy() for each in (x, w, bias, dy))
    y = IM2COL.forward(x, w, bias, problem, workspace)
    dx = IM2COL.input_gradient(dy, w, problem, workspace)
    dw = IM2COL.weight_gradient(x, dy, problem, workspace)
    constants = (problem.stride, problem.padding, problem.dilation, problem.groups)
    close(y, oracle.correlate(x64, w64, bias64, **named(*constants)), x)
    close(dx, oracle.input_gradient(dy64, w64, problem.size, **named(*constants)), x)
    close(dw, oracle.weight_gradient(x64, dy64, problem.kernel, **named(*constants)), x)


class Constants(TypedDict):
    stride: Sizes
    padding: tuple[Pair, ...]
    dilation: Sizes
    groups: int


def named(stride: Sizes, padding: tuple[Pair, ...], dilation: Sizes, groups: int) -> Constants:
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_drawn_convolutions_in_all_directions(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))
    groups = data.draw(st.integers(1, 3))
    dtype = data.draw(st.sampled_from(DTYPES))
    sides = data.draw(st.tuples(*[st.integers(1, 7)] * axes))
    kernel = data.draw(st.tuples(*[st.integers(1, 3)] * axes))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * axes))
    pads = []
    for side, taps, apart in zip(sides, kernel, dilation, strict=True):
        before = data.draw(st.integers(0, 2))
        pads.append((before, max(data.draw(st.integers(0, 2)), apart * (taps - 1) + 1 - side)))
    x = draw(data.draw(st.integers(1, 3)), groups * data.draw(st.integers(1, 3)), *sides)
    w = draw(groups * data.draw(st.integers(1, 3)), x.shape[1] // groups, *kernel, seed=1)
    x, w = x.to(dtype), w.to(dtype)
    stride = data.draw(st.tuples(*[st.integers(1, 3)] * axes))
    problem = describe(x, w, stride=stride, padding=pads, dilation=dilation, groups=groups)
    check(x, w, problem, workspace=data.draw(st.sampled_from([1, 5000, 20000, WORKSPACE])))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_operands_that_are_not_dense_give_the_same(dtype: torch.dtype) -> None:
    x, w = draw(3, 9, 7, 12, dtype=dtype), draw(8, 4, 3, 5, dtype=dtype, seed=1)
    problem = describe(x[:, 1:, :, ::2], w[..., ::2], stride=2, padding=1, dilation=1, groups=2)
    check(x[:, 1:, :, ::2], w[..., ::2], problem)


@pytest.mark.parametrize(
    ("axes", "layout"), [(2, torch.channels_last), (3, torch.channels_last_3d)]
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_channels_last_operands_keep_their_layout(
    axes: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    x = draw(2, 6, *[5] * axes, dtype=dtype).contiguous(memory_format=layout)
    w = draw(4, 3, *[3] * axes, dtype=dtype, seed=1).contiguous(memory_format=layout)
    problem = describe(x, w, stride=1, padding=1, dilation=1, groups=2)
    check(x, w, problem)
    y = IM2COL.forward(x, w, None, problem, WORKSPACE)
    assert y.is_contiguous(memory_format=layout)
    assert IM2COL.input_gradient(y, w, problem, WORKSPACE).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gradients_agree_with_finite_differences(axes: int) -> None:
    x = draw(2, 4, *[5] * axes).requires_grad_()
    w = draw(4, 2, *[2] * axes, seed=1).requires_grad_()
    bias = draw(4, seed=2).requires_grad_()

    def run(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return convolve(x, w, bias, stride=2, padding=1, groups=2, algorithm="im2col")

    assert torch.autograd.gradcheck(run, (x, w, bias), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, w, bias), fast_mode=True)


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "library", lambda: None)


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("workspace", [5000, WORKSPACE])
def test_machines_without_kernels_give_the_same(dtype: torch.dtype, workspace: int) -> None:
    x, w = draw(3, 6, 9, 8, dtype=dtype), draw(8, 3, 3, 2, dtype=dtype, seed=1)
    problem = describe(x, w, stride=(1, 2), padding=1, dilation=(2, 1), groups=2)
    check(x, w, problem, workspace=workspace)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("workspace", [100_000, WORKSPACE])
@pytest.mark.parametrize("kernels", [True, False])
def test_no_more_is_held_than_the_cost_says(
    direction: Direction,
    dtype: torch.dtype,
    workspace: int,
    kernels: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not kernels:
        monkeypatch.setattr(library, "library", lambda: None)
    problem = problem_of(batch=20, dtype=dtype)
    x, w, dy = draw(*problem.x_shape), draw(*problem.w_shape), draw(*problem.y_shape)
    x, w, dy = (each.to(dtype) for each in (x, w, dy))
    run: dict[Direction, Callable[[], Tensor]] = {
        "forward": lambda: IM2COL.forward(x, w, None, problem, workspace),
        "input_gradient": lambda: IM2COL.input_gradient(dy, w, problem, workspace),
        "weight_gradient": lambda: IM2COL.weight_gradient(x, dy, problem, workspace),
    }
    most = IM2COL.cost(direction, problem, workspace).workspace
    assert 0 < held(run[direction]).workspace <= most
    if not im2col.serves(x.device, dtype):  # compiled blocks have a least size
        assert most <= workspace


def problem_of(*, batch: int = 4, dtype: torch.dtype = torch.float64) -> Problem:
    x, w = draw(batch, 6, 10, 9, dtype=dtype), draw(8, 6, 3, 3, dtype=dtype)
    return describe(x, w, stride=1, padding=1, dilation=1, groups=1)


@pytest.mark.parametrize(
    ("workspace", "shape"),
    [
        (10**9, (4, 10, 9)),
        # 8 bytes of w and of 6 * 9 + 8 rows
        (8 * (8 * 54 + 62 * 2 * 90), (2, 10, 9)),
        (8 * (8 * 54 + 62 * 90) - 1, (1, 9, 9)),
        (8 * (8 * 54 + 62 * 4), (1, 1, 4)),
        (0, (1, 1, 1)),
    ],
)
def test_a_block_is_as_large_as_the_workspace_allows(
    workspace: int, shape: tuple[int, ...]
) -> None:
    found = plan("forward", problem_of(), workspace)
    assert found.shape == shape
    assert found.workspace == 8 * (8 * 54 + 62 * math.prod(shape))


def test_the_input_gradient_of_halves_holds_wide_sums_of_a_blocks_pictures() -> None:
    problem = problem_of(dtype=torch.float16)
    inputs = 4 * 6 * 90
    forward = plan("forward", problem, 10**9).workspace
    assert plan("input_gradient", problem, 10**9).workspace == forward + 4 * inputs
    assert plan("weight_gradient", problem, 10**9).workspace == forward


def test_compiled_columns_do_not_go_to_memory() -> None:
    problem = problem_of(dtype=torch.bfloat16)
    cost = IM2COL.cost("input_gradient", problem, 10**9)
    # Each input meets all nine taps, some of them with outputs that do not exist.
    assert cost.multiplications == cost.additions == 4 * 90 * 54 * 8
    tensors = 4 * 6 * 90 + 8 * 54 + 4 * 8 * 90
    assert cost.bytes == 2 * tensors + 2 * 4 * 8 * 54
    assert cost.workspace == im2col_plan.plan("input_gradient", problem, 10**9).workspace


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_cost_is_that_of_the_definition_with_columns_written_and_read(
    direction: Direction,
) -> None:
    cost = IM2COL.cost(direction, problem_of(), 10**9)
    columns = 4 * 90 * 54
    assert cost.multiplications == 8 * columns
    added_back = columns if direction == "input_gradient" else 0
    assert cost.additions == 8 * columns + added_back
    tensors = 4 * 6 * 90 + 8 * 54 + 4 * 8 * 90
    assert cost.bytes == 8 * (tensors + 2 * (columns + 4 * 8 * 90))
    assert cost.workspace == plan(direction, problem_of(), 10**9).workspace
