"""Why an algorithm wins or loses on a layer, said of the numbers that were measured.

No sentence is fixed: which one is said depends on the numbers, and where they contradict what is
usually said of FFT and Winograd, the sentence says that they do. A ratio of times is taken apart as
in `alexnet.convolution.count`: time = operations * pace.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod

from alexnet.bench.convolutions import Comparison, Row
from alexnet.convolution.count import Ratio, compare, definition, intensity, operations
from alexnet.convolution.problem import Cost, Direction, Problem

WINOGRAD = re.compile(r"winograd-(\d+)")
LARGE = 7
"""Taps along an axis from which a kernel counts as large."""
EVEN = 0.05
"""Times that differ by less are called the same."""
UNCOUNTED = 1.5
"""A factor of time from which counts are said not to explain it."""


@dataclass(frozen=True)
class Machine:
    """How fast the machine is at what every algorithm does."""

    operations_per_second: float
    """Of torch's matrix product."""
    bytes_per_second: float
    """Of copying memory."""

    @property
    def balance(self) -> float:
        """Return the operations that it does in the time of moving one byte."""
        return self.operations_per_second / self.bytes_per_second


@dataclass(frozen=True)
class Sum:
    """What an algorithm did on several layers, each as often as the net has it."""

    cost: Cost
    seconds: float
    largest_error: float

    @property
    def pace(self) -> float:
        """Return its own operations per second."""
        return operations(self.cost) / self.seconds


def explain(comparisons: Sequence[Comparison], machine: Machine) -> list[str]:
    """Return paragraphs: FFT at small and large kernels, Winograd's tiles, depthwise layers.

    They speak of one direction, forward if it was measured.
    """
    if not comparisons:
        return []
    direction: Direction = "forward"
    if all(each.direction != direction for each in comparisons):
        direction = comparisons[0].direction
    some = [each for each in comparisons if each.direction == direction]
    every = (explain_fft(some, machine), explain_tiles(some), explain_depthwise(some, machine))
    about = "" if direction == "forward" else f"Of the {direction.replace('_', ' ')}: "
    return [about + paragraph for paragraph in every]


def explain_fft(comparisons: Sequence[Comparison], machine: Machine) -> str:
    """Say whether FFT loses where kernels are 3 wide, and where they are large, and why."""
    small = _layers(comparisons, lambda problem: max(problem.kernel) == 3)
    large = _layers(comparisons, lambda problem: max(problem.kernel) >= LARGE)
    said = [
        text
        for layers, kernels in ((small, "3 wide"), (large, f"{LARGE} wide and more"))
        if (text := _fft_beside(layers, kernels, machine))
    ]
    if not small or not said:
        said.append(
            "Nothing is said of FFT at kernels 3 wide, which were not measured with it here; "
            'try --layer "64,64,3,3 @ 56" --algorithm fft --algorithm im2col.'
        )
    return " ".join(said)


def explain_tiles(comparisons: Sequence[Comparison]) -> str:
    """Say whether Winograd's largest tile is the quickest, what it saves and what it costs."""
    tiles = sorted({int(m[1]) for c in comparisons for r in c.rows if (m := _tile(r)) and r.timing})
    names = [f"winograd-{m}" for m in tiles]
    layers = [
        each
        for each in _layers(comparisons, lambda problem: not _is_depthwise(problem))
        if all(each.timed(name) for name in names) and max(each.layer.problem.kernel) > 1
    ]
    if len(tiles) < 2 or not layers:
        return (
            "Nothing is said of Winograd's tiles, of which no layer here was done with two; try "
            '--layer "64,64,3,3 @ 56" --algorithm winograd-2 --algorithm winograd-6.'
        )
    sums = {m: total(layers, f"winograd-{m}") for m in tiles}
    largest, best = tiles[-1], min(tiles, key=lambda m: sums[m].seconds)
    other = tiles[-2] if best == largest else best
    ratio = _ratio(sums[largest], sums[other])
    same = abs(ratio.time - 1) < EVEN
    if best == largest:
        how = "hardly the quickest" if same else "the quickest"
        said = f"Here Winograd's largest tile, F({largest}), is {how}: "
    else:
        how = "no quicker than" if same else "slower than"
        said = f"Winograd's largest tile, F({largest}), is {how} F({other}): "
    said += f"over {_count(layers)} it takes {ratio.time:.2f} of the time of F({other}). "
    said += _transforms(layers, sums, (largest, other))
    errors = sums[largest].largest_error / max(sums[other].largest_error, 1e-300)
    more = "grows" if errors > 1 else "does not grow here"
    said += (
        f"Its error {more}: {sums[largest].largest_error:.1e} of the largest output, "
        f"{errors:.1f} times that of F({other})."
    )
    return said


def explain_depthwise(comparisons: Sequence[Comparison], machine: Machine) -> str:
    """Say what Winograd gains where each channel has a kernel of its own."""
    layers = [
        each
        for each in _layers(comparisons, _is_depthwise)
        if _best_tile(each) and max(each.layer.problem.kernel) > 1
    ]
    if not layers:
        return (
            "Nothing is said of depthwise layers, of which Winograd did none here; try "
            '--layer "64,64,3,3 @ 56 groups 64".'
        )
    asked = [definition(each.layer.problem) for each in layers]
    own = sum(map(operations, asked)) / sum(cost.bytes for cost in asked)
    native = total(layers, "native")
    winograd = _add(_best_tile(each) for each in layers)
    ratio = _ratio(winograd, native)
    if ratio.time > 1 + EVEN:
        said = f"Winograd loses in depthwise layers: on {_count(layers)} its best tile takes "
    elif ratio.time < 1 - EVEN:
        said = f"Here Winograd wins in depthwise layers: on {_count(layers)} its best tile takes "
    else:
        said = f"In depthwise layers Winograd is even: on {_count(layers)} its best tile takes "
    said += f"{ratio.time:.2f} times native's time. The definition does {own:.1f} operations for "
    said += f"each byte that it must move; this machine does {machine.balance:.0f} in the time of "
    if own < machine.balance:
        said += "a byte, so that memory decides and there are no products worth saving. "
    else:
        said += "a byte, so that arithmetic decides even here. "
    said += f"Winograd does {ratio.operations:.2f} times the definition's operations, since "
    said += "without a sum over channels its transforms serve one product each, and moves "
    said += f"{ratio.bytes:.1f} times the bytes."
    rest = ratio.time / max(ratio.operations, ratio.bytes)
    return said + (
        f" Another factor of {rest:.1f} is in neither count." if rest > UNCOUNTED else ""
    )


def total(comparisons: Iterable[Comparison], algorithm: str) -> Sum:
    """Return what an algorithm did on layers that it was timed on."""
    return _add((each, each.timed(algorithm)) for each in comparisons)


def products_in_tiles(problem: Problem, side: int) -> int:
    """Return the products of F(side, r) alone, without the transforms, for a plain forward pass.

        N * C / groups * K * product over axes of ceil(P / m) * (m + r - 1)

    An axis whose kernel is one tap has nothing to transform: each output takes one product.
    """
    every = zip(problem.output, problem.kernel, strict=True)
    places = prod(-(-p // side) * (side + r - 1) if r > 1 else p for p, r in every)
    return problem.batch * problem.channels // problem.groups * problem.kernels * places


def _fft_beside(layers: list[Comparison], kernels: str, machine: Machine) -> str:
    """Compare FFT with im2col, or native where that was not timed; nothing if FFT did none."""
    layers = [each for each in layers if each.timed("fft")]
    if not layers:
        return ""
    rival = "im2col" if all(each.timed("im2col") for each in layers) else "native"
    fft, other = total(layers, "fft"), total(layers, rival)
    ratio = _ratio(fft, other)
    where = f"at kernels {kernels}"
    if ratio.time > 1 + EVEN:
        said = f"FFT loses {where}"
    elif ratio.time < 1 - EVEN:
        said = f"FFT wins {where}"
    else:
        said = f"FFT is even {where}"
    said += f": on {_count(layers)} it takes {ratio.time:.2f} times {rival}'s time. "
    fewer, slower = ratio.operations < 1, ratio.pace > 1
    said += f"It does {ratio.operations:.2f} times the operations, "
    said += "and does them" if fewer != slower else "but does them"
    said += f" at {fft.pace / 1e9:.3g} GFLOP/s, where {rival} reaches {other.pace / 1e9:.3g}; "
    said += f"it moves {ratio.bytes:.1f} times the bytes, {intensity(fft.cost):.1f} operations a "
    said += f"byte against {intensity(other.cost):.1f}. "
    bound = intensity(fft.cost) < machine.balance
    said += f"This machine does {machine.balance:.0f} in the time of a byte, so that memory "
    said += "alone would hold it up. " if bound else "alone does not hold it up. "
    return said + _verdict(ratio)


def _verdict(ratio: Ratio) -> str:
    """Say which factor of time = operations * pace decides."""
    if abs(ratio.time - 1) <= EVEN:
        return "Arithmetic and pace make up for each other."
    slower = ratio.time > 1
    arithmetic, pace = (ratio.operations > 1) == slower, (ratio.pace > 1) == slower
    if arithmetic and pace:
        return "Arithmetic and pace both speak " + ("against it." if slower else "for it.")
    if pace:
        return "The pace decides" + (", not the arithmetic that it saves." if slower else ".")
    return "The arithmetic decides" + ("." if slower else ", in spite of the slower pace.")


def _transforms(layers: list[Comparison], sums: dict[int, Sum], pair: tuple[int, int]) -> str:
    """Say what the products alone promise, and what share the transforms are of all operations."""
    plain = all(each.layer.problem.is_plain for each in layers)
    if not plain or layers[0].direction != "forward":
        return f"It does {_ratio(sums[pair[0]], sums[pair[1]]).operations:.2f} of its operations. "
    products = {
        m: sum(each.layer.count * products_in_tiles(each.layer.problem, m) for each in layers)
        for m in pair
    }
    shares = {m: 1 - 2 * products[m] / operations(sums[m].cost) for m in pair}
    ratio = _ratio(sums[pair[0]], sums[pair[1]])
    return (
        f"Its products alone are {products[pair[0]] / products[pair[1]]:.2f} of the other's; "
        f"with the transforms, {shares[pair[0]]:.0%} of its operations against "
        f"{shares[pair[1]]:.0%}, it does {ratio.operations:.2f} of them, at {ratio.pace:.2f} times "
        "the time for each. "
    )


def _layers(
    comparisons: Iterable[Comparison], wanted: Callable[[Problem], bool]
) -> list[Comparison]:
    return [each for each in comparisons if wanted(each.layer.problem)]


def _is_depthwise(problem: Problem) -> bool:
    return problem.groups == problem.channels > 1


def _tile(row: Row) -> re.Match[str] | None:
    return WINOGRAD.fullmatch(row.algorithm)


def _best_tile(comparison: Comparison) -> tuple[Comparison, Row | None] | None:
    """Return the quickest row of Winograd's, None if it did none."""
    timed = [(row.timing.median, row) for row in comparison.rows if _tile(row) and row.timing]
    return (comparison, min(timed, key=lambda pair: pair[0])[1]) if timed else None


def _add(rows: Iterable[tuple[Comparison, Row | None] | None]) -> Sum:
    cost, seconds, error = Cost(0, 0, 0, 0), 0.0, 0.0
    for pair in rows:
        assert pair is not None
        comparison, row = pair
        assert row is not None
        assert row.timing is not None
        assert row.count.cost is not None
        for _ in range(comparison.layer.count):
            cost += row.count.cost
        seconds += comparison.layer.count * row.timing.median
        error = max(error, row.largest_error)
    return Sum(cost, seconds, error)


def _ratio(this: Sum, other: Sum) -> Ratio:
    return compare(this.cost, this.seconds, other.cost, other.seconds)


def _count(layers: Sequence[Comparison]) -> str:
    number = sum(each.layer.count for each in layers)
    return f"the layer {layers[0].layer.name}" if number == 1 else f"{number} layers"
