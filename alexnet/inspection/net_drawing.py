"""Figure 2 of the paper for any net: its layers as boxes with their sizes, columns apart.

Source: Krizhevsky 2012, figure 2. All sizes are read off the net as it runs: a box is what a layer
with weights gives, as high as the root of its maps' side and as wide as the logarithm of their
number. Layers or blocks of one shape in a row are drawn once. Columns are the groups of the second
convolution; arrows cross where a layer reads all columns.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from alexnet.inspection.panels import BLUE, GREY, ORANGE, SMALL, new_figure, shorten
from alexnet.inspection.watch import watched
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.subsampling import Subsampling
from alexnet.nets.chain import Chain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 9
"""The most boxes a row."""
PLACE = 1.35
"""Inches for a box and its arrow."""
LINE = 0.125
"""Inches for a line below a box."""


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
        elif kind := _pool(layer):
            found[-1] = replace(found[-1], below=f"{kind} to {shape[-1]}")
    groups = [_groups(layer) for _, layer in steps if isinstance(layer, nn.Conv2d)]
    columns = groups[1] if len(groups) > 1 and 1 < groups[1] <= 4 else 1
    return found, columns


def draw_net(net: Chain, x: Tensor, title: str) -> "Figure":
    """Draw a net; see `boxes`. Between the layers of one that branches stand no arrows."""
    found, columns = boxes(net, x)
    across = -(-len(found) // -(-len(found) // ACROSS))
    rows = [found[first : first + across] for first in range(0, len(found), across)]
    depths = [0.1 + LINE * max(len(_lines(box)) for box in row) for row in rows]
    heights = [1.5 * columns + 0.15 + depth for depth in depths]
    width = PLACE * across + 0.3
    figure = new_figure(width, sum(heights) + 0.5, title)
    grid = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    side = max(box.shape[-1] for box in found if len(box.shape) == 3)
    before: Box | None = None
    for axes, row, depth in zip(grid, rows, depths, strict=True):
        axes.set_xlim(-0.2, PLACE * across + 0.1)
        axes.set_ylim(-depth, 1.5 * columns + 0.15)
        axes.set_aspect("equal")
        axes.set_axis_off()
        for place, box in enumerate(row):
            parts = 1 if box.name == "input" or box is found[-1] else columns
            _draw_box(axes, box, place * PLACE, parts, columns, side)
            if before and not net.branches:
                sources = 1 if before.name == "input" else columns
                wide, _, deep = _extent(before, sources, side)
                start = (place - 1) * PLACE + 0.35 + wide + deep + 0.04 if place else -0.15
                span = (start, place * PLACE + 0.33)
                _draw_arrows(axes, box, span, (sources, parts, columns))
            before = box
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


def _pool(layer: nn.Module) -> str:
    """Return what kind of pool a layer is, "" for none."""
    kind = type(layer).__name__
    if isinstance(layer, Subsampling):
        return "subsampled"
    if "Pool" not in kind:
        return ""
    return "average pool" if "Av" in kind else "max pool"


def _kernel(layer: nn.Module) -> str:
    if isinstance(layer, PartialConvolution):
        return f"{layer.size} x {layer.size}, partly connected"
    if isinstance(layer, nn.Conv2d):
        size = f"{layer.kernel_size[0]} x {layer.kernel_size[1]}"
        return size if layer.stride[0] == 1 else f"{size}, stride {layer.stride[0]}"
    if isinstance(layer, nn.Linear | InnerProduct):
        return ""
    words = re.findall("[A-Z][a-z0-9]*", type(layer).__name__)
    return " ".join(words).lower()


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
    lines = "\n".join(_lines(box))
    axes.text(left + 0.5, -0.05, lines, ha="center", va="top", fontsize=SMALL - 1)


def _lines(box: Box) -> list[str]:
    """Return what stands below a box."""
    names = [shorten(name, 22) for name in box.name.split(" to ")]
    size = " x ".join(map(str, box.shape))
    size += f", {box.repeated} times" if box.repeated > 1 else ""
    names[1:] = [f"to {name}" for name in names[1:]]
    return [*names, size, *(line for line in (box.kernel, box.below) if line)]


def _draw_arrows(
    axes: "Axes", box: Box, span: tuple[float, float], counts: tuple[int, int, int]
) -> None:
    """Draw arrows over a span of x to a box; counts are parts before, here, and columns."""
    sources, parts, columns = counts
    for part, source in _pairs(parts, sources, box.crossing):
        straight = parts == sources and part == source
        axes.annotate(
            "",
            (span[1], _middle(part, parts, columns)),
            (span[0], _middle(source, sources, columns)),
            arrowprops={
                "arrowstyle": "->",
                "lw": 0.8,
                "shrinkA": 0,
                "shrinkB": 0,
                "color": GREY if straight else ORANGE if parts > 1 and sources > 1 else BLUE,
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
