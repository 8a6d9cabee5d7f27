"""A figure of what the laboratory measured: time, error and memory for each layer and algorithm."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.bench.convolutions import Comparison, Row
from alexnet.inspection.panels import check_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#8C8C8C")
"""Okabe and Ito's, which colour-blind readers tell apart; grey stands for their yellow."""
MARKERS = "osD^vPX*h<>d"
FORMATS = (".svg", ".png", ".pdf")
PANELS = ("time, ms", "largest error beside float64", "memory besides inputs and output, MiB")
MIB = 2**20
WIDEST, LETTERS = 21.0, 11
"""Inches of a whole figure, and letters of a layer's name that fit into one."""
GREY = "#444444"


def check_figure(path: Path) -> None:
    """Check that a figure can be drawn into that file, before anything is measured.

    Raises: PackageMissing without matplotlib; ValueError for a file name of another kind, or in a
            folder that is not there.
    """
    if path.suffix.lower() not in FORMATS:
        kinds = ", ".join(FORMATS)
        raise ValueError(f"figure is {str(path)!r}; its name must end in one of {kinds}")
    if not path.parent.is_dir():
        raise ValueError(f"figure is {str(path)!r}, but there is no folder {str(path.parent)!r}")
    check_matplotlib()


def draw_figure(comparisons: Sequence[Comparison], path: Path, *, title: str) -> None:
    """Draw a column for each direction, and time, error and memory below each other.

    A ring is what `auto` takes; a dash is the memory of the algorithm's equation.

    Raises: as check_figure does.
    """
    check_figure(path)
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    directions = list(dict.fromkeys(each.direction for each in comparisons))
    rows = [row for each in comparisons for row in each.rows if row.timing]
    names = list(dict.fromkeys(row.algorithm for row in rows))
    most = max(sum(each.direction == way for each in comparisons) for way in directions)
    width = min(max(5.0, 1.2 + 0.14 * most * (len(names) + 1)), WIDEST / len(directions))
    figure = Figure(figsize=(width * len(directions), 9.5), layout="constrained")
    grid = figure.subplots(3, len(directions), squeeze=False, sharex="col", sharey="row")
    for column, direction in enumerate(directions):
        some = [each for each in comparisons if each.direction == direction]
        for panel, axes in enumerate(grid[:, column]):
            _draw_panel(axes, panel, some, names)
        grid[0][column].set_title(direction.replace("_", " "), fontsize=11)
        _name_layers(grid[2][column], [each.layer.name for each in some], width)
    for panels, label in zip(grid, PANELS, strict=True):
        panels[0].set_ylabel(label, fontsize=9)
    handles, labels = grid[0][0].get_legend_handles_labels()
    ring = Line2D([], [], linestyle="", marker="o", markersize=11, mfc="none", mec=GREY)
    dash = Line2D([], [], linestyle="", marker="_", markersize=11, color=GREY)
    columns = max(3, int(width * len(directions) / 1.4))
    figure.legend(
        [*handles, ring, dash],
        [*labels, "what auto takes", "memory by equation"],
        loc="outside lower center",
        ncols=columns,
        fontsize=9,
    )
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=150)


def _name_layers(axes: "Axes", names: Sequence[str], width: float) -> None:
    """Write the layers below their places, upwards where they would run into each other."""
    labels = [name.replace(" @ ", "\n@ ").replace(" groups", "\ngroups") for name in names]
    longest = max(len(line) for label in labels for line in label.splitlines())
    turned = longest * len(labels) > LETTERS * width
    axes.set_xticks(range(len(labels)), labels)
    axes.tick_params(axis="x", labelrotation=90 if turned else 0, labelsize=8)


def _draw_panel(
    axes: "Axes", panel: int, comparisons: Sequence[Comparison], names: Sequence[str]
) -> None:
    axes.set_yscale("log") if panel < 2 else axes.set_yscale("symlog", linthresh=1)
    step = 0.8 / len(names)
    for index, name in enumerate(names):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        found = [
            (place + (index - (len(names) - 1) / 2) * step, each, row)
            for place, each in enumerate(comparisons)
            if (row := each.timed(name))
        ]
        x, y = [place for place, _, _ in found], [_value(panel, row) for _, _, row in found]
        axes.plot(x, y, marker, color=colour, markersize=5, label=name)
        if panel == 0:
            rings = [
                (place, height)
                for (place, each, _), height in zip(found, y, strict=True)
                if each.auto == name
            ]
            places, heights = [place for place, _ in rings], [height for _, height in rings]
            axes.plot(places, heights, "o", markersize=11, mfc="none", mec=GREY)
        if panel == 2 and name != "native":  # nobody knows what torch holds
            known = [row.formula_bytes / MIB for _, _, row in found]
            axes.plot(x, known, "_", color=colour, markersize=11, markeredgewidth=1.5)
    for place in range(1, len(comparisons)):
        axes.axvline(place - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
    axes.set_xlim(-0.5, len(comparisons) - 0.5)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)


def _value(panel: int, row: Row) -> float:
    assert row.timing
    if panel == 0:
        return row.timing.median * 1e3
    if panel == 1:
        return row.largest_error or float("nan")  # a logarithm has no place for none
    return row.held_bytes / MIB
