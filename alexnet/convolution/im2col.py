"""The algorithm `im2col`: windows laid out as columns of a matrix, then one matrix product.

With the columns of an output position holding its window, channel by channel and tap by tap,

    forward           y       = w columns            (K, C T R S) x (C T R S, N O P Q)
    input gradient    columns = w^T dy, and each element is added to where it came from (col2im)
    weight gradient   dw      = dy columns^T

for each group. Source: Chellapilla, Puri, Simard, High Performance Convolutional Neural Networks
for Document Processing, 2006; Caffe (Jia 2014) takes one picture at a time. Here the columns of a
block of pictures and output positions exist at a time, as many as `workspace` allows.

Where there are compiled kernels, these do float32 and bfloat16 on the processor, with blocks that
fit its cache; their input gradient gathers what each input met instead of adding columns back.
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from alexnet.convolution.problem import (
    CHANNELS_LAST,
    Algorithm,
    Cost,
    Direction,
    Problem,
    Sizes,
    wide,
)
from alexnet.native import im2col as compiled
from alexnet.native import im2col_plan

Block = tuple[slice, ...]
"""Pictures, then output positions along each axis."""
Index = tuple[int | slice, ...]
ALL = slice(None)


class Plan(NamedTuple):
    """How much is laid out at a time, and what that holds."""

    shape: Sizes
    """Pictures, then output positions along each axis."""
    workspace: int
    """In bytes."""


def plan(direction: Direction, problem: Problem, workspace: int) -> Plan:
    """Return the largest block whose columns fit into the workspace, or else the smallest.

    A block holds (C T R S + K) numbers for each of its positions, and beside it w laid out. The
    input gradient of halves is summed in float32 for the pictures of a block. The last axes are
    filled first.
    """
    item = _item(problem)
    halves = problem.dtype.itemsize < item
    fixed = item * math.prod(problem.w_shape)
    position = item * (problem.channels * math.prod(problem.kernel) + problem.kernels)
    picture = item * problem.channels * math.prod(problem.size)
    per_picture = picture if halves and direction == "input_gradient" else 0
    free = workspace - fixed - per_picture
    counts = [1] * problem.axes
    for axis in reversed(range(problem.axes)):
        others = math.prod(counts)
        counts[axis] = max(1, min(problem.output[axis], free // (position * others)))
        if counts[axis] < problem.output[axis]:
            break
    one = position * math.prod(counts) + per_picture
    pictures = 1
    if tuple(counts) == problem.output:
        pictures = max(1, min(problem.batch, (workspace - fixed) // one))
    return Plan((pictures, *counts), fixed + pictures * one)


def _item(problem: Problem) -> int:
    return wide(problem.dtype).itemsize


def _forward(x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int) -> Tensor:
    if compiled.serves(x.device, x.dtype):
        return compiled.forward(x, w, bias=bias, layer=problem, workspace=workspace)
    shape, matrix = plan("forward", problem, workspace).shape, _matrix(w, problem)
    y = torch.empty(problem.y_shape, dtype=x.dtype, device=x.device, memory_format=_format(x))
    start = None if bias is None else bias.to(matrix.dtype).view(problem.groups, -1, 1)
    columns, rows = _memory(problem, shape, x.device)
    for block in _blocks(problem, shape):
        size = tuple(each.stop - each.start for each in block)
        windows = _part(columns, (problem.channels, *problem.kernel, *size))
        product = _part(rows, (problem.kernels, *size))
        _lay_out(x, windows, problem, block)
        sums = product.view(problem.groups, -1, math.prod(size))
        torch.bmm(matrix, windows.view(problem.groups, matrix.shape[2], -1), out=sums)
        if start is not None:
            sums += start
        y[_in_y(block)] = product.movedim(0, 1)
    return y


def _input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
    if compiled.serves(dy.device, dy.dtype):
        return compiled.input_gradient(dy, w, layer=problem, workspace=workspace)
    shape, matrix = plan("input_gradient", problem, workspace).shape, _matrix(w, problem).mT
    dx = torch.empty(problem.x_shape, dtype=dy.dtype, device=dy.device, memory_format=_format(dy))
    dx.zero_()
    columns, rows = _memory(problem, shape, dy.device)
    for pictures, blocks in itertools.groupby(_blocks(problem, shape), key=lambda block: block[0]):
        total = dx[pictures].to(matrix.dtype)  # dx itself, but for halves
        for block in blocks:
            size = tuple(each.stop - each.start for each in block)
            windows = _part(columns, (problem.channels, *problem.kernel, *size))
            product = _part(rows, (problem.kernels, *size))
            product.copy_(dy[_in_y(block)].movedim(0, 1))
            sums = windows.view(problem.groups, matrix.shape[1], -1)
            torch.bmm(matrix, product.view(problem.groups, matrix.shape[2], -1), out=sums)
            _add_back(windows, total, problem, block)
        if total.dtype != dx.dtype:
            dx[pictures] = total
        del total  # before the next is made
    return dx


def _weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
    if compiled.serves(x.device, x.dtype):
        return compiled.weight_gradient(x, dy, layer=problem, workspace=workspace)
    shape = plan("weight_gradient", problem, workspace).shape
    dw = torch.zeros(problem.w_shape, dtype=wide(x.dtype), device=x.device)
    matrix = _matrix(dw, problem)
    columns, rows = _memory(problem, shape, x.device)
    for block in _blocks(problem, shape):
        size = tuple(each.stop - each.start for each in block)
        windows = _part(columns, (problem.channels, *problem.kernel, *size))
        product = _part(rows, (problem.kernels, *size))
        _lay_out(x, windows, problem, block)
        product.copy_(dy[_in_y(block)].movedim(0, 1))
        positions = windows.view(problem.groups, matrix.shape[2], -1).mT
        matrix.baddbmm_(product.view(problem.groups, matrix.shape[1], -1), positions)
    return dw.to(x.dtype)


def _matrix(w: Tensor, problem: Problem) -> Tensor:
    """Return w as (groups, kernels of a group, window)."""
    each = problem.kernels // problem.groups
    return w.to(wide(w.dtype)).reshape(problem.groups, each, math.prod(problem.w_shape[1:]))


def _memory(problem: Problem, shape: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return room for the columns of a block and for its rows of y or dy."""
    heights = (problem.channels * math.prod(problem.kernel), problem.kernels)
    columns, rows = (
        torch.empty(height * math.prod(shape), dtype=wide(problem.dtype), device=device)
        for height in heights
    )
    return columns, rows


def _part(memory: Tensor, shape: Sizes) -> Tensor:
    """Return the first numbers: the last block is smaller, and dense as the others are."""
    return memory[: math.prod(shape)].view(shape)


def _format(x: Tensor) -> torch.memory_format:
    if x.is_contiguous() or x.dim() not in CHANNELS_LAST:
        return torch.contiguous_format
    last = x.is_contiguous(memory_format=CHANNELS_LAST[x.dim()])
    return CHANNELS_LAST[x.dim()] if last else torch.contiguous_format


def _blocks(problem: Problem, shape: Sizes) -> Iterator[Block]:
    """Yield all blocks, those of the same pictures one after the other."""
    ends = (problem.batch, *problem.output)
    every = (
        [slice(first, min(first + count, end)) for first in range(0, end, count)]
        for count, end in zip(shape, ends, strict=True)
    )
    yield from itertools.product(*every)


def _in_y(block: Block) -> tuple[slice, ...]:
    return (block[0], ALL, *block[1:])


def _places(problem: Problem, block: Block) -> Iterator[tuple[Index, Index, Index]]:
    """Yield each tap: its columns, those of them that meet the input, and where in the input.

    Position p of an axis meets element stride * p + dilation * r - before.
    """
    for tap in itertools.product(*map(range, problem.kernel)):
        here, there = [], []
        for axis, r in enumerate(tap):
            stride, positions = problem.stride[axis], block[1 + axis]
            offset = problem.dilation[axis] * r - problem.padding[axis][0]
            first = max(positions.start, -(offset // stride))
            last = min(positions.stop, (problem.size[axis] - 1 - offset) // stride + 1)
            last = max(first, last)
            here.append(slice(first - positions.start, last - positions.start))
            start = stride * first + offset
            there.append(slice(start, start + stride * (last - first), stride))
        yield (ALL, *tap), (ALL, ALL, *here), (ALL, ALL, *there)


def _lay_out(x: Tensor, columns: Tensor, problem: Problem, block: Block) -> None:
    """Fill columns (C, kernel, N, positions of the block); the padding is zero."""
    for tap, here, there in _places(problem, block):
        to = columns[tap]
        inside = to[here]
        if inside.shape != to.shape:
            to.zero_()
        if inside.numel():
            inside.copy_(x[block[0]][there].movedim(0, 1))


def _add_back(columns: Tensor, total: Tensor, problem: Problem, block: Block) -> None:
    """Add columns (C, kernel, N, positions of the block) to where they came from."""
    for tap, here, there in _places(problem, block):
        inside = columns[tap][here]
        if inside.numel():
            total[there] += inside.movedim(0, 1)


def _cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    """Return what the product does, and the columns' way to memory and back.

    Multiplications and additions are those of the definition, the padding's zeros included; col2im
    adds each column once more. Compiled, the columns stay in the cache: on the processor only w
    goes to memory and back, where pictures are channels last.
    """
    if compiled.serves(torch.device("cpu"), problem.dtype):
        return _compiled_cost(direction, problem, workspace)
    item, positions = problem.dtype.itemsize, problem.batch * math.prod(problem.output)
    columns = problem.channels * math.prod(problem.kernel) * positions
    multiplications = columns * problem.kernels // problem.groups
    tensors = sum(map(math.prod, (problem.x_shape, problem.w_shape, problem.y_shape)))
    return Cost(
        multiplications,
        multiplications + (columns if direction == "input_gradient" else 0),
        item * tensors + 2 * wide(problem.dtype).itemsize * (columns + math.prod(problem.y_shape)),
        plan(direction, problem, workspace).workspace,
    )


def _compiled_cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    multiplications = im2col_plan.multiplications(direction, problem)
    w = math.prod(problem.w_shape)
    tensors = math.prod(problem.x_shape) + w + math.prod(problem.y_shape)
    return Cost(
        multiplications,
        multiplications,
        problem.dtype.itemsize * tensors + 2 * torch.float32.itemsize * w,
        im2col_plan.plan(direction, problem, workspace).workspace,
    )


IM2COL = Algorithm("im2col", _forward, _input_gradient, _weight_gradient, lambda _: "", _cost)
