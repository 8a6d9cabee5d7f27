"""What all figures share: colours that print and that colour-blind readers tell apart, files.

Source of the colours: Okabe and Ito, Color Universal Design; cividis and viridis of matplotlib.
"""

import io
import textwrap
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.augment import Preprocessing
from alexnet.data.digits import PackageMissing
from alexnet.store import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
SMALL, NORMAL = 7.5, 9
"""Sizes of letters, in points."""
DOTS = 150
"""Dots an inch of a PNG."""
FORMATS = ("png", "svg")
Image = NDArray[np.uint8]


def check_matplotlib() -> None:
    """Check that figures can be drawn here.

    Raises: PackageMissing, an OSError, if matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise PackageMissing(
            "figures need matplotlib; install it with: pip install 'alexnet[figures]'"
        )


def new_figure(width: float, height: float, title: str = "") -> "Figure":
    """Return an empty figure; width and height in inches.

    Raises: PackageMissing as `check_matplotlib`.
    """
    check_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        wide = max(24, int(width * 12.5))
        figure.suptitle("\n".join(textwrap.wrap(title, wide)), fontsize=NORMAL + 1)
    return figure


def save_figure(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """Write a figure as folder/name.png and .svg, whole or not at all; the same bytes each time.

    Raises: OSError if the disk refuses.
    """
    from matplotlib import rc_context

    paths = []
    for kind in FORMATS:
        data = io.BytesIO()
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        with rc_context({"svg.hashsalt": name}):
            figure.savefig(data, format=kind, dpi=DOTS, metadata=metadata)
        paths.append(folder / f"{name}.{kind}")
        write_atomically(paths[-1], data.getvalue())
    return paths


def show(axes: "Axes", image: Image | Tensor, title: str = "", *, below: str = "") -> None:
    """Show a picture without axes, a text above and below it."""
    axes.imshow(image if isinstance(image, np.ndarray) else image.numpy(), interpolation="nearest")
    bare(axes)
    if title:
        axes.set_title(title, fontsize=SMALL, pad=3)
    if below:
        axes.set_xlabel(below, fontsize=SMALL, labelpad=3)


def bare(axes: "Axes") -> None:
    """Take ticks and frame away."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def shorten(name: str, most: int = 18) -> str:
    """Cut a name that is too long for its place, printable whatever it holds."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in name)
    plain = plain.replace("$", r"\$")  # which would begin a formula
    return plain if len(plain) <= most else plain[: most - 2] + ".."


def percent(share: float) -> str:
    """Write a share as a whole percentage, one below 10 % with a digit more."""
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"


def tile(images: Sequence[Image], columns: int, *, gap: int = 1) -> Image:
    """Put pictures of one size beside and below each other on white.

    Shapes:  images (h, w, 3) -> (rows * (h + gap) - gap, columns * (w + gap) - gap, 3).
    """
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    for number, image in enumerate(images):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def signed(x: Tensor, largest: float | None = None) -> Image:
    """Show values about 0: 0 is middle gray, the largest is white or full colour.

    Shapes:  x (C, H, W) -> (H, W, 3); one of other channels than 3 is shown by their mean.
    """
    x = x.detach().float().cpu()
    x = x if len(x) == 3 else x.mean(0, keepdim=True).expand(3, -1, -1)
    scale = largest if largest is not None else float(x.abs().max())
    return _bytes(127.5 + x * (127.5 / (scale or 1.0)))


def as_picture(x: Tensor, preprocessing: Preprocessing) -> Image:
    """Turn a net's input back into a picture: times the divisor, plus the mean colour.

    Shapes:  x (C, H, W) -> (H, W, 3), cut off at 0 and 255.
    """
    x = x.detach().float().cpu() * preprocessing.divide_by
    mean = preprocessing.statistics.mean_value.cpu()
    mean = torch.zeros(3) if preprocessing.subtract == "none" else mean
    if preprocessing.colours == "grey":
        return _bytes(x.expand(3, -1, -1) + mean.mean())
    x = x.flip(0) if preprocessing.colours == "bgr" else x
    return _bytes(x + mean[:, None, None])


def in_rgb(x: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Return colours in the order red, green, blue, whatever the net's order.

    Shapes:  x (..., C, H, W) -> same.
    """
    return x.flip(-3) if preprocessing.colours == "bgr" else x


def _bytes(x: Tensor) -> Image:
    image: Image = x.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return image
