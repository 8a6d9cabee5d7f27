"""Strides, dilation and padding for algorithms that know none of them.

A convolution with stride s is a sum of s plain ones: those of every s-th input with every s-th tap,

    y[p] = sum over a in 0 .. s - 1 of (sum over i of w[s * i + a] * x[s * (p + i) + a])

and one with dilation d is d plain ones side by side, each of which makes every d-th output,

    y[d * p + b] = sum over r of w[r] * x[d * (p + r) + b]        for b in 0 .. d - 1

Where an axis has both, the kernel is spread out with zeros between its taps first. Along several
axes all combinations are taken. Source: the polyphase identities of multirate filters, e.g.
Vaidyanathan, Multirate Systems and Filter Banks, 1993, section 4.3.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution.problem import Algorithm, Cost, Direction, Problem, Sizes, wide


@dataclass(frozen=True)
class Plain:
    """An algorithm without stride, dilation and padding; tensors are float32 or float64.

    y[n, k, p] = sum over c, r of w[k, c, r] * x[n, c, p + r],   P = H - R + 1
    """

    correlate: Callable[[Tensor, Tensor, int, int], Tensor]
    """(x, w, groups, workspace) -> y."""
    spread: Callable[[Tensor, Tensor, int, int], Tensor]
    """(dy, w, groups, workspace) -> dx, of size P + R - 1."""
    weights: Callable[[Tensor, Tensor, int, int], Tensor]
    """(x, dy, groups, workspace) -> dw, of size H - P + 1."""
    cost: Callable[[Direction, Problem, int], Cost]
    """(direction, problem, workspace) -> the cost of a plain problem."""


ALL = (slice(None), slice(None))
"""Pictures or kernels, and channels: no algorithm takes these apart here."""


class Part(NamedTuple):
    """Which elements of the padded input, the spread kernel and the output go together."""

    x: tuple[slice, ...]
    w: tuple[slice, ...]
    y: tuple[slice, ...]


def split(plain: Plain, name: str, refusal: Callable[[Problem], str]) -> Algorithm:
    """Return the algorithm that does any convolution by parts of the plain kind."""

    def forward(
        x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int
    ) -> Tensor:
        exact = wide(x.dtype)
        x, w = _pad(x.to(exact), problem), spread_taps(w.to(exact), problem)
        y = None
        for part in parts(problem):
            # Nested, for a name would keep one part while the next is made; so below.
            y = _add(
                *(y, problem.y_shape, part.y),
                plain.correlate(x[part.x], w[part.w], problem.groups, workspace),
            )
        assert y is not None
        if bias is not None:
            y += bias.to(exact).view(-1, *[1] * problem.axes)
        return y.to(problem.dtype)

    def input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
        exact = wide(dy.dtype)
        dy, w = dy.to(exact), spread_taps(w.to(exact), problem)
        dx = None
        for part in parts(problem):
            dx = _add(
                *(dx, (*problem.x_shape[:2], *problem.padded), part.x),
                plain.spread(dy[part.y], w[part.w], problem.groups, workspace),
            )
        assert dx is not None
        return _cut(dx, problem).to(problem.dtype)

    def weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
        exact = wide(x.dtype)
        x, dy = _pad(x.to(exact), problem), dy.to(exact)
        dw = None
        for part in parts(problem):
            dw = _add(
                *(dw, (*problem.w_shape[:2], *spread_kernel(problem)), part.w),
                plain.weights(x[part.x], dy[part.y], problem.groups, workspace),
            )
        assert dw is not None
        return dw[tap_places(problem)].to(problem.dtype).contiguous()

    def cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
        return _cost(plain, direction, problem, workspace)

    return Algorithm(name, forward, input_gradient, weight_gradient, refusal, cost)


def parts(problem: Problem) -> Iterator[Part]:
    """Yield the plain convolutions that make up a convolution.

    Along an axis with a stride they add up to the same outputs, along one with dilation alone each
    has outputs of its own.
    """
    for axes in itertools.product(*(list(_along(problem, axis)) for axis in range(problem.axes))):
        x, w, y = zip(*axes, strict=True)
        yield Part((*ALL, *x), (*ALL, *w), (*ALL, *y))


def _along(problem: Problem, axis: int) -> Iterator[tuple[slice, slice, slice]]:
    """Yield the parts of one axis: slices of the padded input, the kernel and the output."""
    stride, dilation = problem.stride[axis], problem.dilation[axis]
    outputs, taps = problem.output[axis], problem.kernel[axis]
    if stride == 1:
        for first in range(min(dilation, outputs)):
            count = -(-(outputs - first) // dilation)
            end = first + dilation * (count + taps - 2) + 1
            yield slice(first, end, dilation), slice(None), slice(first, None, dilation)
        return
    reach = problem.reach[axis]
    for first in range(min(stride, reach)):
        if all(dilation * tap % stride != first for tap in range(taps)):
            continue  # only zeros between taps
        count = -(-(reach - first) // stride)
        end = first + stride * (outputs + count - 2) + 1
        yield slice(first, end, stride), slice(first, None, stride), slice(None)


def spread_kernel(problem: Problem) -> Sizes:
    """Return the size of the kernel with zeros between its taps where an axis has a stride."""
    every = zip(problem.stride, problem.kernel, problem.reach, strict=True)
    return tuple(taps if stride == 1 else reach for stride, taps, reach in every)


def tap_places(problem: Problem) -> tuple[slice, ...]:
    """Return where the taps are in that kernel."""
    apart = zip(problem.stride, problem.dilation, strict=True)
    return (*ALL, *(slice(None, None, 1 if s == 1 else dilation) for s, dilation in apart))


def spread_taps(w: Tensor, problem: Problem) -> Tensor:
    """Return the weights with those zeros between their taps: (K, C / groups, *spread_kernel)."""
    size = spread_kernel(problem)
    if size == problem.kernel:
        return w
    spread = w.new_zeros((*w.shape[:2], *size))
    spread[tap_places(problem)] = w
    return spread


def _pad(x: Tensor, problem: Problem) -> Tensor:
    return F.pad(x, _flat(problem)) if any(map(any, problem.padding)) else x


def _cut(dx: Tensor, problem: Problem) -> Tensor:
    """Leave out the padding."""
    return F.pad(dx, _flat(problem, sign=-1)) if any(map(any, problem.padding)) else dx


def _flat(problem: Problem, *, sign: int = 1) -> list[int]:
    """Return the padding as `F.pad` takes it: the last axis first."""
    return [sign * each for pair in reversed(problem.padding) for each in pair]


def _add(total: Tensor | None, shape: Sizes, where: tuple[slice, ...], some: Tensor) -> Tensor:
    """Add a part to the sum; one that is all of it needs no zeros to be added to."""
    if total is None:
        if some.shape == shape:
            return some
        total = torch.zeros(shape, dtype=some.dtype, device=some.device)
    total[where] += some
    return total


def _cost(plain: Plain, direction: Direction, problem: Problem, workspace: int) -> Cost:
    """Return the parts' costs, those of adding them up, and of copies.

    What is held at most besides inputs and output is the most of any moment, less the output:
    while copies of the inputs are made, while a part is made beside the sum of those before it,
    and while the sum is cut and rounded.
    """
    before, kept = _copies(direction, problem)
    whole, cut, output = _totals(direction, problem)
    exact = wide(problem.dtype).itemsize
    total = Cost(0, 0, 0, 0)
    moments = [before]
    has_sum = False
    for part in parts(problem):
        each = plain_problem(part, problem)
        total += (some := plain.cost(direction, each, workspace))
        shapes = {"forward": each.y_shape, "input_gradient": each.x_shape}
        numbers = math.prod(shapes.get(direction, each.w_shape))
        moments.append(kept + has_sum * whole + some.workspace + numbers * exact)
        if has_sum or numbers * exact < whole:
            moments.append(kept + whole + numbers * exact)
            total += Cost(0, numbers, 2 * numbers * exact, 0)
        has_sum = True
    rounded = 0 if problem.dtype == wide(problem.dtype) else output
    moments.append(kept + whole + cut + rounded)
    held = max(0, max(moments) - output)
    return replace(total, bytes=total.bytes + 2 * (before + cut + rounded), workspace=held)


def plain_problem(part: Part, problem: Problem) -> Problem:
    """Return the sizes of one part's plain convolution."""
    axes = problem.axes
    return replace(
        problem,
        size=_lengths(part.x, problem.padded),
        kernel=_lengths(part.w, spread_kernel(problem)),
        stride=(1,) * axes,
        padding=((0, 0),) * axes,
        dilation=(1,) * axes,
        dtype=wide(problem.dtype),
    )


def _lengths(where: tuple[slice, ...], sizes: Sizes) -> Sizes:
    every = zip(where[len(ALL) :], sizes, strict=True)
    return tuple(len(range(*each.indices(size))) for each, size in every)


def _copies(direction: Direction, problem: Problem) -> tuple[int, int]:
    """Return the bytes of copies of the inputs: at most while they are made, and then."""
    exact = wide(problem.dtype).itemsize
    is_half = exact != problem.dtype.itemsize
    x, w, y = (math.prod(shape) for shape in (problem.x_shape, problem.w_shape, problem.y_shape))
    padded = math.prod((*problem.x_shape[:2], *problem.padded))
    spread = math.prod((*problem.w_shape[:2], *spread_kernel(problem)))
    is_padded, is_spread = any(map(any, problem.padding)), spread != w
    made, kept = [0], 0
    if direction != "input_gradient":
        made.append(exact * (x * is_half + padded * is_padded))
        kept += exact * padded * (is_half or is_padded)
    if direction != "forward":
        kept += exact * y * is_half
    if direction != "weight_gradient":
        made.append(kept + exact * (w * is_half + spread * is_spread))
        kept += exact * spread * (is_half or is_spread)
    return max(*made, kept), kept


def _totals(direction: Direction, problem: Problem) -> tuple[int, int, int]:
    """Return the bytes of the parts' sum, of a copy that is cut out of it, and of the output."""
    shape, whole = problem.y_shape, problem.y_shape
    if direction == "input_gradient":
        shape, whole = problem.x_shape, (*problem.x_shape[:2], *problem.padded)
    if direction == "weight_gradient":
        shape, whole = problem.w_shape, (*problem.w_shape[:2], *spread_kernel(problem))
    exact, numbers = wide(problem.dtype).itemsize, math.prod(shape)
    # What is rounded to halves needs not be cut out of a sum of weights before.
    is_cut = whole != shape and (direction == "input_gradient" or exact == problem.dtype.itemsize)
    return math.prod(whole) * exact, numbers * exact * is_cut, numbers * problem.dtype.itemsize
