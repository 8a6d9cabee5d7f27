"""The convolution, its transpose and its gradients from their equations, in numpy float64.

    y[n, k, p] = bias[k] + sum over c, r of w[k, c, r] * x[n, c, stride * p + dilation * r - before]

p and r count along any number of axes, c over the channels of k's group; x is zero outside of its
size. Nothing here is clever: a loop over the taps r, and for each the inputs that it meets.
"""

import itertools
from collections.abc import Iterator, Sequence
from types import EllipsisType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PerAxis = int | Sequence[int]
Padding = int | Sequence[int | tuple[int, int]]
Index = tuple[int | slice | EllipsisType, ...]


def correlate(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Return y of x (N, C, ...) and w (K, C / groups, ...).

    Padding is a number, one an axis, or a pair (before, behind) an axis.
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    wide = np.pad(x, [(0, 0), (0, 0), *_pairs(padding, x.ndim - 2)])
    y = np.zeros((x.shape[0], w.shape[0], *_outputs(wide, w.shape[2:], stride, dilation)))
    for tap, window in _taps(w.shape[2:], y.shape[2:], stride, dilation):
        for inputs, outputs in _groups(wide.shape[1], w.shape[0], groups):
            y[:, outputs] += np.einsum("nc...,kc->nk...", wide[:, inputs][window], w[outputs][tap])
    if bias is not None:
        y += np.asarray(bias, np.float64).reshape(-1, *[1] * (x.ndim - 2))
    return y


def input_gradient(
    dy: Array,
    w: Array,
    size: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Return dx (N, C, *size): what each output met gets its share of dy.

    dx[n, c, stride * p + dilation * r - before] += w[k, c, r] * dy[n, k, p]
    """
    dy, w = np.asarray(dy, np.float64), np.asarray(w, np.float64)
    pairs = _pairs(padding, dy.ndim - 2)
    padded = [side + sum(pair) for side, pair in zip(size, pairs, strict=True)]
    wide = np.zeros((dy.shape[0], w.shape[1] * groups, *padded))
    for tap, window in _taps(w.shape[2:], dy.shape[2:], stride, dilation):
        for inputs, outputs in _groups(wide.shape[1], w.shape[0], groups):
            share = np.einsum("nk...,kc->nc...", dy[:, outputs], w[outputs][tap])
            wide[:, inputs][window] += share
    inside: Index = tuple(slice(b, b + side) for side, (b, _) in zip(size, pairs, strict=True))
    return wide[(..., *inside)]


def weight_gradient(
    x: Array,
    dy: Array,
    kernel: Sequence[int],
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Return dw (K, C / groups, *kernel).

    dw[k, c, r] = sum over n, p of dy[n, k, p] * x[n, c, stride * p + dilation * r - before]
    """
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    wide = np.pad(x, [(0, 0), (0, 0), *_pairs(padding, x.ndim - 2)])
    dw = np.zeros((dy.shape[1], x.shape[1] // groups, *kernel))
    others = [0, *range(2, x.ndim)]
    for tap, window in _taps(kernel, dy.shape[2:], stride, dilation):
        for inputs, outputs in _groups(x.shape[1], dy.shape[1], groups):
            met = wide[:, inputs][window]
            dw[outputs][tap] = np.tensordot(dy[:, outputs], met, (others, others))
    return dw


def transposed(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Array:
    """Return y (N, C, ...) of x (N, K, ...) and w (K, C / groups, ...).

    y[n, c, stride * p + dilation * r - padding] += w[k, c, r] * x[n, k, p]
    """
    axes = x.ndim - 2
    every = zip(
        *(x.shape[2:], w.shape[2:]),
        *(_each(number, axes) for number in (stride, padding, dilation, output_padding)),
        strict=True,
    )
    size = [(p - 1) * s - 2 * pad + d * (r - 1) + more + 1 for p, r, s, pad, d, more in every]
    sizes = {"stride": stride, "dilation": dilation}
    y = input_gradient(x, w, size, padding=_each(padding, axes), groups=groups, **sizes)
    return y if bias is None else y + np.asarray(bias, np.float64).reshape(-1, *[1] * axes)


def _taps(
    kernel: Sequence[int], outputs: Sequence[int], stride: PerAxis, dilation: PerAxis
) -> Iterator[tuple[Index, Index]]:
    """Yield where each tap is, and where the inputs that it meets are, one an output."""
    axes = len(kernel)
    strides, dilations = _each(stride, axes), _each(dilation, axes)
    for tap in itertools.product(*map(range, kernel)):
        every = zip(tap, outputs, strides, dilations, strict=True)
        window = (slice(d * r, d * r + s * (p - 1) + 1, s) for r, p, s, d in every)
        yield (..., *tap), (..., *window)


def _groups(channels: int, kernels: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """Yield the channels and the kernels of each group."""
    c, k = channels // groups, kernels // groups
    for group in range(groups):
        yield slice(group * c, (group + 1) * c), slice(group * k, (group + 1) * k)


def _outputs(
    wide: Array, kernel: Sequence[int], stride: PerAxis, dilation: PerAxis
) -> tuple[int, ...]:
    axes = len(kernel)
    every = zip(wide.shape[2:], kernel, _each(stride, axes), _each(dilation, axes), strict=True)
    return tuple((side - d * (r - 1) - 1) // s + 1 for side, r, s, d in every)


def _each(number: PerAxis, axes: int) -> tuple[int, ...]:
    return (number,) * axes if isinstance(number, int) else tuple(number)


def _pairs(padding: Padding, axes: int) -> list[tuple[int, int]]:
    numbers = [padding] * axes if isinstance(padding, int) else list(padding)
    return [(each, each) if isinstance(each, int) else each for each in numbers]
