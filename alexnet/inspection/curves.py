"""Learning curves from a run's journal, and the confusion matrix of its answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from alexnet.evaluation.metrics import TOP, Counts
from alexnet.inspection.panels import (
    BLUE,
    GREY,
    NORMAL,
    ORANGE,
    SMALL,
    new_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMED = 40
"""Classes whose names fit beside a confusion matrix."""
MOST_NUMBERED = 20
"""Classes up to which the cells are numbered."""


def draw_curves(journal: Sequence[dict[str, Any]], title: str) -> "Figure":
    """Draw loss, errors and rate over the updates of a run.

    `journal` is what `alexnet.training.journal.read_journal` gives.

    Raises: ValueError if it tells of no update.
    """
    train = [line for line in journal if line["kind"] == "train"]
    tests = [line for line in journal if line["kind"] == "validation"]
    if not train and not tests:
        raise ValueError("the journal has no line of training yet, and so no curves")
    figure = new_figure(6.5, 7, title)
    loss, error, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4))
    steps = [line["step"] for line in train]
    loss.plot(steps, [_number(x["loss"]) for x in train], color=GREY, lw=0.8, label="training")
    at = [line["step"] for line in tests]
    loss.plot(
        at, [_number(x.get("loss")) for x in tests], "o--", color=BLUE, ms=4, label="validation"
    )
    loss.set_ylabel("loss, nats", fontsize=NORMAL)
    rows = (("top1_error", "top-1", ORANGE, "o-"), (f"top{TOP}_error", "top-5", BLUE, "s--"))
    for key, label, colour, style in rows:
        values = [100 * _number(line.get(key)) for line in tests]
        error.plot(at, values, style, color=colour, ms=4, label=f"{label} error")
        if values:
            error.annotate(
                f"{values[-1]:.1f} %",
                (at[-1], values[-1]),
                (4, 4),
                textcoords="offset points",
                fontsize=SMALL,
                color=colour,
            )
    error.set_ylabel("validation error, %", fontsize=NORMAL)
    error.set_ylim(bottom=0)
    rate.plot(steps, [_number(line.get("lr")) for line in train], color="black", lw=1)
    rate.set_ylabel("rate", fontsize=NORMAL)
    rate.set_xlabel("updates", fontsize=NORMAL)
    for axes in (loss, error, rate):
        axes.grid(color="#e5e5e5", lw=0.6)
        axes.tick_params(labelsize=SMALL)
        axes.margins(x=0.12)
    for axes in (loss, error):
        axes.legend(fontsize=SMALL, frameon=False)
    for step in [line["step"] for line in journal if line["kind"] == "rollback"]:
        loss.axvline(step, color=ORANGE, ls=":", lw=1)
    return figure


def draw_confusion(counts: Counts, title: str) -> "Figure":
    """Draw how many pictures of each class, by row, had each first answer, by column.

    Colours are shares of a row; the numbers, where there is room for them, are pictures.
    """
    classes = len(counts.classes)
    side = min(max(3.2, 1.6 + 0.34 * classes), 9.5)
    figure = new_figure(side + 0.9, side, title)
    axes = figure.subplots()
    cells = counts.confusion.numpy()
    share = cells / np.maximum(cells.sum(1, keepdims=True), 1)
    image = axes.imshow(share, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of the class's pictures", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    if classes <= MOST_NUMBERED:
        for row, column in np.ndindex(cells.shape):
            if cells[row, column]:
                colour = "black" if share[row, column] > 0.55 else "white"
                text = f"{cells[row, column]}"
                axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color=colour)
    _name_classes(axes, counts.classes)
    axes.set_xlabel("first answer", fontsize=NORMAL)
    axes.set_ylabel("true class", fontsize=NORMAL)
    return figure


def _name_classes(axes: "Axes", classes: Sequence[str]) -> None:
    if len(classes) <= MOST_NAMED:
        names = [shorten(name, 16) for name in classes]
        size = SMALL if len(classes) <= 25 else 6
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 3 else 0)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(labelsize=size)
    else:
        axes.tick_params(labelsize=SMALL)  # the classes' numbers


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
