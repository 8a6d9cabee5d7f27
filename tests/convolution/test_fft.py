"""Convolution by products of Fourier transforms, against the definition in numpy float64."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from alexnet.allocations import held
from alexnet.convolution.convolve import convolve
from alexnet.convolution.fft import FFT
from alexnet.convolution.problem import DIRECTIONS, WORKSPACE, Direction, Problem, describe, wide
from tests.convolution.drawn import expected, problems, tensors


def problem_of(
    x: tuple[int, ...], w: tuple[int, ...], *, dtype: torch.dtype = torch.float32, **given: int
) -> Problem:
    constants = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1} | given
    return describe(torch.empty(x, dtype=dtype), torch.empty(w, dtype=dtype), **constants)


def least(problem: Problem) -> int:
    """Return the workspace below which a problem is refused in some direction."""
    needs = []
    for direction in DIRECTIONS:
        with pytest.raises(ValueError, match="fft needs") as error:
            FFT.cost(direction, problem, 0)
        needs.append(int(str(error.value).split()[2]))
    return max(needs)


def check(problem: Problem, workspace: int, *, x: Tensor | None = None) -> None:
    drawn, w, dy = tensors(problem)
    x = drawn if x is None else x
    bias = torch.linspace(-1, 1, problem.kernels).to(problem.dtype)
    y = FFT.forward(x, w, bias, problem, workspace)
    dx = FFT.input_gradient(dy, w, problem, workspace)
    dw = FFT.weight_gradient(x, dy, problem, workspace)
    # Errors are relative to the largest outputs: some roundings of the type of sums, of which there
    # are up to some thousand terms, and for halves one more at the end.
    last = {torch.bfloat16: 2**-8, torch.float16: 2**-11}.get(problem.dtype, 0.0)
    exact = 1e-12 if problem.dtype == torch.float64 else 1e-5
    for ours, true in zip((y, dx, dw), expected(problem, x, w, dy, bias), strict=True):
        assert ours.dtype == problem.dtype
        assert ours.is_contiguous()
        atol = exact * max(1.0, true.abs().max().item())
        torch.testing.assert_close(ours.double(), true, rtol=last, atol=atol)


@settings(max_examples=40, deadline=None)
@given(problem=problems(), more=st.sampled_from([1000, 30_000, WORKSPACE]))
def test_drawn_convolutions_within_any_workspace(problem: Problem, more: int) -> None:
    check(problem, least(problem) + more)


KINDS: dict[str, Callable[[], Problem]] = {
    "a long row": lambda: problem_of((2, 5, 1003), (7, 5, 9), padding=4),
    "a plane of many tiles": lambda: problem_of((2, 5, 61, 47), (6, 5, 5, 3), padding=2),
    "a kernel as large as the plane": lambda: problem_of((3, 4, 13, 17), (5, 4, 13, 17)),
    "a kernel larger than the plane": lambda: problem_of((3, 4, 5, 7), (5, 4, 9, 9), padding=4),
    "by strides, as conv1": lambda: problem_of((2, 3, 63, 63), (8, 3, 11, 11), stride=4),
    "by strides with gaps": lambda: problem_of(
        (2, 3, 40, 43), (4, 3, 3, 3), stride=3, dilation=2, padding=2
    ),
    "one kernel a channel": lambda: problem_of((2, 12, 31, 29), (12, 1, 5, 5), groups=12),
    "three kernels a pair": lambda: problem_of((2, 12, 21, 29), (18, 2, 5, 5), groups=6),
    "large groups": lambda: problem_of((2, 20, 21, 19), (12, 10, 3, 3), groups=2, padding=1),
    "a volume": lambda: problem_of((1, 5, 14, 15, 13), (4, 5, 3, 5, 4), padding=2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_tiles_chunks_and_blocks_of_every_kind(kind: str, dtype: torch.dtype) -> None:
    problem = replace(KINDS[kind](), dtype=dtype)
    check(problem, WORKSPACE)
    check(problem, least(problem) + 50_000)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", ["large groups", "by strides with gaps", "one kernel a channel"])
def test_halves_are_rounded_once(kind: str, dtype: torch.dtype) -> None:
    problem = replace(KINDS[kind](), dtype=dtype)
    check(problem, WORKSPACE)
    check(problem, least(problem) + 50_000)


def test_inputs_that_are_not_in_their_order_in_memory() -> None:
    problem = replace(KINDS["a plane of many tiles"](), dtype=torch.float64)
    x, _, _ = tensors(problem)
    check(problem, WORKSPACE, x=x.contiguous(memory_format=torch.channels_last))
    check(problem, WORKSPACE, x=x.repeat_interleave(2, 3)[..., ::2])
    check(problem, WORKSPACE, x=x[:, :1].expand_as(x))


@pytest.mark.parametrize("kind", ["a plane of many tiles", "a long row", "a volume"])
def test_float32_errs_within_the_bound(kind: str) -> None:
    # Of each transform's error, relative in the square mean, at most 3.5 * epsilon * log2(t)
    # (Higham, section 24.1), of the sums over C channels at most C * epsilon; and by Cauchy and
    # Schwarz an output is at most the product of the norms of what it is made of, here of whole
    # pictures and kernels.
    problem = KINDS[kind]()
    x, w, _ = tensors(problem)
    y = FFT.forward(x, w, None, problem, WORKSPACE)
    exact, _, _ = expected(problem, x, w, torch.zeros_like(y))
    elements = math.prod(problem.padded)  # a tile has at most about as many
    epsilon = torch.finfo(torch.float32).eps
    norms = x.flatten(2).norm(dim=2) @ w.flatten(2).norm(dim=2).T  # (N, K)
    bound = epsilon * (3 * 3.5 * math.log2(elements) + problem.channels) * norms.double()
    errors = (y.double() - exact).abs().flatten(2).amax(2)
    assert (errors <= bound).all()
    # And in the mean it is far better: a rounding for every doubling, at random.
    mean = (y.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt()
    assert mean <= epsilon * math.sqrt(3 * math.log2(elements))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_within_its_formula_and_the_workspace(
    kind: str, dtype: torch.dtype, direction: Direction
) -> None:
    problem = replace(KINDS[kind](), dtype=dtype)
    for workspace in (WORKSPACE, least(problem) + 50_000):
        taken = memory(direction, problem, workspace)
        formula = FFT.cost(direction, problem, workspace).workspace
        assert taken <= formula
        # Less is held where tensors are too small for torch's buffer of 3600 complex numbers.
        assert formula <= 1.5 * taken + 2**16
        if problem.dtype == wide(problem.dtype):
            assert formula <= workspace


def memory(direction: Direction, problem: Problem, workspace: int) -> int:
    x, w, dy = tensors(problem)
    calls: dict[Direction, Callable[[], Tensor]] = {
        "forward": lambda: FFT.forward(x, w, None, problem, workspace),
        "input_gradient": lambda: FFT.input_gradient(dy, w, problem, workspace),
        "weight_gradient": lambda: FFT.weight_gradient(x, dy, problem, workspace),
    }
    return held(calls[direction]).workspace


def test_the_cost_adds_up_parts_inputs_and_outputs() -> None:
    # With 11 taps at stride 4 along a row there are four parts, of 3, 3, 3 and 2 taps.
    problem = problem_of((2, 16, 103), (8, 16, 11), stride=4)
    plain = [problem_of((2, 16, 23 + taps), (8, 16, taps)) for taps in (3, 3, 3, 2)]
    for direction in DIRECTIONS:
        whole = FFT.cost(direction, problem, WORKSPACE)
        each = [FFT.cost(direction, some, WORKSPACE) for some in plain]
        if direction == "forward":
            assert whole.multiplications == sum(cost.multiplications for cost in each)
            assert whole.additions == sum(cost.additions for cost in each)
        tensors_bytes = 4 * (2 * 16 * 103 + 8 * 16 * 11 + 2 * 8 * 24)
        assert whole.bytes > tensors_bytes
        assert whole.workspace <= WORKSPACE


def test_too_little_workspace_is_refused_with_the_bytes_that_would_do() -> None:
    problem = replace(KINDS["a plane of many tiles"](), dtype=torch.float32)
    x, w, _ = tensors(problem)
    with pytest.raises(ValueError, match=r"fft needs \d+ bytes .* workspace of 1000; give it"):
        convolve(x, w, padding=2, algorithm="fft", workspace=1000)
