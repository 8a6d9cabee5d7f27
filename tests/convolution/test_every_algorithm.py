"""Every algorithm by every kind of convolution: values and all gradients against the definition.

What an algorithm refuses it must refuse in its own words; all else it must do.
"""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from alexnet.convolution.algorithms import ALGORITHMS, find
from alexnet.convolution.convolve import convolve, transposed_convolve
from alexnet.convolution.problem import (
    DIRECTIONS,
    DTYPES,
    WORKSPACE,
    Padding,
    Problem,
    describe,
)
from alexnet.convolution.winograd_tiles import predicted_error, tile
from tests.convolution.drawn import expected, problems, tensors

Kind = tuple[tuple[int, ...], tuple[int, ...], dict[str, int | Padding]]

NAMES = list(ALGORITHMS)
KINDS: dict[str, Kind] = {
    "a row": ((2, 3, 17), (4, 3, 3), {}),
    "a row and one tap": ((2, 3, 5), (4, 3, 1), {}),
    "a row by strides": ((2, 4, 23), (6, 4, 5), {"stride": 3, "padding": [(1, 2)]}),
    "a row with gaps, in groups": ((2, 4, 21), (6, 2, 3), {"dilation": 4, "groups": 2}),
    "a row for each channel": ((2, 5, 19), (5, 1, 7), {"padding": 3, "groups": 5}),
    "a plane": ((2, 3, 13, 9), (4, 3, 3, 3), {"padding": 1}),
    "a plane of one window": ((1, 3, 5, 4), (2, 3, 5, 4), {}),
    "a plane, pads uneven": ((1, 3, 7, 8), (4, 3, 3, 3), {"padding": [(0, 2), (1, 0)]}),
    "a plane, kernel not square": ((2, 3, 11, 9), (2, 3, 5, 2), {"padding": [(2, 1), (3, 0)]}),
    "a plane by strides": ((2, 3, 15, 14), (4, 3, 3, 5), {"stride": (2, 3), "padding": 2}),
    "a plane with gaps": ((2, 3, 12, 11), (4, 3, 3, 3), {"dilation": (2, 3), "padding": 2}),
    "a plane, all at once": (
        (1, 4, 15, 17),
        (6, 2, 3, 4),
        {"stride": (2, 3), "dilation": (3, 2), "padding": [(1, 2), (3, 0)], "groups": 2},
    ),
    "a plane for each channel": ((2, 6, 9, 9), (6, 1, 3, 3), {"padding": 1, "groups": 6}),
    "a plane, two kernels a channel": ((2, 3, 9, 8), (6, 1, 3, 3), {"stride": 2, "groups": 3}),
    "a volume": ((2, 3, 6, 7, 5), (4, 3, 3, 3, 3), {"padding": 1}),
    "a volume by strides": ((1, 2, 7, 8, 9), (4, 2, 3, 2, 3), {"stride": (2, 1, 3), "padding": 1}),
    "a volume with gaps, in groups": (
        (1, 4, 7, 6, 7),
        (4, 2, 2, 3, 2),
        {"dilation": (1, 2, 3), "padding": [(0, 1), (2, 0), (1, 1)], "groups": 2},
    ),
}


def the_problem(kind: Kind, dtype: torch.dtype = torch.float64) -> Problem:
    x_shape, w_shape, given = kind
    constants = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | given
    x, w = torch.empty(x_shape, dtype=dtype), torch.empty(w_shape, dtype=dtype)
    return describe(x, w, **constants)  # type: ignore[arg-type]


def tolerance(name: str, problem: Problem) -> float:
    """Return what an element may be off, relative to the largest of its tensor.

    Sums here have up to some hundred terms: some roundings of the type of sums. Halves are rounded
    once more at the end. The transforms of Fourier mix elements of a tile, whose roundings then
    count against the largest of them; those of Winograd make larger numbers on the way, and are
    allowed 8 times the root mean square that is predicted for them.
    """
    last = {torch.bfloat16: 2**-8, torch.float16: 2**-11}.get(problem.dtype, 0.0)
    # On a processor without units for halves torch adds the taps in halves, each of which is
    # rounded; the elements on the way are smaller than the largest at the end.
    roundings = 4 if name == "native" else 1
    sums = 1e-13 if problem.dtype == torch.float64 else 2e-6
    if name == "winograd":
        m = tile(problem)
        sums += 8 * max(predicted_error(each, problem, m=m) for each in DIRECTIONS)
    return sums + last * roundings


def close(ours: Tensor | None, exact: Tensor, allowed: float, dtype: torch.dtype) -> None:
    assert ours is not None
    assert ours.dtype == dtype
    atol = allowed * max(exact.abs().max().item(), 1e-3)
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=atol)


def apply(
    name: str,
    problem: Problem,
    *tensors: Tensor,
    workspace: int = WORKSPACE,
) -> Tensor:
    """Convolve x, w and perhaps a bias."""
    return convolve(
        *tensors,
        stride=problem.stride,
        padding=problem.padding,
        dilation=problem.dilation,
        groups=problem.groups,
        algorithm=name,
        workspace=workspace,
    )


class Case(NamedTuple):
    """A problem, what is convolved, and what it must give in float64."""

    problem: Problem
    x: Tensor
    w: Tensor
    dy: Tensor
    bias: Tensor
    y: Tensor
    dx: Tensor
    dw: Tensor


def a_case(problem: Problem) -> Case:
    x, w, dy = tensors(problem)
    bias = torch.linspace(-1, 1, problem.kernels).to(problem.dtype)
    return Case(problem, x, w, dy, bias, *expected(problem, x, w, dy, bias))


@cache
def the_case(kind: str, dtype: torch.dtype) -> Case:
    return a_case(the_problem(KINDS[kind], dtype))


def check(name: str, case: Case, *, workspace: int = WORKSPACE) -> None:
    """Compare values and gradients, or the words of a refusal."""
    problem = case.problem
    if reason := find(name).refusal(problem):
        with pytest.raises(ValueError, match="cannot do this convolution") as error:
            apply(name, problem, case.x, case.w, case.bias)
        assert reason in str(error.value)
        return
    x, w, bias = (each.detach().requires_grad_() for each in (case.x, case.w, case.bias))
    y = apply(name, problem, x, w, bias, workspace=workspace)
    y.backward(case.dy)
    allowed = tolerance(name, problem)
    close(y, case.y, allowed, problem.dtype)
    close(x.grad, case.dx, allowed, problem.dtype)
    close(w.grad, case.dw, allowed, problem.dtype)
    others = (0, *range(2, case.dy.dim()))
    close(bias.grad, case.dy.double().sum(others), allowed, problem.dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_equal_the_definition(
    name: str, kind: str, dtype: torch.dtype
) -> None:
    check(name, the_case(kind, dtype))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(problem=problems())
def test_drawn_convolutions_equal_the_definition(name: str, problem: Problem) -> None:
    check(name, a_case(problem))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["a plane", "a plane, all at once", "a plane for each channel"])
def test_tensors_in_any_order_in_memory(name: str, kind: str) -> None:
    case = the_case(kind, torch.float64)
    x, w, dy = (
        each.contiguous(memory_format=torch.channels_last) for each in (case.x, case.w, case.dy)
    )
    check(name, case._replace(x=x, w=w, dy=dy))
    x, w, dy = (each.mT.contiguous().mT for each in (case.x, case.w, case.dy))
    check(name, case._replace(x=x, w=w, dy=dy))
    x, w, dy = (each.repeat_interleave(2, -1)[..., ::2] for each in (case.x, case.w, case.dy))
    check(name, case._replace(x=x, w=w, dy=dy))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["a row by strides", "a plane"])
def test_a_small_workspace_changes_nothing_or_is_refused(name: str, kind: str) -> None:
    case = the_case(kind, torch.float64)
    check(name, case, workspace=2**17)
    if name == "fft":  # which can do no part of a tile
        with pytest.raises(ValueError, match="more than the workspace of 0; give it at least that"):
            check(name, case, workspace=0)
    else:
        check(name, case, workspace=0)


def test_what_an_algorithm_refuses_is_refused_in_its_words() -> None:
    case = the_case("a plane", torch.float32)
    assert "the error to expect" in find("winograd-16").refusal(case.problem)
    check("winograd-16", case)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_lies_only_once_in_memory(name: str) -> None:
    case = the_case("a plane", torch.float64)
    dy = case.dy[:1, :1, :1].expand_as(case.dy)
    y, dx, dw = expected(case.problem, case.x, case.w, dy, case.bias)
    check(name, case._replace(dy=dy, y=y, dx=dx, dw=dw))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_no_pictures_gives_none_and_gradients_of_zero(name: str) -> None:
    problem = replace(the_problem(KINDS["a plane"]), batch=0)
    x, w, _ = (each.requires_grad_() for each in tensors(problem))
    y = apply(name, problem, x, w)
    y.sum().backward()
    assert y.shape == problem.y_shape
    assert torch.equal(y, torch.zeros(problem.y_shape, dtype=torch.float64))
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert w.grad is not None
    assert torch.equal(w.grad, torch.zeros_like(w))


SMALL: dict[str, Kind] = {
    "a row by strides": ((1, 2, 9), (2, 2, 3), {"stride": 2, "padding": [(1, 2)]}),
    "a plane in groups": ((1, 2, 4, 3), (2, 1, 3, 2), {"padding": 1, "groups": 2}),
    "a volume": ((1, 1, 3, 2, 4), (1, 1, 2, 2, 2), {"dilation": (1, 1, 2)}),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SMALL)
def test_first_and_second_derivatives_equal_differences(name: str, kind: str) -> None:
    problem = the_problem(SMALL[kind])
    if find(name).refusal(problem):
        pytest.skip("refused, which the other tests hold to its words")
    x, w, _ = (each.requires_grad_() for each in tensors(problem))
    bias = torch.ones(problem.kernels, dtype=torch.float64, requires_grad=True)

    def forward(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return apply(name, problem, x, w, bias)

    # gradcheck's own tolerances: steps of 1e-6 in float64.
    assert torch.autograd.gradcheck(forward, (x, w, bias))
    assert torch.autograd.gradgradcheck(forward, (x, w, bias), fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_transposed_convolution_by_each(name: str) -> None:
    problem = the_problem(KINDS["a plane by strides"])
    if find(name).refusal(problem):
        pytest.skip("refused, which the other tests hold to its words")
    _, w, dy = tensors(problem)
    (_, dx, _) = expected(problem, torch.zeros(problem.x_shape), w, dy)
    # 15 rows and a stride of 2 come from 9 outputs without any more, 14 columns from 5 with one.
    y = transposed_convolve(
        *(dy, w), stride=(2, 3), padding=2, output_padding=(0, 1), algorithm=name
    )
    close(y, dx, tolerance(name, problem), torch.float64)
