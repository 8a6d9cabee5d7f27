"""Winograd's convolution with all stages on a block of tiles at once, where a kernel serves.

That is on the processor for kernels of 3x3 with neither stride nor dilation, in float32 and
bfloat16, with tiles of 2, 4 or 6 outputs a side; and for volumes whose last two axes are of that
kind. Everything else goes the other way. The products of a picture's tile are the same, and the
errors within the same bounds: see native/cook_toom.h for the points. Volumes have tiles along two
axes only.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from alexnet.convolution import winograd_volume as volume
from alexnet.convolution.problem import Algorithm, Cost, Direction, Problem
from alexnet.native import winograd as native


def fused(other: Algorithm, m: int) -> Algorithm:
    """Return the algorithm that takes the kernels with tiles of m x m where they serve."""

    def forward(
        x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int
    ) -> Tensor:
        if volume.serves(problem, m, x.device):
            return volume.forward(x, w, bias, problem, _tiles(problem, m, workspace))
        if not native.serves(problem, m, x.device):
            return other.forward(x, w, bias, problem, workspace)
        return native.forward(x, w, bias, _tiles(problem, m, workspace))

    def input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
        if volume.serves(problem, m, dy.device):
            return volume.input_gradient(dy, w, problem, _tiles(problem, m, workspace))
        if not native.serves(problem, m, dy.device):
            return other.input_gradient(dy, w, problem, workspace)
        h, columns = problem.size
        return native.input_gradient(dy, w, (h, columns), _tiles(problem, m, workspace))

    def weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
        if volume.serves(problem, m, x.device):
            dw = volume.weight_gradient(x, dy, problem, _tiles(problem, m, workspace))
            return dw.to(problem.dtype)
        if not native.serves(problem, m, x.device):
            return other.weight_gradient(x, dy, problem, workspace)
        return native.weight_gradient(x, dy, _tiles(problem, m, workspace)).to(problem.dtype)

    def cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
        if volume.serves(problem, m, torch.device("cpu")):
            return _volume_cost(other, direction, problem, _tiles(problem, m, workspace))
        counted = other.cost(direction, problem, workspace)
        if not native.serves(problem, m, torch.device("cpu")):
            return counted
        return _cost(counted, direction, problem, _tiles(problem, m, workspace))

    return Algorithm(other.name, forward, input_gradient, weight_gradient, other.refusal, cost)


def _tiles(problem: Problem, m: int, workspace: int) -> native.Tiles:
    rows, columns = problem.padding[-2:]
    return native.Tiles(m, (rows, columns), problem.groups, workspace)


def _cost(counted: Cost, direction: Direction, problem: Problem, tiles: native.Tiles) -> Cost:
    """Return the cost with what these kernels hold, and what they move between the stages.

    Operations are those of the separate stages, whose matrices differ in a few entries. A block's
    numbers stay in the cache: between the stages only the weights, or their gradient, are moved.
    Inputs that are not channels last are laid out so first: these are the copies. With bfloat16
    the bias and the weights' gradient are held in float32.
    """
    held = native.workspace_bytes(direction, problem.x_shape, problem.y_shape, tiles)
    x, w, y = (math.prod(each) for each in (problem.x_shape, problem.w_shape, problem.y_shape))
    inputs = {"forward": x + w, "input_gradient": y + w, "weight_gradient": x + y}[direction]
    exact = {"forward": problem.kernels, "input_gradient": 0, "weight_gradient": w}[direction]
    size = problem.dtype.itemsize
    return replace(
        counted,
        bytes=size * (x + w + y) + 2 * 4 * (tiles.m + 2) ** 2 * w // math.prod(problem.kernel),
        workspace=held + (0 if problem.dtype == torch.float32 else 4 * exact),
        copies=size * inputs,
    )


def _volume_cost(
    other: Algorithm, direction: Direction, problem: Problem, tiles: native.Tiles
) -> Cost:
    """Return the cost of a volume's planes, with the copies of them and of the weights.

    The weights' gradient is added up over the chunks.
    """
    flat = volume.planes(direction, problem)
    cost = _cost(other.cost(direction, flat, tiles.workspace), direction, flat, tiles)
    item, w = problem.dtype.itemsize, math.prod(problem.w_shape)
    read = problem.y_shape if direction == "input_gradient" else problem.x_shape
    copies = math.prod(flat.y_shape if direction == "input_gradient" else flat.x_shape)
    chunk = volume.chunk_bytes(direction, problem, tiles.workspace)
    held = native.workspace_bytes(direction, flat.x_shape, flat.y_shape, tiles)
    return replace(
        cost,
        bytes=cost.bytes + item * (math.prod(read) + copies),
        workspace=held + chunk + item * w + 4 * (w + problem.kernels),
        copies=0,
    )
