"""Learning curves from a run's journal, and the confusion matrix of its answers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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

FEW = 5
"""Points of a curve up to which each is marked."""
MOST_NAMED = 40
"""Classes whose names fit beside a confusion matrix."""
MOST_NUMBERED = 20
"""Classes up to which the cells are numbered, and those that are chosen of more than 40."""


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
    mark = "o" if len(steps) <= FEW else ""  # a line through one point cannot be seen
    losses = [_number(x["loss"]) for x in train]
    loss.plot(steps, losses, color=GREY, lw=0.8, marker=mark, ms=3, label="training")
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
    rates = [_number(line.get("lr")) for line in train]
    rate.plot(steps, rates, color="black", lw=1, marker=mark, ms=3)
    rate.set_ylabel("rate", fontsize=NORMAL)
    rate.set_xlabel("updates", fontsize=NORMAL)
    for axes in (loss, error, rate):
        axes.grid(color="#e5e5e5", lw=0.6)
        axes.tick_params(labelsize=SMALL)
        axes.set_xlim(0, 1.12 * max(1, *steps, *at))
    for number, line in enumerate(line for line in journal if line["kind"] == "rollback"):
        label = "" if number else "rolled back"
        loss.axvline(line["step"], color=ORANGE, ls=":", lw=1, label=label)
    for axes in (loss, error):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=SMALL, frameon=False)
    _mark_epochs(loss, train)
    return figure


def _mark_epochs(axes: "Axes", train: Sequence[dict[str, Any]]) -> None:
    """Count epochs above, where the journal tells them."""
    per = [x["step"] / x["epoch"] for x in train if _number(x.get("epoch")) > 0]
    if not per:
        return
    each = per[-1]
    above = axes.secondary_xaxis("top", functions=(lambda x: x / each, lambda x: x * each))
    above.set_xlabel("epochs", fontsize=NORMAL)
    above.tick_params(labelsize=SMALL)


def draw_confusion(counts: Counts, title: str) -> "Figure":
    """Draw how many pictures of each class, by row, had each first answer, by column.

    Colours are shares of a row; the numbers, where there is room for them, are pictures. Of more
    than 40 classes the 20 are drawn that are most taken for each other, with a last column for all
    other answers; a line below the title says so.
    """
    cells, names, answers = _chosen_cells(counts)
    classes = len(names)
    some = classes < len(counts.classes)
    if some:
        title += f". Of {len(counts.classes):,} classes the {classes} most taken for each other"
    side = min(max(3.2, 1.6 + 0.34 * classes), 9.5)
    figure = new_figure(side + (2.2 if some else 0.9), side + 0.9 * some, title)
    axes = figure.subplots()
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
    _name_classes(axes, names, answers, longest=28 if some else 16)
    axes.set_xlabel("first answer", fontsize=NORMAL)
    axes.set_ylabel("true class", fontsize=NORMAL)
    return figure


def _chosen_cells(counts: Counts) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Return the cells that there is room for, and the names of their rows and columns."""
    cells, names = counts.confusion.numpy(), list(counts.classes)
    if len(names) <= MOST_NAMED:
        return cells, names, names
    chosen = most_confused(cells, MOST_NUMBERED)
    part = cells[np.ix_(chosen, chosen)]
    others = cells[chosen].sum(1) - part.sum(1)
    names = [names[place] for place in chosen]
    return np.column_stack([part, others]), names, [*names, "another class"]


def most_confused(cells: NDArray[np.int64], count: int) -> list[int]:
    """Return the classes of the most frequent mistakes, in the order of the classes.

    The pairs of a class and a wrong answer are taken by falling number of pictures until there are
    `count` classes; then those of the most pictures follow, if they have any. Of equals the first
    leads.

    Shapes:  cells (classes, classes), the true class by row.
    """
    wrong = cells * (1 - np.eye(len(cells), dtype=cells.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[: int((wrong > 0).sum())]
    found = dict.fromkeys(int(each) for cell in order for each in divmod(int(cell), len(cells)))
    seen = cells.sum(1)
    found |= dict.fromkeys(np.argsort(-seen, kind="stable")[: int((seen > 0).sum())].tolist())
    return sorted(list(found)[:count])


def _name_classes(
    axes: "Axes", classes: Sequence[str], answers: Sequence[str], *, longest: int
) -> None:
    below = [shorten(name, longest) for name in answers]
    axes.set_xticks(range(len(below)), below, rotation=90 if len(below) > 3 else 0)
    axes.set_yticks(range(len(classes)), [shorten(name, longest) for name in classes])
    axes.tick_params(labelsize=SMALL if len(classes) <= 25 else 6)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
