"""Comparisons as the laboratory would return them, from numbers that a test chooses."""

import torch

from alexnet.bench.convolution_layers import parse_layer
from alexnet.bench.convolutions import Comparison, Row
from alexnet.convolution.count import Count, definition, operations
from alexnet.convolution.problem import Cost, Direction
from alexnet.measure import Timing

MIB = 2**20


def row_of(
    name: str, seconds: float, *, work: float = 1.0, moved: float = 1.0, error: float = 1e-7
) -> tuple[str, float, float, float, float]:
    """Return a row: its time, and its operations and bytes as shares of the definition's."""
    return name, seconds, work, moved, error


def comparison_of(
    line: str,
    *rows: tuple[str, float, float, float, float],
    auto: str = "native",
    direction: Direction = "forward",
) -> Comparison:
    """Return what was measured on one layer."""
    layer = parse_layer(line, batch=2, dtype=torch.float32)
    asked = definition(layer.problem)
    native = next((seconds for name, seconds, *_ in rows if name == "native"), 1.0)
    found = []
    for name, seconds, work, moved, error in rows:
        cost = Cost(
            round(asked.multiplications * work),
            round(asked.additions * work),
            round(asked.bytes * moved),
            3 * MIB,
        )
        count = Count(name, direction, cost, "", operations(asked) / operations(cost))
        timing = Timing.of((seconds,))
        found.append(Row(count, timing, native / seconds, largest_error=error, held_bytes=2 * MIB))
    refused = Row(Count("lazy", direction, None, "it is Sunday", 0.0))
    return Comparison(layer, direction, (*found, refused), auto)
