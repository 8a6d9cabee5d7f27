"""Max and average pooling along one, two or three axes, with the rounding stated.

Windows of R taps lie `stride` apart, and as many of them as `rounding` says fit over x with its
padding; along one axis, with S for the stride, L for what a window reaches over, dilation included,
and H for the input's size:

    floor         (H + 2 pad - L) // S + 1. torch; all windows are whole
    ceil          ceil((H + 2 pad - L) / S) + 1, without a last one that would begin behind x.
                  torch with ceil_mode
    caffe         the same, but where no axis is padded the last one is kept
    cuda-convnet  ceil((H + pad - L) / S) + 1: pads in front only, and reaches the end of x
    same          ceil(H / S), padded as little as that needs, the odd one behind. TensorFlow

Source: torch, aten/src/ATen/native/Pool.h; BVLC Caffe, src/caffe/layers/pooling_layer.cpp;
cuda-convnet2, layer.py and cudaconv3/src/conv_util.cu, where the padding is a negative `start`;
TensorFlow, tf.nn.max_pool. Written to be read, as a loop over the taps of a window.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.convolution.problem import PerAxis, per_axis, wide
from alexnet.nearest import nearest

Rounding = Literal["floor", "ceil", "caffe", "cuda-convnet", "same"]
Counts = Literal["window", "inside"]


def max_pool(
    x: Tensor,
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    dilation: PerAxis = 1,
    rounding: Rounding = "floor",
) -> Tensor:
    """Take the largest element of each window.

        y[n, c, p] = max over r of x[n, c, stride * p + dilation * r - padding]

    over the r that meet an element of x; where none does, minus infinity, or for `caffe` the lowest
    number of the type. Of equal elements the first gets the gradient, as in torch; not a number is
    larger than all. The stride is the window unless it is given.

    Shapes:  x (N, C, H, W), or with one axis or three -> (N, C, P, Q); P by `rounding`.
    Raises:  ValueError when a number is out of range, padding is not below the window, or no window
             fits.
    """
    windows = _windows(x, window, stride, padding, dilation, rounding)
    # Caffe begins each window with the lowest number, and torch with minus infinity.
    lowest = torch.finfo(x.dtype).min if rounding == "caffe" else -torch.inf
    taps = _taps(x, windows, outside=lowest)
    y = next(taps)
    for each in taps:
        y = each.where((each > y) | each.isnan(), y)
    return y


def average_pool(
    x: Tensor,
    window: PerAxis,
    *,
    stride: PerAxis | None = None,
    padding: PerAxis = 0,
    rounding: Rounding = "floor",
    counts: Counts = "window",
) -> Tensor:
    """Take the mean of each window.

        y[n, c, p] = sum over r of x[n, c, stride * p + r - padding] / count[p]

    count is the number of the window's elements that lie in x or in its padding, with `counts`
    "window" (torch, Caffe), or of those in x with "inside" (torch with count_include_pad=False,
    cuda-convnet, TensorFlow). A window without any has the mean 0.

    Shapes:  x (N, C, H, W), or with one axis or three -> (N, C, P, Q); P by `rounding`. Sums of
             halves are taken in float32.
    Raises:  ValueError as `max_pool`, and when `counts` is unknown.
    """
    if counts not in get_args(Counts):
        raise ValueError(f"counts is {counts!r}; it must be one of {', '.join(get_args(Counts))}")
    windows = _windows(x, window, stride, padding, 1, rounding)
    taps = _taps(x, windows, outside=0.0)
    total = next(taps).to(wide(x.dtype))
    for each in taps:
        total = total + each
    for axis, along in enumerate(windows):
        covered = torch.tensor(along.covered(counts), dtype=total.dtype, device=x.device)
        total = total / covered.clamp(min=1).view(-1, *[1] * (len(windows) - 1 - axis))
    return total.to(x.dtype)


@dataclass(frozen=True)
class Windows:
    """Where the windows lie along one axis."""

    size: int
    """Of the input."""
    taps: int
    stride: int
    dilation: int
    before: int
    """Elements of padding in front."""
    behind: int
    """Elements of padding behind."""
    count: int

    @property
    def reach(self) -> int:
        """Return the elements from a window's first tap to its last, both included."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def missing(self) -> int:
        """Return what the last window lacks behind x; less than nothing is what it leaves over."""
        return (self.count - 1) * self.stride + self.reach - self.before - self.size

    def covered(self, counts: Counts) -> list[int]:
        """Return how many elements of x, or of x and its padding, each window has."""
        inside = counts == "inside"
        first = 0 if inside else -self.before
        end = self.size if inside else self.size + self.behind
        starts = (self.stride * p - self.before for p in range(self.count))
        return [min(start + self.taps, end) - max(start, first) for start in starts]


def _taps(x: Tensor, windows: list[Windows], *, outside: float) -> Iterator[Tensor]:
    """Yield for each tap the elements that it meets, one a window."""
    pads = [each for along in reversed(windows) for each in (along.before, along.missing)]
    wider = F.pad(x, pads, value=outside)
    for tap in itertools.product(*(range(along.taps) for along in windows)):
        starts = (along.dilation * r for along, r in zip(windows, tap, strict=True))
        every = (
            slice(start, start + along.stride * (along.count - 1) + 1, along.stride)
            for along, start in zip(windows, starts, strict=True)
        )
        yield wider[(slice(None), slice(None), *every)]


def _windows(
    x: Tensor,
    window: PerAxis,
    stride: PerAxis | None,
    padding: PerAxis,
    dilation: PerAxis,
    rounding: Rounding,
) -> list[Windows]:
    """Return where the windows lie along each axis.

    Raises: ValueError as `max_pool`.
    """
    if x.dim() not in (3, 4, 5) or min(x.shape[1:]) < 1 or not x.dtype.is_floating_point:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and type {x.dtype}; it needs a batch, channels and one, "
            "two or three axes, of which only the batch may be 0, and a type with fractions"
        )
    known = get_args(Rounding)
    if rounding not in known:
        raise ValueError(
            f"rounding is {rounding!r}{nearest(rounding, known)}; it must be one of "
            f"{', '.join(known)}"
        )
    axes = x.dim() - 2
    pads = per_axis("padding", padding, axes, least=0)
    if rounding == "same" and any(pads):
        raise ValueError(f"padding is {padding} with rounding 'same', which finds it; leave it out")
    if rounding == "caffe" and any(pads):
        rounding = "ceil"
    every = zip(
        x.shape[2:],
        per_axis("window", window, axes, least=1),
        per_axis("stride", window if stride is None else stride, axes, least=1),
        per_axis("dilation", dilation, axes, least=1),
        pads,
        strict=True,
    )
    return [
        place_windows(size, taps, stride=step, dilation=apart, padding=pad, rounding=rounding)
        for size, taps, step, apart, pad in every
    ]


def place_windows(
    size: int,
    taps: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
    rounding: Rounding = "floor",
) -> Windows:
    """Return where the windows lie along one axis.

    Raises: ValueError if padding is not below the window, no window fits, or, for cuda-convnet,
            elements would lie between the windows.
    """
    reach, pad = dilation * (taps - 1) + 1, padding
    if pad >= reach:
        raise ValueError(
            f"padding is {pad}, which must be below the {reach} that a window reaches over; "
            "a window would lie in the padding alone"
        )
    if rounding == "same":
        count = -(-size // stride)
        spare = max((count - 1) * stride + reach - size, 0)
        return Windows(size, taps, stride, dilation, spare // 2, spare - spare // 2, count)
    if rounding == "cuda-convnet" and stride > taps:
        raise ValueError(
            f"stride is {stride} with rounding 'cuda-convnet', which refuses one above the window "
            f"of {taps}; take ceil"
        )
    behind = 0 if rounding == "cuda-convnet" else pad
    spare = size + pad + behind - reach
    count = (spare // stride if rounding == "floor" else -(-spare // stride)) + 1
    if rounding == "ceil" and (count - 1) * stride >= size + pad:
        count -= 1
    if count < 1:
        raise ValueError(
            f"a window that reaches over {reach} does not fit into {size} padded to "
            f"{size + pad + behind}; pad more, take a smaller window or round 'same'"
        )
    return Windows(size, taps, stride, dilation, pad, behind, count)
