"""The algorithm `direct`: the sliding window, which is the definition of convolution.

    y[n, k, p] = sum over c, r of w[k, c, r] * x[n, c, s * p + d * r - before]

The loop is over the taps r of the kernel. Each tap meets, as the window slides, one input an output
(those of the padding are passed over, since they are zero), so that it is a product of matrices,
K x C by C x N * P in each group. The gradients are the same loop read the other way:

    dx[n, c, s * p + d * r - before] += w[k, c, r] * dy[n, k, p]
    dw[k, c, r] = sum over n, p of dy[n, k, p] * x[n, c, s * p + d * r - before]

This is the one to read, and to hold the others to; none of the loops is fast. Letters as in
problem.py; s, d and `before` are the stride, the dilation and the padding in front.
"""

import itertools
from collections.abc import Iterator
from math import prod
from types import EllipsisType

import torch
from torch import Tensor

from alexnet.convolution.problem import Algorithm, Cost, Direction, Problem, wide

Index = tuple[int | slice | EllipsisType, ...]


def _forward(x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int) -> Tensor:
    exact, groups = wide(problem.dtype), problem.groups
    y = x.new_zeros(problem.y_shape, dtype=exact)
    for tap, inputs, outputs in _meetings(problem, workspace):
        # The product has no name here, so that it is gone before the next one is made.
        _add(y[outputs], _multiply(_matrices(w[tap], groups), _columns(x[inputs], groups)))
    if bias is not None:
        y += bias.to(exact).view(-1, *[1] * problem.axes)
    return y.to(problem.dtype)


def _input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
    groups = problem.groups
    dx = dy.new_zeros(problem.x_shape, dtype=wide(problem.dtype))
    for tap, inputs, outputs in _meetings(problem, workspace):
        _add(dx[inputs], _multiply(_matrices(w[tap], groups).mT, _columns(dy[outputs], groups)))
    return dx.to(problem.dtype)


def _weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
    groups = problem.groups
    dw = x.new_zeros(problem.w_shape, dtype=wide(problem.dtype))
    for tap, inputs, outputs in _meetings(problem, workspace):
        _add_tap(dw[tap], _columns(dy[outputs], groups), _columns(x[inputs], groups))
    return dw.to(problem.dtype)


def _meetings(problem: Problem, workspace: int) -> Iterator[tuple[Index, Index, Index]]:
    """Yield where a tap is, where the inputs are that it meets, and where it adds to the output.

    As many pictures are taken at a time as the workspace holds.
    """
    together = max(1, workspace // max(1, _picture_bytes(problem)))
    for first in range(0, problem.batch, together):
        some = (slice(first, first + together), slice(None))
        for tap in itertools.product(*map(range, problem.kernel)):
            every = [_met(problem, axis, r) for axis, r in enumerate(tap)]
            if all(outputs for _, outputs in every):
                inputs, outputs = zip(*every, strict=True)
                yield (
                    (..., *tap),
                    (*some, *(slice(each.start, each.stop, each.step) for each in inputs)),
                    (*some, *(slice(each.start, each.stop) for each in outputs)),
                )


def _met(problem: Problem, axis: int, tap: int) -> tuple[range, range]:
    """Return the inputs that a tap meets along an axis, and the outputs where it does.

    These are all p with 0 <= s * p + d * r - before < H.
    """
    stride, size = problem.stride[axis], problem.size[axis]
    shift = problem.dilation[axis] * tap - problem.padding[axis][0]
    first = max(0, -(shift // stride))
    end = min(problem.output[axis], (size - 1 - shift) // stride + 1)
    outputs = range(first, max(first, end))
    start = stride * first + shift
    return range(start, start + stride * len(outputs), stride), outputs


def _matrices(w: Tensor, groups: int) -> Tensor:
    """Return one tap (K, C / groups) as (groups, K / groups, C / groups), in the type of sums."""
    return w.to(wide(w.dtype)).view(groups, -1, w.shape[1])


def _columns(x: Tensor, groups: int) -> Tensor:
    """Return x (N, C, ...) as (groups, C / groups, N * ...), in the type of sums."""
    x = x.unflatten(1, (groups, -1)).movedim(0, 2)
    return x.to(wide(x.dtype), memory_format=torch.contiguous_format).flatten(2)


def _add(total: Tensor, product: Tensor) -> None:
    """Add a product (groups, C / groups, N * ...) to a part of the sums, (N, C, ...)."""
    shape = (total.shape[0], *total.shape[2:])
    total += product.flatten(0, 1).unflatten(1, shape).movedim(1, 0)


def _add_tap(total: Tensor, dy: Tensor, x: Tensor) -> None:
    """Add the products of columns, summed over all of them, to the weights of a tap, (K, C)."""
    total += _multiply(dy, x.mT).flatten(0, 1)


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    """Return the product of matrices; in depthwise layers nothing is left to be summed."""
    return a * b if a.shape[2] == 1 else torch.bmm(a, b)


def _picture_bytes(problem: Problem) -> int:
    """Return what a tap holds for each picture: the inputs that it meets, and its product."""
    elements = (problem.channels + problem.kernels) * prod(problem.output)
    return elements * wide(problem.dtype).itemsize


def _cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    """Return the cost; products with the padding are not made, and so not counted.

    With M the meetings of a tap and an output along all axes, M = P * Q * R * S but for the border:

        multiplications = additions = N * K * C / groups * M
        bytes = those of inputs and output, and for each meeting of N pictures: an input read,
                written and read again as a column, a product written and read, a sum read and
                written; for the weights the columns of both and no product
        workspace = the columns and the product of one tap for as many pictures as fit, the tap's
                weights, and for halves the sums
    """
    small, size = problem.dtype.itemsize, wide(problem.dtype).itemsize
    n, c, k = problem.batch, problem.channels, problem.kernels
    meetings = n * prod(
        sum(len(_met(problem, axis, r)[1]) for r in range(taps))
        for axis, taps in enumerate(problem.kernel)
    )
    shapes = {
        "forward": (c, k, problem.y_shape),
        "input_gradient": (k, c, problem.x_shape),
        "weight_gradient": (c + k, 0, problem.w_shape),
    }
    read, made, result = shapes[direction]
    arrays = sum(map(prod, (problem.x_shape, problem.w_shape, problem.y_shape)))
    one, tap = _picture_bytes(problem), k * (c // problem.groups)
    pictures = min(n, max(1, workspace // max(1, one)))
    return Cost(
        multiplications=meetings * tap,
        additions=meetings * tap,
        bytes=arrays * small + meetings * (read * (small + 2 * size) + made * 4 * size),
        workspace=pictures * one + tap * size + (prod(result) * size if size != small else 0),
    )


DIRECT = Algorithm("direct", _forward, _input_gradient, _weight_gradient, lambda _: "", _cost)
