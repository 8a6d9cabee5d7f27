"""How a training step's time and memory grow with the batch, the classes and the picture.

    python -m benchmarks.growth [--net alexnet] [--repeats 5]

prints three Markdown tables. Each size runs in a process of its own, so that its memory is its
own. A straight line is fitted to each table: a fixed part (the update of the weights, which no
batch makes smaller) and a part for each picture, class or pixel; the last column is how far a
row is from that line.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

BATCHES = (1, 8, 32, 64, 128, 256, 512)
CLASSES = (2, 10, 100, 1000)
SIDES = (127, 163, 227, 324, 454)


@dataclass(frozen=True)
class Sizes:
    """One row's work."""

    batch: int
    classes: int
    side: int


def run(sizes: Sizes, arguments: argparse.Namespace) -> Any:
    """Return what `alexnet bench train --json` prints for these sizes in a fresh process."""
    words = [sys.executable, "-m", "alexnet", "bench", "train", "--json", "--net", arguments.net]
    words += ["--batch", str(sizes.batch), "--classes", str(sizes.classes)]
    words += ["--input-size", str(sizes.side), "--repeats", str(arguments.repeats)]
    words += ["--precision", arguments.precision]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def print_table(
    unit: str, rows: Sequence[tuple[int, Sizes]], arguments: argparse.Namespace
) -> None:
    """Print a table of rows (amount of what grows, sizes) and the line through its times."""
    found = [run(sizes, arguments) for _, sizes in rows]
    first = found[0]
    print(f"{first['machine']}; `{first['net']}`, {first['precision']}\n")
    amounts = [float(amount) for amount, _ in rows]
    times = [each["rows"][0]["median_ms"] for each in found]
    line = statistics.linear_regression(amounts, times)
    print(
        "| batch | classes | pixels | ms a step: median (least) | images/s | peak MiB | off line |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for (amount, sizes), each in zip(rows, found, strict=True):
        row = each["rows"][0]
        expected = line.intercept + line.slope * amount
        print(
            f"| {sizes.batch} | {sizes.classes:,} | {sizes.side} "
            f"| {row['median_ms']:.1f} ({row['least_ms']:.1f}) | {row['images_per_second']:.1f} "
            f"| {row['peak_memory_mib']:,.0f} | {row['median_ms'] / expected - 1:+.0%} |"
        )
    print(
        f"\nThe line: {line.intercept:.1f} ms and {line.slope:.3g} ms for each {unit}; "
        f"n = {arguments.repeats} each.\n",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Show how a training step grows.")
    parser.add_argument("--net", default="alexnet")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    arguments = parser.parse_args()
    batches = [(n, Sizes(n, 1000, 227)) for n in arguments.batches]
    print_table("picture", batches, arguments)
    print_table("class", [(n, Sizes(64, n, 227)) for n in arguments.classes], arguments)
    sides = [(32 * n * n, Sizes(32, 1000, n)) for n in arguments.sides]
    print_table("pixel", sides, arguments)


if __name__ == "__main__":
    main()
