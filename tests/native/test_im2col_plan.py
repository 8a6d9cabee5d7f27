"""Which windows meet what, and how much is done and held at a time."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from alexnet.allocations import held
from alexnet.convolution.problem import WORKSPACE, Problem
from alexnet.native import im2col
from alexnet.native.im2col_plan import (
    DEPTH,
    PANEL,
    ROWS,
    Meeting,
    forward_task,
    input_gradient_task,
    multiplications,
    plan,
)

DIRECTIONS = ("forward", "input_gradient", "weight_gradient")


LAYER = Problem(
    batch=2,
    channels=12,
    kernels=8,
    size=(9, 10),
    kernel=(3, 3),
    stride=(1, 1),
    padding=((1, 1), (1, 1)),
    dilation=(1, 1),
    groups=1,
    dtype=torch.float32,
)
LINE = replace(
    LAYER,
    size=(11,),
    kernel=(3,),
    stride=(1,),
    padding=((1, 1),),
    dilation=(1,),
)


def make(*, batch: int, channels: int, kernels: int, size: tuple[int, int]) -> Problem:
    return replace(LAYER, batch=batch, channels=channels, kernels=kernels, size=size)


def met(axis: Meeting) -> set[tuple[int, int, int]]:
    """Return each (output, tap, element of the input) of a meeting."""
    return {
        (axis.first + axis.step * i, tap, axis.stride * i + at)
        for i, (at, tap) in itertools.product(range(axis.outputs), axis.taps)
    }


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_both_directions_join_the_same_inputs_taps_and_outputs(
    stride: int, dilation: int, padding: int
) -> None:
    problem = replace(LINE, stride=(stride,), dilation=(dilation,), padding=((padding, padding),))
    there = {
        (p, r, stride * p + dilation * r - padding)
        for p, r in itertools.product(range(problem.output[0]), range(3))
    }
    (grid,) = forward_task(problem).grids
    assert met(grid[-1]) == there
    back = [met(grid[-1]) for grid in input_gradient_task(problem).grids]
    inside = {(h, r, p) for p, r, h in there if 0 <= h < 11}
    together = set().union(*back)
    assert {each for each in together if 0 <= each[2] < problem.output[0]} == inside
    assert {h for h, _, _ in together} <= set(range(11))
    assert len(together) == sum(map(len, back))


def test_fewer_axes_are_three_of_which_some_have_one_element() -> None:
    task = forward_task(replace(LINE, size=(7,)))
    assert task.size == (1, 1, 7)
    assert task.out == (1, 1, 7)
    assert [meeting.outputs for meeting in task.grids[0]] == [1, 1, 7]


def test_multiplications_are_those_of_the_definition() -> None:
    problem = replace(LAYER, stride=(2, 2), groups=2)
    definition = math.prod(problem.y_shape) * math.prod(problem.w_shape[1:])
    assert multiplications("forward", problem) == definition
    assert multiplications("weight_gradient", problem) == definition


def test_those_of_the_input_gradient_are_of_each_input_with_the_taps_that_meet_it() -> None:
    # Of each two inputs one meets two taps, the other one: (5 * 2 + 4 * 1) * (5 * 2 + 5 * 1).
    problem = replace(LAYER, stride=(2, 2), padding=((0, 0), (0, 0)))
    assert multiplications("input_gradient", problem) == 2 * 12 * 8 * (5 * 2 + 4) * (5 * 2 + 5)


def test_large_layers_have_blocks_of_the_caches_sizes_and_all_kernels_in_panels() -> None:
    problem = make(batch=4, channels=512, kernels=300, size=(30, 30))
    blocks = plan("forward", problem, WORKSPACE)
    assert blocks.rows <= ROWS
    assert blocks.depth == 512 * 9 // 18 == DEPTH
    assert blocks.kernels == 320
    assert blocks.pictures == 4


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_small_workspace_takes_fewer_pictures_and_kernels(direction: str) -> None:
    problem = make(batch=8, channels=64, kernels=256, size=(30, 30))
    one = 4 * (64 + 256) * 900
    for workspace in (3_000_000, 4_000_000, 8_000_000, 100_000_000):
        blocks = plan(direction, problem, workspace)
        assert blocks.workspace <= workspace
        assert blocks.workspace + one > workspace or blocks.pictures == 8
    assert plan(direction, problem, 0).pictures == 1
    if direction != "weight_gradient":
        assert plan(direction, problem, 0).kernels == PANEL


SINGLE = replace(make(batch=6, channels=40, kernels=40, size=(24, 24)), groups=40)


def run(direction: str, problem: Problem, *, is_last: bool, workspace: int) -> Callable[[], Tensor]:
    def tensor(shape: tuple[int, ...]) -> Tensor:
        made = torch.ones(shape, dtype=problem.dtype)
        return made.movedim(1, -1).contiguous().movedim(-1, 1) if is_last else made

    x, w, dy = tensor(problem.x_shape), tensor(problem.w_shape), tensor(problem.y_shape)
    bias = torch.ones(problem.kernels, dtype=problem.dtype)
    if direction == "forward":
        return lambda: im2col.forward(x, w, bias=bias, layer=problem, workspace=workspace)
    if direction == "input_gradient":
        return lambda: im2col.input_gradient(dy, w, layer=problem, workspace=workspace)
    return lambda: im2col.weight_gradient(x, dy, layer=problem, workspace=workspace)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("workspace", [2_000_000, WORKSPACE])
@pytest.mark.parametrize(
    "problem",
    [
        make(batch=6, channels=48, kernels=64, size=(24, 24)),
        replace(make(batch=3, channels=24, kernels=36, size=(25, 24)), stride=(2, 2), groups=3),
        SINGLE,
        replace(SINGLE, dtype=torch.bfloat16),
        replace(LINE, batch=6, channels=32, kernels=40, size=(800,), dtype=torch.bfloat16),
    ],
)
def test_no_more_is_held_than_planned(
    problem: Problem, workspace: int, is_last: bool, direction: str
) -> None:
    most = plan(direction, problem, workspace).workspace
    assert most <= workspace
    found = held(run(direction, problem, is_last=is_last, workspace=workspace))
    assert 0 < found.workspace <= most
