"""Kinds of layers over the height and width of maps: Deconvolution, Crop, SPP, Im2col.

Source: BVLC Caffe, src/caffe/layers/{base_conv,deconv,crop,spp,im2col}_layer.cpp. What differs: the
channels of Deconvolution are always axis 1; the stochastic pooling of SPP, which the original has
on GPUs only, is refused.
"""

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.text.kind import MANY, Initial, Kind, Setting, Shape
from alexnet.text.vision import ForEach, Windows, count_outputs, windows

TRANSPOSED: Final = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def deconvolution(setting: Setting) -> nn.Module:
    """Build the transposed convolution, the gradient of a convolution of its input.

    Side of a top: stride * (side - 1) + dilation * (kernel - 1) + 1 - 2 * pad.
    Raises: TextError if numbers are missing, group does not divide the channels, or the pad leaves
            nothing of the top.
    """
    record, parameter = setting.record, setting.record["convolution_param"]
    axes = len(setting.bottom) - 2
    if axes not in TRANSPOSED or setting.axis(parameter["axis"]) != 1:
        raise record.refuse(
            f"axis {parameter['axis']} of a blob {setting.bottom}; Deconvolution takes "
            "channels as axis 1 and one to three axes after it"
        )
    if len(set(setting.bottoms)) > 1 or setting.tops != len(setting.bottoms):
        raise record.refuse(
            f"{len(setting.bottoms)} bottoms of shapes {', '.join(map(str, setting.bottoms))} and "
            f"{setting.tops} tops; several bottoms need one shape and a top for each"
        )
    channels = setting.bottom[1]
    outputs, group = count_outputs(setting, channels)
    kernel, stride, pad, dilation = windows(setting, axes)
    numbers = zip(setting.bottom[2:], kernel, stride, pad, dilation, strict=True)
    for index, (side, k, s, p, d) in enumerate(numbers, start=2):
        top = s * (side - 1) + d * (k - 1) + 1 - 2 * p
        if top < 1:
            raise record.refuse(
                f"axis {index}: side {side}, kernel {k}, stride {s}, dilation {d} and pad {p} make "
                f"a side of {top}; use a smaller pad"
            )
    build: Any = TRANSPOSED[axes]  # the three take a tuple of their own length each
    layer: nn.Module = build(
        channels,
        outputs,
        kernel,
        stride=stride,
        padding=pad,
        dilation=dilation,
        groups=group,
        bias=parameter["bias_term"],
    )
    return layer if len(setting.bottoms) == 1 else ForEach(layer)


def _crop_problem(shape: Shape, like: Shape, axis: int, offsets: Sequence[int]) -> str:
    """Say why no part of a blob has the wanted shape; "" if one has."""
    if len(like) < len(shape):
        return f"a blob of {len(shape)} axes is cropped to one of {len(like)}; give as many axes"
    for index, offset in enumerate(offsets, start=axis):
        if offset + like[index] > shape[index]:
            return (
                f"axis {index} has {shape[index]} elements and is cropped to {like[index]} from "
                f"offset {offset}; they must fit"
            )
    return ""


class Crop(nn.Module):
    """Cut from the first blob a part of the second one's shape.

        y[i, j, ...] = x[i + offset[0], j + offset[1], ...] from `axis` on

    Raises: ValueError if the part does not fit in.
    """

    def __init__(self, axis: int, offsets: Sequence[int]) -> None:
        super().__init__()
        self.axis, self.offsets = axis, tuple(offsets)

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Return the part of x with the sides of `like` from the axis on."""
        problem = _crop_problem(tuple(x.shape), tuple(like.shape), self.axis, self.offsets)
        if problem:
            raise ValueError(problem)
        for index, offset in enumerate(self.offsets, start=self.axis):
            x = x.narrow(index, offset, like.shape[index])
        return x


def crop(setting: Setting) -> nn.Module:
    """Build a Crop; one offset holds for all axes.

    Raises: TextError if the number of offsets is wrong or the part does not fit in.
    """
    record, parameter = setting.record, setting.record["crop_param"]
    axis, rank = setting.axis(parameter["axis"]), len(setting.bottom)
    given = [int(offset) for offset in parameter["offset"]] or [0]
    if len(given) not in (1, rank - axis):
        raise record.refuse(
            f"offset stands {len(given)} times; give one, or one for each of the {rank - axis} "
            f"axes from axis {axis} on"
        )
    offsets = given * (rank - axis) if len(given) == 1 else given
    problem = _crop_problem(setting.bottom, setting.bottoms[1], axis, offsets)
    if problem:
        raise record.refuse(problem)
    return Crop(axis, offsets)


class Im2col(nn.Module):
    """Write the windows of a convolution out as channels.

        y[n, (c, r, s), p, q] = x[n, c, p * stride + r * dilation - pad, ...], 0 outside

    Shapes:  x (N, C, H, W) -> (N, C * kernel * kernel, P, Q); `axis` is that of the channels, with
             any number of axes before and after it.
    """

    def __init__(self, axis: int, windows: Windows) -> None:
        super().__init__()
        self.axis, self.windows = axis, windows

    def forward(self, x: Tensor) -> Tensor:
        """Return the windows."""
        axis, (kernel, strides, pad, dilations) = self.axis, self.windows
        axes, lead = len(kernel), x.shape[:axis]
        x = F.pad(x, [p for each in reversed(pad) for p in (each, each)])
        for index, (k, stride, dilation) in enumerate(zip(kernel, strides, dilations, strict=True)):
            extent = dilation * (k - 1) + 1
            x = x.unfold(axis + 1 + index, extent, stride)[..., ::dilation]
        places = range(axis + 1, axis + 1 + axes)
        inside = range(axis + 1 + axes, axis + 1 + 2 * axes)
        sides = [x.shape[place] for place in places]
        return x.permute(*range(axis + 1), *inside, *places).reshape(*lead, -1, *sides)


def im2col(setting: Setting) -> nn.Module:
    """Build an Im2col.

    Raises: TextError if numbers are missing or a kernel is larger than what it runs over.
    """
    axis = setting.axis(setting.record["convolution_param"]["axis"])
    axes = len(setting.bottom) - axis - 1
    if axes < 1:
        raise setting.record.refuse(
            f"axis {axis} is the last one of a blob {setting.bottom}; axes must follow the channels"
        )
    found = windows(setting, axes)
    for index, (k, _, p, d) in enumerate(zip(*found, strict=True), start=axis + 1):
        side, extent = setting.bottom[index] + 2 * p, d * (k - 1) + 1
        if extent > side:
            raise setting.record.refuse(
                f"axis {index}: a kernel of {k} with dilation {d} spans {extent}, and the padded "
                f"side is {side}; use a smaller kernel or more pad"
            )
    return Im2col(axis, found)


def _level(side: int, bins: int) -> tuple[int, int]:
    """Return window and pad in front with which `bins` windows cover a side.

    Where the padding is smaller than a window, the original's rounding gives as many windows.
    """
    window = -(-side // bins)
    return window, (window * bins - side + 1) // 2


def _level_problem(shape: Shape, height: int) -> str:
    """Say why a map is too small for a pyramid; "" if it is not."""
    for level in range(height):
        for side in shape[2:]:
            window, pad = _level(side, 2**level)
            if pad >= window:
                return (
                    f"level {level} of the pyramid cuts a side of {side} into {2**level}: windows "
                    f"of {window} need a pad of {pad}, which must be smaller; use a "
                    f"pyramid_height of {level} or larger maps"
                )
    return ""


class PyramidPool(nn.Module):
    """Pool whole maps in 1, 4, 16, ... windows and put the results side by side.

    An average counts padding as zeros.

    Shapes:  x (N, C, H, W) -> (N, C * sum of windows); (N, C, 1, 1) for a pyramid of one level.
    Source:  He, Zhang, Ren and Sun 2014, "Spatial Pyramid Pooling in Deep Convolutional Networks".
    Raises:  ValueError if the maps are too small for the pyramid.
    """

    def __init__(self, height: int, *, average: bool) -> None:
        super().__init__()
        self.height, self.average = height, average

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled values of all levels."""
        problem = _level_problem(tuple(x.shape), self.height)
        if problem:
            raise ValueError(problem)
        levels = [self._pool(x, 2**level) for level in range(self.height)]
        if len(levels) == 1:
            return levels[0]
        return torch.cat([level.flatten(1) for level in levels], dim=1)

    def _pool(self, x: Tensor, bins: int) -> Tensor:
        (tall, top), (wide, left) = (_level(side, bins) for side in x.shape[2:])
        below, right = tall * bins - x.shape[2] - top, wide * bins - x.shape[3] - left
        fill = 0.0 if self.average else -torch.inf
        x = F.pad(x, [left, right, top, below], value=fill)
        if not self.average:
            return F.max_pool2d(x, (tall, wide))
        return F.avg_pool2d(x, (tall, wide))


def pyramid_pool(setting: Setting) -> nn.Module:
    """Build the pooling of an SPP layer.

    Raises: TextError for maps that are no maps, or too small; for no levels; for POOL: STOCHASTIC.
    """
    record, parameter = setting.record, setting.record["spp_param"]
    height = parameter["pyramid_height"]
    if len(setting.bottom) != 4:
        raise record.refuse(f"SPP takes (N, C, H, W) and has a blob {setting.bottom}")
    if height < 1:
        raise record.refuse("pyramid_height is missing or 0; give the number of levels")
    if parameter["pool"] == "STOCHASTIC":
        raise record.refuse("pool STOCHASTIC is not supported in SPP; use MAX or AVE")
    problem = _level_problem(setting.bottom, height)
    if problem:
        raise record.refuse(problem)
    return PyramidPool(height, average=parameter["pool"] == "AVE")


KINDS: Final = {
    "Deconvolution": Kind(
        deconvolution,
        bottoms=(1, MANY),
        tops=(1, MANY),
        initial=(
            Initial("convolution_param.weight_filler"),
            Initial("convolution_param.bias_filler"),
        ),
    ),
    "Crop": Kind(crop, bottoms=(2, 2), first_only=True),
    "SPP": Kind(pyramid_pool),
    "Im2col": Kind(im2col),
}
