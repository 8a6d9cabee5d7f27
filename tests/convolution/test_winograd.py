"""Winograd's convolution against the definition, and its errors against what was predicted."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.convolution.algorithms import find
from alexnet.convolution.convolve import convolve
from alexnet.convolution.problem import DIRECTIONS, WORKSPACE, Problem, describe
from alexnet.convolution.winograd import WINOGRAD, winograd
from alexnet.convolution.winograd_tiles import bound, predicted_error, tile
from tests.convolution.drawn import expected, problems, tensors

KINDS = ("random", "offset", "signs", "wide")
CHANNELS_LAST = {1: None, 2: torch.channels_last, 3: torch.channels_last_3d}


def the_problem(
    x: tuple[int, ...], w: tuple[int, ...], *, dtype: torch.dtype = torch.float64, **other: Any
) -> Problem:
    constants = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | other
    return describe(torch.empty(x, dtype=dtype), torch.empty(w, dtype=dtype), **constants)


def computed(
    m: int, problem: Problem, tensors: tuple[Tensor, Tensor, Tensor], workspace: int = WORKSPACE
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, dx and dw with tiles of m outputs."""
    algorithm, (x, w, dy) = winograd(m), tensors
    return (
        algorithm.forward(x, w, None, problem, workspace),
        algorithm.input_gradient(dy, w, problem, workspace),
        algorithm.weight_gradient(x, dy, problem, workspace),
    )


def all_close(ours: tuple[Tensor, ...], exact: tuple[Tensor, ...], *, atol: float) -> None:
    """Compare relative to the largest element of each tensor."""
    for mine, other in zip(ours, exact, strict=True):
        scale = max(other.abs().max().item(), 1e-3)
        torch.testing.assert_close(mine.double(), other.double(), rtol=0, atol=atol * scale)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("r", range(1, 6))
@pytest.mark.parametrize("m", range(1, 7))
def test_each_tile_and_kernel_equals_the_definition(m: int, r: int, axes: int) -> None:
    # One tile and a part of one along each axis; the last axis has another kernel.
    kernel = (*(r,) * (axes - 1), max(1, r - 1)) if axes > 1 else (r,)
    size = tuple(m + taps + axis for axis, taps in enumerate(kernel))
    problem = the_problem((2, 2, *size), (3, 2, *kernel))
    given = tensors(problem)
    # Errors in float64 grow as typical_growth does, to 4e3 along three axes: 1e-12.
    all_close(computed(m, problem, given), expected(problem, *given), atol=1e-11)


@given(problem=problems(), m=st.integers(1, 7), workspace=st.sampled_from([0, 2**12, WORKSPACE]))
@settings(max_examples=60, deadline=None)
def test_drawn_convolutions_equal_the_definition(problem: Problem, m: int, workspace: int) -> None:
    given = tensors(problem)
    all_close(computed(m, problem, given, workspace), expected(problem, *given), atol=1e-9)


@pytest.mark.parametrize(
    ("x", "w", "constants"),
    [
        ((2, 2, 7), (2, 1, 3), {"padding": 1, "groups": 2}),
        ((1, 2, 5, 4), (2, 1, 3, 2), {"groups": 2, "stride": (2, 1)}),
        ((1, 1, 3, 4, 4), (2, 1, 2, 2, 2), {"dilation": (1, 1, 2)}),
    ],
)
def test_gradients_are_those_of_differences(
    x: tuple[int, ...], w: tuple[int, ...], constants: dict[str, Any]
) -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = [
        torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in (x, w, w[:1])
    ]

    def by_winograd(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return convolve(x, w, bias, algorithm="winograd-3", **constants)

    assert torch.autograd.gradcheck(by_winograd, inputs)
    assert torch.autograd.gradgradcheck(by_winograd, inputs, fast_mode=True)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_tensors_need_not_lie_in_order(axes: int) -> None:
    problem = the_problem((2, 4, *(9, 7, 6)[:axes]), (6, 2, *(3, 2, 3)[:axes]), groups=2)
    given = tensors(problem)
    exact = expected(problem, *given)
    turned = tuple(each.transpose(0, -1).contiguous().transpose(0, -1) for each in given)
    apart = tuple(torch.stack([each, -each], dim=-1)[..., 0] for each in given)
    for x, w, dy in (turned, apart):
        all_close(computed(4, problem, (x, w, dy)), exact, atol=1e-12)
    form = CHANNELS_LAST[axes]
    if form is not None:
        x, w, dy = (each.contiguous(memory_format=form) for each in given)
        all_close(computed(4, problem, (x, w, dy)), exact, atol=1e-12)


@pytest.mark.parametrize(("x", "w"), [((3, 2, 61), (4, 2, 3)), ((2, 2, 22, 17), (3, 2, 3, 4))])
def test_chunks_change_no_more_than_the_order_of_sums(
    x: tuple[int, ...], w: tuple[int, ...]
) -> None:
    problem = the_problem(x, w)
    given = tensors(problem)
    whole = computed(4, problem, given)
    for workspace in (0, 5000, 20000):
        all_close(computed(4, problem, given, workspace), whole, atol=1e-14)


def norms(x: Tensor, w: Tensor, dy: Tensor) -> list[float]:
    """Return what `bound` is relative to, for each direction; w has one group."""
    places = tuple(range(2, w.dim()))
    by_kernel, by_channel = w.abs().sum((1, *places)).max(), w.abs().sum((0, *places)).max()
    sums = dy.abs().sum((0, *places)).max()
    every = x.abs().max() * by_kernel, dy.abs().max() * by_channel, x.abs().max() * sums
    return [each.item() for each in every]


def hostile(problem: Problem, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    x, w, dy = tensors(problem)
    if kind == "offset":  # differences of large numbers
        return x + 1000, w, dy + 1000
    if kind == "signs":
        return x.sign(), w.sign(), dy.sign()
    if kind == "wide":  # many orders of magnitude side by side
        return x * 10 ** (3 * x), w * 10 ** (3 * w), dy * 10 ** (3 * dy)
    return x, w, dy


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *itertools.product(KINDS, [torch.float32, torch.bfloat16]),
        *itertools.product(["random", "signs"], [torch.float16]),  # the others leave its range
    ],
)
@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize(
    ("x", "w", "constants"),
    [
        ((2, 3, 31), (4, 3, 5), {}),
        ((1, 5, 14, 13), (3, 5, 3, 3), {"padding": 1}),
        ((1, 2, 15, 14), (2, 2, 5, 3), {"stride": 2, "dilation": (1, 3)}),
        ((1, 2, 7, 6, 7), (2, 2, 3, 3, 3), {}),
    ],
)
def test_no_error_is_beyond_the_bound(
    x: tuple[int, ...],
    w: tuple[int, ...],
    constants: dict[str, Any],
    m: int,
    kind: str,
    dtype: torch.dtype,
) -> None:
    problem = the_problem(x, w, dtype=dtype, **constants)
    given = hostile(problem, kind)
    every = zip(computed(m, problem, given), expected(problem, *given), norms(*given), strict=True)
    for direction, (ours, exact, norm) in zip(DIRECTIONS, every, strict=True):
        error = (ours.double() - exact).abs().max().item()
        assert error <= bound(direction, problem, m=m) * norm


@pytest.mark.parametrize("m", [2, 4, 6])
@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((2, 8, 200), (8, 8, 5)),
        ((2, 16, 26, 26), (16, 16, 3, 3)),
        ((1, 4, 12, 12, 12), (4, 4, 3, 3, 2)),  # 3x3 behind would be less: it has tiles of two axes
    ],
)
def test_the_error_to_expect_is_a_few_times_that_met(
    x: tuple[int, ...], w: tuple[int, ...], m: int
) -> None:
    problem = the_problem(x, w, dtype=torch.float32)
    given = tensors(problem)
    every = zip(computed(m, problem, given), expected(problem, *given), strict=True)
    for direction, (ours, exact) in zip(DIRECTIONS, every, strict=True):
        error = ours.double() - exact
        met = error.norm() / exact.norm()
        predicted = predicted_error(direction, problem, m=m)
        # Met: predicted 0.8 to 7 times as large; sums are in blocks, and some steps exact.
        assert 0.6 <= predicted / met <= 9
        # Of normally distributed errors the largest of some 10^4 is 4 times the root mean square.
        assert error.abs().max() <= 8 * predicted * exact.square().mean().sqrt()


def test_errors_in_float32_grow_with_the_tile() -> None:
    problem = the_problem((2, 16, 26, 26), (16, 16, 3, 3), dtype=torch.float32)
    given = tensors(problem)
    exact = expected(problem, *given)
    for direction in range(3):
        errors = [
            (computed(m, problem, given)[direction].double() - exact[direction]).norm().item()
            for m in (1, 2, 4, 6, 8, 10)
        ]
        # On average over 10^4 numbers (10^3 weights); F(3, 3) has no less than F(4, 3).
        assert errors == sorted(errors)


def test_the_default_tile_is_4_for_3_taps_and_smaller_for_long_kernels() -> None:
    def tiles(x: tuple[int, ...], w: tuple[int, ...], dtype: torch.dtype, stride: int = 1) -> int:
        return tile(the_problem(x, w, dtype=dtype, stride=stride))

    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert tiles((1, 512, 14), (8, 512, 3), dtype) == 4
        assert tiles((1, 512, 14, 14), (8, 512, 3, 3), dtype) == 4
    assert tiles((1, 64, 9, 9, 9), (8, 64, 3, 3, 3), torch.float32) == 4
    assert tiles((1, 4096, 9, 9, 9), (8, 4096, 3, 3, 3), torch.float32) == 2
    assert tiles((1, 64, 30, 30), (8, 64, 7, 7), torch.float32) == 2
    assert tiles((1, 64, 30, 30), (8, 64, 11, 11), torch.float32) == 1
    assert tiles((1, 64, 30, 30), (8, 64, 11, 11), torch.float64) == 4
    # By its strides this kernel falls into parts of 3 taps.
    assert tiles((1, 3, 99, 99), (8, 3, 11, 11), torch.float32, stride=4) == 4


def test_the_plain_name_takes_the_default_tile() -> None:
    problem = the_problem((2, 3, 15, 15), (4, 3, 3, 3), dtype=torch.float32, padding=1)
    x, w, dy = tensors(problem)
    ours = (
        WINOGRAD.forward(x, w, None, problem, WORKSPACE),
        WINOGRAD.input_gradient(dy, w, problem, WORKSPACE),
        WINOGRAD.weight_gradient(x, dy, problem, WORKSPACE),
    )
    for mine, other in zip(ours, computed(4, problem, (x, w, dy)), strict=True):
        assert torch.equal(mine, other)
    assert WINOGRAD.refusal(problem) == ""
    for direction in DIRECTIONS:
        exact = winograd(4).cost(direction, problem, WORKSPACE)
        assert WINOGRAD.cost(direction, problem, WORKSPACE) == exact


def test_a_tile_that_is_too_inexact_is_refused_with_its_error() -> None:
    x, w = torch.zeros(1, 1, 40, 40), torch.zeros(1, 1, 11, 11)
    message = (
        r"winograd-12 cannot do this convolution: with tiles of 12 outputs and a kernel of "
        r"\(11, 11\) the error to expect is [0-9.e+]+ of the output, which may be 0.01 at most; "
        r"take a smaller tile, fft or im2col; take auto"
    )
    with pytest.raises(ValueError, match=message):
        convolve(x, w, algorithm="winograd-12")
    y = convolve(x.double(), w.double(), algorithm="winograd-12")
    assert not y.any()


def test_names_have_1_to_16_outputs() -> None:
    assert find("winograd-16") is winograd(16)
    with pytest.raises(ValueError, match="winograd-17 has tiles of 17 outputs; they must be 1 to"):
        find("winograd-17")
    with pytest.raises(ValueError, match="winograd-0 has tiles of 0 outputs; they must be 1 to 16"):
        find("winograd-0")
    with pytest.raises(ValueError, match="no algorithm is called 'winograd-x'"):
        find("winograd-x")


def test_sums_of_halves_are_those_of_float32() -> None:
    problem = the_problem((2, 3, 12, 11), (4, 3, 3, 3), dtype=torch.bfloat16)
    given = tensors(problem)
    x, w, dy = (each.float() for each in given)
    exact = the_problem(problem.x_shape, problem.w_shape, dtype=torch.float32)
    for half, single in zip(
        computed(4, problem, given), computed(4, exact, (x, w, dy)), strict=True
    ):
        assert torch.equal(half, single.bfloat16())
