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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
            some = plain.correlate(x[part.x], w[part.w], problem.groups, workspace)
            y = _add(y, problem.y_shape, part.y, some)
        assert y is not None
        if bias is not None:
            y += bias.to(exact).view(-1, *[1] * problem.axes)
        return y.to(problem.dtype)

    def input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
        exact = wide(dy.dtype)
        dy, w = dy.to(exact), spread_taps(w.to(exact), problem)
        shape = (problem.batch, problem.channels, *problem.padded)
        dx = None
        for part in parts(problem):
            some = plain.spread(dy[part.y], w[part.w], problem.groups, workspace)
            dx = _add(dx, shape, part.x, some)
        assert dx is not None
        return F.pad(dx, _flat(problem, sign=-1)).to(problem.dtype)

    def weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
        exact = wide(x.dtype)
        x, dy = _pad(x.to(exact), problem), dy.to(exact)
        shape = (*problem.w_shape[:2], *spread_kernel(problem))
        dw = None
        for part in parts(problem):
            some = plain.weights(x[part.x], dy[part.y], problem.groups, workspace)
            dw = _add(dw, shape, part.w, some)
        assert dw is not None
        return dw[tap_places(problem)].to(problem.dtype)

    def cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
        raise NotImplementedError

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
    size = spread_kernel(problem)
    if size == problem.kernel:
        return w
    spread = w.new_zeros((*w.shape[:2], *size))
    spread[tap_places(problem)] = w
    return spread


def _pad(x: Tensor, problem: Problem) -> Tensor:
    return F.pad(x, _flat(problem)) if any(map(any, problem.padding)) else x


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
