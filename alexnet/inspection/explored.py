"""A data set in figures, before anyone trains on it: class sizes, picture sizes, mean and colours.

Source: Krizhevsky 2012, sections 2 and 4.1, for the mean image and the principal colours. The small
pictures themselves are `alexnet.inspection.contact_sheet`'s.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from alexnet.data.explore import Colours
from alexnet.inspection.panels import (
    BLUE,
    GREEN,
    GREY,
    NORMAL,
    ORANGE,
    SMALL,
    Image,
    bare,
    new_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Numbers = NDArray[np.int64]
MOST_NAMED = 40
"""Classes up to which every one has a bar and its name."""
ENDS = 12
"""Classes that are named at either end where there are more."""
MOST_RATIO = 10
"""Above it sizes are drawn on a logarithmic axis."""
MOST_MARKS = 500
"""Marks above which an SVG holds them as dots, not each by itself."""
RAMP = 2.0
"""Deviations to either side of the mean that a ramp of colours shows."""


# ---- Classes ------------------------------------------------------------------------------------


def draw_class_sizes(
    classes: Sequence[str], sizes: Numbers, sets: Sequence[str], title: str
) -> "Figure":
    """Draw how many pictures each class has in each set, the largest class of the first set first.

    Up to MOST_NAMED classes have a bar each; of more the sizes are a line in the order of size, and
    both ends of it are named.

    Shapes:  sizes (classes, sets).
    """
    order = np.argsort(-sizes[:, 0], kind="stable")
    names, sizes = [shorten(classes[label]) for label in order.tolist()], sizes[order]
    if len(classes) <= MOST_NAMED:
        figure = new_figure(6.5, 1.2 + 0.24 * len(classes) * _thickness(sets), title)
        axes = figure.subplots()
        _draw_bars(axes, names, sizes, sets)
        return figure
    figure = new_figure(7.4, 6.4, title)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2.6))
    _draw_line(figure.add_subplot(grid[0, :]), sizes, sets)
    parts = ((slice(0, ENDS), "the largest"), (slice(-ENDS, None), "the smallest"))
    for column, (part, heading) in enumerate(parts):
        axes = figure.add_subplot(grid[1, column])
        _draw_bars(axes, names[part], sizes[part, :1], sets[:1])
        axes.set_title(heading, fontsize=SMALL)
        axes.set_xlabel("")
    return figure


def _thickness(sets: Sequence[str]) -> float:
    return 1.0 if len(sets) == 1 else 1.5


def _draw_bars(axes: "Axes", names: Sequence[str], sizes: Numbers, sets: Sequence[str]) -> None:
    height = 0.8 / len(sets)
    for column, (name, colour, hatch) in enumerate(
        zip(sets, (BLUE, ORANGE), ("", "////"), strict=False)
    ):
        places = np.arange(len(names)) + (column - (len(sets) - 1) / 2) * height
        bars = axes.barh(
            places,
            sizes[:, column],
            height,
            color=colour if not hatch else "white",
            edgecolor=colour,
            hatch=hatch,
            label=f"{name or 'all'}, {sizes[:, column].sum():,} pictures",
        )
        labels = [f"{count:,}" for count in sizes[:, column].tolist()]
        axes.bar_label(bars, labels, padding=3, fontsize=SMALL - 1)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(labelsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("pictures", fontsize=NORMAL)
    axes.set_xlim(0, 1.14 * max(1, int(sizes.max())))
    axes.locator_params(axis="x", integer=True)
    _open(axes)
    if len(sets) > 1:
        _legend_above(axes)


def _draw_line(axes: "Axes", sizes: Numbers, sets: Sequence[str]) -> None:
    ranks = np.arange(len(sizes) + 1)
    styles = ((BLUE, "-"), (ORANGE, "--"))
    for column, (name, (colour, line)) in enumerate(zip(sets, styles, strict=False)):
        counts = np.sort(sizes[:, column])[::-1]
        label = f"{name or 'all'}, {counts.sum():,} pictures"
        axes.stairs(counts, ranks, color=colour, linestyle=line, lw=1.6, label=label, baseline=None)
    positive = sizes[sizes > 0]
    axes.set_ylim(0, 1.1 * float(positive.max()))
    if positive.max() > MOST_RATIO * positive.min():
        axes.set_yscale("symlog", linthresh=1)
        _number(axes.yaxis, also=(0,))
    axes.set_xlim(0, len(sizes))
    axes.set_xlabel("classes, each set in the order of its sizes", fontsize=NORMAL)
    axes.set_ylabel("pictures", fontsize=NORMAL)
    axes.tick_params(labelsize=SMALL)
    axes.grid(color="#e5e5e5", lw=0.6)
    axes.legend(fontsize=SMALL, frameon=False)
    _open(axes)


# ---- Widths and heights -------------------------------------------------------------------------


def draw_picture_sizes(sides: Numbers, *, crop: int, size: int, title: str) -> "Figure":
    """Draw widths and heights, a larger mark for more pictures; shorter sides; and shapes.

    Shapes:  sides (n, 2), height and width of at least one picture.     Units: pixels.
    """
    figure = new_figure(7.4, 4.6, title)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    both, shorter, shape = (
        figure.add_subplot(place) for place in (grid[:, 0], grid[0, 1], grid[1, 1])
    )
    found, counts = np.unique(sides, axis=0, return_counts=True)
    both.scatter(
        found[:, 1],
        found[:, 0],
        s=6 + 200 * counts / counts.sum(),
        color=BLUE,
        alpha=0.45,
        linewidths=0,
        rasterized=len(found) > MOST_MARKS,
    )
    _mark_corner(both, crop, ORANGE, "-", f"the crop, {crop}")
    _mark_corner(both, size, GREY, "--", f"what is cut from, {size}")
    far = 1.12 * max(float(sides.max()), size)
    near = 0.85 * min(float(sides.min()), crop)
    if far > MOST_RATIO * near:
        both.set_xscale("log")
        both.set_yscale("log")
    else:
        near = 0
    both.set_xlim(near, far)
    both.set_ylim(near, far)
    both.set_aspect("equal")
    if near:
        _number(both.xaxis)
        _number(both.yaxis)
    both.set_xlabel("width, pixels", fontsize=NORMAL)
    both.set_ylabel("height, pixels", fontsize=NORMAL)
    _legend_above(both)
    least = sides.min(1)
    _draw_counts(shorter, least, "shorter side, pixels")
    shorter.axvline(crop, color=ORANGE, lw=1.2)
    shorter.axvline(size, color=GREY, lw=1.2, ls="--")
    _draw_counts(shape, sides[:, 1] / sides[:, 0], "width / height", around=1)
    shape.axvline(1, color=GREY, lw=1, ls=":")
    for axes in (both, shorter, shape):
        axes.tick_params(labelsize=SMALL, which="both")
        _open(axes)
    return figure


def _mark_corner(axes: "Axes", side: int, colour: str, line: str, label: str) -> None:
    axes.plot([1e-9, side, side], [side, side, 1e-9], color=colour, ls=line, lw=1.2, label=label)


def _draw_counts(axes: "Axes", values: NDArray[np.generic], label: str, around: float = 0) -> None:
    """Draw how many pictures have each value; far ones in even steps of the logarithm."""
    least, greatest = float(values.min()), float(values.max())
    wide = greatest > MOST_RATIO * least
    if least == greatest:
        least, greatest = least - 0.5, greatest + 0.5
    edges = np.geomspace(least, greatest, 41) if wide else np.linspace(least, greatest, 41)
    counts, _ = np.histogram(values, edges)
    axes.stairs(counts, edges, fill=True, color=BLUE, alpha=0.7)
    if wide:
        axes.set_xscale("log")
        _number(axes.xaxis)
    axes.set_xlabel(label, fontsize=SMALL)
    axes.set_ylabel("pictures", fontsize=SMALL)


# ---- Mean and colours ---------------------------------------------------------------------------


def draw_colours(colours: Colours, *, lighting: float, title: str) -> "Figure":
    """Draw mean and deviation of each pixel, the levels of each colour, and principal colours.

    A ramp goes from RAMP deviations below the mean colour to as many above it, along one principal
    colour; between its marks lie 95 % of what lighting of that strength adds, none if it is 0.
    """
    figure = new_figure(7.4, 4.9, title)
    grid = figure.add_gridspec(2, 3, height_ratios=(2.2, 1.9))
    mean, deviation, levels = (figure.add_subplot(grid[0, column]) for column in range(3))
    found = colours.statistics
    mean.imshow(_bytes(found.mean_image.numpy()), interpolation="nearest")
    mean.set_title("mean of each pixel", fontsize=SMALL)
    image = deviation.imshow(
        colours.deviation_image.mean(2).numpy(), cmap="cividis", interpolation="nearest"
    )
    deviation.set_title("standard deviation of each pixel", fontsize=SMALL)
    bar = figure.colorbar(image, ax=deviation, shrink=0.7)
    bar.ax.tick_params(labelsize=SMALL - 1)
    for axes in (mean, deviation):
        bare(axes)
    _draw_levels(levels, colours)
    ramps = grid[1, :].subgridspec(3, 1)
    for number in range(3):
        axes = figure.add_subplot(ramps[number])
        _draw_ramp(axes, colours, number, lighting)
        if number == 2:
            between = f"; between the lines 95 % of lighting of {lighting:g}" if lighting else ""
            axes.set_xlabel(f"standard deviations from the mean colour{between}", fontsize=SMALL)
        else:
            axes.tick_params(labelbottom=False)
    return figure


def _draw_levels(axes: "Axes", colours: Colours) -> None:
    styles = ((ORANGE, "-", "red"), (GREEN, "--", "green"), (BLUE, ":", "blue"))
    for counts, (colour, line, label) in zip(colours.levels, styles, strict=True):
        shares = counts.reshape(64, 4).sum(1) / counts.sum()
        edges = np.arange(0, 257, 4)
        axes.stairs(shares, edges, color=colour, linestyle=line, lw=1.2, label=label, baseline=None)
    axes.set_title("share of pixels at each level, in fours", fontsize=SMALL)
    axes.set_xlim(0, 256)
    axes.set_xticks([0, 64, 128, 192, 256])
    axes.set_box_aspect(1)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=SMALL - 1)
    axes.legend(fontsize=SMALL, frameon=False)
    _open(axes)


def _draw_ramp(axes: "Axes", colours: Colours, number: int, lighting: float) -> None:
    found = colours.statistics
    steps = np.linspace(-RAMP, RAMP, 201)
    deviation = float(found.deviations[number])
    vector = found.eigenvectors[:, number].numpy()
    strip = found.mean_value.numpy() + steps[:, None] * deviation * vector
    axes.imshow(_bytes(strip[None]), extent=(-RAMP, RAMP, 0, 1), aspect="auto")
    for place in (-1.96 * lighting, 1.96 * lighting) if lighting else ():
        axes.axvline(place, color="white", lw=2.4)
        axes.axvline(place, color="black", lw=1)
    red, green, blue = vector.tolist()
    axes.set_title(
        f"principal colour {number + 1}: ({red:.2f}, {green:.2f}, {blue:.2f}), "
        f"deviation {deviation:.1f}, eigenvalue {deviation**2:,.0f}",
        fontsize=SMALL,
        pad=2,
    )
    axes.set_yticks([])
    axes.tick_params(labelsize=SMALL)


def _bytes(levels: NDArray[np.floating]) -> Image:
    return levels.round().clip(0, 255).astype(np.uint8)


def _number(axis: "Axis", *, also: Sequence[float] = ()) -> None:
    """Put plain numbers on a logarithmic axis, and `also` others."""
    from matplotlib.ticker import NullLocator

    least, greatest = axis.get_view_interval()
    least = max(least, 1) if also else least  # up to 1 such an axis is a straight one
    digits = (1, 2, 5) if greatest < 1000 * least else (1,)
    ticks = (digit * 10.0**power for power in range(-4, 8) for digit in digits)
    axis.set_ticks([*also, *(tick for tick in ticks if least <= tick <= greatest)])
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _legend_above(axes: "Axes") -> None:
    place = (0.5, 1.0)
    axes.legend(fontsize=SMALL, frameon=False, loc="lower center", bbox_to_anchor=place, ncols=2)


def _open(axes: "Axes") -> None:
    """Leave of the frame what carries numbers."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
