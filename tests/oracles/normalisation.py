"""Response normalisation in float64, summed term by term as the equations are written.

Derivation of the backward pass: with y[i] = x[i] * d[i] ** -beta and
d[i] = bias + alpha * sum(x[j] ** 2 for j in window(i)),

    dy[i]/dx[j] = (i == j) * d[i] ** -beta
                  - 2 * alpha * beta * x[i] * x[j] * d[i] ** (-beta - 1) * (j in window(i)).
"""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = tuple[int, ...]
Window = Callable[[Index, tuple[int, ...]], Iterable[Index]]


def window_across(below: int, above: int) -> Window:
    """Return the window over channels c - below ... c + above of (N, C, ...)."""

    def window(index: Index, shape: tuple[int, ...]) -> Iterable[Index]:
        n, c, *pixel = index
        for j in range(c - below, c + above + 1):
            if 0 <= j < shape[1]:
                yield (n, j, *pixel)

    return window


def window_within(reach: int) -> Window:
    """Return the window over the pixels of (N, C, H, W) at most `reach` rows and columns away."""

    def window(index: Index, shape: tuple[int, ...]) -> Iterable[Index]:
        n, c, h, w = index
        for i in range(h - reach, h + reach + 1):
            for j in range(w - reach, w + reach + 1):
                if 0 <= i < shape[2] and 0 <= j < shape[3]:
                    yield (n, c, i, j)

    return window


def normalise(x: Array, window: Window, *, bias: float, alpha: float, beta: float) -> Array:
    """Return y; alpha weighs a single term."""
    d = _denominator(x, window, bias=bias, alpha=alpha)
    y = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        y[i] = x[i] * d[i] ** -beta
    return y


def normalise_backward(
    x: Array, dy: Array, window: Window, *, bias: float, alpha: float, beta: float
) -> Array:
    """Return the gradient of sum(dy * y) with respect to x."""
    d = _denominator(x, window, bias=bias, alpha=alpha)
    dx = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        dx[i] += dy[i] * d[i] ** -beta
        for j in window(i, x.shape):
            dx[j] -= dy[i] * 2 * alpha * beta * x[i] * x[j] * d[i] ** (-beta - 1)
    return dx


def _denominator(x: Array, window: Window, *, bias: float, alpha: float) -> Array:
    d = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d[i] = bias + alpha * sum(x[j] ** 2 for j in window(i, x.shape))
    return d
