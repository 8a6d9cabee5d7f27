"""Pictures of bytes scaled by numpy alone: the same integers as the compiled kernel's.

For programs that answer a few pictures without torch, which takes longer to import than a few
pictures take here. The kernel is many times as fast.

Source: alexnet/native/resize.cpp, which has the filter from torch's interpolate of uint8, and that
from Pillow.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from alexnet.native.resize import Pixels, Window

MOST_BITS = 22


class Axis(NamedTuple):
    """The taps of each place along an axis."""

    first: npt.NDArray[np.int64]
    """Of each place in the picture."""
    weights: npt.NDArray[np.int32]
    """(places, taps), whole numbers."""
    precision: int
    """Bits behind the point of the weights."""


def resize_numpy(pixels: Pixels, sides: tuple[int, int], window: Window) -> Pixels:
    """Return a window of a picture as if scaled to `sides`, its new height and width.

    Shapes:  (H, W, 3) -> (window.height, window.width, 3), C-contiguous; the window lies inside.
    """
    rows = _part(describe(pixels.shape[0], sides[0]), window.top, window.height)
    columns = _part(describe(pixels.shape[1], sides[1]), window.left, window.width)
    top = int(rows.first.min())
    bottom = min(int(rows.first.max()) + rows.weights.shape[1], pixels.shape[0])
    wide = _along(pixels[top:bottom].swapaxes(0, 1), columns).swapaxes(0, 1)
    return np.ascontiguousarray(_along(wide, rows._replace(first=rows.first - top)))


def describe(length: int, new_length: int) -> Axis:
    """Return the weights with which an axis is scaled, as whole numbers.

    t((j + 1/2 - (i + 1/2) s) / max(s, 1)) with t(d) = max(1 - |d|, 0), normalised
    """
    scale = length / new_length
    support = max(scale, 1.0)
    inverse = 1.0 / scale if scale >= 1.0 else 1.0
    most = math.ceil(support) * 2 + 1
    centre = scale * (np.arange(new_length) + 0.5)
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + support + 0.5).astype(np.int64), length)
    count = np.clip(end - first, 0, most)
    taps = np.arange(int(count.max()))
    distance = np.abs(((taps + first[:, None]) - centre[:, None] + 0.5) * inverse)
    exact = np.where((distance < 1.0) & (taps < count[:, None]), 1.0 - distance, 0.0)
    total = np.zeros(new_length)
    for tap in taps:  # one after the other, as the kernel adds them up
        total += exact[:, tap]
    exact /= np.where(total != 0, total, 1.0)[:, None]
    precision, largest = 0, float(exact.max())
    while precision < MOST_BITS and int(0.5 + largest * (1 << (precision + 1))) < 1 << 15:
        precision += 1
    return Axis(first, (0.5 + exact * (1 << precision)).astype(np.int32), precision)


def _part(axis: Axis, start: int, count: int) -> Axis:
    end = start + count
    return axis._replace(first=axis.first[start:end], weights=axis.weights[start:end])


def _along(pixels: Pixels, axis: Axis) -> Pixels:
    """Scale along the first axis, and round to bytes."""
    last = len(pixels) - 1
    shape = (len(axis.first), *pixels.shape[1:])
    total = np.full(shape, 1 << (axis.precision - 1), dtype=np.int32)
    for tap in range(axis.weights.shape[1]):
        taken = pixels[np.minimum(axis.first + tap, last)]
        total += taken * axis.weights[:, tap, None, None]
    total >>= axis.precision
    found: Pixels = np.clip(total, 0, 255).astype(np.uint8)
    return found
