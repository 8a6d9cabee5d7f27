"""The layers of all nets as nodes of ONNX, one function a kind.

Source: the operators' own definitions, onnx/docs/Operators.md, at operator set 17. ONNX's LRN
divides alpha by the window and lets it run across the edge of a column; ours end there, and so the
columns are parted, normed and joined. Pools are in `alexnet.export.onnx_pools`.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.export.onnx_graph import NO_PADS, Graph, Pads, Value, Write, Written
from alexnet.export.onnx_pools import adaptive_pool, average_pool, max_pool
from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.merge import Add, Concat
from alexnet.layers.padding import PadToStride
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.radial import RadialBasis
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.layers.subsampling import AMPLITUDE, SIDE, SLOPE, ScaledTanh, Subsampling


class _Geometry(NamedTuple):
    """Where the windows of a convolution lie, and how many groups it has."""

    stride: tuple[int, ...] = (1, 1)
    pads: Pads = NO_PADS
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1


def convolution(graph: Graph, name: str, layer: nn.Conv2d, values: Sequence[Value]) -> Written:
    """Add a convolution; zeros that are still to be put around the picture are its pads."""
    (x,) = values
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ValueError(
            f"layer {name} pads by {layer.padding_mode} {layer.padding}, which has no ONNX form "
            "here; pad by a number of zeros"
        )
    down, across = layer.padding[0], layer.padding[-1]
    top, left, bottom, right = x.pads
    pads = Pads(top + down, left + across, bottom + down, right + across)
    return [
        _convolve(
            graph,
            name,
            x,
            layer.weight,
            bias=layer.bias,
            geometry=_Geometry(layer.stride, pads, layer.dilation, layer.groups),
        )
    ]


def _convolve(
    graph: Graph,
    name: str,
    x: Value,
    weight: Tensor,
    *,
    bias: Tensor | None,
    geometry: _Geometry,
) -> Value:
    inputs = [x.name, graph.kernel(f"{name}.weight", weight)]
    if bias is not None:
        inputs.append(graph.constant(f"{name}.bias", bias.float()))
    kernel, (top, left, bottom, right) = weight.shape[2:], geometry.pads
    attributes = {
        "kernel_shape": list(kernel),
        "strides": list(geometry.stride),
        "pads": [top, left, bottom, right],
        "dilations": list(geometry.dilation),
        "group": geometry.groups,
    }
    sides = (x.shape[1] + top + bottom, x.shape[2] + left + right)
    places = (
        (side - apart * (taps - 1) - 1) // step + 1
        for side, taps, step, apart in zip(
            sides, kernel, geometry.stride, geometry.dilation, strict=True
        )
    )
    made = graph.add("Conv", inputs, name, attributes)
    return Value(made, (len(weight), *places))


def partial_convolution(
    graph: Graph, name: str, layer: PartialConvolution, values: Sequence[Value]
) -> Written:
    """Add a convolution with zeros where there is no connection."""
    weight = layer.dense_weight()
    return [_convolve(graph, name, values[0], weight, bias=layer.bias, geometry=_Geometry())]


def linear(graph: Graph, name: str, layer: nn.Linear, values: Sequence[Value]) -> Written:
    """Add a fully connected layer; a factor of its input becomes one of its weights."""
    (x,) = values
    if isinstance(layer, InnerProduct) and len(x.shape) > layer.axis:
        (x,) = _flat(graph, f"{name}.flat", x, layer.axis)
    if graph.weights != "same" and math.frexp(x.factor)[0] != 0.5:
        x = graph.settled(x)  # rounded weights times a power of two stay the rounded weights
    weight = layer.weight.detach() * x.factor if x.factor != 1.0 else layer.weight
    matrix = graph.matrix(f"{name}.weight", weight)
    bias = None if layer.bias is None else graph.constant(f"{name}.bias", layer.bias.float())
    shape = (*x.shape[:-1], len(layer.weight))
    if len(x.shape) == 1:
        inputs = [x.name, matrix, *([bias] if bias else [])]
        return [Value(graph.add("Gemm", inputs, name, {"transB": 1}), shape)]
    turned = graph.add("Transpose", [matrix], f"{name}.turned", {"perm": [1, 0]})
    product = graph.add("MatMul", [x.name, turned], f"{name}.product" if bias else name)
    return [Value(graph.add("Add", [product, bias], name) if bias else product, shape)]


def _flat(graph: Graph, name: str, x: Value, axis: int) -> Written:
    """Make one axis of all from `axis` on, counted with the batch."""
    size = int(np.prod(x.shape[axis - 1 :]))
    if axis == 1:
        return [x._replace(name=graph.add("Flatten", [x.name], name, {"axis": 1}), shape=(size,))]
    shape = (*x.shape[: axis - 1], size)
    sides = graph.numbers(f"{name}.sides", [0, *shape])
    return [x._replace(name=graph.add("Reshape", [x.name, sides], name), shape=shape)]


def flatten(graph: Graph, name: str, layer: nn.Flatten, values: Sequence[Value]) -> Written:
    """Add a flattening of all axes from one on.

    Raises: ValueError if it takes the batch with it or ends before the last axis.
    """
    x = values[0]
    start, end = layer.start_dim, layer.end_dim % (len(x.shape) + 1)
    if start < 1 or end != len(x.shape):
        raise ValueError(
            f"layer {name} flattens axes {start} to {end}, which has no ONNX form here"
        )
    return _flat(graph, name, x, start)


def element(operator: str) -> Write:
    """Return what adds an operator that works on each element alone."""

    def write(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
        return [values[0]._replace(name=graph.add(operator, [values[0].name], name))]

    return write


def dropout(graph: Graph, name: str, layer: Dropout, values: Sequence[Value]) -> Written:
    """Add nothing: at test dropout is a factor, or nothing at all."""
    keep = 1.0 - layer.rate if layer.scaled == "test" else 1.0
    return [values[0]._replace(factor=values[0].factor * keep)]


def nothing(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add nothing for a layer that does nothing at test."""
    return list(values)


def zero_pad(graph: Graph, name: str, layer: nn.ZeroPad2d, values: Sequence[Value]) -> Written:
    """Note zeros that the next convolution takes as its pads."""
    left, right, top, bottom = layer.padding
    return [values[0]._replace(pads=Pads(top, left, bottom, right))]


def pad_to_stride(graph: Graph, name: str, layer: PadToStride, values: Sequence[Value]) -> Written:
    """Note zeros past the right and bottom edge, which the next convolution takes as its pads."""
    with torch.device("meta"):
        height, width = layer(torch.empty(1, *values[0].shape)).shape[2:]
    pads = Pads(bottom=height - values[0].shape[1], right=width - values[0].shape[2])
    return [values[0]._replace(pads=pads)]


def response_norm(
    graph: Graph, name: str, layer: LocalResponseNorm, values: Sequence[Value]
) -> Written:
    """Add LRN, for each column apart.

    Raises: ValueError for an even window, which ONNX allows and ONNX Runtime does not.
    """
    (x,), norm = values, layer.norm
    size = norm.below + norm.above + 1
    if size % 2 == 0:
        raise ValueError(
            f"layer {name} has a window of {size}, and ONNX Runtime takes odd ones only; use "
            f"{size - 1} or {size + 1}"
        )
    attributes = {"size": size, "alpha": norm.alpha * size, "beta": norm.beta, "bias": norm.bias}
    if norm.columns == 1:
        return [x._replace(name=graph.add("LRN", [x.name], name, attributes))]
    each = [x.shape[0] // norm.columns] * norm.columns
    names = [f"{name}.column{number}" for number in range(1, norm.columns + 1)]
    sizes = graph.numbers(f"{name}.columns", each)
    parts = graph.add_several("Split", [x.name, sizes], names, {"axis": 1})
    normed = [graph.add("LRN", [part], f"{part}.normed", attributes) for part in parts]
    return [x._replace(name=graph.add("Concat", normed, name, {"axis": 1}))]


def within_channel_norm(
    graph: Graph, name: str, layer: WithinChannelNorm, values: Sequence[Value]
) -> Written:
    """Add y = x / (bias + alpha * mean of x ** 2 over window x window) ** beta."""
    (x,), half = values, layer.window // 2
    window = {"kernel_shape": [layer.window] * 2, "pads": [half] * 4, "count_include_pad": 1}
    square = graph.add("Mul", [x.name, x.name], f"{name}.square")
    mean = graph.add("AveragePool", [square], f"{name}.mean", window)
    scaled = graph.add("Mul", [mean, graph.number(f"{name}.alpha", layer.alpha)], f"{name}.scaled")
    total = graph.add("Add", [scaled, graph.number(f"{name}.bias", layer.bias)], f"{name}.total")
    power = graph.add("Pow", [total, graph.number(f"{name}.beta", layer.beta)], f"{name}.power")
    return [x._replace(name=graph.add("Div", [x.name, power], name))]


def batch_norm(graph: Graph, name: str, layer: nn.BatchNorm2d, values: Sequence[Value]) -> Written:
    """Add a batch norm with its stored statistics."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    tensors = {
        "weight": layer.weight,
        "bias": layer.bias,
        "mean": layer.running_mean,
        "variance": layer.running_var,
    }
    constants = [graph.constant(f"{name}.{key}", each.float()) for key, each in tensors.items()]
    inputs = [values[0].name, *constants]
    made = graph.add("BatchNormalization", inputs, name, {"epsilon": layer.eps})
    return [values[0]._replace(name=made)]


def scaled_tanh(graph: Graph, name: str, layer: ScaledTanh, values: Sequence[Value]) -> Written:
    """Add y = 1.7159 tanh(2 / 3 x)."""
    slope = graph.number(f"{name}.slope", SLOPE)
    inner = graph.add("Mul", [values[0].name, slope], f"{name}.inner")
    tanh = graph.add("Tanh", [inner], f"{name}.tanh")
    amplitude = graph.number(f"{name}.amplitude", AMPLITUDE)
    return [values[0]._replace(name=graph.add("Mul", [tanh, amplitude], name))]


def subsampling(graph: Graph, name: str, layer: Subsampling, values: Sequence[Value]) -> Written:
    """Add the weighted sums of windows of 2 x 2."""
    x = values[0]
    grid = {"kernel_shape": [SIDE] * 2, "strides": [SIDE] * 2}
    mean = graph.add("AveragePool", [x.name], f"{name}.mean", grid)
    weight = graph.constant(f"{name}.weight", (layer.weight * SIDE**2)[:, None, None])
    bias = graph.constant(f"{name}.bias", layer.bias[:, None, None])
    weighted = graph.add("Mul", [mean, weight], f"{name}.weighted")
    shape = (x.shape[0], *(side // SIDE for side in x.shape[1:]))
    return [Value(graph.add("Add", [weighted, bias], name), shape)]


def radial_basis(graph: Graph, name: str, layer: RadialBasis, values: Sequence[Value]) -> Written:
    """Add the negated squared distances to the codes, difference by difference, as ours does."""
    codes = graph.constant(f"{name}.codes", layer.codes)
    axes = graph.numbers(f"{name}.axis", [1])
    row = graph.add("Unsqueeze", [values[0].name, axes], f"{name}.row")
    apart = graph.add("Sub", [row, codes], f"{name}.apart")
    distance = graph.add(
        "ReduceSumSquare", [apart], f"{name}.distance", {"axes": [2], "keepdims": 0}
    )
    return [Value(graph.add("Neg", [distance], name), (len(layer.codes),))]


def join(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add a joining of channels."""
    channels = sum(each.shape[0] for each in values)
    made = graph.add("Concat", [each.name for each in values], name, {"axis": 1})
    return [Value(made, (channels, *values[0].shape[1:]))]


def add(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add a shortcut."""
    return [values[0]._replace(name=graph.add("Add", [each.name for each in values], name))]


LAYERS: Final[dict[type[nn.Module], Write]] = {
    nn.Conv2d: convolution,
    PartialConvolution: partial_convolution,
    nn.Linear: linear,
    InnerProduct: linear,
    nn.Flatten: flatten,
    nn.ReLU: element("Relu"),
    nn.Tanh: element("Tanh"),
    nn.Sigmoid: element("Sigmoid"),
    ScaledTanh: scaled_tanh,
    Dropout: dropout,
    nn.Dropout: nothing,
    nn.Identity: nothing,
    nn.ZeroPad2d: zero_pad,
    PadToStride: pad_to_stride,
    nn.MaxPool2d: max_pool,
    nn.AvgPool2d: average_pool,
    nn.AdaptiveAvgPool2d: adaptive_pool,
    LocalResponseNorm: response_norm,
    WithinChannelNorm: within_channel_norm,
    nn.BatchNorm2d: batch_norm,
    Subsampling: subsampling,
    RadialBasis: radial_basis,
    Concat: join,
    Add: add,
}
"""The kinds of layers of the nets in `alexnet.nets`."""
MULTIPLIED_LATER: Final = (nn.Linear, nn.ReLU, nn.Flatten, nn.Dropout, Dropout)
"""Kinds through which a factor that is still to be done may go on."""


def write(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add a layer of one of the kinds in LAYERS.

    Raises: ValueError if it is of another kind; it is named.
    """
    if type(layer) not in LAYERS:
        raise ValueError(refusal(name, layer))
    return LAYERS[type(layer)](graph, name, layer, [ready(graph, layer, each) for each in values])


def ready(graph: Graph, layer: nn.Module, value: Value) -> Value:
    """Return the value as the layer can take it."""
    padded = value.pads != NO_PADS and not isinstance(layer, nn.Conv2d)
    multiplied = value.factor != 1.0 and not isinstance(layer, MULTIPLIED_LATER)
    return graph.settled(value) if padded or multiplied else value


def refusal(name: str, layer: nn.Module) -> str:
    """Return why a layer cannot be written."""
    return (
        f"layer {name} is a {type(layer).__name__}, which has no ONNX form here; "
        "export to safetensors, or leave the layer out"
    )
