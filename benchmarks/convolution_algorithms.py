"""Time every convolution algorithm on the layers of real nets, in turn with torch's own.

    python -m benchmarks.convolution_algorithms [--sets alexnet vgg16 ...] [--repeats 5]

prints Markdown tables: for each set of layers and each direction the milliseconds of torch's own
convolution and how many times as fast each algorithm is; then the sums over all layers of the set,
each as often as the net has it, and on how many layers an algorithm of ours is the quicker.
`unfold` is what one writes oneself: torch.nn.functional.unfold and a matrix product. A star marks
what took so long that it was timed once.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.bench.convolution_layers import Layer, layers_of, parse_layer, spell
from alexnet.bench.convolutions import Comparison, Plan, draw, measure, total_seconds
from alexnet.bench.machine import describe_machine
from alexnet.convolution.choose import forget
from alexnet.convolution.problem import DIRECTIONS, Direction, Problem
from alexnet.device import keep_pages
from alexnet.measure import in_turn, stopwatch
from alexnet.model import architecture

ALGORITHMS = ("im2col", "fft", "winograd-2", "winograd-4", "winograd-6")
TEXT = ("300,100,3 @ 64 pad 0", "300,100,5 @ 64 pad 0", "70,256,7 @ 1014 pad 0", "256,256,3 @ 336")
"""Kim 2014's widths 3 and 5 over words of 300 numbers; Zhang et al. 2015's first and third layer
over 1,014 characters."""
VOLUME = ("1,32,3,3,3 @ 64x64x32", "32,64,3,3,3 @ 64x64x32", "64,128,3,3,3 @ 32x32x16")
"""The first layers of a 3-D U-Net (Cicek et al. 2016) on a part of a scan."""
LARGE = ("64,64,11,11 @ 55", "64,64,15,15 @ 55", "32,32,31,31 @ 64")
"""Large kernels with stride 1."""


class Set(NamedTuple):
    """Some layers to measure together."""

    title: str
    layers: Callable[[], list[Layer]]
    directions: tuple[Direction, ...] = DIRECTIONS


def of_net(name: str, batch: int, dtype: torch.dtype = torch.float32) -> list[Layer]:
    """Return the convolutions of one of our nets at its own input size."""
    known = architecture(name)
    with torch.device("meta"):
        net = known.build()
    shape = (batch, known.channels, known.input_size, known.input_size)
    return layers_of(net.eval(), shape, dtype=dtype)


def written(lines: tuple[str, ...], batch: int) -> list[Layer]:
    """Return layers from lines."""
    return [parse_layer(line, batch=batch, dtype=torch.float32) for line in lines]


SETS = {
    "alexnet": Set("AlexNet, batch 32, float32", lambda: of_net("alexnet", 32)),
    "vgg16": Set("VGG-16, batch 8, float32", lambda: of_net("vgg16", 8)),
    "resnet50": Set("ResNet-50, batch 16, float32", lambda: of_net("resnet50", 16)),
    "text": Set("text, 1-D, batch 64, float32", lambda: written(TEXT, 64)),
    "volume": Set("medical volumes, 3-D, batch 1, float32", lambda: written(VOLUME, 1)),
    "large": Set("large kernels, batch 16, float32", lambda: written(LARGE, 16), ("forward",)),
    "vgg16-bf16": Set(
        "VGG-16, batch 2, bfloat16", lambda: of_net("vgg16", 2, torch.bfloat16), ("forward",)
    ),
    "alexnet-bf16": Set(
        "AlexNet, batch 8, bfloat16", lambda: of_net("alexnet", 8, torch.bfloat16), ("forward",)
    ),
}


def by_unfold(x: Tensor, w: Tensor, problem: Problem) -> Tensor:
    """Convolve a picture as one writes it: unfold, multiply, view."""
    pads = tuple(pair[0] for pair in problem.padding)
    columns = F.unfold(x, problem.kernel, problem.dilation, pads, problem.stride)
    groups = problem.groups
    parts = columns.view(len(x), groups, -1, columns.shape[-1])
    kernels = w.reshape(groups, len(w) // groups, -1)
    return (kernels @ parts).view(len(x), len(w), *problem.output)


def unfold_ratio(layer: Layer, repeats: int) -> float:
    """Return native's time over that of unfold and a product, the median within rounds."""
    problem = layer.problem
    inputs = draw(problem)
    pads = [pair[0] for pair in problem.padding]
    laps = {
        "native": stopwatch(
            lambda: F.conv2d(
                *(inputs.x, inputs.w, None, problem.stride, pads),
                *(problem.dilation, problem.groups),
            )
        ),
        "unfold": stopwatch(lambda: by_unfold(inputs.x, inputs.w, problem)),
    }
    with torch.no_grad():
        return in_turn(laps, repeats=repeats, warm_ups=1, turn_seconds=0.1).ratio(
            "unfold", "native"
        )


def print_direction(found: list[Comparison], unfold: dict[str, float], repeats: int) -> None:
    """Print a row for each layer."""
    beside = ("unfold",) if unfold else ()
    names = (*ALGORITHMS, *beside)
    print(f"| {found[0].direction} | layers | native ms | {' | '.join(names)} | auto takes |")
    print(f"|---|--:|{'--:|' * (len(names) + 1)}---|")
    for each in found:
        native = each.timed("native")
        assert native is not None
        assert native.timing is not None
        cells = []
        for name in ALGORITHMS:
            row = each.timed(name)
            cells.append("-" if row is None else f"{row.times_as_fast:.2f}{'*' * row.slow}")
        cells += [f"{unfold[each.layer.name]:.2f}"] if unfold else []
        shape = spell(each.layer.problem)
        print(
            f"| {each.layer.name}: {shape} | {each.layer.count} | {native.timing.median * 1e3:.2f} "
            f"| {' | '.join(cells)} | {each.auto} |",
            flush=True,
        )
    sums = {name: total_seconds(found, name) for name in ("native", "auto", *ALGORITHMS)}
    native_sum, auto_sum = sums["native"], sums["auto"]
    assert native_sum is not None
    assert auto_sum is not None
    others = [
        "-" if seconds is None else f"{native_sum / seconds:.2f}"
        for seconds in (sums[name] for name in ALGORITHMS)
    ]
    total = sum(each.layer.count for each in found)
    more = [""] * len(beside)
    print(
        f"| **sum** | {total} | {native_sum * 1e3:.1f} | {' | '.join([*others, *more])} "
        f"| **auto {native_sum / auto_sum:.2f}** |\n\nn = {repeats}\n",
        flush=True,
    )


def print_errors(found: list[Comparison]) -> None:
    """Print the largest error of each algorithm, and whether any held more than its formula."""
    print("| algorithm | largest error of any layer | most held, share of the formula |")
    print("|---|--:|--:|")
    for name in ("native", *ALGORITHMS):
        rows = [row for each in found if (row := each.timed(name)) is not None]
        if not rows:
            continue
        shares = [row.held_bytes / row.formula_bytes for row in rows if row.formula_bytes]
        share = f"{max(shares):.2f}" if shares else "-"
        print(f"| {name} | {max(row.largest_error for row in rows):.1e} | {share} |")
    print()


def print_wins(found: list[Comparison]) -> None:
    """Print on how many layers an algorithm of ours is the quicker, and by how much."""
    best = [
        max(
            (row for row in each.rows if row.timing and row.algorithm != "native"),
            key=lambda row: row.times_as_fast,
        )
        for each in found
    ]
    wins = [row.times_as_fast for row in best if row.times_as_fast > 1]
    if wins:
        print(
            f"{len(wins)} of {len(found)} layers and directions are quicker by one of ours: "
            f"{min(wins):.2f} to {max(wins):.2f} x, {statistics.median(wins):.2f} x in the median\n"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Convolution algorithms on real layers.")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    keep_pages()
    forget()  # what was chosen by earlier forms of the kernels says nothing
    print(f"{describe_machine()}\n")
    plan = Plan(ALGORITHMS, repeats=arguments.repeats)
    for name in arguments.sets:
        chosen = SETS[name]
        layers = chosen.layers()
        print(f"### {chosen.title}\n")
        every: list[Comparison] = []
        for direction in chosen.directions:
            found = [measure(layer, direction, plan) for layer in layers]
            flat = layers[0].problem.axes == 2 and direction == "forward"
            plain = layers[0].problem.dtype == torch.float32
            unfold = {}
            if flat and plain:
                unfold = {each.name: unfold_ratio(each, arguments.repeats) for each in layers}
            print_direction(found, unfold, arguments.repeats)
            every += found
        print_errors(every)
        print_wins(every)


if __name__ == "__main__":
    main()
