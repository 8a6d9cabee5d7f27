"""The laboratory: every algorithm on one convolution, in one run, in turn.

Each is held to float64 on the same inputs, its memory is counted by the allocator, and its time is
taken in turn with torch's own. Tensors lie channels last in memory, as in every net here. Errors
are those of ERROR_PICTURES pictures, as a share of the largest number that there should be:

    largest = max |y - y64| / max |y64|,   mean = mean |y - y64| / max |y64|
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alexnet.allocations import held
from alexnet.bench.convolution_layers import Layer, spell
from alexnet.convolution.algorithms import ALGORITHMS, find
from alexnet.convolution.choose import chosen
from alexnet.convolution.count import Count, count_all, definition, operations
from alexnet.convolution.problem import CHANNELS_LAST, WORKSPACE, Direction, Problem, Way
from alexnet.measure import Timing, in_turn, stopwatch

ERROR_PICTURES = 2
SLOW, SLOW_SECONDS = 20.0, 0.5
"""What takes so many times as long as native, and so many seconds, is timed once."""
TURN_SECONDS = 0.1
TILES = ("winograd-2", "winograd-4", "winograd-6")
"""Tiles that are measured unless others are asked for; `winograd` itself is one of these."""


@dataclass(frozen=True)
class Plan:
    """What to measure on each convolution."""

    algorithms: tuple[str, ...]
    """Native and what auto takes come beside these."""
    repeats: int = 5
    workspace: int = WORKSPACE
    """Bytes that an algorithm may hold besides inputs and output."""

    def __post_init__(self) -> None:
        for name in self.algorithms:
            if name != "auto":
                find(name)
        if self.repeats < 1:
            raise ValueError(f"repeats is {self.repeats}; it must be at least 1")
        if self.workspace < 0:
            raise ValueError(f"workspace is {self.workspace} bytes; it must be at least 0")


@dataclass(frozen=True)
class Row:
    """One algorithm on one convolution."""

    count: Count
    timing: Timing | None = None
    """None where the algorithm refuses."""
    times_as_fast: float = 0.0
    """Native's time over its own: the median within rounds."""
    slow: bool = False
    """Whether it was timed once, because that took too long to be repeated."""
    largest_error: float = 0.0
    mean_error: float = 0.0
    held_bytes: int = 0
    """What torch's allocator gave it at the peak, besides inputs and output."""

    @property
    def algorithm(self) -> str:
        """Return the algorithm's name."""
        return self.count.algorithm

    @property
    def formula_bytes(self) -> int:
        """Return what its equation says that it holds; 0 where it refuses."""
        return self.count.cost.workspace if self.count.cost else 0


@dataclass(frozen=True)
class Comparison:
    """All algorithms on one convolution in one direction."""

    layer: Layer
    direction: Direction
    rows: tuple[Row, ...]
    auto: str
    """What `auto` takes."""

    def timed(self, algorithm: str) -> Row | None:
        """Return the row of an algorithm, None if it was not asked for or refuses."""
        rows = (row for row in self.rows if row.algorithm == algorithm and row.timing)
        return next(rows, None)

    def definition_rate(self, row: Row) -> float:
        """Return the definition's operations over the row's time, in operations per second."""
        assert row.timing
        return operations(definition(self.layer.problem)) / row.timing.median

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`, times in milliseconds."""
        return {
            "layer": self.layer.name,
            "count": self.layer.count,
            "shape": spell(self.layer.problem),
            "batch": self.layer.problem.batch,
            "direction": self.direction,
            "auto": self.auto,
            "rows": [self._row_to_json(row) for row in self.rows],
        }

    def _row_to_json(self, row: Row) -> dict[str, Any]:
        if row.timing is None or row.count.cost is None:
            return {"algorithm": row.algorithm, "refusal": row.count.refusal}
        return {
            "algorithm": row.algorithm,
            "median_ms": row.timing.median * 1e3,
            "least_ms": row.timing.least * 1e3,
            "spread_ms": row.timing.spread * 1e3,
            "n": row.timing.n,
            "slow": row.slow,
            "times_as_fast_as_native": row.times_as_fast,
            "saving": row.count.saving,
            "multiplications": row.count.cost.multiplications,
            "additions": row.count.cost.additions,
            "bytes": row.count.cost.bytes,
            "definition_gflop_per_second": self.definition_rate(row) / 1e9,
            "largest_error": row.largest_error,
            "mean_error": row.mean_error,
            "held_bytes": row.held_bytes,
            "formula_bytes": row.formula_bytes,
        }


class Inputs(NamedTuple):
    """The tensors of one convolution."""

    x: Tensor
    w: Tensor
    dy: Tensor

    def of(self, direction: Direction) -> tuple[Tensor, Tensor]:
        """Return the two that a direction takes."""
        pairs: dict[Direction, tuple[Tensor, Tensor]] = {
            "forward": (self.x, self.w),
            "input_gradient": (self.dy, self.w),
            "weight_gradient": (self.x, self.dy),
        }
        return pairs[direction]


def measured_by_default() -> tuple[str, ...]:
    """Return the algorithms that are measured unless others are asked for."""
    return (*(name for name in ALGORITHMS if name != "winograd"), *TILES)


def measure(layer: Layer, direction: Direction, plan: Plan) -> Comparison:
    """Hold every algorithm to float64, count its memory and take its time, in turn with native's.

    Raises: ValueError if an algorithm is unknown.
    """
    problem = layer.problem
    a, b = draw(problem).of(direction)
    auto = chosen(direction, a, b, Way(problem, "auto", plan.workspace)).name
    asked = [name for name in plan.algorithms if name != "auto"]
    names = list(dict.fromkeys(["native", *asked, auto]))
    counted = count_all(problem, names, directions=[direction], workspace=plan.workspace)
    counts = {each.algorithm: each for each in counted}
    doable = [name for name in names if not counts[name].refusal]
    errors = {name: error_of(name, direction, problem, plan.workspace) for name in doable}
    rows = {name: Row(counts[name]) for name in names}
    result_bytes = _result_bytes(direction, problem)
    laps, limit = {}, 0.0
    for name in doable:
        work = _Work(name, direction, problem, (a, b), plan.workspace)
        started_at = time.perf_counter()
        most = held(work).most
        seconds = time.perf_counter() - started_at
        slow = name != "native" and seconds > limit
        limit = limit or max(SLOW * seconds, SLOW_SECONDS)  # native is the first
        row = replace(rows[name], largest_error=errors[name][0], mean_error=errors[name][1])
        timing = Timing.of((seconds,)) if slow else None
        rows[name] = replace(row, held_bytes=most - result_bytes, timing=timing, slow=slow)
        if not slow:
            laps[name] = stopwatch(work)
    rounds = in_turn(laps, repeats=plan.repeats, warm_ups=1, turn_seconds=TURN_SECONDS)
    for name in laps:
        ratio = rounds.ratio(name, "native")
        rows[name] = replace(rows[name], timing=rounds.timing(name), times_as_fast=ratio)
    native = rounds.timing("native").median
    for name, row in rows.items():
        if row.slow and row.timing:
            rows[name] = replace(row, times_as_fast=native / row.timing.median)
    return Comparison(layer, direction, tuple(rows.values()), auto)


def draw(problem: Problem) -> Inputs:
    """Draw x, w and dy, the same each time: normal, so that outputs have deviation 1."""
    generator = torch.Generator().manual_seed(0)
    shapes = (problem.x_shape, problem.w_shape, problem.y_shape)
    x, w, dy = (torch.randn(shape, generator=generator) for shape in shapes)
    w /= w[0].numel() ** 0.5
    return Inputs(*(_placed(each.to(problem.dtype)) for each in (x, w, dy)))


def error_of(
    algorithm: str, direction: Direction, problem: Problem, workspace: int
) -> tuple[float, float]:
    """Return the largest and the mean error beside native in float64, on the same few pictures.

    Raises: ValueError if no algorithm has that name.
    """
    few = replace(problem, batch=min(problem.batch, ERROR_PICTURES))
    a, b = draw(few).of(direction)
    exact = replace(few, dtype=torch.float64)
    wanted = _Work("native", direction, exact, (a.double(), b.double()), workspace)()
    apart = (_Work(algorithm, direction, few, (a, b), workspace)().double() - wanted).abs_()
    scale = float(wanted.abs().max()) or 1.0
    return float(apart.max()) / scale, float(apart.mean()) / scale


def total_seconds(comparisons: Sequence[Comparison], algorithm: str) -> float | None:
    """Return an algorithm's time for all layers, each as often as the net has it.

    `auto` stands for what it takes. None if the algorithm refuses one of them.
    """
    total = 0.0
    for each in comparisons:
        row = each.timed(each.auto if algorithm == "auto" else algorithm)
        if row is None or row.timing is None:
            return None
        total += each.layer.count * row.timing.median
    return total


@dataclass(frozen=True)
class _Work:
    """A call of an algorithm."""

    algorithm: str
    direction: Direction
    problem: Problem
    tensors: tuple[Tensor, Tensor]
    workspace: int

    def __call__(self) -> Tensor:
        found = find(self.algorithm)
        return found.compute(self.direction, *self.tensors, self.problem, self.workspace)


def _placed(tensor: Tensor) -> Tensor:
    order = CHANNELS_LAST.get(tensor.dim(), torch.contiguous_format)
    return tensor.contiguous(memory_format=order)


def _result_bytes(direction: Direction, problem: Problem) -> int:
    shapes = {
        "forward": problem.y_shape,
        "input_gradient": problem.x_shape,
        "weight_gradient": problem.w_shape,
    }
    return torch.Size(shapes[direction]).numel() * problem.dtype.itemsize
