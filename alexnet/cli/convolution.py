"""`alexnet convolution`: every algorithm on the convolutions of a net, and why it wins or loses."""

import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json
from alexnet.cli.tables import print_json, print_table

if TYPE_CHECKING:
    import torch

    from alexnet.bench.convolution_layers import Layer
    from alexnet.bench.convolutions import Comparison, Plan, Row
    from alexnet.convolution.problem import Direction

SIZE = re.compile(r"(\d+)([KMG]?)", re.IGNORECASE)
UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
MIB = 2**20
COLUMNS = 100
HEADER = (
    *("algorithm", "median ms", "least ms", "spread ms", "n", "x native", "theory", "GFLOP/s"),
    *("largest error", "mean error", "held MiB", "formula MiB"),
)
LEGEND = (
    "x native: how many times as fast as torch's own; theory: how many times fewer operations than",
    "the definition; GFLOP/s: the definition's; errors beside float64, of the largest output.",
)
Layers = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help='A convolution: channels,kernels,kernel size @ input size, as "64,64,3,3 @ 224", '
        "then stride 2, pad 1, dilation 2, groups 4 where it has them. Repeat it for more.",
    ),
]
Algorithms = Annotated[
    list[str] | None,
    Parameter(
        negative=(),
        help="Whom to measure beside native and what auto takes: im2col, fft, winograd-4 and so "
        "on; all if not given. Repeat it for more.",
    ),
]


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """The convolutions."""

    net: str = ""
    """Net whose convolutions to take, as alexnet summary takes it; alexnet if no --layer is."""
    layer: Layers = None
    batch: int = 16
    """Pictures at a time."""
    input_size: int = 0
    """Width of the net's input in pixels; 0 takes the net's own."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """Arithmetic."""


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """The measuring."""

    direction: Literal["forward", "input_gradient", "weight_gradient", "all"] = "forward"
    """What to compute: outputs, either gradient, or all three."""
    algorithm: Algorithms = None
    repeats: int = 5
    """Measurements of each, after warm-ups."""
    threads: int = 0
    """Threads to compute with; 0 takes as many as torch does."""
    workspace: str = "64M"
    """Bytes that an algorithm may hold besides inputs and output, where it can choose; 64M, 1G."""


def convolution(
    *,
    what: What = What(),
    how: How = How(),
    figure: Path | None = None,
    as_json: Json = False,
) -> int:
    """Measure every algorithm on convolutions: time, error, memory; say which auto takes, and why.

    Parameters
    ----------
    figure
        File to draw times, errors and memory into: .svg, .png or .pdf.
    """
    from alexnet.bench.convolution_figure import check_figure, draw_figure

    if figure is not None:
        check_figure(figure)
    layers, plan = _layers(what), _plan(how)
    threads = _set_threads(how.threads)
    found: list[Comparison] = []
    title = f"{what.precision}, batch {what.batch}, {threads} thread{'s' * (threads > 1)}"
    if not as_json:
        print(f"{_whose(what)}: {title}, workspace {how.workspace}", *LEGEND, sep="\n")
    for comparison in _measure(layers, plan, how.direction):
        found.append(comparison)
        if not as_json:
            _print_comparison(comparison)
            sys.stdout.flush()  # what was measured is seen although the rest is interrupted
    about = _about(found, layers[0].problem.dtype)
    if as_json:
        head = {"precision": what.precision, "threads": threads, "workspace": plan.workspace}
        print_json(head | about | {"comparisons": [each.to_json() for each in found]})
    else:
        _print_end(found, about)
    if figure is not None:
        draw_figure(found, figure, title=f"{_whose(what)}: {title}")
        if not as_json:
            print(f"\ndrawn: {figure}")
    return 0


def parse_size(text: str) -> int:
    """Return the bytes that a text such as 65536, 512K, 64M or 1G says.

    Raises: ValueError for any other text.
    """
    size = SIZE.fullmatch(text)
    if size is None:
        raise ValueError(
            f"workspace is {text!r}; it must be a number of bytes, or one with K, M or G behind it"
        )
    return int(size[1]) << UNITS[size[2].upper()]


def _layers(what: What) -> list["Layer"]:
    import torch

    from alexnet.bench.convolution_layers import layers_of, parse_layer
    from alexnet.model import architecture

    if what.batch < 1:
        raise ValueError(f"batch is {what.batch}; it must be at least 1")
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}
    dtype = dtypes[what.precision]
    lines = [parse_layer(line, batch=what.batch, dtype=dtype) for line in what.layer or []]
    if lines and not what.net:
        return lines
    known = architecture(what.net or "alexnet")
    side = what.input_size or known.input_size
    known.check_input(side)
    with torch.device("meta"):
        net = known.build(classes=known.published_classes, input_size=side)
    return layers_of(net.eval(), (what.batch, known.channels, side, side), dtype=dtype) + lines


def _plan(how: How) -> "Plan":
    from alexnet.bench.convolutions import Plan, measured_by_default

    names = tuple(how.algorithm or measured_by_default())
    return Plan(names, repeats=how.repeats, workspace=parse_size(how.workspace))


def _set_threads(threads: int) -> int:
    import torch

    from alexnet.device import keep_pages

    if threads < 0:
        raise ValueError(f"threads is {threads}; it must be at least 1, or 0 for torch's")
    threads = threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    keep_pages()
    return threads


def _measure(layers: list["Layer"], plan: "Plan", direction: str) -> Iterator["Comparison"]:
    from alexnet.bench.convolutions import measure
    from alexnet.convolution.problem import DIRECTIONS

    ways: list[Direction] = [way for way in DIRECTIONS if direction in (way, "all")]
    for layer in layers:
        for way in ways:
            yield measure(layer, way, plan)


def _about(found: Sequence["Comparison"], dtype: "torch.dtype") -> dict[str, object]:
    """Return machine, sums and reasons."""
    from alexnet.bench.convolution_reasons import Machine, explain
    from alexnet.bench.convolutions import total_seconds
    from alexnet.bench.machine import describe_machine, gemm_ceiling, memory_bandwidth
    from alexnet.convolution.problem import wide

    machine = Machine(gemm_ceiling(wide(dtype)), memory_bandwidth())
    names = list(dict.fromkeys(row.algorithm for each in found for row in each.rows))
    sums = {name: total_seconds(found, name) for name in ("auto", *names)}
    return {
        "machine": describe_machine(),
        "gemm_gflop_per_second": machine.operations_per_second / 1e9,
        "memory_gb_per_second": machine.bytes_per_second / 1e9,
        "total_ms": {name: seconds * 1e3 for name, seconds in sums.items() if seconds},
        "reasons": explain(found, machine),
    }


def _whose(what: What) -> str:
    net = what.net or ("" if what.layer else "alexnet")
    lines = what.layer or []
    more = [f"{len(lines)} layers"] if len(lines) > 1 else lines
    return " and ".join([*([net] if net else []), *more])


def _print_comparison(comparison: "Comparison") -> None:
    from alexnet.bench.convolution_layers import spell
    from alexnet.convolution.count import definition, operations

    layer = comparison.layer
    times = f" ({layer.count} times)" if layer.count > 1 else ""
    work = operations(definition(layer.problem)) / 1e9
    shape = spell(layer.problem)
    name = shape if "@" in layer.name else f"{layer.name}{times}: {shape}"
    print(f"\n{name}, {comparison.direction.replace('_', ' ')}, {work:,.3g} GFLOP")
    doable = [row for row in comparison.rows if row.timing]
    print_table(HEADER, [_cells(comparison, row) for row in doable])
    for row in comparison.rows:
        if row.count.refusal:
            print(f"{row.algorithm} cannot do it: {row.count.refusal}")
        if row.slow:
            print(f"{row.algorithm} was timed once: it took too long to be repeated")
    auto = comparison.timed(comparison.auto)
    assert auto is not None
    gain = f", {auto.times_as_fast:.2f} x native" if auto.algorithm != "native" else ""
    best = max(doable, key=lambda row: row.times_as_fast)
    other = f"; the quickest here was {best.algorithm}, {best.times_as_fast:.2f} x native"
    print(f"auto takes {comparison.auto}{gain}{other if best is not auto else ''}")


def _cells(comparison: "Comparison", row: "Row") -> tuple[object, ...]:
    assert row.timing is not None
    known = row.algorithm != "native"  # nobody knows what torch does and holds
    return (
        row.algorithm,
        *(_milliseconds(row.timing.median), _milliseconds(row.timing.least)),
        _milliseconds(row.timing.spread) if row.timing.n > 1 else "-",
        row.timing.n,
        f"{row.times_as_fast:.2f}",
        f"{row.count.saving:.2f}" if known else "-",
        f"{comparison.definition_rate(row) / 1e9:.1f}",
        f"{row.largest_error:.1e}",
        f"{row.mean_error:.1e}",
        f"{row.held_bytes / MIB:,.2f}",
        f"{row.formula_bytes / MIB:,.2f}" if known else "-",
    )


def _print_end(found: Sequence["Comparison"], about: dict[str, object]) -> None:
    sums, reasons = about["total_ms"], about["reasons"]
    assert isinstance(sums, dict)
    assert isinstance(reasons, list)
    native = sums["native"]
    if len(found) > 1:
        print("\nall of it, each layer as often as the net has it")
        rows = [(name, f"{ms:,.1f}", f"{native / ms:.2f}") for name, ms in sums.items()]
        print_table(("algorithm", "ms", "x native"), rows)
    for paragraph in reasons:
        print("\n" + textwrap.fill(paragraph, COLUMNS))
    print(f"\nmachine: {about['machine']}")
    print(
        f"ceiling: {about['gemm_gflop_per_second']:,.0f} GFLOP/s, "
        f"{about['memory_gb_per_second']:,.1f} GB/s"
    )


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.3f}" if seconds < 0.01 else f"{seconds * 1e3:,.1f}"
