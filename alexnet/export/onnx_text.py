"""The layers that only a prototxt has as nodes of ONNX.

Source: `alexnet.text`, whose modules these are; the others are in `alexnet.export.onnx_layers`.
Refused, by name: what draws numbers or reads files, losses, layers over time, and what ONNX has no
operator for.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.export.onnx_graph import Graph, Value, Write, Written
from alexnet.export.onnx_layers import LAYERS, element, join, ready, refusal
from alexnet.export.onnx_pools import max_windows, mean_windows
from alexnet.text import combining, neurons, norms, pooling, shaping, vision


def leaky(graph: Graph, name: str, layer: nn.LeakyReLU, values: Sequence[Value]) -> Written:
    """Add a ReLU with a slope."""
    slope = {"alpha": layer.negative_slope}
    return [values[0]._replace(name=graph.add("LeakyRelu", [values[0].name], name, slope))]


def elu(graph: Graph, name: str, layer: nn.ELU, values: Sequence[Value]) -> Written:
    """Add an ELU."""
    alpha = {"alpha": layer.alpha}
    return [values[0]._replace(name=graph.add("Elu", [values[0].name], name, alpha))]


def prelu(graph: Graph, name: str, layer: neurons.PReLU, values: Sequence[Value]) -> Written:
    """Add a ReLU with a slope for each channel."""
    x = values[0]
    slope = layer.weight.reshape(-1, *[1] * (len(x.shape) - 1))
    inputs = [x.name, graph.constant(f"{name}.slope", slope)]
    return [x._replace(name=graph.add("PRelu", inputs, name))]


def power(graph: Graph, name: str, layer: neurons.Power, values: Sequence[Value]) -> Written:
    """Add (shift + scale * x) ** power.

    Raises: ValueError for one that is a constant.
    """
    if layer.power * layer.scale == 0:
        raise ValueError(f"layer {name} gives a constant; leave it out")
    made = _affine(graph, name, values[0].name, layer.scale, layer.shift)
    if layer.power != 1:
        made = graph.add("Pow", [made, graph.number(f"{name}.exponent", layer.power)], name)
    return [values[0]._replace(name=made)]


def exponential(
    graph: Graph, name: str, layer: neurons.Exponential, values: Sequence[Value]
) -> Written:
    """Add outer * exp(inner * x)."""
    inner = _affine(graph, f"{name}.inner", values[0].name, layer.inner, 0.0)
    made = graph.add("Exp", [inner], f"{name}.exp")
    return [values[0]._replace(name=_affine(graph, name, made, layer.outer, 0.0))]


def logarithm(
    graph: Graph, name: str, layer: neurons.Logarithm, values: Sequence[Value]
) -> Written:
    """Add outer * log(shift + scale * x)."""
    inner = _affine(graph, f"{name}.inner", values[0].name, layer.scale, layer.shift)
    made = graph.add("Log", [inner], f"{name}.log")
    return [values[0]._replace(name=_affine(graph, name, made, layer.outer, 0.0))]


def _affine(graph: Graph, name: str, x: str, scale: float, shift: float) -> str:
    """Add scale * x + shift, or what of it does anything."""
    if scale != 1:
        x = graph.add("Mul", [x, graph.number(f"{name}.factor", scale)], f"{name}.scaled")
    if shift != 0:
        x = graph.add("Add", [x, graph.number(f"{name}.shift", shift)], f"{name}.shifted")
    return x


def clip(graph: Graph, name: str, layer: neurons.Clip, values: Sequence[Value]) -> Written:
    """Add bounds."""
    bounds = [
        graph.number(f"{name}.{which}", value)
        for which, value in (("least", layer.least), ("most", layer.most))
    ]
    return [values[0]._replace(name=graph.add("Clip", [values[0].name, *bounds], name))]


def swish(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add x * sigmoid(beta * x)."""
    beta = layer.beta if isinstance(layer, neurons.Swish) else 1.0
    inner = _affine(graph, f"{name}.inner", values[0].name, beta, 0.0)
    gate = graph.add("Sigmoid", [inner], f"{name}.gate")
    return [values[0]._replace(name=graph.add("Mul", [values[0].name, gate], name))]


def batch_norm(graph: Graph, name: str, layer: norms.BatchNorm, values: Sequence[Value]) -> Written:
    """Add a batch norm by Caffe's stored sums.

    Raises: ValueError for one that takes the statistics of its batch.
    """
    if layer.stored is False:
        raise ValueError(
            f"layer {name} takes the statistics of the batch at hand; ONNX needs stored ones: "
            "leave use_global_stats out"
        )
    share = 0.0 if float(layer.factor) == 0 else 1 / float(layer.factor)
    ones = torch.ones_like(layer.mean)
    tensors = {
        "weight": ones,
        "bias": ones * 0,
        "mean": layer.mean * share,
        "variance": layer.variance * share,
    }
    constants = [graph.constant(f"{name}.{key}", each) for key, each in tensors.items()]
    inputs = [values[0].name, *constants]
    made = graph.add("BatchNormalization", inputs, name, {"epsilon": layer.eps})
    return [values[0]._replace(name=made)]


def affine(graph: Graph, name: str, layer: norms.Affine, values: Sequence[Value]) -> Written:
    """Add numbers of the layer's own, or of a second blob, times and plus some axes."""
    x = values[0]
    made = x.name
    if len(values) > 1:
        after = len(x.shape) + 1 - layer.axis - len(values[1].shape) - 1
        if layer.axis != 0:
            raise ValueError(
                f"layer {name} scales by a second blob from axis {layer.axis} on; "
                "ONNX takes it from axis 0 here"
            )
        scale = _with_axes(graph, f"{name}.spread", values[1], after)
        made = graph.add("Mul", [made, scale], f"{name}.scaled")
    elif layer.scale is not None:
        scale = graph.constant(f"{name}.weight", _along(name, layer.scale, x, layer.axis))
        made = graph.add("Mul", [made, scale], f"{name}.scaled")
    if layer.bias is not None:
        bias = graph.constant(f"{name}.bias", _along(name, layer.bias, x, layer.axis))
        made = graph.add("Add", [made, bias], f"{name}.shifted")
    return [x._replace(name=made)]


def _along(name: str, own: Tensor, x: Value, axis: int) -> Tensor:
    """Return numbers from an axis on in a shape that spreads over all that follow.

    Raises: ValueError if there is one for each picture of a batch.
    """
    if own.dim() and axis == 0:
        raise ValueError(
            f"layer {name} has numbers for each picture of a batch of one size; "
            "ONNX takes any batch: use axis 1"
        )
    return own.reshape((*own.shape, *[1] * (len(x.shape) + 1 - axis - own.dim())))


def _with_axes(graph: Graph, name: str, value: Value, count: int) -> str:
    """Add axes of one behind a value's own."""
    if count < 1:
        return value.name
    first = len(value.shape) + 1
    axes = graph.numbers(f"{name}.axes", list(range(first, first + count)))
    return graph.add("Unsqueeze", [value.name, axes], name)


def weighted_sum(
    graph: Graph, name: str, layer: shaping.WeightedSum, values: Sequence[Value]
) -> Written:
    """Add a sum with coefficients."""
    parts = [
        _affine(graph, f"{name}.{number}", value.name, coefficient, 0.0)
        for number, (value, coefficient) in enumerate(zip(values, layer.coefficients, strict=True))
    ]
    return [values[0]._replace(name=graph.add("Sum", parts, name))]


def product(graph: Graph, name: str, layer: nn.Module, values: Sequence[Value]) -> Written:
    """Add a product of blobs."""
    made = values[0].name
    for number, value in enumerate(values[1:], start=1):
        made = graph.add("Mul", [made, value.name], f"{name}.{number}")
    return [values[0]._replace(name=made)]


def concat(graph: Graph, name: str, layer: shaping.Join, values: Sequence[Value]) -> Written:
    """Add a joining along an axis.

    Raises: ValueError if it is that of the batch.
    """
    _check_axis(name, layer.axis)
    if layer.axis == 1:
        return join(graph, name, layer, values)
    sides = list(values[0].shape)
    sides[layer.axis - 1] = sum(each.shape[layer.axis - 1] for each in values)
    names = [each.name for each in values]
    return [Value(graph.add("Concat", names, name, {"axis": layer.axis}), tuple(sides))]


def _check_axis(name: str, axis: int) -> None:
    if axis < 1:
        raise ValueError(
            f"layer {name} works along the batch, whose size is open in ONNX; use axis 1 or above"
        )


def part(graph: Graph, name: str, layer: shaping.Part, values: Sequence[Value]) -> Written:
    """Add a cutting along an axis.

    Raises: ValueError if it is that of the batch.
    """
    _check_axis(name, layer.axis)
    x = values[0]
    side = x.shape[layer.axis - 1]
    places = np.arange(side)
    cuts = list(layer.points) if layer.points else layer.parts
    lengths = [len(each) for each in np.array_split(places, cuts)]
    names = [f"{name}.{number}" for number in range(len(lengths))]
    sizes = graph.numbers(f"{name}.sizes", lengths)
    made = graph.add_several("Split", [x.name, sizes], names, {"axis": layer.axis})
    shapes = [(*x.shape[: layer.axis - 1], length, *x.shape[layer.axis :]) for length in lengths]
    return [Value(each, shape) for each, shape in zip(made, shapes, strict=True)]


def copies(graph: Graph, name: str, layer: shaping.Copies, values: Sequence[Value]) -> Written:
    """Add nothing: several layers may read one value."""
    return [values[0]] * layer.count


def reshape(graph: Graph, name: str, layer: shaping.Reshape, values: Sequence[Value]) -> Written:
    """Add another shape.

    Raises: ValueError if it is one of a batch of one size.
    """
    x = values[0]
    shapes = {batch: layer.shape((batch, *x.shape)) for batch in (2, 3)}
    if (
        any(shape[0] != batch for batch, shape in shapes.items())
        or len({shape[1:] for shape in shapes.values()}) > 1
    ):
        raise ValueError(
            f"layer {name} gives the batch another shape, whose size is open in ONNX; "
            "let its first dim be 0"
        )
    shape = tuple(shapes[2][1:])
    sides = graph.numbers(f"{name}.sides", [0, *shape])
    return [Value(graph.add("Reshape", [x.name, sides], name), shape)]


def max_pooling(
    graph: Graph, name: str, layer: pooling.MaxPooling, values: Sequence[Value]
) -> Written:
    """Add a max pool with Caffe's windows.

    Raises: ValueError if it gives places too.
    """
    if layer.mask:
        raise ValueError(f"layer {name} gives the places of its maxima; ONNX counts them otherwise")
    sides = zip(layer.panes, values[0].shape[1:], strict=True)
    return [max_windows(graph, name, values[0], [pane.over(side) for pane, side in sides])]


def average_pooling(
    graph: Graph, name: str, layer: pooling.AveragePooling, values: Sequence[Value]
) -> Written:
    """Add the means of Caffe's windows."""
    sides = zip(layer.panes, values[0].shape[1:], strict=True)
    windows = [pane.over(side) for pane, side in sides]
    counts = [each.covered("window") for each in windows]
    return [mean_windows(graph, name, values[0], windows, counts)]


def global_pooling(
    graph: Graph, name: str, layer: pooling.GlobalPooling, values: Sequence[Value]
) -> Written:
    """Add the largest element of each map."""
    if layer.mask:
        raise ValueError(f"layer {name} gives the places of its maxima; ONNX counts them otherwise")
    x = values[0]
    return [Value(graph.add("GlobalMaxPool", [x.name], name), (x.shape[0], 1, 1))]


def transposed_linear(
    graph: Graph, name: str, layer: vision.TransposedLinear, values: Sequence[Value]
) -> Written:
    """Add a fully connected layer whose weights have their inputs as rows."""
    rows = nn.Linear(1, 1, layer.bias is not None)
    rows.weight = nn.Parameter(layer.weight.detach().T.contiguous())
    if layer.bias is not None:
        rows.bias = layer.bias
    x = values[0]
    if layer.axis != 1:
        raise ValueError(f"layer {name} has axis {layer.axis}; ONNX takes axis 1 here")
    flat = graph.add("Flatten", [x.name], f"{name}.flat", {"axis": 1})
    return LAYERS[nn.Linear](graph, name, rows, [Value(flat, (math.prod(x.shape),))])


def softmax(graph: Graph, name: str, layer: nn.Softmax, values: Sequence[Value]) -> Written:
    """Add a softmax."""
    axis = {"axis": layer.dim}
    return [values[0]._replace(name=graph.add("Softmax", [values[0].name], name, axis))]


def mean_variance(
    graph: Graph, name: str, layer: combining.MeanVarianceNorm, values: Sequence[Value]
) -> Written:
    """Add maps without their mean, divided by their deviation."""
    x = values[0]
    if len(x.shape) != 3:
        raise ValueError(f"layer {name} takes a blob of {len(x.shape) + 1} axes; ONNX takes maps")
    axes = {"axes": [1, 2, 3] if layer.across_channels else [2, 3], "keepdims": 1}
    mean = graph.add("ReduceMean", [x.name], f"{name}.mean", axes)
    centred = graph.add("Sub", [x.name, mean], f"{name}.centred")
    if not layer.variance:
        return [x._replace(name=centred)]
    square = graph.add("Mul", [centred, centred], f"{name}.square")
    variance = graph.add("ReduceMean", [square], f"{name}.variance", axes)
    root = graph.add("Sqrt", [variance], f"{name}.root")
    scale = graph.add("Add", [root, graph.number(f"{name}.eps", layer.eps)], f"{name}.scale")
    return [x._replace(name=graph.add("Div", [centred, scale], name))]


TEXT_LAYERS: Final[dict[type[nn.Module], Write]] = {
    nn.LeakyReLU: leaky,
    nn.ELU: elu,
    nn.SiLU: swish,
    nn.Softmax: softmax,
    neurons.PReLU: prelu,
    neurons.Absolute: element("Abs"),
    neurons.Power: power,
    neurons.Exponential: exponential,
    neurons.Logarithm: logarithm,
    neurons.SoftPlus: element("Softplus"),
    neurons.Clip: clip,
    neurons.Swish: swish,
    norms.BatchNorm: batch_norm,
    norms.Affine: affine,
    shaping.WeightedSum: weighted_sum,
    shaping.Product: product,
    shaping.Largest: lambda graph, name, layer, values: [
        values[0]._replace(name=graph.add("Max", [each.name for each in values], name))
    ],
    shaping.Join: concat,
    shaping.Part: part,
    shaping.Copies: copies,
    shaping.Reshape: reshape,
    pooling.MaxPooling: max_pooling,
    pooling.AveragePooling: average_pooling,
    pooling.GlobalPooling: global_pooling,
    vision.TransposedLinear: transposed_linear,
    combining.MeanVarianceNorm: mean_variance,
}
"""The kinds of layers that the nets in `alexnet.nets` have not."""


def write_text(graph: Graph, name: str, layer: Any, values: Sequence[Value]) -> Written:
    """Add a layer of a prototxt.

    Raises: ValueError if its kind has no form in ONNX here; the layer is named.
    """
    kind = type(layer)
    if kind not in TEXT_LAYERS and kind not in LAYERS:
        raise ValueError(refusal(name, layer))
    writes = TEXT_LAYERS.get(kind) or LAYERS[kind]
    return writes(graph, name, layer, [ready(graph, layer, each) for each in values])
