"""Winograd's convolution of volumes by that of planes: taps along the depth become channels.

    y[n, k, o] = sum over t of convolution of x[n, :, o + t - before] with w[k, :, t]

is one convolution along two axes of N * O pictures of T * C channels, of which the kernel sums all
at the points: so the transforms back are done once, and rounding errors are those of two axes. The
planes are copied T times for it, a chunk at a time.

Letters as in problem.py; G groups, whose channels stay together: those of the pictures are
(G, T, C / G).
"""

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from alexnet.convolution.problem import Direction, Problem
from alexnet.native import winograd as native


def serves(problem: Problem, m: int, device: torch.device) -> bool:
    """Return whether there is a kernel for the planes of a problem."""
    return (
        problem.axes == 3
        and problem.stride[0] == problem.dilation[0] == 1
        and native.serves(planes("forward", problem), m, device)
    )


def planes(direction: Direction, problem: Problem) -> Problem:
    """Return the problem along two axes that a plain one along three becomes."""
    taps, back = problem.kernel[0], direction == "input_gradient"
    return replace(
        problem,
        batch=problem.batch * (problem.size if back else problem.output)[0],
        channels=problem.channels * (1 if back else taps),
        kernels=problem.kernels * (taps if back else 1),
        size=problem.size[1:],
        kernel=problem.kernel[1:],
        stride=problem.stride[1:],
        padding=problem.padding[1:],
        dilation=problem.dilation[1:],
    )


def forward(
    x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, tiles: native.Tiles
) -> Tensor:
    """Convolve.

    Shapes:  x (N, C, D, H, W), w (K, C / G, T, 3, 3), bias (K) -> (N, K, O, P, Q).
    """
    w = w.transpose(1, 2).flatten(1, 2)
    y = x.new_empty(problem.batch, *problem.output, problem.kernels)
    for pictures, depth, folded in _folded(x, problem, problem.padding[0][0], y.shape[1], tiles):
        part = native.forward(folded, w, bias, tiles)
        y[pictures, depth] = part.permute(0, 2, 3, 1).view(y[pictures, depth].shape)
        del folded, part  # before the next are made
    return y.permute(0, 4, 1, 2, 3)


def input_gradient(dy: Tensor, w: Tensor, problem: Problem, tiles: native.Tiles) -> Tensor:
    """Return the gradient of the input: the taps along the depth turned here, the others there.

    Shapes:  dy (N, K, O, P, Q), w (K, C / G, T, 3, 3) -> (N, C, D, H, W).
    """
    before = problem.kernel[0] - 1 - problem.padding[0][0]
    w = w.flip(2).unflatten(0, (problem.groups, -1)).permute(0, 3, 1, 2, 4, 5).flatten(0, 2)
    dx = dy.new_empty(problem.batch, *problem.size, problem.channels)
    size = dx.shape[2], dx.shape[3]
    for pictures, depth, folded in _folded(dy, problem, before, dx.shape[1], tiles):
        part = native.input_gradient(folded, w, size, tiles)
        dx[pictures, depth] = part.permute(0, 2, 3, 1).view(dx[pictures, depth].shape)
        del folded, part
    return dx.permute(0, 4, 1, 2, 3)


def weight_gradient(x: Tensor, dy: Tensor, problem: Problem, tiles: native.Tiles) -> Tensor:
    """Return the gradient of the weights.

    Shapes:  x (N, C, D, H, W), dy (N, K, O, P, Q) -> (K, C / G, T, 3, 3) float32.
    """
    taps = problem.kernel[0]
    last = dy.permute(0, 2, 3, 4, 1)
    dw = torch.zeros(problem.kernels, taps * problem.w_shape[1], 3, 3)
    for pictures, depth, folded in _folded(x, problem, problem.padding[0][0], dy.shape[2], tiles):
        part = last[pictures, depth].flatten(0, 1).permute(0, 3, 1, 2)
        dw += native.weight_gradient(folded, part, tiles)
        del folded, part
    return dw.view(problem.kernels, taps, -1, 3, 3).transpose(1, 2)


def chunk_bytes(direction: Direction, problem: Problem, workspace: int) -> int:
    """Return the bytes of a chunk's planes, copied and written or, of dy, read."""
    flat, item = planes(direction, problem), problem.dtype.itemsize
    copied, others = math.prod(flat.x_shape[1:]) * item, math.prod(flat.y_shape[1:]) * item
    if direction == "input_gradient":
        copied, others = others, copied
    depth = flat.batch // max(problem.batch, 1)
    count = math.prod(chunk(copied, problem.batch, depth, workspace))
    return count * (copied + others)


def chunk(plane_bytes: int, pictures: int, depth: int, workspace: int) -> tuple[int, int]:
    """Return how many pictures, and planes of each, are copied together: half of the workspace."""
    fitting = max(1, workspace // 2 // max(plane_bytes, 1))
    return min(pictures, max(1, fitting // max(depth, 1))), min(depth, fitting)


def _folded(
    x: Tensor, problem: Problem, before: int, count: int, tiles: native.Tiles
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield pictures and planes of the result with what they read.

    Shapes:  x (N, C, D, H, W) -> (planes, T * C, H, W), channels last in memory.
    """
    if not len(x):
        return
    x = x.permute(0, 2, 3, 4, 1)
    plane_bytes = problem.kernel[0] * x[0, 0].numel() * x.element_size()
    pictures, planes = chunk(plane_bytes, len(x), count, tiles.workspace)
    for picture in range(0, len(x), pictures):
        which = slice(picture, min(picture + pictures, len(x)))
        for first in range(0, count, planes):
            depth = slice(first, min(first + planes, count))
            yield which, depth, _fold(x[which], problem, first - before, depth.stop - first)


def _fold(x: Tensor, problem: Problem, shift: int, depth: int) -> Tensor:
    """Return so many planes with what each reads of x (N, D, H, W, C), from plane `shift` on."""
    taps, groups = problem.kernel[0], problem.groups
    folded = x.new_zeros(len(x), depth, *x.shape[2:4], groups, taps, x.shape[4] // groups)
    for tap in range(taps):
        low, high = max(0, -shift - tap), min(depth, x.shape[1] - shift - tap)
        if low < high:
            met = x[:, low + shift + tap : high + shift + tap].unflatten(-1, (groups, -1))
            folded[:, low:high, ..., tap, :] = met
    return folded.flatten(4).flatten(0, 1).permute(0, 3, 1, 2)
