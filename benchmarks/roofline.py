"""Print how near each layer of a training step comes to what the machine allows, and draw it.

    python -m benchmarks.roofline [--net alexnet] [--batch 64] [--precision auto]
                                  [--picture docs/performance/roofline.svg]

A layer cannot take less than

    max(operations / GEMM ceiling, bytes / bandwidth)

with the ceiling that torch's matrix product and the bandwidth that torch's copy reach on this
machine in the same minute. Bytes are input, weights and output once each (and their gradients),
though a layer that finds them in cache can be quicker.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch

from alexnet.bench.case import Case
from alexnet.bench.layers import time_layers
from alexnet.bench.machine import describe_machine, gemm_ceiling, memory_bandwidth
from alexnet.device import keep_pages
from benchmarks.markdown import precision_here

LEAST_SHARE = 0.005


class Point(NamedTuple):
    """One pass of one layer."""

    name: str
    direction: str
    seconds: float
    flop: float
    size: float

    def least_seconds(self, ceiling: float, bandwidth: float) -> float:
        """Return the time below which the machine cannot go."""
        return max(self.flop / ceiling, self.size / bandwidth)


def print_table(points: list[Point], ceiling: float, bandwidth: float) -> None:
    """Print a row for each pass of each layer that takes 0.5 % of the time, and one for all."""
    whole = sum(point.seconds for point in points)
    print("| layer | pass | ms | GFLOP | MB | GFLOP/s | GB/s | bound by | of the bound |")
    print("|---|---|--:|--:|--:|--:|--:|---|--:|")
    for point in points:
        if point.seconds < LEAST_SHARE * whole:
            continue
        least = point.least_seconds(ceiling, bandwidth)
        rate = f"{point.flop / point.seconds / 1e9:.0f}" if point.flop else ""
        print(
            f"| {point.name} | {point.direction} | {point.seconds * 1e3:.1f} "
            f"| {point.flop / 1e9:.2f} | {point.size / 1e6:.1f} | {rate} "
            f"| {point.size / point.seconds / 1e9:.1f} "
            f"| {'arithmetic' if least > point.size / bandwidth else 'memory'} "
            f"| {least / point.seconds:.0%} |"
        )
    least = sum(point.least_seconds(ceiling, bandwidth) for point in points)
    print(f"| all | | {whole * 1e3:.1f} | | | | | | {least / whole:.0%} |")


def draw(points: list[Point], ceiling: float, bandwidth: float, picture: Path) -> None:
    """Draw a bar for the time of each pass and a mark where the machine's limit lies."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    whole = sum(point.seconds for point in points)
    shown = [point for point in points if point.seconds >= LEAST_SHARE * whole][::-1]
    figure, axes = plt.subplots(figsize=(8, 0.27 * len(shown) + 1), constrained_layout=True)
    colours = {"forward": "#0072b2", "backward": "#d55e00"}
    for direction, colour in colours.items():
        own = [(row, p) for row, p in enumerate(shown) if p.direction == direction]
        axes.barh(
            [row for row, _ in own],
            [p.seconds * 1e3 for _, p in own],
            color=colour,
            label=direction,
        )
    axes.plot(
        [p.least_seconds(ceiling, bandwidth) * 1e3 for p in shown],
        range(len(shown)),
        linestyle="none",
        marker="|",
        markersize=13,
        markeredgewidth=2.5,
        color="black",
        label=f"limit: {ceiling / 1e9:.0f} GFLOP/s or {bandwidth / 1e9:.0f} GB/s",
    )
    axes.set_yticks(range(len(shown)), [p.name for p in shown], fontsize=8)
    axes.set(xlabel="milliseconds", xlim=(0, None), ylim=(-0.7, len(shown) - 0.3))
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description="Each layer beside the machine's limits.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    keep_pages()
    case = Case(
        net=arguments.net,
        batch=arguments.batch,
        precision=precision_here(arguments.precision),
        threads=torch.get_num_threads(),
    )
    ceiling, bandwidth = gemm_ceiling(case.dtype), memory_bandwidth()
    points = []
    for row in time_layers(case, repeats=arguments.repeats):
        forward = row.forward.median, row.forward_flop, row.forward_bytes
        backward = row.backward.median, row.backward_flop, row.backward_bytes
        points.append(Point(row.name, "forward", *forward))
        if row.backward.median:
            points.append(Point(row.name, "backward", *backward))
    print(
        f"{describe_machine()}; {case.precision}, batch {case.batch}, n = {arguments.repeats}; "
        f"GEMM {ceiling / 1e9:,.0f} GFLOP/s, copy {bandwidth / 1e9:.1f} GB/s\n"
    )
    print_table(points, ceiling, bandwidth)
    if arguments.picture:
        draw(points, ceiling, bandwidth, arguments.picture)


if __name__ == "__main__":
    main()
