"""Sheets of small pictures, a strip or a cell a class, and a training batch beside what it was.

A small picture is drawn dot for dot at DOTS an inch, so that it is as sharp as it can be and an SVG
holds no more of it than the PNG.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from alexnet.data.augment import Preprocessing
from alexnet.data.explore import spread
from alexnet.data.image import ImageError, Picture
from alexnet.data.pictures import Pictures
from alexnet.inspection.panels import (
    BLUE,
    DOTS,
    GREEN,
    NORMAL,
    ORANGE,
    SMALL,
    Image,
    as_picture,
    new_figure,
    shorten,
)
from alexnet.native.resize import Window, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, GAP, BAND = 96, 4, 21
"""Side of a small picture, what is between two, and the height of a line of text, in dots."""
BETWEEN = 20
"""Dots between two columns of strips."""
EMPTY = 225
"""Gray level of a cell without a picture."""
LETTER = 12
"""Dots of a letter of the title."""
LETTERS = 12
"""Letters of size SMALL that fit above a small picture."""
MARGIN, LINE, HISTOGRAM = 12, 26, 330
"""Dots at either side of a page, for a line of its title, and for the histogram below a batch."""
BATCH_ACROSS, BATCH_ROWS = 8, 2
MOST_SHEETS = 10
LEAST_WIDTH = 560


class Layout(NamedTuple):
    """How classes stand on a sheet."""

    pictures: int
    """Pictures of each class, in a strip."""
    across: int
    """Strips beside each other."""
    rows: int
    """Strips below each other."""


@dataclass(frozen=True)
class Strip:
    """Some pictures and what they are called."""

    title: str
    images: tuple[Image, ...]
    """(CELL, CELL, 3) each."""


class Sheets(NamedTuple):
    """What contact sheets show."""

    layout: Layout
    sheets: list[list[Strip]]
    """The strips of each."""


def choose_layout(classes: int, largest: int) -> Layout:
    """Return a layout for so many classes, the largest of so many pictures."""
    if largest == 1 or classes > 120:
        return Layout(1, 10, 10)
    if classes <= 12:
        return Layout(min(10, largest), 1, 12)
    return Layout(min(5, largest), 2, 12) if classes <= 24 else Layout(min(3, largest), 3, 12)


def fit_inside(picture: Picture, side: int = CELL) -> Image:
    """Show all of a picture in a white square; a tiny one is enlarged by a whole number.

    Shapes:  (H, W, 3) uint8 -> (side, side, 3).
    """
    longer = max(picture.shape[:2])
    if longer > side:
        height, width = (max(1, round(each * side / longer)) for each in picture.shape[:2])
        picture = resize(picture, (height, width), Window(0, 0, height, width))
    elif side // longer > 1:
        picture = picture.repeat(side // longer, 0).repeat(side // longer, 1)
    height, width, _ = picture.shape
    top, left = (side - height) // 2, (side - width) // 2
    cell = np.full((side, side, 3), 255, np.uint8)
    cell[top : top + height, left : left + width] = picture
    return cell


def read_strip(pictures: Pictures, places: Sequence[int], count: int) -> tuple[Image, ...]:
    """Return `count` pictures spread evenly over some places; for a bad one the next, if any."""
    starts = [*spread(len(places), count).tolist(), len(places)] if places else []
    found = []
    for start, end in pairwise(starts):
        for index in places[start:end]:
            try:
                found.append(fit_inside(pictures.pixels(index, at_least=CELL)))
                break
            except ImageError:  # the table names those that were looked at
                continue
    return tuple(found)


def read_sheets(pictures: Pictures) -> Sheets:
    """Read some pictures of every class, or of classes spread evenly, for MOST_SHEETS at most."""
    members: list[list[int]] = [[] for _ in pictures.classes]
    for index, label in enumerate(pictures.labels):
        members[label].append(index)
    layout = choose_layout(len(members), max(map(len, members)))
    per_sheet = layout.across * layout.rows
    strips = []
    for label in spread(len(members), MOST_SHEETS * per_sheet).tolist():
        images = read_strip(pictures, members[label], layout.pictures)
        title = shorten(pictures.classes[label], LETTERS)
        if layout.pictures > 1:
            count = f"  {len(members[label]):,}"
            letters = layout.pictures * LETTERS - len(count)
            title = shorten(pictures.classes[label], letters) + count
        strips.append(Strip(title, images))
    sheets = [strips[start : start + per_sheet] for start in range(0, len(strips), per_sheet)]
    return Sheets(layout, sheets)


def draw_sheet(strips: Sequence[Strip], layout: Layout, title: str) -> "Figure":
    """Draw strips, each below its title: column by column, single pictures row by row."""
    single = layout.pictures == 1
    if single:
        across = min(layout.across, len(strips))
    else:
        across = min(layout.across, -(-len(strips) // layout.rows))
    rows = -(-len(strips) // across)
    wide = layout.pictures * (CELL + GAP) - GAP + (GAP if single else BETWEEN)
    tall = BAND + CELL + GAP
    page = _Page(across * wide, rows * tall, title)
    for number, strip in enumerate(strips):
        row, column = divmod(number, across) if single else divmod(number, rows)[::-1]
        top, left = row * tall, column * wide
        page.write(strip.title, top, left)
        for place in range(layout.pictures):
            image = strip.images[place] if place < len(strip.images) else None
            page.lay(image, top + BAND, left + place * (CELL + GAP))
    return page.finish()


def draw_first_batch(
    pictures: Tensor,
    inputs: Tensor,
    names: Sequence[str],
    *,
    preprocessing: Preprocessing,
    title: str,
) -> "Figure":
    """Draw pictures of a batch, below each what the net sees of it, and the values it gets.

    The numbers are mean and standard deviation of those values.

    Shapes:  pictures (N, H, W, 3) uint8, inputs (N, C, crop, crop), N names of classes.
    """
    shown = min(len(pictures), BATCH_ACROSS * BATCH_ROWS)
    rows = -(-shown // BATCH_ACROSS)
    tall = 2 * BAND + 2 * CELL + 2 * GAP + 6
    page = _Page(BATCH_ACROSS * (CELL + GAP), rows * tall, title, more=HISTOGRAM)
    for number in range(shown):
        row, column = divmod(number, BATCH_ACROSS)
        top, left = row * tall, column * (CELL + GAP)
        page.write(shorten(names[number], LETTERS), top, left)
        page.lay(fit_inside(pictures[number].numpy()), top + BAND, left)
        seen = fit_inside(as_picture(inputs[number], preprocessing))
        page.lay(seen, top + BAND + CELL + GAP, left)
        numbers = f"{_brief(inputs[number].mean())} \u00b1 {_brief(inputs[number].std())}"
        page.write(numbers, top + BAND + 2 * CELL + GAP, left)
    _draw_values(page.below(), inputs)
    return page.finish()


def _brief(value: Tensor) -> str:
    digits = 1 if value.abs() < 10 else 0
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # 0 has no sign


def _draw_values(axes: "Axes", inputs: Tensor) -> None:
    """Draw how often the net gets each value, colour by colour."""
    styles = [(ORANGE, "-", "red"), (GREEN, "--", "green"), (BLUE, ":", "blue")]
    if inputs.shape[1] == 1:
        styles = [("black", "-", "gray")]
    least, greatest = float(inputs.min()), float(inputs.max())
    edges = np.linspace(least, max(greatest, least + 1e-3), 65)
    for channel, (colour, line, label) in zip(inputs.unbind(1), styles, strict=False):
        counts, _ = np.histogram(channel.numpy(), edges)
        axes.stairs(
            counts / channel.numel(), edges, color=colour, linestyle=line, lw=1.3, label=label
        )
    axes.set_xlabel("value that the net gets, all pictures of the batch", fontsize=SMALL)
    axes.set_ylabel("share of pixels", fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=SMALL, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


class _Page:
    """A figure of which every dot is known."""

    def __init__(self, width: int, height: int, title: str, *, more: int = 0) -> None:
        """Make room for a title, for `height` dots of small pictures, and for `more` below."""
        self.width, self.height, self.more = max(width + 2 * MARGIN, LEAST_WIDTH), height, more
        lines = textwrap.wrap(title, self.width // LETTER)
        self.whole = int((len(lines) + 0.6) * LINE) + height + more
        self.figure = new_figure(self.width / DOTS, self.whole / DOTS)
        self.figure.set_layout_engine("none")  # each dot has its place
        top = 1 - 0.3 * LINE / self.whole
        self.figure.text(
            0.5, top, "\n".join(lines), ha="center", va="top", fontsize=NORMAL + 1, linespacing=1.1
        )
        self.dots = np.full((height, self.width, 3), 255, np.uint8)
        self.axes = self.figure.add_axes((0, more / self.whole, 1, height / self.whole))

    def below(self) -> "Axes":
        """Return axes in the room below the small pictures."""
        across, down = 105 / self.width, 75 / self.whole
        tall = (self.more - 95) / self.whole
        return self.figure.add_axes((across, down, 1 - across - MARGIN / self.width, tall))

    def lay(self, image: Image | None, top: int, left: int) -> None:
        """Lay a small picture down, or gray where there is none."""
        left += MARGIN
        self.dots[top : top + CELL, left : left + CELL] = EMPTY if image is None else image

    def write(self, text: str, top: int, left: int) -> None:
        """Write a line; its band's upper left corner is given."""
        self.axes.text(left + MARGIN, top + BAND - 5, text, fontsize=SMALL, va="baseline")

    def finish(self) -> "Figure":
        """Return the figure with what was laid down."""
        self.axes.imshow(
            self.dots,
            interpolation="nearest",
            extent=(0, self.width, self.height, 0),
            aspect="auto",
        )
        self.axes.set_axis_off()
        return self.figure
