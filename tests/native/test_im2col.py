"""Convolution by compiled columns in every form of the kernels, against numpy in float64."""

import itertools
from typing import TypedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.convolution.problem import WORKSPACE, Pair, Problem, Sizes, describe
from alexnet.native import im2col, im2col_plan, library
from tests.oracles import convolution as oracle

DTYPES = [torch.float32, torch.bfloat16]
# Both see the same numbers. Float32 sums of up to two thousand products near 1; a bfloat16 is
# rounded once more, at the end.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2**-7}


class Constants(TypedDict):
    stride: Sizes
    padding: tuple[Pair, ...]
    dilation: Sizes
    groups: int


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def last(x: Tensor) -> Tensor:
    """Return the same channels last in memory."""
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


def constants(problem: Problem) -> Constants:
    return {
        "stride": problem.stride,
        "padding": problem.padding,
        "dilation": problem.dilation,
        "groups": problem.groups,
    }


def close(ours: Tensor, expected: object, dtype: torch.dtype) -> None:
    tolerance = TOLERANCE[dtype]
    exact = torch.as_tensor(expected, dtype=torch.float64)
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), exact, rtol=tolerance, atol=8 * tolerance)


def check(x: Tensor, w: Tensor, problem: Problem, *, workspace: int = WORKSPACE) -> None:
    """Compare the three directions with the oracle."""
    dtype, named = x.dtype, constants(problem)
    bias, dy = draw(w.shape[0], dtype=dtype, seed=2), draw(*problem.y_shape, dtype=dtype, seed=3)
    if not x.is_contiguous():
        dy = last(dy)
    x64, w64, bias64, dy64 = (each.double().numpy() for each in (x, w, bias, dy))
    y = im2col.forward(x, w, bias=bias, layer=problem, workspace=workspace)
    close(y, oracle.correlate(x64, w64, bias64, **named), dtype)
    dx = im2col.input_gradient(dy, w, layer=problem, workspace=workspace)
    close(dx, oracle.input_gradient(dy64, w64, problem.size, **named), dtype)
    dw = im2col.weight_gradient(x, dy, layer=problem, workspace=workspace)
    close(dw, oracle.weight_gradient(x64, dy64, problem.kernel, **named), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "layer",  # channels, kernels, size, stride, padding, groups
    [
        (3, 20, 11, 4, 0, 1),  # the first layer of the net
        (12, 34, 5, 1, 2, 2),
        (40, 20, 3, 1, 1, 1),  # a window of more than DEPTH numbers
        (24, 70, 1, 1, 0, 1),
        (24, 20, 1, 2, 0, 1),  # inputs that no output meets
        (33, 34, 3, 2, 1, 1),
        (21, 21, 3, 1, 1, 21),
        (32, 32, 5, 2, 2, 32),
        (6, 18, 3, 2, 1, 6),
    ],
)
@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.usefixtures("kernels")
def test_layers_like_those_of_the_nets(
    layer: tuple[int, int, int, int, int, int], is_last: bool, dtype: torch.dtype
) -> None:
    channels, kernels, size, stride, padding, groups = layer
    x = draw(3, channels, 15, 13, dtype=dtype)
    w = draw(kernels, channels // groups, size, size, dtype=dtype, seed=1)
    problem = describe(x, w, stride=stride, padding=padding, dilation=1, groups=groups)
    check(last(x) if is_last else x, last(w) if is_last else w, problem)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("axes", "stride", "dilation", "groups"),
    [(1, 1, 1, 1), (1, 3, 2, 2), (3, 1, 1, 1), (3, 1, 2, 2), (3, 2, 1, 3)],
)
@pytest.mark.usefixtures("kernels")
def test_one_and_three_axes(
    axes: int, stride: int, dilation: int, groups: int, dtype: torch.dtype
) -> None:
    x = last(draw(2, 6, *(9, 7, 6)[:axes], dtype=dtype))
    w = draw(12, 6 // groups, *(3, 2, 3)[:axes], dtype=dtype, seed=1)
    problem = describe(x, w, stride=stride, padding=1, dilation=dilation, groups=groups)
    check(x, w, problem)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_drawn_convolutions(data: st.DataObject) -> None:
    axes, groups = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    dtype = data.draw(st.sampled_from(DTYPES))
    sides = data.draw(st.tuples(*[st.integers(1, 8)] * axes))
    kernel = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    dilation = data.draw(st.tuples(*[st.integers(1, 2)] * axes))
    stride = data.draw(st.tuples(*[st.integers(1, 3)] * axes))
    pads = []
    for side, taps, apart in zip(sides, kernel, dilation, strict=True):
        before = data.draw(st.integers(0, 2))
        least = apart * (taps - 1) + 1 - side - before
        pads.append((before, max(data.draw(st.integers(0, 2)), least)))
    each = st.sampled_from([1, 2, 3, 8, 17, 33])
    channels, kernels = data.draw(each), data.draw(each)
    if data.draw(st.booleans()):
        groups, channels, kernels = groups * channels, 1, 1
    x = draw(data.draw(st.integers(1, 3)), groups * channels, *sides, dtype=dtype)
    w = draw(groups * kernels, channels, *kernel, dtype=dtype, seed=1)
    problem = describe(x, w, stride=stride, padding=pads, dilation=dilation, groups=groups)
    if data.draw(st.booleans()):
        x, w = last(x), last(w)
    check(x, w, problem, workspace=data.draw(st.sampled_from([1, 10**6, WORKSPACE])))


@pytest.mark.usefixtures("kernels")
def test_operands_that_are_not_dense_give_the_same() -> None:
    x, w = draw(3, 9, 7, 12), draw(8, 4, 3, 5, seed=1)
    x, w = x[:, 1:, :, ::2], w[..., ::2]
    check(x, w, describe(x, w, stride=2, padding=1, dilation=1, groups=2))


@pytest.mark.parametrize("groups", [1, 70])
def test_several_blocks_of_everything_by_several_threads(groups: int) -> None:
    x, w = draw(4, 70, 17, 19), draw(70 if groups > 1 else 300, 70 // groups, 3, 3, seed=1)
    problem = describe(x, w, stride=1, padding=1, dilation=1, groups=groups)
    dy = draw(*problem.y_shape, seed=2)
    threads, results = torch.get_num_threads(), []
    for count, is_last in itertools.product([1, 3], [True, False]):
        torch.set_num_threads(count)
        layer, some = last(x) if is_last else x, 2_000_000
        try:
            assert im2col_plan.plan("forward", problem, some).threads == count
            y = im2col.forward(layer, w, bias=None, layer=problem, workspace=some)
            dw = im2col.weight_gradient(layer, dy, layer=problem, workspace=some)
        finally:
            torch.set_num_threads(threads)
        results.append((y, dw))
    x64, w64, dy64 = (each.double().numpy() for each in (x, w, dy))
    named = constants(problem)
    y64 = torch.from_numpy(oracle.correlate(x64, w64, **named))
    dw64 = torch.from_numpy(oracle.weight_gradient(x64, dy64, (3, 3), **named))
    for y, dw in results:
        # Sums of 630, and of 1292, products in float32.
        torch.testing.assert_close(y.double(), y64, rtol=1e-5, atol=2e-4)
        torch.testing.assert_close(dw.double(), dw64, rtol=1e-5, atol=4e-4)


def test_no_pictures_give_none_and_no_gradient() -> None:
    x, w = draw(0, 4, 5, 5), draw(6, 4, 3, 3)
    problem = describe(x, w, stride=1, padding=0, dilation=1, groups=1)
    y = im2col.forward(x, w, bias=None, layer=problem, workspace=WORKSPACE)
    assert y.shape == (0, 6, 3, 3)
    assert im2col.input_gradient(y, w, layer=problem, workspace=WORKSPACE).shape == x.shape
    dw = im2col.weight_gradient(x, y, layer=problem, workspace=WORKSPACE)
    assert torch.equal(dw, torch.zeros_like(w))


def test_it_serves_where_there_are_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = torch.device("cpu")
    assert im2col.serves(processor, torch.float32)
    assert im2col.serves(processor, torch.bfloat16)
    assert not im2col.serves(processor, torch.float64)
    assert not im2col.serves(torch.device("meta"), torch.float32)
    monkeypatch.setattr(library, "library", lambda: None)
    assert not im2col.serves(processor, torch.float32)
