"""Crops, flips and lighting: from stored uint8 pictures to what the net sees.

Source: Krizhevsky 2012, section 4.1. Everything random happens here, per picture, on the training
device, from an explicit generator. Pictures are (N, H, W, 3) uint8, RGB in [0, 255].
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.data.statistics import Statistics
from alexnet.native import training as native
from alexnet.native.stages import Values, Windows

Subtract = Literal["mean-image", "mean-value", "none"]
Colours = Literal["rgb", "bgr", "grey"]
GREY = (0.299, 0.587, 0.114)
"""The share of red, green and blue in grey: ITU-R BT.601, as JPEG, OpenCV and Pillow have it."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes an input; stored with every model, used by every command."""

    statistics: Statistics
    """Means and principal colours of the training set."""
    picture_size: int = 256
    """The shorter side is resized to this and the centre square of it is kept, in pixels."""
    crop_size: int = 227
    """Side of the window that the net sees, in pixels."""
    subtract: Subtract = "mean-image"
    """The training set's mean of each pixel (the paper) or of each colour, or nothing."""
    divide_by: float = 1.0
    """Grey levels that become 1 after the subtraction; the paper leaves them as they are."""
    colours: Colours = "rgb"
    """What the net reads: three colours, these in the order of Caffe's nets, or grey alone."""

    def __post_init__(self) -> None:
        if self.crop_size > self.picture_size:
            raise ValueError(
                f"crop size {self.crop_size} does not fit into pictures of {self.picture_size} "
                f"pixels; raise picture_size to at least {self.crop_size}"
            )

    def constants(self) -> dict[str, int | str | float]:
        """Return all but the statistics, to be stored as plain values."""
        return {
            "picture_size": self.picture_size,
            "crop_size": self.crop_size,
            "subtract": self.subtract,
            "divide_by": self.divide_by,
            "colours": self.colours,
        }

    @property
    def border(self) -> int:
        """The largest offset of a crop, in pixels."""
        return self.picture_size - self.crop_size


def random_windows(
    count: int, border: int, generator: torch.Generator, *, flip: bool = True
) -> Windows:
    """Draw an offset uniform in 0..border on both axes and, with `flip`, mirror one in two.

    With 256-pixel pictures and crops of 224 that is 33 x 33 x 2 = 2,178 windows; the paper's 2,048
    counts 32 x 32 x 2, its program drew as we do. The program shared one draw among 32 pictures.
    """
    offsets = torch.randint(0, border + 1, (2, count), generator=generator)
    mirrored = torch.rand(count, generator=generator) < (0.5 if flip else 0.0)
    return Windows(offsets[0], offsets[1], mirrored)


def same_windows(count: int, top: int, left: int, *, flip: bool = False) -> Windows:
    """Return the same window for each of `count` pictures."""
    return Windows(
        torch.full((count,), top), torch.full((count,), left), torch.full((count,), flip)
    )


def lighting(
    count: int, statistics: Statistics, *, strength: float, generator: torch.Generator
) -> Tensor:
    """Draw the colour shift of PCA lighting for each picture.

        shift = sum over i of p_i * s_i * a_i,   a_i ~ N(0, strength)

    p_i and s_i are the eigenvectors of the RGB covariance and the standard deviations along them.

    Shapes:  -> (count, 3) float32.     Units: grey levels in [0, 255].
    Source:  section 4.1 writes the eigenvalue for s_i; the program (convdata_jpeg.py) used its
             square root, as we do. The often copied .2175/.0188/.0045 are eigenvalues of pictures
             in [0, 1] used as deviations, 2.2 times too weak.
    """
    draws = torch.randn(count, 3, generator=generator) * strength
    return draws * statistics.deviations @ statistics.eigenvectors.T


def cut(
    pictures: Tensor,
    windows: Windows,
    preprocessing: Preprocessing,
    *,
    shift: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Cut a window from each picture, subtract the mean, add a colour shift, mirror it.

    The mean image is subtracted where the window lies, before mirroring, as in the paper.

    Shapes:  pictures (N, H, W, 3) uint8, shift (N, 3) -> (N, C, crop, crop) of `dtype` on the
             device of the pictures, channels last in memory; C is 1 for grey, else 3.
    """
    statistics, mean = preprocessing.statistics, None
    if preprocessing.subtract == "mean-image":
        mean = statistics.mean_image.to(pictures.device)
    elif preprocessing.subtract == "mean-value":
        colours = torch.zeros(1, 3) if shift is None else shift
        shift = (colours - statistics.mean_value).expand(len(pictures), 3)
    shift = None if shift is None else shift.to(pictures.device)
    values = Values(mean, shift, preprocessing.divide_by)
    kind = preprocessing.colours
    exact = torch.float32 if kind == "grey" else dtype  # grey is a sum, to be rounded once
    x = native.cut(pictures, windows, values, size=preprocessing.crop_size, dtype=exact)
    return in_colours(x, kind).to(dtype)


def in_colours(x: Tensor, colours: Colours) -> Tensor:
    """Return RGB inputs in the colours that a net reads; means and shifts are taken off before.

        grey = .299 R + .587 G + .114 B

    Shapes:  x (N, 3, H, W) float -> same, or (N, 1, H, W) for grey; channels last in memory.
    """
    if colours == "grey":
        red, green, blue = (x[:, i : i + 1] * share for i, share in enumerate(GREY))
        return (red + green + blue).contiguous(memory_format=torch.channels_last)
    if colours == "bgr":
        return x.flip(1).contiguous(memory_format=torch.channels_last)
    return x


def random_resized_cut(
    pictures: Tensor,
    preprocessing: Preprocessing,
    draws: Tensor,
    *,
    smallest_area: float,
    flip: bool = True,
    shift: Tensor | None = None,
) -> Tensor:
    """Cut a window of random area and shape from each picture and resize it (bilinear).

        area ~ U(smallest_area, 1) of the picture,   log(width / height) ~ U(log 3/4, log 4/3)

    Shapes:  as `cut`; draws (5, N), uniform in [0, 1): area, shape, two of the place, mirror.
    Source:  Szegedy et al. 2014, Going deeper with convolutions, section 6; not in the paper.
    """
    count, height, width = pictures.shape[:3]
    size = preprocessing.crop_size
    assert preprocessing.subtract != "mean-image", "a mean image has no meaning in a resized window"
    area = height * width * (smallest_area + (1 - smallest_area) * draws[0])
    ratio = torch.exp((draws[1] * 2 - 1) * torch.log(torch.tensor(4 / 3)))
    heights = (area / ratio).sqrt().round().clamp(1, height)
    widths = (area * ratio).sqrt().round().clamp(1, width)
    tops = (draws[2] * (height - heights + 1)).floor()
    lefts = (draws[3] * (width - widths + 1)).floor()
    boxes = torch.stack([tops, heights, lefts, widths]).long().T.tolist()
    out = torch.empty((count, size, size, 3), device=pictures.device)
    for index, (top, tall, left, wide) in enumerate(boxes):
        window = pictures[index, top : top + tall, left : left + wide].permute(2, 0, 1)[None]
        if window.is_cuda:  # torch resizes uint8 on the CPU only
            window = window.float()
        resized = F.interpolate(window, size=(size, size), mode="bilinear", antialias=True)
        resized = resized[0].permute(1, 2, 0)
        out[index].copy_(resized.flip(1) if flip and draws[4, index] < 0.5 else resized)
    return in_colours(_shift(out, preprocessing, shift), preprocessing.colours)


def _shift(out: Tensor, preprocessing: Preprocessing, shift: Tensor | None) -> Tensor:
    """Add a value per picture and colour and divide; hand out (N, 3, H, W), channels last."""
    colours = torch.zeros(1, 3) if shift is None else shift
    if preprocessing.subtract == "mean-value":
        colours = colours - preprocessing.statistics.mean_value
    if shift is not None or preprocessing.subtract == "mean-value":
        out += colours.to(out.device)[:, None, None, :]
    if preprocessing.divide_by != 1:
        out /= preprocessing.divide_by
    return out.permute(0, 3, 1, 2)
