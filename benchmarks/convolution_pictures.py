"""Draw the pictures of docs/convolution.md.

    python -m benchmarks.convolution_pictures [--folder docs/convolution] [--format svg]

The same program and the same matplotlib write the same bytes. Colours are Okabe and Ito's, which
colour-blind readers tell apart; letters are those of alexnet/convolution/problem.py. Numbers in the
pictures are computed here, and are those of the text.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Polygon, Rectangle
from numpy.typing import NDArray

Place = tuple[float, float]
"""Cells to the right, and downwards."""
Grid = NDArray[np.int64]

WIDTH = 7.2
"""Inches: some 690 pixels in a browser."""
INK, GREY, PALE = "#222222", "#8C8C8C", "#f4f4f4"
BLUE, ORANGE, GREEN, PINK = "#56B4E9", "#E69F00", "#009E73", "#CC79A7"
COLOURS = (BLUE, ORANGE, GREEN, PINK)

PICTURE = np.array(
    [[1, 2, 0, 1, 3], [0, 1, 2, 3, 1], [2, 0, 1, 1, 0], [1, 3, 2, 0, 1], [0, 1, 1, 2, 2]]
)
KERNEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])


class Sheet(NamedTuple):
    """A figure whose unit is the side of a cell, counted from the corner above left."""

    figure: Figure
    axes: Axes

    def grid(
        self, at: Place, shape: tuple[int, int], values: Grid | None = None, fill: str = PALE
    ) -> None:
        """Draw rows and columns of cells, with numbers in them if there are any."""
        for row, column in np.ndindex(shape):
            self.cell((at[0] + column, at[1] + row), fill)
            if values is not None:
                self.say((at[0] + column + 0.5, at[1] + row + 0.5), str(values[row, column]))

    def cell(self, at: Place, fill: str, *, alpha: float = 1.0, hatch: str = "") -> None:
        """Draw one cell."""
        face = mpl.colors.to_rgba(fill, alpha)
        self.axes.add_patch(
            Rectangle(at, 1, 1, facecolor=face, edgecolor=GREY, linewidth=0.6, hatch=hatch)
        )

    def frame(self, at: Place, size: Place, colour: str, *, dashed: bool = False) -> None:
        """Draw a thick line around cells."""
        line = "--" if dashed else "-"
        self.axes.add_patch(
            Rectangle(
                at, *size, fill=False, edgecolor=colour, linewidth=2.4, linestyle=line, zorder=4
            )
        )

    def arrow(self, start: Place, end: Place, colour: str = INK) -> None:
        """Draw an arrow."""
        self.axes.add_patch(
            FancyArrowPatch(
                start, end, arrowstyle="-|>", mutation_scale=10, color=colour, linewidth=1.2,
                shrinkA=0, shrinkB=0, zorder=5,
            )
        )  # fmt: skip

    def say(self, at: Place, text: str, *, side: str = "center", size: float = 9.5) -> None:
        """Write text; `side` says which end of it is at the place, or its middle."""
        self.axes.text(*at, text, ha=side, va="center", fontsize=size, color=INK, zorder=6)


def sheet(width: float, height: float) -> Sheet:
    """Return an empty sheet of so many cells."""
    figure = Figure(figsize=(WIDTH, WIDTH * height / width), facecolor="white")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return Sheet(figure, axes)


def correlate(x: Grid, w: Grid, *, stride: int = 1) -> Grid:
    """Return the definition of convolution without padding, in numbers."""
    rows, columns = ((h - r) // stride + 1 for h, r in zip(x.shape, w.shape, strict=True))
    return np.array(
        [
            [
                int((x[s : s + w.shape[0], t : t + w.shape[1]] * w).sum())
                for t in range(0, columns * stride, stride)
            ]
            for s in range(0, rows * stride, stride)
        ]
    )


def draw_window() -> Figure:
    """Draw the sliding window with stride 2 and padding 1."""
    page = sheet(24, 9.6)
    padded = np.pad(PICTURE, 1)
    page.grid((0.5, 1.3), (7, 7), fill="#ffffff")
    page.grid((1.5, 2.3), (5, 5))
    for (row, column), colour in (((0, 0), BLUE), ((1, 2), ORANGE)):
        for r, s in np.ndindex(3, 3):
            page.cell((0.5 + 2 * column + s, 1.3 + 2 * row + r), colour, alpha=0.3)
        page.frame((0.5 + 2 * column, 1.3 + 2 * row), (3, 3), colour)
    for row, column in np.ndindex(7, 7):
        page.say((1 + column, 1.8 + row), str(padded[row, column]))
    page.say((0.5, 0.6), "x, 5 x 5, and padding of 1", side="left")
    page.arrow((0.5, 8.75), (2.5, 8.75))
    page.say((2.9, 8.75), "stride 2: from a window to the next", side="left")
    page.say((8.55, 4.8), "$*$", size=14)
    page.grid((9.6, 3.3), (3, 3), KERNEL)
    page.say((9.6, 2.6), "w, 3 x 3", side="left")
    page.say((13.6, 4.8), "=", size=14)
    page.grid((14.6, 3.3), (3, 3), correlate(padded, KERNEL, stride=2))
    page.cell((14.6, 3.3), BLUE, alpha=0.4)
    page.cell((16.6, 4.3), ORANGE, alpha=0.4)
    page.say((14.6, 2.6), "y, 3 x 3", side="left")
    page.say((18.4, 3.8), "each y: nine products,", side="left")
    page.say((18.4, 4.7), "summed", side="left")
    page.say((18.4, 5.9), "(5 + 2 - 3) // 2 + 1", side="left")
    page.say((18.4, 6.8), "= 3 a side", side="left")
    return page.figure


def draw_im2col() -> Figure:
    """Draw the matrix of a picture's windows."""
    page = sheet(24, 12.4)
    x = np.arange(1, 10).reshape(3, 3)
    kernels = np.array([[1, 0, 0, -1], [1, 1, 1, 1]])
    windows = [x[p : p + 2, q : q + 2].reshape(4) for p, q in np.ndindex(2, 2)]
    columns = np.stack(windows, axis=1)
    for place, colour in enumerate(COLOURS):
        p, q = divmod(place, 2)
        left = 0.5 + 4.4 * place
        page.grid((left, 1.2), (3, 3), x)
        for r, s in np.ndindex(2, 2):
            page.cell((left + q + s, 1.2 + p + r), colour, alpha=0.4)
        page.frame((left + q, 1.2 + p), (2, 2), colour)
        page.arrow((left + 1.5, 4.4), (7.9 + 1.5 * place, 6.6), colour)
        for row in range(4):
            at = (7.4 + 1.5 * place, 6.8 + row)
            page.cell(at, colour, alpha=0.4)
            page.say((at[0] + 0.5, at[1] + 0.5), str(columns[row, place]))
        for row, value in enumerate(kernels @ columns[:, place]):
            at = (15.4 + 1.5 * place, 7.8 + row)
            page.cell(at, colour, alpha=0.4)
            page.say((at[0] + 0.5, at[1] + 0.5), str(value))
    page.say((0.5, 0.6), "the windows of a picture, kernel 2 x 2", side="left")
    page.grid((0.9, 7.8), (2, 4), kernels)
    page.say((0.9, 7.2), "w: 2 kernels", side="left")
    page.say((6.2, 8.8), "x", size=13)
    page.say((14.2, 8.8), "=", size=13)
    page.say((15.4, 7.2), "y: a row for each kernel", side="left")
    page.frame((7.15, 6.6), (3.0, 4.4), INK, dashed=True)
    page.say((7.15, 11.6), "a block of columns: as many as fit into the cache", side="left")
    return page.figure


def draw_dilation() -> Figure:
    """Draw what a kernel of 3 x 3 meets with dilation 1, 2 and (1, 2)."""
    page = sheet(24, 9.4)
    for place, (name, (d, e)) in enumerate(
        (("dilation 1", (1, 1)), ("dilation 2", (2, 2)), ("dilation (1, 2)", (1, 2)))
    ):
        left, colour = 0.75 + 7.75 * place, COLOURS[place]
        page.say((left, 0.6), name, side="left")
        page.grid((left, 1.2), (7, 7))
        for r, s in np.ndindex(3, 3):
            page.cell((left + 1 + e * s, 2.2 + d * r), colour, alpha=0.7)
            page.say((left + 1.5 + e * s, 2.7 + d * r), str(3 * r + s), size=8.5)
        page.frame((left + 1, 2.2), (2 * e + 1, 2 * d + 1), colour)
        page.say((left, 8.8), f"reach {2 * d + 1} x {2 * e + 1}, 9 taps", side="left")
    return page.figure


def draw_winograd() -> Figure:
    """Draw the overlapping tiles of F(2x2, 3x3) and the three stages."""
    page = sheet(30, 15.4)
    page.say((0.5, 0.6), "x: tiles of 4 x 4 overlap by 2", side="left")
    page.grid((0.5, 1.2), (8, 8))
    for column, colour in ((0, BLUE), (2, ORANGE)):
        for r, s in np.ndindex(4, 4):
            page.cell((0.5 + column + s, 1.2 + r), colour, alpha=0.35)
    page.frame((0.5, 1.2), (4, 4), BLUE)
    page.frame((2.5, 1.2), (4, 4), ORANGE, dashed=True)
    page.say((21.5, 0.6), "y: tiles of 2 x 2 side by side", side="left")
    page.grid((22.5, 1.2), (6, 6))
    for column, colour in ((0, BLUE), (2, ORANGE)):
        for r, s in np.ndindex(2, 2):
            page.cell((22.5 + column + s, 1.2 + r), colour, alpha=0.6)
        page.frame((22.5 + column, 1.2), (2, 2), colour)
    stage = 10.2
    for left, name, colour in ((3.0, "V", BLUE), (11.0, "U", GREEN), (19.0, "M", PINK)):
        page.grid((left, stage), (4, 4))
        for r, s in np.ndindex(4, 4):
            page.cell((left + s, stage + r), colour, alpha=0.35)
        page.say((left + 2, stage + 4.6), name, size=11)
    page.arrow((2.5, 5.4), (5.0, 10.0), BLUE)
    page.say((8.8, 5.9), "1. input:", side="left")
    page.say((8.8, 6.8), r"$V = B^T d\,B$", side="left", size=11)
    page.say((9.0, 12.2), r"$\odot$", size=15)
    page.say((17.0, 12.2), "=", size=14)
    page.say((11.0, 9.5), r"$U = G\,g\,G^T$, once", side="left", size=10)
    page.arrow((21.0, 10.0), (23.3, 3.4), BLUE)
    page.say((23.2, 8.4), "3. output:", side="left")
    page.say((23.2, 9.3), r"$A^T M A$", side="left", size=11)
    page.say((23.6, 11.6), "2. products, place", side="left")
    page.say((23.6, 12.5), "by place, summed", side="left")
    page.say((23.6, 13.4), "over channels", side="left")
    return page.figure


def draw_overlap() -> Figure:
    """Draw overlap-save along a line: tiles of 8 inputs, a kernel of 3 taps."""
    page = sheet(20, 10.6)
    left = 5.0
    page.say((0.4, 0.95), "x", side="left")
    page.grid((left, 0.45), (1, 14), np.arange(14).reshape(1, 14))
    for first, top, colour in ((0, 2.2, BLUE), (6, 5.0, ORANGE)):
        name = "first" if first == 0 else "second"
        page.say((0.4, top + 0.5), f"{name} tile, T = 8", side="left")
        page.say((0.4, top + 1.8), "its outputs", side="left")
        for each in range(8):
            page.cell((left + first + each, top), colour, alpha=0.45)
            page.say((left + first + each + 0.5, top + 0.5), str(first + each))
            wrong = each < 2
            at = (left + first + each, top + 1.3)
            page.cell(at, PALE if wrong else colour, alpha=1.0 if wrong else 0.45)
            page.say((at[0] + 0.5, at[1] + 0.5), "-" if wrong else str(first + each - 2))
    page.say((0.4, 8.35), "y", side="left")
    for each in range(12):
        colour = BLUE if each < 6 else ORANGE
        page.cell((left + 2 + each, 7.85), colour, alpha=0.45)
        page.say((left + 2.5 + each, 8.35), str(each))
    page.say((left, 9.8), "- wrapped round, thrown away (R - 1 = 2 a tile)", side="left")
    return page.figure


def draw_text() -> Figure:
    """Draw a convolution along a text."""
    page = sheet(24, 8.8)
    words = ["the", "cat", "sat", "on", "the", "warm", "mat"]
    page.say((0.4, 1.4), "word", side="left")
    page.say((0.4, 4.7), "C = 5", side="left")
    page.say((0.4, 5.5), "numbers a word", side="left")
    for column, word in enumerate(words):
        page.say((5.0 + 1.35 * column + 0.5, 1.4), word, size=9)
        for row in range(5):
            inside = 1 <= column <= 3
            at = (5.0 + 1.35 * column, 2.2 + row)
            page.cell(at, BLUE if inside else PALE, alpha=0.45 if inside else 1.0)
    page.frame((6.2, 2.1), (4.0, 5.2), BLUE)
    page.say((5.0, 8.1), "w[k]: 5 x 3 numbers; it moves one way only", side="left")
    page.arrow((10.4, 6.7), (12.2, 6.7), BLUE)
    page.arrow((14.8, 4.7), (16.2, 4.7))
    page.say((16.7, 2.5), "y: K x 5", side="left")
    for column in range(5):
        for row in range(2):
            fill = BLUE if column == 1 else PALE
            page.cell((16.7 + 1.35 * column, 3.7 + row), fill, alpha=0.45 if column == 1 else 1.0)
    page.say((16.7, 6.5), "P = 7 - 3 + 1 = 5", side="left")
    return page.figure


def box(page: Sheet, at: Place, sizes: tuple[int, int, int], fill: str, alpha: float) -> None:
    """Draw three faces of a block of depth, height and width; `at` is its front's upper left."""
    depth, height, width = sizes
    away = (0.45, -0.45)
    face = mpl.colors.to_rgba(fill, alpha)

    def side(origin: Place, right: Place, down: Place) -> None:
        corners = [(0, 0), (1, 0), (1, 1), (0, 1)]
        points = [
            (origin[0] + i * right[0] + j * down[0], origin[1] + i * right[1] + j * down[1])
            for i, j in corners
        ]
        page.axes.add_patch(Polygon(points, facecolor=face, edgecolor=GREY, linewidth=0.6))

    for i, j in np.ndindex(height, width):
        side((at[0] + j, at[1] + i), (1, 0), (0, 1))
    for i, j in np.ndindex(depth, width):
        side((at[0] + j + i * away[0], at[1] + i * away[1]), (1, 0), away)
    for i, j in np.ndindex(depth, height):
        side((at[0] + width + i * away[0], at[1] + j + i * away[1]), away, (0, 1))


def draw_volume() -> Figure:
    """Draw the window of a volume."""
    page = sheet(24, 10.6)
    box(page, (0.8, 3.8), (5, 5, 6), PALE, 1.0)
    box(page, (3.8, 3.8), (3, 3, 3), BLUE, 0.75)
    page.say((0.8, 0.7), "x: D x H x W = 5 x 5 x 6", side="left")
    page.say((0.8, 9.6), "the window: T x R x S = 3 x 3 x 3, 27 products a channel", side="left")
    page.arrow((10.6, 5.5), (13.2, 5.5))
    box(page, (14.8, 4.6), (3, 3, 4), PALE, 1.0)
    box(page, (17.8, 4.6), (1, 1, 1), BLUE, 0.75)
    page.say((14.8, 2.1), "y: O x P x Q = 3 x 3 x 4", side="left")
    return page.figure


def draw_backward() -> Figure:
    """Draw the gradient of the input, spread out and gathered, for a stride of 2."""
    page = sheet(24, 20.4)
    dy, w = np.array([[1, 2], [3, 4]]), np.arange(1, 10).reshape(3, 3)
    dx = np.zeros((5, 5), dtype=np.int64)
    page.say((0.5, 0.6), "spread: each dy adds dy * w over its window", side="left")
    page.grid((0.5, 3.2), (2, 2), dy)
    page.say((0.5, 2.6), "dy", side="left")
    page.say((4.0, 4.2), "$*$", size=14)
    page.grid((5.3, 2.7), (3, 3), w)
    page.say((5.3, 2.1), "w", side="left")
    page.arrow((9.2, 4.2), (11.2, 4.2))
    for p, q in np.ndindex(2, 2):
        dx[2 * p : 2 * p + 3, 2 * q : 2 * q + 3] += dy[p, q] * w
    page.grid((12.0, 2.1), (5, 5), dx, fill="#ffffff")
    for (p, q), colour in zip(np.ndindex(2, 2), COLOURS, strict=True):
        page.cell((0.5 + q, 3.2 + p), colour, alpha=0.45)
        for r, s in np.ndindex(3, 3):
            page.cell((12.0 + 2 * q + s, 2.1 + 2 * p + r), colour, alpha=0.3)
    page.say((12.0, 1.5), "dx", side="left")
    page.say((17.8, 4.2), "windows overlap by", side="left")
    page.say((17.8, 5.1), "R - stride = 1", side="left")
    page.say((0.5, 9.0), "gathered: the same as a convolution with w turned round", side="left")
    wide = np.zeros((7, 7), dtype=np.int64)
    wide[2:5:2, 2:5:2] = dy
    page.grid((0.5, 11.0), (7, 7), wide, fill="#ffffff")
    for (p, q), colour in zip(np.ndindex(2, 2), COLOURS, strict=True):
        page.cell((2.5 + 2 * q, 13.0 + 2 * p), colour, alpha=0.45)
    page.frame((1.5, 12.0), (3, 3), INK)
    page.say((0.5, 10.4), "dy: zeros between and around", side="left")
    page.say((8.55, 14.5), "$*$", size=14)
    page.grid((9.6, 13.0), (3, 3), w[::-1, ::-1])
    page.say((9.6, 12.4), "w, turned", side="left")
    page.say((13.6, 14.5), "=", size=14)
    page.grid((14.6, 12.0), (5, 5), correlate(wide, w[::-1, ::-1]))
    page.frame((15.6, 13.0), (1, 1), INK)
    page.say((14.6, 11.4), "dx", side="left")
    page.say((0.5, 18.8), "between: stride - 1 zeros; around: R - 1 less the padding", side="left")
    return page.figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "window": draw_window,
    "backward": draw_backward,
    "im2col": draw_im2col,
    "winograd": draw_winograd,
    "overlap": draw_overlap,
    "text": draw_text,
    "volume": draw_volume,
    "dilation": draw_dilation,
}


def draw(folder: Path, *, form: str = "svg") -> list[Path]:
    """Draw all pictures into a folder and return their files."""
    metadata = {"Date": None, "Creator": None} if form == "svg" else None
    files = []
    with mpl.rc_context({"svg.hashsalt": "convolution", "svg.fonttype": "path"}):
        for name, picture in PICTURES.items():
            files.append(folder / f"{name}.{form}")
            picture().savefig(files[-1], metadata=metadata, dpi=96)
    return files


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the pictures as the command line says."""
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/convolution.md.")
    parser.add_argument("--folder", type=Path, default=Path("docs/convolution"))
    parser.add_argument("--format", choices=("svg", "png", "pdf"), default="svg")
    chosen = parser.parse_args(arguments)
    for file in draw(chosen.folder, form=chosen.format):
        print(file)


if __name__ == "__main__":
    main()
