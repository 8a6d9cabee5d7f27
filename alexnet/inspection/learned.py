"""What layers have learned, drawn: kernels, activations, and what excites their units.

Sources: Krizhevsky 2012, figure 3 (kernels of conv1, one column above the other); Zeiler and Fergus
2014, figure 2 (projections beside the parts of pictures that caused them).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from alexnet.inspection.kernels import (
    RANDOM_COLOURFULNESS,
    colourfulness,
    describe,
    specialisation,
)
from alexnet.inspection.panels import (
    BLUE,
    GREY,
    ORANGE,
    SMALL,
    Image,
    bare,
    new_figure,
    show,
    signed,
    tile,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENLARGED = 4
"""Dots a pixel of a kernel."""
ACROSS = 16


@dataclass(frozen=True)
class Excited:
    """What excites one unit of a layer."""

    title: str
    """Which unit, and how much it was excited."""
    images: tuple[Image, ...]
    """Pictures of one size."""


def draw_kernels(kernels: Tensor, *, columns: int, title: str) -> "Figure":
    """Draw the first layer's kernels, column by column, and how colourful they are.

    Each kernel is scaled by its own largest weight; gray is 0. Within a column the kernels stand in
    the net's order. Red, green and blue are the picture's own.

    Shapes:  kernels (K, 3 or other, height, width).
    """
    coloured = kernels.shape[1] == 3
    parts = kernels.chunk(columns)
    rows = [-(-len(part) // ACROSS) for part in parts]
    across = min(ACROSS, len(parts[0]))
    figure = new_figure(7, 0.45 * sum(rows) + 0.25 * columns + (2.4 if coloured else 0.5), title)
    ratios = [0.45 * count for count in rows] + ([1.2] if coloured else [])
    grid = figure.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    measured = specialisation(kernels, columns) if coloured else None
    for number, (axes, part) in enumerate(zip(grid, parts, strict=False)):
        images = [signed(_enlarged(kernel)) for kernel in part]
        heading = f"column {number + 1} of {columns}: " if columns > 1 else ""
        heading += f"{len(part)} kernels, {kernels.shape[2]} x {kernels.shape[3]}"
        if measured:
            heading += f", colourfulness {measured.colourfulness[number]:.2f}"
        show(axes, tile(images, across, gap=3), heading)
    if measured:
        _draw_colourfulness(grid[-1], [colourfulness(part) for part in parts])
        if columns > 1:
            grid[-1].set_title("\n".join(wrap(describe(measured), 95)), fontsize=SMALL)
    return figure


def _enlarged(kernel: Tensor) -> Tensor:
    return F.interpolate(kernel[None], scale_factor=ENLARGED, mode="nearest")[0]


def _draw_colourfulness(axes: "Axes", parts: Sequence[Tensor]) -> None:
    bins = [float(edge) for edge in np.linspace(0, 1, 21)]
    styles = ((BLUE, "-"), (ORANGE, "--"), (GREY, "-."), ("black", ":"))
    for number, part in enumerate(parts):
        colour, line = styles[number % len(styles)]
        label = f"column {number + 1}"
        axes.hist(
            part.tolist(), bins, histtype="step", color=colour, linestyle=line, lw=1.6, label=label
        )
    axes.axvline(RANDOM_COLOURFULNESS, color="black", lw=0.8, ls=":")
    axes.annotate(
        "random weights",
        (RANDOM_COLOURFULNESS, 1),
        (3, -9),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=SMALL,
    )
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.35 * axes.get_ylim()[1])
    axes.set_xlabel("colourfulness: 0 gray alone, 1 colour alone", fontsize=SMALL)
    axes.set_ylabel("kernels", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    if len(parts) > 1:
        axes.legend(fontsize=SMALL, frameon=False, loc="upper left")


def draw_activations(
    image: Image, layers: Sequence[tuple[str, Tensor]], *, most: int, title: str
) -> "Figure":
    """Draw a picture and, of each layer, the maps that it excites most.

    A row's maps share a scale: dark 0 and yellow the row's largest, or where some are negative
    orange for these, white 0 and purple the row's largest.

    Shapes:  layers (name, (C, H, W)) each.
    """
    most = min(most, max(4, *(len(maps) for _, maps in layers)))
    figure = new_figure(0.7 + 0.93 * (most + 1), 0.98 * (len(layers) + 1) + 0.3, title)
    grid = figure.subplots(len(layers) + 1, most + 1, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    grid[0][0].imshow(image)
    text = "the picture as the net sees it"
    if any(bool((maps < 0).any()) for _, maps in layers):
        text += "\norange: below 0; purple: above"
    grid[0][1].text(0, 0.5, text, fontsize=SMALL, va="center", in_layout=False)
    for line, (name, maps) in zip(grid[1:], layers, strict=True):
        shape = " x ".join(map(str, maps.shape))
        line[0].text(
            1, 0.5, f"{name}\n{shape}", fontsize=SMALL, va="center", ha="right", in_layout=False
        )
        order = maps.abs().amax((1, 2)).argsort(descending=True, stable=True)[:most].tolist()
        two_sided = bool((maps < 0).any())
        largest = max(float(maps.abs().max()), 1e-20)
        colours, lowest = ("PuOr", -largest) if two_sided else ("viridis", 0.0)
        for axes, channel in zip(line[1:], order, strict=False):
            axes.imshow(maps[channel].numpy(), cmap=colours, vmin=lowest, vmax=largest)
            axes.set_title(f"{channel}", fontsize=6, pad=1.5)
    return figure


def draw_excited(items: Sequence[Excited], *, across: int, wide: int, title: str) -> "Figure":
    """Draw for each unit its pictures, `wide` beside each other, `across` units a row."""
    rows = -(-len(items) // across)
    per_unit = -(-max(len(item.images) for item in items) // wide)
    each, lines = 7.4 / across, max(item.title.count("\n") + 1 for item in items)
    figure = new_figure(7.6, rows * (each * per_unit / wide + 0.14 + 0.14 * lines) + 0.5, title)
    grid = figure.subplots(rows, across, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for axes, item in zip(grid.flat, items, strict=False):
        show(axes, tile(item.images, wide, gap=max(1, item.images[0].shape[0] // 40)), item.title)
        for side in axes.spines.values():  # without it a white picture has no end
            side.set(visible=True, color="#cccccc", linewidth=0.6)
    return figure
