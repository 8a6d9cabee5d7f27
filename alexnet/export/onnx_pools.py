"""Pools as nodes of ONNX.

Source: the operators' own definitions, onnx/docs/Operators.md. `ceil_mode` was read in several
ways by several programs; pools are written with the pads that their windows need, and a mean over
windows that hang over the edge is corrected by a factor for each place.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from alexnet.convolution.pooling import Rounding, Windows, place_windows
from alexnet.export.onnx_graph import Graph, Pads, Value, Written


def max_pool(graph: Graph, name: str, layer: nn.MaxPool2d, values: Sequence[Value]) -> Written:
    """Add a max pool, with the pads that its windows need."""
    if layer.dilation not in (1, (1, 1)) or layer.return_indices:
        raise ValueError(f"layer {name} spreads its windows or gives places; ONNX has it not here")
    windows = windows_of(layer, values[0].shape)
    return [max_windows(graph, name, values[0], windows)]


def windows_of(layer: nn.MaxPool2d | nn.AvgPool2d, shape: Sequence[int]) -> list[Windows]:
    """Return where the windows of one of torch's pools lie over maps (C, H, W)."""
    rounding: Rounding = "ceil" if layer.ceil_mode else "floor"
    every = zip(
        shape[1:],
        *(_both(each) for each in (layer.kernel_size, layer.stride, layer.padding)),
        strict=True,
    )
    return [
        place_windows(side, taps, stride=step, padding=pad, rounding=rounding)
        for side, taps, step, pad in every
    ]


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def max_windows(graph: Graph, name: str, x: Value, windows: Sequence[Windows]) -> Value:
    """Add the largest elements of windows."""
    pads = [each.before for each in windows] + [max(each.missing, 0) for each in windows]
    made = graph.add("MaxPool", [x.name], name, {**_grid(windows), "pads": pads})
    return Value(made, (x.shape[0], *(each.count for each in windows)))


def _grid(windows: Sequence[Windows]) -> dict[str, Any]:
    return {
        "kernel_shape": [each.taps for each in windows],
        "strides": [each.stride for each in windows],
    }


def average_pool(graph: Graph, name: str, layer: nn.AvgPool2d, values: Sequence[Value]) -> Written:
    """Add the means of windows."""
    if layer.divisor_override:
        raise ValueError(f"layer {name} divides by a number of its own; ONNX has it not here")
    windows = windows_of(layer, values[0].shape)
    counts = [each.covered("window" if layer.count_include_pad else "inside") for each in windows]
    return [mean_windows(graph, name, values[0], windows, counts)]


def mean_windows(
    graph: Graph, name: str, x: Value, windows: Sequence[Windows], counts: Sequence[Sequence[int]]
) -> Value:
    """Add the means of windows over zeros around the picture.

    mean = sum of the window / (counts[0][p] * counts[1][q])
    """
    (above, left), (below, right) = (
        [each.before for each in windows],
        [max(each.missing, 0) for each in windows],
    )
    source = x.name
    if any((above, left, below, right)):
        source = graph.pad(source, Pads(above, left, below, right))
    area = windows[0].taps * windows[1].taps
    factors = area / np.outer(counts[0], counts[1]).astype(np.float64)
    whole = bool((factors == 1).all())
    made = graph.add("AveragePool", [source], name if whole else f"{name}.whole", _grid(windows))
    if not whole:
        corrected = graph.constant(f"{name}.area", factors.astype(np.float32)[None])
        made = graph.add("Mul", [made, corrected], name)
    return Value(made, (x.shape[0], *(each.count for each in windows)))


def adaptive_pool(
    graph: Graph, name: str, layer: nn.AdaptiveAvgPool2d, values: Sequence[Value]
) -> Written:
    """Add the means of as many parts as there are to be.

    Where the parts are not equal: y = A x B^T, with a row for each part in A and B.
    """
    (x,) = values
    wanted = _both(layer.output_size)
    sides = x.shape[1:]
    shape = (x.shape[0], *wanted)
    if wanted == (1, 1):
        return [Value(graph.add("GlobalAveragePool", [x.name], name), shape)]
    if wanted == sides:
        return [Value(graph.add("Identity", [x.name], name), shape)]
    if not any(side % count for side, count in zip(sides, wanted, strict=True)):
        step = [side // count for side, count in zip(sides, wanted, strict=True)]
        grid = {"kernel_shape": step, "strides": step}
        return [Value(graph.add("AveragePool", [x.name], name, grid), shape)]
    rows, columns = (_parts(side, count) for side, count in zip(sides, wanted, strict=True))
    left = graph.constant(f"{name}.rows", rows)
    right = graph.constant(f"{name}.columns", columns.T)
    along = graph.add("MatMul", [x.name, right], f"{name}.along")
    return [Value(graph.add("MatMul", [left, along], name), shape)]


def _parts(side: int, count: int) -> NDArray[np.float32]:
    """Return the share of each place in each part, (count, side), as torch parts them."""
    shares = np.zeros((count, side), dtype=np.float32)
    for part in range(count):
        first, end = part * side // count, -(-(part + 1) * side // count)
        shares[part, first:end] = 1 / (end - first)
    return shares
