"""Kinds of layers with weights over pictures: Convolution and InnerProduct; and Pooling's entry.

Source: BVLC Caffe, src/caffe/layers/{base_conv,conv,inner_product}_layer.cpp. What differs: a
kernel that is larger than the padded picture is always refused; there, one that is larger by less
than a stride gives one place whose window sticks out.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.layers.inner_product import InnerProduct
from alexnet.text.kind import MANY, Initial, Kind, Setting, pair
from alexnet.text.pooling import pooling

_CONVOLUTIONS: Final = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_CONVOLVE: Final = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Windows(NamedTuple):
    """Where the windows of a convolution lie: a number for each axis after the channels."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    pad: tuple[int, ...]
    dilation: tuple[int, ...]

    def places(self, sides: Sequence[int]) -> list[int]:
        """Return how many windows fit along each axis: (side + 2 pad - extent) // stride + 1."""
        numbers = zip(sides, *self, strict=True)
        return [(side + 2 * p - d * (k - 1) - 1) // s + 1 for side, k, s, p, d in numbers]


def _numbers(setting: Setting, name: str, default: int, axes: int) -> tuple[int, ...]:
    """Return one of the numbers of a ConvolutionParameter for each axis."""
    parameter = setting.record["convolution_param"]
    if axes == 2:
        return pair(setting, parameter, name, default)
    short = name.removesuffix("_size")
    for split in (f"{short}_h", f"{short}_w"):
        if split in parameter.fields and split in parameter:
            raise setting.record.refuse(
                f"{split} is for two axes, and there are {axes} after the channels; use {name}"
            )
    given = [int(each) for each in parameter[name]] or [default]
    if len(given) not in (1, axes):
        raise setting.record.refuse(
            f"{name} has {len(given)} numbers; give one, or one for each of {axes} axes"
        )
    return tuple(given * axes if len(given) == 1 else given)


def windows(setting: Setting, axes: int) -> Windows:
    """Return the windows that a ConvolutionParameter describes over so many axes.

    Raises: TextError if the numbers contradict each other, do not fit the axes or are 0.
    """
    found = Windows(
        _numbers(setting, "kernel_size", 0, axes),
        _numbers(setting, "stride", 1, axes),
        _numbers(setting, "pad", 0, axes),
        _numbers(setting, "dilation", 1, axes),
    )
    fields = ("kernel_size", found.kernel), ("stride", found.stride), ("dilation", found.dilation)
    for name, numbers in fields:
        if min(numbers, default=1) < 1:
            given = ", ".join(map(str, numbers))
            raise setting.record.refuse(
                f"{name} is {given}; give a number from 1 up for each of {axes} axes"
            )
    return found


def count_outputs(setting: Setting, channels: int) -> tuple[int, int]:
    """Return num_output and group of a ConvolutionParameter.

    Raises: TextError if num_output is missing or group does not divide both numbers of channels.
    """
    record, parameter = setting.record, setting.record["convolution_param"]
    outputs, group = parameter["num_output"], parameter["group"]
    if outputs < 1:
        raise record.refuse("num_output is missing or 0; give the number of channels to make")
    for name, count in (("channels", channels), ("num_output", outputs)):
        if group < 1 or count % group:
            raise record.refuse(f"{name} {count} is not divisible by group {group}")
    return outputs, group


class ForEach(nn.Module):
    """A layer with one set of blobs and several bottoms: each goes through the same module."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        """Return the top of each bottom."""
        return tuple(self.layer(bottom) for bottom in bottoms)


class Convolution(nn.Module):
    """Convolve over any number of axes after that of the channels.

        y[..., k, p] = b[k] + sum(w[k, c, r] * x[..., c, p * stride + r * dilation - pad])

    with c over the channels of k's group, p a place and r an offset along all axes.

    Shapes:  x (*lead, C, *sides) -> (*lead, K, *places); w (K, C / group, *kernel), b (K).
    Source:  Caffe's N-D convolution; nn.Conv1d to Conv3d where `lead` is one axis and the sides are
             one to three. More axes are summed over their kernel, one place after the other.
    """

    def __init__(
        self, channels: int, outputs: int, *, windows: Windows, group: int, axis: int, bias: bool
    ) -> None:
        super().__init__()
        self.windows, self.group, self.axis = windows, group, axis
        self.weight = nn.Parameter(torch.empty(outputs, channels // group, *windows.kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution."""
        lead = x.shape[: self.axis]
        x = x.reshape(-1, *x.shape[self.axis :])
        y = _convolve(x, self.weight, self.windows, self.group)
        if self.bias is not None:
            y = y + self.bias.view(-1, *[1] * (y.dim() - 2))
        return y.view(*lead, *y.shape[1:])


def _convolve(x: Tensor, weight: Tensor, windows: Windows, group: int) -> Tensor:
    """Convolve (N, C, *sides) with (K, C / group, *kernel)."""
    axes = x.dim() - 2
    if axes == 0:
        return F.conv1d(x[..., None], weight[..., None], groups=group)[..., 0]
    if axes in _CONVOLVE:
        run: Any = _CONVOLVE[axes]  # the three take a tuple of their own length each
        y: Tensor = run(x, weight, None, windows.stride, windows.pad, windows.dilation, group)
        return y
    (_, stride, pad, dilation), count = (each[0] for each in windows), windows.places(x.shape[2:])
    x = F.pad(x, [0, 0] * (axes - 1) + [pad, pad])
    inner = Windows(*(each[1:] for each in windows))
    total: Tensor | None = None
    for offset in range(weight.shape[2]):
        start = offset * dilation
        rows = x[:, :, start : start + (count[0] - 1) * stride + 1 : stride].transpose(1, 2)
        part = _convolve(rows.flatten(0, 1), weight[:, :, offset], inner, group)
        total = part if total is None else total + part
    assert total is not None
    whole: Tensor = total.unflatten(0, (-1, count[0]))
    return whole.transpose(1, 2).contiguous()


def convolution(setting: Setting) -> nn.Module:
    """Build the convolution: torch's own for one to three axes after the channels on axis 1.

    Raises: TextError if numbers are missing or contradict each other, group does not divide the
            channels, the kernel is larger than the padded picture, or bottoms and tops do not
            match.
    """
    record, parameter = setting.record, setting.record["convolution_param"]
    if len(set(setting.bottoms)) > 1 or setting.tops != len(setting.bottoms):
        shapes = ", ".join(map(str, setting.bottoms))
        raise record.refuse(
            f"{len(setting.bottoms)} bottoms of shapes {shapes} and {setting.tops} tops; several "
            "bottoms need one shape and a top for each"
        )
    axis = setting.axis(parameter["axis"])
    sides = setting.bottom[axis + 1 :]
    channels = setting.bottom[axis]
    outputs, group = count_outputs(setting, channels)
    found = windows(setting, len(sides))
    for index, places in enumerate(found.places(sides)):
        if places < 1:
            extent = found.dilation[index] * (found.kernel[index] - 1) + 1
            raise record.refuse(
                f"a kernel that spans {extent} does not fit axis {axis + 1 + index}, which has "
                f"{sides[index]} and a pad of {found.pad[index]}; use a smaller kernel or more pad"
            )
    bias = parameter["bias_term"]
    layer: nn.Module
    if axis == 1 and len(sides) in _CONVOLUTIONS:
        build: Any = _CONVOLUTIONS[len(sides)]  # the three take a tuple of their own length each
        kernel, stride, pad, dilation = found
        layer = build(channels, outputs, kernel, stride, pad, dilation, group, bias)
    else:
        layer = Convolution(channels, outputs, windows=found, group=group, axis=axis, bias=bias)
    return layer if len(setting.bottoms) == 1 else ForEach(layer)


class TransposedLinear(nn.Module):
    """Multiply by weights that are stored with their inputs as rows.

        y = x w + b

    Shapes:  x (*lead, *sides) -> (*lead, K), `axis` of lead; w (product of the sides, K), b (K).
    Source:  Caffe's InnerProduct with `transpose: true`.
    """

    def __init__(self, inputs: int, outputs: int, *, axis: int, bias: bool) -> None:
        super().__init__()
        self.axis = axis
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Return the products."""
        return F.linear(x.flatten(self.axis), self.weight.t(), self.bias)


def inner_product(setting: Setting) -> nn.Module:
    """Build the fully connected layer: nn.Linear, or one that takes several axes as one.

    Raises: TextError if num_output is missing or the bottom has no such axis or no elements.
    """
    record, parameter = setting.record, setting.record["inner_product_param"]
    axis, outputs = setting.axis(parameter["axis"]), parameter["num_output"]
    if outputs < 1:
        raise record.refuse("num_output is missing or 0; give the number of outputs")
    inputs = 1
    for side in setting.bottom[axis:]:
        inputs *= side
    if inputs < 1:
        raise record.refuse(f"its bottom {setting.bottom} has no elements from axis {axis} on")
    bias = parameter["bias_term"]
    if parameter["transpose"]:
        return TransposedLinear(inputs, outputs, axis=axis, bias=bias)
    if axis == len(setting.bottom) - 1:
        return nn.Linear(inputs, outputs, bias)
    return InnerProduct(inputs, outputs, axis=axis, bias=bias)


KINDS: Final = {
    "Convolution": Kind(
        convolution,
        bottoms=(1, MANY),
        tops=(1, MANY),
        initial=(
            Initial("convolution_param.weight_filler"),
            Initial("convolution_param.bias_filler"),
        ),
    ),
    "Pooling": Kind(pooling, tops=(1, 2)),
    "InnerProduct": Kind(
        inner_product,
        initial=(
            Initial("inner_product_param.weight_filler"),
            Initial("inner_product_param.bias_filler"),
        ),
    ),
}
"""The kinds of this file by the type that a prototxt names."""
