"""Print what a recorded run reached, and draw its curves.

    python -m benchmarks.recorded_run RUN [--picture docs/NAME.png]

prints a Markdown table from the run's recipe and journal; the picture needs matplotlib.
"""

import argparse
from pathlib import Path
from typing import Any

from alexnet.bench.machine import describe_machine
from alexnet.training.journal import read_journal
from alexnet.training.recipe import Recipe, load


def print_run(folder: Path) -> None:
    """Print recipe and validations of a run."""
    recipe, lines = load(folder / "recipe.toml"), read_journal(folder / "journal.jsonl")
    training = [line for line in lines if line["kind"] == "train"]
    validations = [line for line in lines if line["kind"] == "validation"]
    changed = {k: v for k, v in vars(recipe).items() if v != vars(Recipe())[k] and k != "data"}
    print(f"Machine: {describe_machine()}\n")
    print(
        "Recipe, where it differs from `paper`: "
        + ", ".join(f"{k} {v}" for k, v in changed.items())
    )
    speeds = sorted(line["images_per_second"] for line in training)
    print(f"\nImages per second, median of {len(speeds)} reports: {speeds[len(speeds) // 2]}\n")
    print("Minutes are those of training; decoding the set once and the validations add to them.\n")
    print(
        "| minutes | epoch | update | rate | val. top-1 | top-1 errors | top-5 errors | pictures |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    for line in validations:
        minutes = minutes_until(line["step"], training, recipe.batch)
        rate = next((t["lr"] for t in reversed(training) if t["step"] <= line["step"]), 0.0)
        errors = f"{line['top1_errors']} | {line['top5_errors']} | {line['pictures']}"
        print(
            f"| {minutes:.1f} | {line['epoch']:g} | {line['step']} | {rate:.2g} "
            f"| {1 - line['top1_error']:.2%} | {errors} |"
        )


def minutes_until(step: int, training: list[dict[str, Any]], batch: int) -> float:
    """Return the minutes of training up to an update, from the speeds that were reported."""
    minutes, before = 0.0, 0
    for line in training:
        if line["step"] <= step:
            pictures = (line["step"] - before) * batch
            minutes += pictures / line["images_per_second"] / 60
            before = line["step"]
    return minutes


def draw_curves(folder: Path, picture: Path) -> None:
    """Draw loss and validation error of a run over its epochs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    lines = read_journal(folder / "journal.jsonl")
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), constrained_layout=True)

    def column(kind: str, key: str) -> tuple[list[Any], list[Any]]:
        chosen = [line for line in lines if line["kind"] == kind]
        return [line["epoch"] for line in chosen], [line[key] for line in chosen]

    left.plot(*column("train", "loss"), color="#0072b2", linewidth=1, label="training")
    left.plot(*column("validation", "loss"), "o-", color="#d55e00", label="validation")
    left.set(xlabel="epoch", ylabel="loss (nats)", ylim=(0, None))
    left.legend(frameon=False)
    for key, label, colour in (
        ("top1_error", "top-1", "#0072b2"),
        ("top5_error", "top-5", "#009e73"),
    ):
        epochs, errors = column("validation", key)
        right.plot(epochs, [100 * e for e in errors], "o-", color=colour, label=label)
    right.set(xlabel="epoch", ylabel="validation error (%)", ylim=(0, None))
    right.legend(frameon=False)
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Print and draw the run named on the command line."""
    parser = argparse.ArgumentParser(description="Print what a recorded run reached.")
    parser.add_argument("run", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()
    print_run(arguments.run)
    if arguments.picture:
        draw_curves(arguments.run, arguments.picture)


if __name__ == "__main__":
    main()
