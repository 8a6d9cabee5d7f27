"""Which convolutions the fused kernels take, what they hold, and how exact they are."""

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from alexnet.convolution.cook_toom import expected_error, transform, transform_at, typical_growth
from alexnet.convolution.problem import DIRECTIONS, Algorithm, Cost, Problem, describe
from alexnet.convolution.winograd import winograd
from alexnet.convolution.winograd_fused import fused
from alexnet.convolution.winograd_tiles import bound
from alexnet.native import library
from tests.oracles import convolution as oracle

KERNELS = pytest.mark.skipif(library.library() is None, reason="there are no compiled kernels")
MIRRORED = tuple(map(Fraction, ("0", "5/8", "-5/8", "13/8", "-13/8")))
"""Those of the kernels for tiles of 4."""


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def describe_layer(x: Tensor, w: Tensor, *, groups: int = 1) -> Problem:
    return describe(x, w, stride=1, padding=((1, 1), (0, 2)), dilation=1, groups=groups)


def other() -> tuple[Algorithm, list[str]]:
    """Return an algorithm that takes down which of its functions were asked."""
    asked: list[str] = []

    def ask(name: str) -> Callable[..., Tensor]:
        def function(*arguments: object) -> Tensor:
            asked.append(name)
            return torch.zeros(())

        return function

    forward, input_gradient, weight_gradient = map(ask, DIRECTIONS)
    algorithm = Algorithm(
        "other",
        forward,
        input_gradient,
        weight_gradient,
        refusal=lambda _: "no",
        cost=lambda *_: Cost(7, 6, 5, 4),
    )
    return algorithm, asked


@KERNELS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("m", [2, 4, 6])
def test_no_error_exceeds_the_bound(m: int, dtype: torch.dtype) -> None:
    x, w = draw(2, 24, 13, 17, dtype=dtype), draw(20, 12, 3, 3, dtype=dtype, seed=1)
    problem = describe_layer(x, w, groups=2)
    algorithm, (taken, asked) = winograd(m), other()
    results = []
    for each in (algorithm, fused(taken, m)):
        y = each.forward(x, w, None, problem, 0)
        dy = draw(*problem.y_shape, dtype=dtype, seed=2)
        dx, dw = each.input_gradient(dy, w, problem, 0), each.weight_gradient(x, dy, problem, 0)
        results.append((y, dx, dw))
    assert not asked
    pads = list(problem.padding)
    exact, weights, out = (each.double().numpy() for each in (x, w, dy))
    expected = (
        oracle.correlate(exact, weights, padding=pads, groups=2),
        oracle.input_gradient(out, weights, problem.size, padding=pads, groups=2),
        oracle.weight_gradient(exact, out, (3, 3), padding=pads, groups=2),
    )
    scales = (
        np.abs(exact).max() * np.abs(weights).sum((1, 2, 3)).max(),
        np.abs(out).max() * np.abs(weights).sum((0, 2, 3)).max(),
        np.abs(exact).max() * np.abs(out).sum((0, 2, 3)).max(),
    )
    for found in results:
        every = zip(DIRECTIONS, found, expected, scales, strict=True)
        for direction, one, equation, scale in every:
            assert one.dtype == dtype
            error = np.abs(one.double().numpy() - equation).max()
            assert error <= bound(direction, problem, m=m) * scale


@KERNELS
def test_the_error_is_what_its_points_let_expect() -> None:
    x, w = draw(2, 64, 33, 33), draw(32, 64, 3, 3, seed=1)
    problem = describe(x, w, stride=1, padding=0, dilation=1, groups=1)
    found = winograd(4).forward(x, w, None, problem, 0).double().numpy()
    expected = oracle.correlate(x.double().numpy(), w.double().numpy())
    error = math.sqrt(((found - expected) ** 2).mean() / (expected**2).mean())
    predicted = expected_error((4, 4), (3, 3), terms=64, dtype=torch.float32)
    ours, theirs = typical_growth(transform_at(MIRRORED, 4, 3)), typical_growth(transform(4, 3))
    predicted *= (ours / theirs) ** 2  # the same along both axes
    # It counts a rounding for each product and sum, of which fused multiply-adds have one.
    assert predicted / 3 < error < predicted


def test_mirrored_points_are_as_exact_as_others_for_tiles_of_four() -> None:
    usual = tuple(map(Fraction, (0, 1, -1, 2, -2)))
    for m, r in ((4, 3), (3, 4)):
        ours = typical_growth(transform_at(MIRRORED, m, r))
        assert ours < typical_growth(transform(m, r))
        assert ours == pytest.approx(typical_growth(transform_at(usual, m, r)) / 2, rel=0.02)


@pytest.mark.parametrize(
    ("size", "kernel", "dtype"),
    [((9, 9), (5, 3), torch.float32), ((9, 9), (3, 3), torch.float64), ((9,), (3,), torch.float32)],
)
def test_everything_else_goes_the_other_way(
    size: tuple[int, ...], kernel: tuple[int, ...], dtype: torch.dtype
) -> None:
    x, w = draw(1, 2, *size, dtype=dtype), draw(3, 2, *kernel, dtype=dtype)
    problem = describe(x, w, stride=1, padding=0, dilation=1, groups=1)
    taken, asked = other()
    algorithm = fused(taken, 4)
    algorithm.forward(x, w, None, problem, 0)
    algorithm.input_gradient(x, w, problem, 0)
    algorithm.weight_gradient(x, x, problem, 0)
    assert asked == list(DIRECTIONS)
    assert algorithm.cost("forward", problem, 0) == Cost(7, 6, 5, 4)
    assert algorithm.name == "other"
    assert algorithm.refusal(problem) == "no"


@KERNELS
def test_its_cost_has_the_operations_of_the_other_and_bytes_of_its_own() -> None:
    x, w = draw(2, 32, 12, 12), draw(64, 32, 3, 3)
    problem = describe(x, w, stride=1, padding=1, dilation=1, groups=1)
    taken, _ = other()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = fused(taken, 4).cost("forward", problem, 0)
    half = fused(taken, 4).cost("forward", replace(problem, dtype=torch.bfloat16), 0)
    summed = fused(taken, 4).cost("weight_gradient", problem, 0)
    torch.set_num_threads(before)
    x_count, w_count, y_count = 2 * 32 * 144, 64 * 32 * 9, 2 * 64 * 144
    # 18 tiles pass together; a row of channels, and all of a point, are 16 floats longer.
    own = 36 * 4 * (18 * (32 + 16) + (18 * 64 + 16) + (64 * 32 + 16))
    assert (found.multiplications, found.additions) == (7, 6)
    assert found.bytes == 4 * (x_count + w_count + y_count) + 2 * 4 * 36 * 64 * 32
    assert (found.workspace, found.copies) == (own, 4 * (x_count + w_count))
    assert (half.workspace, half.copies) == (own + 4 * 64, 2 * (x_count + w_count))
    own = 36 * 4 * (18 * (64 + 16) + (18 * 32 + 16) + (64 * 32 + 16))
    assert (summed.workspace, summed.copies) == (own, 4 * (x_count + y_count))
