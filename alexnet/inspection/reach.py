"""What the outputs of a layer see: spans of input pixels along the width of a picture.

Source: Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural Networks".
What differs: behind a transposed convolution neighbouring outputs see spans of unequal widths, so
that a span is kept for each output of a period.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from torch import Tensor, nn

from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.response_norm import WithinChannelNorm
from alexnet.layers.subsampling import SIDE, Subsampling
from alexnet.text.pooling import AveragePooling, GlobalPooling, MaxPooling, StochasticPooling
from alexnet.text.spatial import Crop, Im2col
from alexnet.text.vision import Convolution

LONGEST_PERIOD = 256
"""Spans that would repeat after more outputs than this give way to even ones that contain them."""


@dataclass(frozen=True)
class Reach:
    """The input pixels that the outputs of a layer see, along one side.

    Output i sees the pixels from firsts[i % P] + i // P * step to lasts[i % P] + i // P * step,
    where P is the number of firsts.
    """

    firsts: tuple[Fraction, ...]
    """The first pixel of each output of a period; it may lie before the picture."""
    lasts: tuple[Fraction, ...]
    """The last pixel of each."""
    step: Fraction
    """Pixels from one period to the next; 0 where all outputs see the same."""

    @property
    def width(self) -> int:
        """The most pixels that one output sees."""
        return int(max(self.last(i) - self.first(i) + 1 for i in range(len(self.firsts))))

    @property
    def stride(self) -> Fraction:
        """Pixels from one output to the next, in the mean."""
        return self.step / len(self.firsts)

    def first(self, output: int) -> Fraction:
        """Return the first pixel that an output sees."""
        period, place = divmod(output, len(self.firsts))
        return self.firsts[place] + period * self.step

    def last(self, output: int) -> Fraction:
        """Return the last pixel that an output sees."""
        period, place = divmod(output, len(self.lasts))
        return self.lasts[place] + period * self.step


PICTURE = Reach((Fraction(0),), (Fraction(0),), Fraction(1))
"""The picture itself: each pixel sees itself."""


class Windows(NamedTuple):
    """Where the windows of a layer lie along the last axis of its input."""

    extent: int
    """The width that one output reads."""
    stride: int | Fraction
    """Inputs from one window to the next; 0 where all outputs read the same."""
    before: int = 0
    """How far before input 0 the first window begins; negative for one that begins behind it."""


def even(reach: Reach) -> Reach:
    """Return the least spans of one width, evenly spaced, that contain all of a reach."""
    places, stride = range(len(reach.firsts)), reach.stride
    first = min(reach.firsts[i] - i * stride for i in places)
    last = max(reach.lasts[i] - i * stride for i in places)
    return Reach((first,), (last,), stride)


def join(reaches: Sequence[Reach]) -> Reach:
    """Return what outputs see that read the same place of several blobs.

    Blobs of unequal strides give the largest, with spans that contain those of all.
    """
    period = math.lcm(*(len(each.firsts) for each in reaches))
    if len({each.stride for each in reaches}) > 1 or period > LONGEST_PERIOD:
        reaches, period = [even(each) for each in reaches], 1
    return Reach(
        tuple(min(each.first(i) for each in reaches) for i in range(period)),
        tuple(max(each.last(i) for each in reaches) for i in range(period)),
        max(each.stride for each in reaches) * period,
    )


def through(reach: Reach, windows: Windows) -> Reach:
    """Return what the outputs of a layer with windows see, if its inputs see `reach`.

    window i = the inputs from i * stride - before on, `extent` of them
    """
    extent, stride, before = windows
    if isinstance(stride, Fraction) and stride.denominator > 1:
        reach = even(reach)
        first = reach.first(-before)
        last = reach.last(extent - 1 - before)
        return Reach((first,), (last,), reach.step * stride)
    stride = int(stride)
    period = len(reach.firsts) // math.gcd(len(reach.firsts), stride)
    starts = [i * stride - before for i in range(period)]
    return Reach(
        tuple(reach.first(start) for start in starts),
        tuple(reach.last(start + extent - 1) for start in starts),
        reach.stride * stride * period,
    )


def whole(reach: Reach, side: int) -> Reach:
    """Return what outputs see that read all `side` inputs."""
    return through(reach, Windows(side, 0))


def transposed(reach: Reach, layer: nn.Module) -> Reach:
    """Return what the outputs of a transposed convolution see.

    output q reads the inputs i with q = i * stride - pad + r * dilation, 0 <= r < kernel

    An output that reads none counts as one that reads the input before it.
    """
    assert isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
    kernel, stride = int(layer.kernel_size[-1]), int(layer.stride[-1])
    pad, dilation = _padding(layer), int(layer.dilation[-1])
    period = len(reach.firsts) * stride
    if period > LONGEST_PERIOD:
        reach = even(reach)
        first = reach.firsts[0] + reach.step * Fraction(pad - (kernel - 1) * dilation, stride)
        last = reach.lasts[0] + reach.step * Fraction(pad, stride)
        return Reach((first,), (last,), reach.step / stride)
    firsts, lasts = [], []
    for q in range(period):
        taps = [r for r in range(min(kernel, stride)) if (q + pad - r * dilation) % stride == 0]
        if taps:  # they come again after some, and `stride` is always a multiple of those
            nearest = taps[0]
            again = stride // math.gcd(stride, dilation)
            furthest = nearest + (kernel - 1 - nearest) // again * again
        else:
            nearest = furthest = 0
        lasts.append(reach.last((q + pad - nearest * dilation) // stride))
        firsts.append(reach.first((q + pad - furthest * dilation) // stride))
    return Reach(tuple(firsts), tuple(lasts), reach.step)


def windows_of(layer: nn.Module, x: Tensor) -> Windows | None:
    """Return the windows that a layer reads an input in; None for one without."""
    side = int(x.shape[-1])
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            width = (layer.kernel_size[-1] - 1) * layer.dilation[-1] + 1
            return Windows(width, layer.stride[-1], _padding(layer))
        case nn.MaxPool2d() | nn.AvgPool2d():
            return Windows(_last(layer.kernel_size), _last(layer.stride), _last(layer.padding))
        case MaxPooling() | AveragePooling() | StochasticPooling():
            columns = layer.panes.columns
            return Windows(columns.kernel, columns.stride, columns.pad)
        case Convolution() | Im2col():
            kernel, stride, pad, dilation = layer.windows
            if not kernel:  # the channels are the last axis
                return Windows(side, 0)
            return Windows((kernel[-1] - 1) * dilation[-1] + 1, stride[-1], pad[-1])
        case Crop():
            return Windows(1, 1, -layer.offsets[-1])
        case PartialConvolution():
            return Windows(layer.size, 1)
        case Subsampling():
            return Windows(SIDE, SIDE)
        case nn.ZeroPad2d():
            return Windows(1, 1, int(layer.padding[0]))
        case WithinChannelNorm():
            return Windows(layer.window, 1, layer.window // 2)
        case nn.AdaptiveAvgPool2d():
            return _adaptive(side, _last(layer.output_size))
        case nn.Flatten() | InnerProduct() | GlobalPooling():
            return Windows(side, 0)  # each output reads every position
    return None


def seen_by(layer: nn.Module, x: Tensor, reach: Reach) -> Reach:
    """Return what a layer's outputs see if its input x sees `reach`."""
    if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return transposed(reach, layer)
    windows = windows_of(layer, x)
    return reach if windows is None else through(reach, windows)


def _adaptive(side: int, outputs: int) -> Windows:
    # Window i runs from floor(i * side / outputs) to ceil((i + 1) * side / outputs).
    widest = max(-(-(i + 1) * side // outputs) - i * side // outputs for i in range(outputs))
    # all windows together reach across the side
    return Windows(widest, Fraction(side - widest, max(outputs - 1, 1)))


def _padding(layer: nn.Module) -> int:
    reversed_twice: Any = layer._reversed_padding_repeated_twice
    return int(reversed_twice[0])


def _last(size: Any) -> int:
    return int(size[-1] if isinstance(size, tuple) else size)
