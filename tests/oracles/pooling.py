"""Max and average pooling from their equations, window by window, in numpy float64.

A window is told by the element of x that its first tap lies on; taps outside of x meet nothing.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def starts(size: int, reach: int, stride: int, pad: int, rounding: str) -> list[int]:
    """Return where the windows of one axis begin, as it is told of each program.

    floor, ceil, caffe (of a padded pooling ceil), cuda-convnet, same: see alexnet.convolution.
    """
    if rounding == "same":
        count = math.ceil(size / stride)
        pad = max((count - 1) * stride + reach - size, 0) // 2
    elif rounding == "floor":
        count = math.floor((size + 2 * pad - reach) / stride) + 1
    elif rounding == "cuda-convnet":
        count = math.ceil((size + pad - reach) / stride) + 1
    else:
        count = math.ceil((size + 2 * pad - reach) / stride) + 1
    every = [stride * p - pad for p in range(count)]
    return [start for start in every if start < size] if rounding == "ceil" else every


def max_pool(
    x: Array, firsts: Sequence[Sequence[int]], window: Sequence[int], dilation: Sequence[int]
) -> tuple[Array, Array]:
    """Return y, and dx of a gradient of ones: each window's goes to the first of its largest.

    A window that meets nothing is minus infinity.
    """
    dx = np.zeros_like(x)
    y = np.full((*x.shape[:2], *map(len, firsts)), -np.inf)
    for p in np.ndindex(*y.shape):
        met = _met(x, p, firsts, window, dilation)
        for place in met:
            if x[place] > y[p]:
                y[p] = x[place]
        for place in met:
            if x[place] == y[p]:
                dx[place] += 1
                break
    return y, dx


def average_pool(
    x: Array,
    firsts: Sequence[Sequence[int]],
    window: Sequence[int],
    ends: Sequence[int],
    *,
    inside: bool,
) -> tuple[Array, Array]:
    """Return y, and dx of a gradient of ones.

    The sum is divided by the elements inside of x, or by those of the window below `ends`, where
    the padding behind each axis ends. A window that meets nothing is 0.
    """
    dx = np.zeros_like(x)
    y = np.zeros((*x.shape[:2], *map(len, firsts)))
    for p in np.ndindex(*y.shape):
        met = _met(x, p, firsts, window, [1] * len(window))
        begin = [along[i] for along, i in zip(firsts, p[2:], strict=True)]
        every = zip(begin, window, ends, strict=True)
        count = len(met) if inside else math.prod(min(b + r, end) - b for b, r, end in every)
        for place in met:
            y[p] += x[place] / count
            dx[place] += 1 / count
    return y, dx


def _met(
    x: Array,
    p: tuple[int, ...],
    firsts: Sequence[Sequence[int]],
    window: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, ...]]:
    """Return the places in x that a window meets, in order."""
    axes = [
        [first[i] + d * r for r in range(taps) if 0 <= first[i] + d * r < size]
        for first, i, taps, d, size in zip(
            firsts, p[2:], window, dilation, x.shape[2:], strict=True
        )
    ]
    return [(*p[:2], *place) for place in itertools.product(*axes)]
