"""The one convolution that made a pixel of a map, number by number.

    y[k, p, q] = b[k] + sum over c, i, j of w[k, c, i, j] x[c, p * stride + i - pad, ...]

Sums are taken in float64, so that what is shown adds up; the net's own value stands beside them. A
fully connected layer is a convolution whose kernels cover all of its input. Of many channels the
ten that count most are written out, and the sum of the rest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.inspection.deconvnet import check_unit
from alexnet.inspection.subject import Subject
from alexnet.inspection.watch import named_layer
from alexnet.layers.dropout import Dropout
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.subsampling import ScaledTanh
from alexnet.serve.calls import Call, calls_of, span
from alexnet.serve.models import Opened
from alexnet.text.vision import Convolution

AFTER = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.BatchNorm2d, ScaledTanh, Dropout, nn.Dropout)
"""Layers that may stand between a convolution and the map that is looked at: pixel by pixel."""
ALL_SHOWN, MOST_SHOWN = 3, 10
"""Channels up to which all are written out in their order, and else the most that are."""


@dataclass(frozen=True)
class Pixel:
    """A pixel of a map."""

    layer: str
    unit: int
    row: int = 0
    column: int = 0


@dataclass(frozen=True)
class Kernel:
    """The kernel of one unit, and how it moves over what it reads."""

    weights: Tensor
    """(channels, height, width)."""
    bias: float
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    first_channel: int = 0
    """The first channel that it reads: those of other groups are not its own."""


def explain(opened: Opened, picture: NDArray[np.uint8], pixel: Pixel) -> dict[str, Any]:
    """Return what made a pixel: windows, kernels, their products' sums, the bias, what followed.

    Shapes:  picture (H, W, 3).
    Raises:  ValueError if there is no such layer, unit or place, or no convolution made it.
    """
    subject = Subject("", opened.place.folder, opened.model)
    x = subject.inputs(torch.from_numpy(picture)[None])
    way = _way(calls_of(opened.model.net, x), named_layer(opened.model.net, pixel.layer))
    made, last = way[0], way[-1]
    check_unit(last.name, pixel.unit, last.y.shape[1])
    place = _place(last, pixel)
    kernel = _kernel_of(made, pixel.unit)
    assert kernel is not None
    below = made.x if made.x.dim() == 4 else made.x.reshape(1, len(kernel.weights), *_sides(kernel))
    top, left = (place[i] * kernel.stride[i] - kernel.padding[i] for i in (0, 1))
    window = _window(below[0], kernel, (top, left))
    sums = (window * kernel.weights).sum((1, 2))
    order = _order(sums)
    spans = [span(made.reach, place[i], x.shape[2 + i]) for i in (0, 1)]
    return {
        "layer": last.name,
        "convolution": made.name,
        "reads": made.reads,
        "unit": pixel.unit,
        "row": place[0],
        "column": place[1],
        "top": top,
        "left": left,
        "input_shape": list(below.shape[1:]),
        "kernel": list(_sides(kernel)),
        "stride": list(kernel.stride),
        "padding": list(kernel.padding),
        "sees": [spans[0][0], spans[1][0], spans[0][1], spans[1][1]],
        "channels": len(sums),
        "parts": [
            {
                "channel": kernel.first_channel + each,
                "inputs": window[each].tolist(),
                "weights": kernel.weights[each].tolist(),
                "sum": float(sums[each]),
            }
            for each in order
        ],
        "rest": float(sums.sum() - sums[order].sum()),
        "bias": kernel.bias,
        "sum": float(sums.sum()) + kernel.bias,
        "steps": [
            {"layer": each.name, "kind": type(each.layer).__name__, "value": _value(each, pixel)}
            for each in way
        ],
    }


def _way(calls: dict[str, Call], layer: str) -> list[Call]:
    """Return the convolution that made the maps of a layer, and what followed up to it."""
    way: list[Call] = []
    call = calls.get(layer)
    while call is not None:
        way.insert(0, call)
        if _kernel_of(call, 0) is not None:
            return way
        call = calls.get(call.reads) if isinstance(call.layer, AFTER) else None
    made = [name for name, each in calls.items() if _kernel_of(each, 0) is not None]
    inside = [name for name in made if name.startswith(f"{layer}.")]
    ending = "those in it are" if inside else "those that are made so are"
    raise ValueError(
        f"the outputs of {layer} are not made by one convolution; {ending} "
        f"{', '.join(inside or made)}"
    )


def _kernel_of(call: Call, unit: int) -> Kernel | None:
    """Return the kernel of a unit in float64; None if the layer is no convolution over maps."""
    match call.layer:
        case nn.Conv2d() as layer if layer.padding_mode == "zeros":
            padding = layer.padding
            if isinstance(padding, str):
                return None
            first = unit // (layer.out_channels // layer.groups) * layer.weight.shape[1]
            return Kernel(
                layer.weight[unit].detach().cpu().double(),
                _bias(layer.bias, unit),
                (layer.stride[0], layer.stride[1]),
                (padding[0], padding[1]),
                (layer.dilation[0], layer.dilation[1]),
                first,
            )
        case Convolution() as layer if len(layer.windows.kernel) == 2 and layer.axis == 1:
            first = unit // (len(layer.weight) // layer.group) * layer.weight.shape[1]
            _, stride, pad, dilation = ((each[0], each[1]) for each in layer.windows)
            weights = layer.weight[unit].detach().cpu().double()
            return Kernel(weights, _bias(layer.bias, unit), stride, pad, dilation, first)
        case PartialConvolution() as layer:
            weights = layer.dense_weight()[unit].detach().cpu().double()
            return Kernel(weights, _bias(layer.bias, unit))
        case nn.Linear() as layer:
            shape = tuple(call.x.shape[1:]) if call.x.dim() == 4 else (layer.in_features, 1, 1)
            weights = layer.weight[unit].detach().cpu().double().view(shape)
            return Kernel(weights, _bias(layer.bias, unit))
    return None


def _bias(bias: Tensor | None, unit: int) -> float:
    return 0.0 if bias is None else float(bias[unit].detach())


def _sides(kernel: Kernel) -> tuple[int, int]:
    return kernel.weights.shape[1], kernel.weights.shape[2]


def _window(below: Tensor, kernel: Kernel, corner: tuple[int, int]) -> Tensor:
    """Return what a kernel reads, with zeros past the edge: (channels, height, width) float64."""
    first, (rows, columns) = kernel.first_channel, _sides(kernel)
    some = below[first : first + len(kernel.weights)].detach().cpu().double()
    tall, wide = kernel.padding
    padded = F.pad(some, (wide, wide, tall, tall))
    top, left = corner[0] + tall, corner[1] + wide
    step, stride = kernel.dilation
    return padded[
        :,
        top : top + (rows - 1) * step + 1 : step,
        left : left + (columns - 1) * stride + 1 : stride,
    ]


def _order(sums: Tensor) -> list[int]:
    if len(sums) <= ALL_SHOWN:
        return list(range(len(sums)))
    most: list[int] = sums.abs().argsort(descending=True, stable=True)[:MOST_SHOWN].tolist()
    return most


def _place(call: Call, pixel: Pixel) -> tuple[int, int]:
    """Return row and column of a pixel; 0 and 0 for a unit without a map.

    Raises: ValueError if the map ends before.
    """
    if call.y.dim() != 4:
        return 0, 0
    rows, columns = call.y.shape[2:]
    if pixel.row >= rows or pixel.column >= columns:
        raise ValueError(
            f"row {pixel.row}, column {pixel.column} is outside the maps of {call.name}, which "
            f"are {rows} x {columns}; both begin at 0"
        )
    return pixel.row, pixel.column


def _value(call: Call, pixel: Pixel) -> float:
    y = call.y[0, pixel.unit]
    return float(y[pixel.row, pixel.column] if y.dim() == 2 else y.flatten()[0])
