"""Train with the same seeds in float32 and in bfloat16 and print both loss curves.

    python -m benchmarks.precision_curves [DATA] [--recipe digits] [--steps 120] [--seeds 3]
                                          [--picture-size 80] [--input-size 67]

prints a Markdown table: at each step the losses of the float32 runs (least, mean, most) and of the
bfloat16 runs, and the validation errors at the end. Without DATA it takes the demo's digits. Runs
go to a temporary folder.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from alexnet.bench.machine import describe_machine
from alexnet.data.digits import write_digits
from alexnet.device import keep_pages
from alexnet.training import setup
from alexnet.training.journal import read_journal
from alexnet.training.loop import train
from alexnet.training.recipe import Recipe
from alexnet.training.recipes import find_recipe

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Curve:
    """What one run wrote down."""

    losses: dict[int, float]
    """Step -> mean loss since the report before."""
    top1_errors: int
    pictures: int


def run(recipe: Recipe, folder: Path) -> Curve:
    """Train once and return the curve."""
    counts = train(setup.start(recipe, folder))
    lines = read_journal(folder / "journal.jsonl")
    losses = {line["step"]: line["loss"] for line in lines if line["kind"] == "train"}
    return Curve(losses, counts.top1_errors, counts.seen)


def spread(values: list[float]) -> str:
    """Return least, mean and most."""
    return f"{min(values):.3f} {statistics.mean(values):.3f} {max(values):.3f}"


def print_table(curves: dict[Precision, list[Curve]]) -> None:
    """Print a row for each report, then the validation errors."""
    print("| step | float32: least, mean, most | bfloat16: least, mean, most | means apart |")
    print("|--:|--:|--:|--:|")
    outside = 0
    steps = curves["fp32"][0].losses
    for step in steps:
        exact, rough = ([curve.losses[step] for curve in each] for each in curves.values())
        apart = statistics.mean(rough) - statistics.mean(exact)
        outside += abs(apart) > max(exact) - min(exact)
        print(f"| {step} | {spread(exact)} | {spread(rough)} | {apart:+.3f} |")
    for name, each in curves.items():
        errors = ", ".join(str(curve.top1_errors) for curve in each)
        print(f"\n{name}: {errors} of {each[0].pictures} validation pictures wrong")
    print(f"\nThe means are further apart than float32's seeds at {outside} of {len(steps)} steps.")


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description="Loss curves in float32 and in bfloat16.")
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--recipe", default="digits")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--picture-size", type=int, default=80)
    parser.add_argument("--input-size", type=int, default=67)
    arguments = parser.parse_args()
    keep_pages()
    print(f"{describe_machine()}\n")
    curves: dict[Precision, list[Curve]] = {"fp32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as temporary:
        data = arguments.data or Path(temporary, "digits")
        if arguments.data is None:
            write_digits(data)
        recipe = replace(
            find_recipe(arguments.recipe),
            data=str(data),
            steps=arguments.steps,
            minutes=0.0,
            report_every=max(1, arguments.steps // 6),
            picture_size=arguments.picture_size,
            input_size=arguments.input_size,
        )
        for seed in range(arguments.seeds):
            for precision in curves:
                torch.manual_seed(seed)
                name = f"{precision}-{seed}"
                chosen = replace(recipe, seed=seed, precision=precision)
                curves[precision].append(run(chosen, Path(temporary, name)))
    print_table(curves)


if __name__ == "__main__":
    main()
