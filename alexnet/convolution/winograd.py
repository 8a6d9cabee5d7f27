"""The algorithm `winograd`: F(m, r) along each axis, which saves multiplications.

Tiles of m outputs overlap in their inputs by r - 1. Each is transformed, multiplied place by place
with the transformed kernel, summed over the channels and transformed back: `winograd_tiles` has the
stages, `cook_toom` the matrices. Along two axes the products are t * t instead of m * m * r * r for
a tile, kernel and channel: with F(4, 3) 36 for 144.

The gradient of the input is the convolution of dy, with r - 1 zeros around it, with the turned
kernel. That of the weights is a convolution too, whose kernel is dy: its tiles of m, r outputs, and
the products of all tiles and pictures are summed before the one transform back.

Source: Winograd 1980; Lavin & Gray 2016, Fast Algorithms for Convolutional Neural Networks. Theirs
is 3 taps and two axes; here are any taps and one to three axes, and strides and dilation by
`phases`. Each stage is a pass of its own over memory here, which on a processor costs what the
multiplications save; `winograd_fused` does all stages on a block at a time, where it serves.
"""

import math
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution import phases
from alexnet.convolution.problem import DIRECTIONS, Algorithm, Problem, Sizes
from alexnet.convolution.winograd_fused import fused
from alexnet.convolution.winograd_tiles import Plan, cost, plan, predicted_error, tile

LARGEST = 16
"""Outputs of a tile along an axis, at most: far beyond what any type is exact enough for."""
WORST = 1e-2
"""The error to expect at most, relative to the output, of what is not refused."""


@cache
def winograd(m: int) -> Algorithm:
    """Return the algorithm with tiles of m outputs along each axis: `winograd-m`.

    Along an axis with one tap, and where there are fewer outputs, tiles are smaller.

    Raises: ValueError if m is not 1 ... 16.
    """
    if not 1 <= m <= LARGEST:
        raise ValueError(f"winograd-{m} has tiles of {m} outputs; they must be 1 to {LARGEST}")

    def refusal(problem: Problem) -> str:
        error = max(predicted_error(each, problem, m=m) for each in DIRECTIONS)
        if error <= WORST:
            return ""
        return (
            f"with tiles of {m} outputs and a kernel of {problem.kernel} the error to expect is "
            f"{error:.2g} of the output, which may be {WORST} at most; take a smaller tile, fft "
            "or im2col"
        )

    plain = phases.Plain(
        lambda x, w, groups, workspace: correlate(x, w, groups, workspace, m=m),
        lambda dy, w, groups, workspace: spread(dy, w, groups, workspace, m=m),
        lambda x, dy, groups, workspace: weights(x, dy, groups, workspace, m=m),
        lambda direction, problem, workspace: cost(direction, problem, workspace, m=m),
    )
    return fused(phases.split(plain, f"winograd-{m}", refusal), m)


def correlate(x: Tensor, w: Tensor, groups: int, workspace: int, *, m: int) -> Tensor:
    """Convolve: y[n, k, p] = sum over c, r of w[k, c, r] * x[n, c, p + r].

    Shapes: x (N, C, H, W), w (K, C / groups, R, S), float32 or float64 -> (N, K, P, Q), or with one
            axis or three; P = H - R + 1.
    """
    problem = _plain(x.shape, w.shape, groups, x.dtype)
    return _tiled(x, w, plan("forward", problem, workspace, m=m), (0,) * problem.axes)


def spread(dy: Tensor, w: Tensor, groups: int, workspace: int, *, m: int) -> Tensor:
    """Return the gradient of the input: dx[n, c, p + r] += w[k, c, r] * dy[n, k, p].

    Shapes: dy (N, K, P, Q), w (K, C / groups, R, S) -> (N, C, H, W) with H = P + R - 1.
    """
    kernel = tuple(w.shape[2:])
    size = tuple(p + r - 1 for p, r in zip(dy.shape[2:], kernel, strict=True))
    problem = _plain((dy.shape[0], w.shape[1] * groups, *size), w.shape, groups, dy.dtype)
    how = plan("input_gradient", problem, workspace, m=m)
    grouped = w.unflatten(0, (groups, -1)).transpose(1, 2)
    turned = grouped.flip(*range(3, grouped.dim())).flatten(0, 1)
    return _tiled(dy, turned, how, tuple(r - 1 for r in kernel))


def weights(x: Tensor, dy: Tensor, groups: int, workspace: int, *, m: int) -> Tensor:
    """Return the gradient of the weights.

    dw[k, c, r] = sum over n, p of dy[n, k, p] * x[n, c, p + r]

    Shapes: x (N, C, H, W), dy (N, K, P, Q) -> (K, C / groups, R, S) with R = H - P + 1.
    """
    kernel = tuple(h - p + 1 for h, p in zip(x.shape[2:], dy.shape[2:], strict=True))
    shape = (dy.shape[1], x.shape[1] // groups, *kernel)
    problem = _plain(x.shape, shape, groups, x.dtype)
    how = plan("weight_gradient", problem, workspace, m=m)
    places, stages = math.prod(how.t), how.transforms
    k, c = how.kernels // groups, how.channels // groups
    total = x.new_zeros(places * groups, k, c)
    for pictures, rows in how.chunks():
        v = stages.inputs.apply(_cut(x[pictures], how, rows, how.t))
        z = stages.kernels.apply(_cut(dy[pictures], how, rows, how.m))
        z, v = z.reshape(places * groups, k, -1), v.reshape(places * groups, c, -1)
        total.baddbmm_(z, v.transpose(1, 2))
        del v, z  # before the next are made
    dw = stages.products.apply(total.view(*how.t, how.kernels, c))
    return dw.movedim((-2, -1), (0, 1)).contiguous()


def _tiled(x: Tensor, w: Tensor, how: Plan, before: Sizes) -> Tensor:
    """Convolve x with w tile by tile; `before` zeros are around x along each axis."""
    places, stages, groups = math.prod(how.t), how.transforms, how.groups
    k, c = how.kernels // groups, how.channels // groups
    u = stages.kernels.apply(w.movedim((0, 1), (-2, -1)).contiguous()).view(places, groups, k, c)
    y = x.new_empty(how.batch, how.kernels, *how.output)
    for pictures, rows in how.chunks():
        v = stages.inputs.apply(_cut(x[pictures], how, rows, how.t, before))
        v = v.reshape(places, groups, c, -1)
        z = u * v if c == 1 else u @ v
        del v
        z = stages.products.apply(z.view(*how.t, how.kernels, -1))
        _place(y[pictures], z, how, rows)
        del z
    return y


def _cut(x: Tensor, how: Plan, rows: slice, window: Sizes, before: Sizes | None = None) -> Tensor:
    """Return the tiles of these rows, each place of a tile apart.

    Shapes: x (N, C, H, W) -> (window..., C, l), tiles l counted picture by picture.
    """
    counts = (rows.stop - rows.start, *how.tiles[1:])
    where, pads = [slice(None)] * 2, []
    for axis, (count, m, t) in enumerate(zip(counts, how.m, window, strict=True)):
        first = (rows.start * m if axis == 0 else 0) - (before[axis] if before else 0)
        end, size = first + (count - 1) * m + t, x.shape[2 + axis]
        where.append(slice(max(first, 0), min(end, size)))
        pads.append((max(-first, 0), max(end - size, 0)))
    x = x[tuple(where)]
    if any(map(any, pads)):
        x = F.pad(x, [each for pair in reversed(pads) for each in pair])
    for axis, (m, t) in enumerate(zip(how.m, window, strict=True)):
        x = x.unfold(2 + axis, t, m)
    axes = len(window)
    order = (*range(2 + axes, x.dim()), 1, 0, *range(2, 2 + axes))
    return x.permute(order).contiguous().flatten(axes + 1)


def _place(y: Tensor, z: Tensor, how: Plan, rows: slice) -> None:
    """Write tiles z (m..., K, l) to their places in y (N, K, P, Q), and cut what reaches over."""
    counts = (rows.stop - rows.start, *how.tiles[1:])
    axes = len(counts)
    z = z.view(*how.m, how.kernels, y.shape[0], *counts)
    apart = [dim for axis in range(axes) for dim in (axes + 2 + axis, axis)]
    z = z.permute(axes + 1, axes, *apart)
    z = z.reshape(*z.shape[:2], *(count * m for count, m in zip(counts, how.m, strict=True)))
    y = y[:, :, rows.start * how.m[0] : rows.stop * how.m[0]]
    y.copy_(z[tuple(map(slice, y.shape))])


def _plain(x: Sequence[int], w: Sequence[int], groups: int, dtype: torch.dtype) -> Problem:
    """Return the plain problem of an input and weights of these shapes."""
    axes = len(w) - 2
    return Problem(
        batch=x[0],
        channels=x[1],
        kernels=w[0],
        size=tuple(x[2:]),
        kernel=tuple(w[2:]),
        stride=(1,) * axes,
        padding=((0, 0),) * axes,
        dilation=(1,) * axes,
        groups=groups,
        dtype=dtype,
    )


def _usual(problem: Problem) -> Algorithm:
    return winograd(tile(problem))


WINOGRAD = Algorithm(
    "winograd",
    lambda x, w, bias, problem, room: _usual(problem).forward(x, w, bias, problem, room),
    lambda dy, w, problem, room: _usual(problem).input_gradient(dy, w, problem, room),
    lambda x, dy, problem, room: _usual(problem).weight_gradient(x, dy, problem, room),
    lambda problem: _usual(problem).refusal(problem),
    lambda direction, problem, room: _usual(problem).cost(direction, problem, room),
)
