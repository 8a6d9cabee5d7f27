"""Figure 4 of the paper: pictures with the five likeliest classes, and their nearest neighbours.

Source: Krizhevsky 2012, section 6.1 and figure 4. Left, eight test pictures, the true class below
each, bars for the five answers, the true one marked. Right, test pictures in the first column, then
the training pictures whose last hidden layers have the smallest Euclidean distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from alexnet.inspection.panels import (
    BLUE,
    GREY,
    ORANGE,
    SMALL,
    Image,
    new_figure,
    percent,
    shorten,
    show,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_ANSWERS, ACROSS = 5, 4


@dataclass(frozen=True)
class Shown:
    """A labelled picture as a figure shows it."""

    image: Image
    """(H, W, 3) RGB."""
    label: int
    """Its class, a position among the names."""


def draw_answers(
    pictures: Sequence[Shown], probabilities: Tensor, classes: Sequence[str], title: str
) -> "Figure":
    """Draw pictures, four a row, each above its class and the bars of its likeliest classes.

    Shapes:  probabilities (pictures, classes).
    """
    rows, bars_each = -(-len(pictures) // ACROSS), min(SHOWN_ANSWERS, probabilities.shape[1])
    high = 0.1 + 0.18 * bars_each
    figure = new_figure(8.2, (2.5 + high) * rows + 0.2, title)
    ratios = (2.4, high) * rows
    grid = figure.subplots(2 * rows, ACROSS, squeeze=False, height_ratios=ratios)
    for place, axes in enumerate(grid[::2].flat):
        bars = grid[place // ACROSS * 2 + 1][place % ACROSS]
        if place >= len(pictures):
            axes.set_axis_off()
            bars.set_axis_off()
            continue
        shown = pictures[place]
        show(axes, shown.image, below=shorten(classes[shown.label], 30))
        _draw_bars(bars, probabilities[place], shown.label, classes)
    return figure


def _draw_bars(axes: "Axes", p: Tensor, label: int, classes: Sequence[str]) -> None:
    order = p.argsort(descending=True, stable=True)[:SHOWN_ANSWERS].tolist()
    for row, answer in enumerate(order):
        right = answer == label
        axes.barh(
            row,
            float(p[answer]),
            color=ORANGE if right else BLUE,
            hatch="///" if right else "",
            edgecolor="white",
            height=0.86,
            alpha=0.55,
        )
        text = f"{shorten(classes[answer], 23)}  {percent(float(p[answer]))}"
        weight = "bold" if right else "normal"
        axes.text(0.02, row, text, va="center", fontsize=SMALL, fontweight=weight)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#cccccc")


def draw_neighbours(
    rows: Sequence[tuple[Shown, Sequence[tuple[Shown, float]]]],
    classes: Sequence[str],
    title: str,
) -> "Figure":
    """Draw test pictures in the first column, and the nearest of others with distances behind.

    The class of a neighbour that is another than the query's is marked by a star.
    """
    width = 1 + max(len(near) for _, near in rows)
    figure = new_figure(1.25 * width + 0.2, 1.55 * len(rows) + 0.5, title)
    grid = figure.subplots(len(rows), width, squeeze=False)
    for line, (query, near) in zip(grid, rows, strict=True):
        show(line[0], query.image, below=shorten(classes[query.label], 14))
        for side in line[0].spines.values():
            side.set(visible=True, color=GREY, linewidth=1.5)
        for axes, (shown, distance) in zip(line[1:], near, strict=False):
            mark = "" if shown.label == query.label else "* "
            name = mark + shorten(classes[shown.label], 14)
            show(axes, shown.image, below=f"{name}\n{distance:.3g}")
        for axes in line[1 + len(near) :]:
            axes.set_axis_off()
    return figure
