"""What an algorithm does for a layer, by its equations, beside the definition and the clock.

The definition takes, the padding's zeros included, in each of the three directions

    multiplications = additions = N * K * C / groups * P * Q * R * S

An algorithm's `saving` is that over its own operations: how many times as fast it would be if all
ran at one pace. They do not, and

    time / time' = (operations / operations') * (pace' / pace),   pace = operations per second

says exactly which share of a measured ratio is arithmetic and which is the pace.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from alexnet.convolution.algorithms import find
from alexnet.convolution.problem import DIRECTIONS, WORKSPACE, Cost, Direction, Problem


class Count(NamedTuple):
    """One algorithm on one convolution, by its equations."""

    algorithm: str
    direction: Direction
    cost: Cost | None
    """None where the algorithm refuses."""
    refusal: str
    """Why it refuses, or an empty string."""
    saving: float
    """The definition's operations over its own; 0 where it refuses."""


@dataclass(frozen=True)
class Ratio:
    """Why one algorithm takes `time` times as long as another: time = operations * pace."""

    time: float
    operations: float
    """Its operations over the other's."""
    pace: float
    """The other's operations per second over its own: above 1 it is slower at the same work."""
    bytes: float
    """Its bytes moved over the other's, by the equations."""


def definition(problem: Problem) -> Cost:
    """Return what the equation of convolution asks for: each array moved once, nothing held."""
    products = prod(problem.y_shape) * prod(problem.w_shape[1:])
    arrays = sum(map(prod, (problem.x_shape, problem.w_shape, problem.y_shape)))
    return Cost(products, products, arrays * problem.dtype.itemsize, workspace=0)


def operations(cost: Cost) -> int:
    """Return multiplications and additions together."""
    return cost.multiplications + cost.additions


def intensity(cost: Cost) -> float:
    """Return the operations for each byte that is moved."""
    return operations(cost) / max(cost.bytes, 1)


def count(
    algorithm: str, direction: Direction, problem: Problem, workspace: int = WORKSPACE
) -> Count:
    """Count what the algorithm of that name does for one direction of a convolution.

    Raises: ValueError if no algorithm has that name.
    """
    found = find(algorithm)
    if refusal := found.refusal(problem):
        return Count(algorithm, direction, None, refusal, 0.0)
    cost = found.cost(direction, problem, workspace)
    saving = operations(definition(problem)) / max(operations(cost), 1)
    return Count(algorithm, direction, cost, "", saving)


def count_all(
    problem: Problem,
    algorithms: Iterable[str],
    *,
    directions: Iterable[Direction] = DIRECTIONS,
    workspace: int = WORKSPACE,
) -> list[Count]:
    """Count every algorithm in every direction, direction by direction.

    Raises: ValueError if no algorithm has one of the names.
    """
    names = list(algorithms)
    return [count(name, way, problem, workspace) for way in directions for name in names]


def compare(cost: Cost, seconds: float, other: Cost, other_seconds: float) -> Ratio:
    """Return the measured ratio of two algorithms, taken apart by their counts."""
    time = seconds / other_seconds
    work = operations(cost) / max(operations(other), 1)
    return Ratio(time, work, time / work, cost.bytes / max(other.bytes, 1))
