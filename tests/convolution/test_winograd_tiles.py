"""What Winograd's convolution counts and holds."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.allocations import held
from alexnet.convolution.problem import DIRECTIONS, Direction, Problem, describe
from alexnet.convolution.winograd import correlate, spread, weights
from alexnet.convolution.winograd_tiles import Nested, cost, plan, product_ratio, transforms
from tests.convolution.drawn import tensors


def plain(x: tuple[int, ...], w: tuple[int, ...], *, groups: int = 1) -> Problem:
    return describe(torch.empty(x), torch.empty(w), stride=1, padding=0, dilation=1, groups=groups)


@st.composite
def plains(draw: st.DrawFn) -> Problem:
    axes = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, (5, 5, 3)[axes - 1])) for _ in range(axes)]
    size = [taps + draw(st.integers(0, (60, 20, 6)[axes - 1])) for taps in kernel]
    groups, channels = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 8]))
    kernels, batch = draw(st.sampled_from([1, 3, 8])), draw(st.integers(2, 3))
    x, w = (batch, groups * channels, *size), (groups * kernels, channels, *kernel)
    return plain(x, w, groups=groups)


@given(problem=plains(), m=st.integers(1, 6), workspace=st.sampled_from([2**13, 2**16, 2**26]))
@settings(max_examples=25, deadline=None)
def test_no_more_is_held_than_the_formula_says(problem: Problem, m: int, workspace: int) -> None:
    x, w, dy = tensors(problem)
    groups = problem.groups
    calls: dict[Direction, Any] = {
        "forward": lambda: correlate(x, w, groups, workspace, m=m),
        "input_gradient": lambda: spread(dy, w, groups, workspace, m=m),
        "weight_gradient": lambda: weights(x, dy, groups, workspace, m=m),
    }
    for direction, call in calls.items():
        met, formula = held(call).workspace, cost(direction, problem, workspace, m=m).workspace
        assert met <= formula
        if set(problem.kernel) != {1}:  # with one tap alone most stages are none
            assert formula <= 1.5 * met + 20_000


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("x", "w"), [((4, 8, 30, 30), (8, 8, 3, 3)), ((2, 4, 500), (4, 4, 5))])
def test_chunks_are_the_largest_that_fit(
    direction: Direction, x: tuple[int, ...], w: tuple[int, ...]
) -> None:
    problem = plain(x, w)
    most = plan(direction, problem, 2**40, m=4)
    assert (most.pictures, most.rows) == (problem.batch, most.tiles[0])
    for workspace in range(20_000, most.held(most.pictures, most.rows), 30_000):
        some = plan(direction, problem, workspace, m=4)
        assert some.held(some.pictures, some.rows) <= workspace or some.rows == 1
        if some.rows == some.tiles[0]:
            assert some.held(some.pictures + 1, some.rows) > workspace
        else:
            assert some.pictures == 1
            assert some.held(1, some.rows + 1) > workspace


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_chunks_are_all_tiles_once(direction: Direction) -> None:
    problem = plain((5, 2, 23, 9), (3, 2, 3, 3))
    for workspace in (0, 4000, 10**4, 10**5):
        some = plan(direction, problem, workspace, m=3)
        met = [
            (picture, row)
            for pictures, rows in some.chunks()
            for picture in range(pictures.start, pictures.stop)
            for row in range(rows.start, rows.stop)
        ]
        assert met == [(n, row) for n in range(5) for row in range(some.tiles[0])]


def test_tiles_are_no_larger_than_the_output_and_1_with_one_tap() -> None:
    problem = plain((1, 1, 7, 4, 9), (1, 1, 3, 3, 1))
    some = plan("forward", problem, 0, m=4)
    assert (some.m, some.t, some.tiles) == ((4, 2, 1), (6, 4, 1), (2, 1, 9))
    back = plan("input_gradient", problem, 0, m=4)
    assert (back.m, back.t, back.tiles) == ((4, 4, 1), (6, 6, 1), (2, 1, 9))


def test_one_tile_of_f_2_3_counts_as_by_hand() -> None:
    problem = plain((1, 1, 4), (1, 1, 3))
    forward = cost("forward", problem, 2**20, m=2)
    # B^T: 4 sums of two. G: two rows of three halves, 6 products and 4 sums. 4 products. A^T: two
    # sums of three. Outside 4 + 3 + 2 numbers once; between them 4 + 4, 3 + 4 and 4 + 2 twice.
    assert (forward.multiplications, forward.additions) == (6 + 4, 4 + 4 + 4)
    assert forward.bytes == 4 * (9 + 2 * 21)
    # The weights: F(3, 2), whose G has two rows of two halves, and A^T three rows of 3, 2 and 3.
    back = cost("weight_gradient", problem, 2**20, m=2)
    assert (back.multiplications, back.additions) == (4 + 4, 4 + 2 + 5)


def test_products_are_those_of_tiles_channels_and_kernels() -> None:
    # 8 x 8 outputs are 4 tiles of F(4, 3) a picture, with 36 products each.
    products = 3 * 4 * 36 * 16 * 8
    one = transforms((4, 4), (3, 3))
    x, w, y = (
        stage.operations[0] * count
        for stage, count in (
            (one.inputs, 3 * 4 * 8),
            (one.kernels, 16 * 8),
            (one.products, 3 * 4 * 16),
        )
    )
    problem = plain((3, 8, 10, 10), (16, 8, 3, 3))
    assert cost("forward", problem, 2**20, m=4).multiplications == products + x + w + y
    # In two groups each kernel reads half of the channels.
    halved = plain((3, 8, 10, 10), (16, 4, 3, 3), groups=2)
    assert cost("forward", halved, 2**20, m=4).multiplications == products // 2 + x + w // 2 + y


def test_the_gradient_of_the_input_costs_as_a_convolution_of_more_outputs() -> None:
    problem, turned = plain((2, 3, 12, 9), (5, 3, 3, 2)), plain((2, 5, 14, 10), (3, 5, 3, 2))
    ours = cost("input_gradient", problem, 2**20, m=4)
    other = cost("forward", turned, 2**20, m=4)
    # But for zeros around dy, which are not in memory.
    assert (ours.multiplications, ours.additions) == (other.multiplications, other.additions)


def test_an_identity_costs_nothing_and_is_no_step() -> None:
    one = transforms((1, 4), (3, 1))
    assert (one.inputs.operations, one.inputs.counts) == ((0, 0), [12])
    z = torch.arange(24.0).view(3, 4, 2)
    assert one.inputs.apply(z) is z


def test_matrices_are_applied_along_their_axes() -> None:
    # Row by row: 2 outputs of 3 inputs, then 1 of 2.
    stage = Nested((((1, 0, -1), (0, 2, 0)), ((1, 3),)))  # type: ignore[arg-type]
    z = torch.arange(12.0).view(3, 2, 2)
    a, b = torch.tensor([[1.0, 0, -1], [0, 2, 0]]), torch.tensor([[1.0, 3]])
    assert torch.equal(stage.apply(z), torch.einsum("ai,bj,ijl->abl", a, b, z))
    assert stage.counts == [6, 4, 2]
    # First 2 columns of one product and one sum each, then 2 rows of one product and one sum.
    assert stage.operations == (2 * 1 + 2 * 1, 2 * 1 + 2 * 1)


def test_the_theory_saves_m_r_over_m_plus_r_minus_1_along_each_axis() -> None:
    assert product_ratio((2,), (3,)) == 1.5
    assert product_ratio((4, 4), (3, 3)) == 4
    assert product_ratio((4, 4, 4), (3, 3, 3)) == 8
    assert product_ratio((4, 1), (1, 3)) == 1
