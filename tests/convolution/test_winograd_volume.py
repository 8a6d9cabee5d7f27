"""Volumes by Winograd's convolution of planes, against the definition in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.allocations import held
from alexnet.convolution import winograd_volume as volume
from alexnet.convolution.problem import DIRECTIONS, Direction, Problem, describe
from alexnet.convolution.winograd import winograd
from alexnet.native import library
from tests.convolution.drawn import tensors
from tests.oracles import convolution as oracle

pytestmark = pytest.mark.skipif(library.library() is None, reason="there are no compiled kernels")
CPU = torch.device("cpu")


def layer(
    x: tuple[int, ...],
    w: tuple[int, ...],
    *,
    pads: tuple[tuple[int, int], ...] = ((1, 1),) * 3,
    groups: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Problem:
    tensors = torch.empty(x, dtype=dtype), torch.empty(w, dtype=dtype)
    return describe(*tensors, stride=1, padding=pads, dilation=1, groups=groups)


def check(problem: Problem, *, m: int, workspace: int) -> None:
    """Compare all directions with their equations."""
    assert volume.serves(problem, m, CPU)
    x, w, dy = tensors(problem)
    bias = torch.linspace(-1, 1, problem.kernels).to(problem.dtype)
    algorithm = winograd(m)
    found = (
        algorithm.forward(x, w, bias, problem, workspace),
        algorithm.input_gradient(dy, w, problem, workspace),
        algorithm.weight_gradient(x, dy, problem, workspace),
    )
    exact, weights, out = (each.double().numpy() for each in (x, w, dy))
    pads, groups = list(problem.padding), problem.groups
    expected = (
        oracle.correlate(exact, weights, bias.double().numpy(), padding=pads, groups=groups),
        oracle.input_gradient(out, weights, problem.size, padding=pads, groups=groups),
        oracle.weight_gradient(exact, out, problem.kernel, padding=pads, groups=groups),
    )
    # As tests/native/test_winograd.py has it for pictures; bfloat16 rounds what is stored.
    error, rounding = {2: 2e-6, 4: 8e-6, 6: 4e-5}[m], 2**-8
    for one, equation in zip(found, expected, strict=True):
        assert one.dtype == problem.dtype
        rtol = rounding if one.dtype == torch.bfloat16 else 0
        largest = float(np.abs(equation).max())
        np.testing.assert_allclose(one.double().numpy(), equation, rtol=rtol, atol=error * largest)


@st.composite
def volumes(draw: st.DrawFn) -> Problem:
    c, k, groups = draw(st.sampled_from([(1, 1, 1), (5, 3, 1), (4, 6, 2), (4, 4, 3)]))
    size = draw(st.tuples(st.integers(1, 5), st.integers(4, 9), st.integers(4, 9)))
    taps, behind = draw(st.integers(1, 4)), draw(st.tuples(*[st.integers(1, 2)] * 3))
    before = max(draw(st.integers(0, 2)), taps - size[0] - behind[0])  # so that there is an output
    pads = ((before, behind[0]), (1, behind[1]), (1, behind[2]))
    dtype = draw(st.sampled_from([torch.float32, torch.bfloat16]))
    x, w = (draw(st.integers(1, 3)), groups * c, *size), (groups * k, c, taps, 3, 3)
    return layer(x, w, pads=pads, groups=groups, dtype=dtype)


@settings(max_examples=40, deadline=None)
@given(problem=volumes(), m=st.sampled_from([2, 4]), workspace=st.sampled_from([0, 30_000, 2**26]))
def test_drawn_volumes(problem: Problem, m: int, workspace: int) -> None:
    check(problem, m=m, workspace=workspace)


def test_a_volume_without_pictures_gives_none() -> None:
    problem = layer((0, 2, 4, 6, 6), (3, 2, 3, 3, 3))
    x, w, dy = tensors(problem)
    assert winograd(4).forward(x, w, None, problem, 0).shape == (0, 3, 4, 6, 6)
    assert winograd(4).input_gradient(dy, w, problem, 0).shape == (0, 2, 4, 6, 6)
    dw = winograd(4).weight_gradient(x, dy, problem, 0)
    assert torch.equal(dw, torch.zeros(3, 2, 3, 3, 3))


@pytest.mark.parametrize("workspace", [0, 400_000, 2**26])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("x", "w", "groups"),
    [
        ((2, 16, 6, 20, 18), (24, 16, 3, 3, 3), 1),
        ((2, 16, 6, 20, 18), (24, 8, 2, 3, 3), 2),
        ((3, 16, 20, 18), (24, 8, 3, 3), 2),
    ],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_no_more_is_held_than_the_formula_says(
    direction: Direction,
    x: tuple[int, ...],
    w: tuple[int, ...],
    groups: int,
    dtype: torch.dtype,
    workspace: int,
) -> None:
    pads = ((1, 1),) * (len(x) - 2)
    problem, algorithm = layer(x, w, pads=pads, groups=groups, dtype=dtype), winograd(4)
    given_x, given_w, given_dy = tensors(problem)
    bias = torch.zeros(problem.kernels, dtype=dtype)
    calls = {
        "forward": lambda: algorithm.forward(given_x, given_w, bias, problem, workspace),
        "input_gradient": lambda: algorithm.input_gradient(given_dy, given_w, problem, workspace),
        "weight_gradient": lambda: algorithm.weight_gradient(given_x, given_dy, problem, workspace),
    }
    met = held(calls[direction]).workspace
    told = algorithm.cost(direction, problem, workspace).most
    assert met <= told + 1024  # each tensor is rounded up to a few bytes
    assert told < 2 * met


@pytest.mark.parametrize(
    ("plane_bytes", "pictures", "depth", "workspace", "expected"),
    [
        (100, 4, 5, 10_000, (4, 5)),
        (100, 4, 5, 2_400, (2, 5)),
        (100, 4, 5, 600, (1, 3)),
        (100, 4, 5, 0, (1, 1)),
        (0, 4, 5, 600, (4, 5)),
        (100, 0, 0, 600, (0, 0)),
    ],
)
def test_a_chunk_is_whole_pictures_or_planes_of_one(
    plane_bytes: int, pictures: int, depth: int, workspace: int, expected: tuple[int, int]
) -> None:
    assert volume.chunk(plane_bytes, pictures, depth, workspace) == expected


@pytest.mark.parametrize(
    ("stride", "dilation", "kernel", "expected"),
    [
        ((1, 1, 1), (1, 1, 1), (2, 3, 3), True),
        ((2, 1, 1), (1, 1, 1), (3, 3, 3), False),
        ((1, 1, 1), (2, 1, 1), (3, 3, 3), False),
        ((1, 1, 2), (1, 1, 1), (3, 3, 3), False),
        ((1, 1, 1), (1, 1, 1), (3, 3, 5), False),
    ],
)
def test_it_serves_planes_that_are_plain(
    stride: tuple[int, ...], dilation: tuple[int, ...], kernel: tuple[int, ...], expected: bool
) -> None:
    x, w = torch.empty(1, 4, 9, 9, 9), torch.empty(4, 4, *kernel)
    problem = describe(x, w, stride=stride, padding=1, dilation=dilation, groups=1)
    assert volume.serves(problem, 4, CPU) == expected


def test_the_planes_of_a_volume_have_as_many_products() -> None:
    problem = layer((2, 4, 6, 8, 8), (10, 4, 3, 3, 3), pads=((1, 0), (1, 1), (1, 1)))
    for direction in DIRECTIONS:
        flat = volume.planes(direction, problem)
        back = direction == "input_gradient"
        assert flat.batch == 2 * (6 if back else 5)
        assert flat.x_shape[1:] == (4 if back else 12, 8, 8)
        assert flat.y_shape[1:] == (30 if back else 10, 8, 8)
