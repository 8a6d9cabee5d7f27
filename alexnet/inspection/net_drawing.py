"""Figure 2 of the paper for any net: its layers as boxes with their sizes, columns apart.

Source: Krizhevsky 2012, figure 2. All sizes are read off the net as it runs: a box is what a layer
with weights gives, as high as the root of its maps' side and as wide as the logarithm of their
number. Layers or blocks of one shape in a row are drawn once. Columns are the groups of the second
convolution; arrows cross where a layer reads all columns.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from alexnet.inspection.panels import BLUE, GREY, ORANGE, SMALL, new_figure, shorten
from alexnet.inspection.watch import watched
from alexnet.nets.chain import Chain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 9
"""Boxes a row."""
PLACE = 1.35
"""Inches for a box and its arrow."""


@dataclass(frozen=True)
class Box:
    """A layer with weights, or several of one shape in a row."""

    name: str
    shape: tuple[int, ...]
    """(C, H, W) or (units,)."""
    kernel: str = ""
    """Kernel and stride in words; "" for other layers."""
    crossing: bool = True
    """Whether it reads all columns."""
    below: str = ""
    """The pool that follows, if one does."""
    repeated: int = 1
    """How many layers of this shape stand in a row."""


def boxes(net: Chain, x: Tensor) -> tuple[list[Box], int]:
    """Return what a drawing of the net shows, the input first, and the net's columns.

    Shapes:  x (1, C, H, W) on the net's device, which may be `meta`.
    """
    steps = list(net.steps())
    with torch.no_grad(), watched(net, [name for name, _ in steps]) as kept:
        net(x)
    found = [Box("input", tuple(x.shape[1:]))]
    for name, layer in steps:
        if name not in kept:
            continue
        shape = tuple(kept[name].shape[1:])
        if _is_drawn(layer):
            box = Box(name, shape, _kernel(layer), crossing=_groups(layer) == 1)
            found = _add(found, box)
        elif "Pool" in type(layer).__name__ or type(layer).__name__ == "Subsampling":
            kind = "average pool" if "Av" in type(layer).__name__ else "max pool"
            found[-1] = replace(found[-1], below=f"{kind} to {shape[-1]}")
    groups = [_groups(layer) for _, layer in steps if isinstance(layer, nn.Conv2d)]
    columns = groups[1] if len(groups) > 1 and 1 < groups[1] <= 4 else 1
    return found, columns


def draw_net(net: Chain, x: Tensor, title: str) -> "Figure":
    """Draw a net; see `boxes`."""
    found, columns = boxes(net, x)
    rows = [found[first : first + ACROSS] for first in range(0, len(found), ACROSS)]
    width = PLACE * min(len(found), ACROSS) + 0.4
    figure = new_figure(width, (1.5 * columns + 1.1) * len(rows) + 0.4, title)
    grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    side = max(box.shape[-1] for box in found if len(box.shape) == 3)
    for number, (axes, row) in enumerate(zip(grid, rows, strict=True)):
        axes.set_xlim(-0.2, PLACE * min(len(found), ACROSS) + 0.1)
        axes.set_ylim(-0.85, 1.5 * columns + 0.1)
        axes.set_aspect("equal")
        axes.set_axis_off()
        for place, box in enumerate(row):
            parts = 1 if box.name == "input" or box is found[-1] else columns
            _draw_box(axes, box, place * PLACE, parts, columns, side)
            if number or place:
                _draw_arrows(axes, box, place * PLACE, parts, columns, first=found[1] is box)
    return figure


def _add(found: list[Box], box: Box) -> list[Box]:
    """Add a box, or count it with the last where blocks of one shape stand in a row."""
    last = found[-1]
    alike = (last.shape, last.kernel, last.below) == (box.shape, box.kernel, "")
    stem = box.name.rpartition("_")[0]
    if alike and stem and last.name.partition(" ")[0].rpartition("_")[0] == stem:
        first = last.name.partition(" ")[0]
        count = last.repeated + 1
        return [*found[:-1], replace(last, name=f"{first} to {box.name}", repeated=count)]
    return [*found, box]


def _is_drawn(layer: nn.Module) -> bool:
    if not list(layer.parameters()) and type(layer).__name__ != "RadialBasis":
        return False
    return not isinstance(layer, nn.BatchNorm2d) and type(layer).__name__ not in (
        "Subsampling",
        "BatchNorm",
        "Affine",
        "Shift",
        "PReLU",
    )


def _kernel(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d):
        size = f"{layer.kernel_size[0]} x {layer.kernel_size[1]}"
        return size if layer.stride[0] == 1 else f"{size}, stride {layer.stride[0]}"
    return "" if isinstance(layer, nn.Linear) else type(layer).__name__.lower()


def _groups(layer: nn.Module) -> int:
    return layer.groups if isinstance(layer, nn.Conv2d) else 1


def _extent(box: Box, parts: int, side: int) -> tuple[float, float, float]:
    """Return width, height and depth of a box, in inches."""
    count = box.shape[0] / parts
    if len(box.shape) == 3:
        high = 0.15 + 0.75 * math.sqrt(box.shape[1] / side)
        return 0.07 * math.log2(count + 1), high, 0.3 * high
    return 0.16, 0.3 + 0.07 * math.log2(count + 1), 0.0


def _draw_box(axes: "Axes", box: Box, left: float, parts: int, columns: int, side: int) -> None:
    from matplotlib.patches import Polygon

    width, high, depth = _extent(box, parts, side)
    for part in range(parts):
        middle = _middle(part, parts, columns)
        x, y = left + 0.35, middle - high / 2
        face = [(x, y), (x + width, y), (x + width, y + high), (x, y + high)]
        top = [(x, y + high), (x + width, y + high)]
        top += [(x + width + depth, y + high + depth), (x + depth, y + high + depth)]
        end = [(x + width, y), (x + width + depth, y + depth)]
        end += [(x + width + depth, y + high + depth), (x + width, y + high)]
        for corners, fill in ((face, "#cfe3f1"), (top, "#e9f2f9"), (end, "#a9cce3")):
            if depth or corners is face:
                axes.add_patch(Polygon(corners, facecolor=fill, edgecolor="black", lw=0.7))
    lines = [f"{shorten(box.name, 26)}", " x ".join(map(str, box.shape))]
    if box.repeated > 1:
        lines[0] = "\nto ".join(shorten(name, 24) for name in box.name.split(" to "))
        lines[1] += f", {box.repeated} times"
    lines += [line for line in (box.kernel, box.below) if line]
    axes.text(left + 0.5, -0.05, "\n".join(lines), ha="center", va="top", fontsize=SMALL - 1)


def _draw_arrows(
    axes: "Axes", box: Box, left: float, parts: int, columns: int, *, first: bool
) -> None:
    starts = [0.0] if first else [_middle(p, columns, columns) for p in range(columns)]
    starts = [_middle(0, 1, columns)] if first else starts
    for part, source in _pairs(parts, len(starts), box.crossing):
        straight = parts == len(starts) and part == source
        axes.annotate(
            "",
            (left + 0.33, _middle(part, parts, columns)),
            (left - 0.12, starts[source]),
            arrowprops={
                "arrowstyle": "->",
                "lw": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
                "color": GREY if straight else ORANGE if parts > 1 and len(starts) > 1 else BLUE,
                "linestyle": "-" if straight else "--",
            },
        )


def _pairs(parts: int, sources: int, crossing: bool) -> Iterator[tuple[int, int]]:
    for part in range(parts):
        for source in range(sources):
            if crossing or part == source or sources == 1:
                yield part, source


def _middle(part: int, parts: int, columns: int) -> float:
    """Return the height of a part's middle; the first column is on top."""
    if parts == 1:
        return 0.75 * columns - 0.1
    return 1.5 * (columns - 1 - part) + 0.65
