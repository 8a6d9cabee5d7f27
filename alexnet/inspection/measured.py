"""Measurements beside the paper's: differences of ablations, and the race of figure 1."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from alexnet.inspection.panels import BLUE, GREY, NORMAL, ORANGE, SMALL, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Difference(NamedTuple):
    """A row of an ablation, in percentage points of error."""

    label: str
    mean: float
    half_width: float
    """Of the 95 % interval; 0 where there is one seed only."""
    seeds: tuple[float, ...]
    """The difference of each seed."""
    published: float | None
    """The paper's; None where it gives none."""


class Line(NamedTuple):
    """A net's error over the epochs."""

    label: str
    points: tuple[tuple[float, float], ...]
    """Epochs and the error after them, as a share."""
    reached: float | None
    """Epochs to the target; None if it was not reached."""


def draw_differences(rows: Sequence[Difference], title: str) -> "Figure":
    """Draw by how much each change raises the top-1 error, beside the paper's numbers."""
    figure = new_figure(6.8, 1.5 + 0.42 * len(rows), title)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        if row.half_width:
            axes.errorbar(
                row.mean, place, xerr=row.half_width, color=BLUE, capsize=4, lw=1.6, zorder=2
            )
        axes.plot(row.seeds, [place + 0.24] * len(row.seeds), "|", color=GREY, ms=7, zorder=1)
        axes.plot(row.mean, place, "o", color=BLUE, ms=6, zorder=3)
        if row.published is not None:
            axes.plot(row.published, place - 0.24, "D", color=ORANGE, ms=5, zorder=3)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("top-1 error more than the whole net's, percentage points", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL + 0.5)
    axes.grid(axis="x", color="#e5e5e5", lw=0.6)
    marks = (("o", BLUE, "mean, 95 % interval"), ("|", GREY, "a seed"), ("D", ORANGE, "the paper"))
    for mark, colour, label in marks:
        axes.plot([], [], mark, color=colour, label=label, ms=6)
    axes.legend(
        fontsize=SMALL, frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(-0.02, 1.0)
    )
    return figure


def draw_race(lines: Sequence[Line], target: float, title: str) -> "Figure":
    """Draw the training errors over the epochs, as figure 1: the first solid, the second dashed."""
    figure = new_figure(5.2, 4.2, title)
    axes = figure.subplots()
    styles = (("-", "o", BLUE), ("--", "s", ORANGE))
    for line, (style, mark, colour) in zip(lines, styles, strict=True):
        epochs, errors = zip(*line.points, strict=True)
        label = line.label
        if line.reached is not None:
            label += f": {line.reached:.1f} epochs to {target:.0%}"
            axes.plot(line.reached, target, mark, color=colour, ms=7, zorder=3)
            axes.plot([line.reached] * 2, [0, target], ":", color=colour, lw=1)
        axes.plot(epochs, errors, style, marker=mark, ms=3, color=colour, lw=1.5, label=label)
    axes.axhline(target, color=GREY, lw=0.8, ls=":")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 0.75)
    axes.set_xlabel("epochs", fontsize=NORMAL)
    axes.set_ylabel("training error rate", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="#e5e5e5", lw=0.6)
    axes.legend(fontsize=SMALL + 0.5, frameon=False)
    return figure
