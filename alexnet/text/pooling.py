"""The kind Pooling: the largest, the mean or a random element of each window.

Source: BVLC Caffe, src/caffe/layers/pooling_layer.cpp; STOCHASTIC, which is not implemented for
CPUs there, from pooling_layer.cu. Where torch's own layers place the windows as Caffe does for
pictures of every size, they are built; where the windows lie, `convolution/pooling.py` says. What
differs: a window with NaN has NaN as its largest element, and not the largest of the others.

Letters: N pictures, C channels, H rows, W columns, P rows and Q columns of windows.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.convolution.pooling import Rounding, Windows, place_windows
from alexnet.text.kind import Setting, pair

LOWEST = torch.finfo(torch.float32).min
"""What Caffe gives as the largest element of a window that lies outside of the picture."""


class Pane(NamedTuple):
    """Where the windows lie along one axis."""

    kernel: int
    stride: int
    pad: int
    ceil: bool
    """Whether a last window may stick out of the padded picture."""
    clips: bool
    """Whether a last window that begins behind the picture and its pad is left out."""

    def over(self, side: int) -> Windows:
        """Return the windows over a side.

        Raises: ValueError if none fits.
        """
        rounding: Rounding = "floor" if not self.ceil else "ceil" if self.clips else "caffe"
        return place_windows(
            side, self.kernel, stride=self.stride, padding=self.pad, rounding=rounding
        )


class Panes(NamedTuple):
    """Where the windows lie: rows and columns."""

    rows: Pane
    columns: Pane

    @property
    def kernel(self) -> tuple[int, int]:
        return self.rows.kernel, self.columns.kernel

    @property
    def stride(self) -> tuple[int, int]:
        return self.rows.stride, self.columns.stride

    def padded(self, x: Tensor, value: float) -> Tensor:
        """Return x with the pad in front, and behind what the windows need."""
        height, width = x.shape[2:]
        behind = self.columns.over(width).missing, self.rows.over(height).missing
        return F.pad(x, [self.columns.pad, behind[0], self.rows.pad, behind[1]], value=value)


class MaxPooling(nn.Module):
    """Take the largest element of each window, and with `mask` also where it is.

        y[n, c, p, q] = max(x[n, c, h, w] for h, w in the window)
        m[n, c, p, q] = h * W + w of that element, the first one of several; as a float

    Windows outside of the picture give the lowest float and the place -1.

    Shapes:  x (N, C, H, W) -> y (N, C, P, Q), or y and m.
    """

    def __init__(self, panes: Panes, *, mask: bool) -> None:
        super().__init__()
        self.panes, self.mask = panes, mask

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the largest elements, and their places if there is a mask."""
        wide = self.panes.padded(x, LOWEST)
        if not self.mask:
            return F.max_pool2d(wide, self.panes.kernel, self.panes.stride)
        y, places = F.max_pool2d_with_indices(wide, self.panes.kernel, self.panes.stride)
        h = places // wide.shape[3] - self.panes.rows.pad
        w = places % wide.shape[3] - self.panes.columns.pad
        inside = (h >= 0) & (h < x.shape[2]) & (w >= 0) & (w < x.shape[3])
        return y, torch.where(inside, h * x.shape[3] + w, -1).to(x.dtype)


class AveragePooling(nn.Module):
    """Take the mean of each window; its part of the pad counts as zeros.

        y[n, c, p, q] = sum(x[n, c, h, w] for h, w in the window) / (rows * columns)

    with the window's rows and columns inside of the padded picture.

    Shapes:  x (N, C, H, W) -> (N, C, P, Q).
    """

    def __init__(self, panes: Panes) -> None:
        super().__init__()
        self.panes = panes

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        wide = self.panes.padded(x, 0.0)
        total = F.avg_pool2d(wide, self.panes.kernel, self.panes.stride, divisor_override=1)
        rows, columns = (
            torch.tensor(pane.over(side).covered("window"), dtype=x.dtype, device=x.device)
            for pane, side in zip(self.panes, x.shape[2:], strict=True)
        )
        return total / (rows[:, None] * columns)


class GlobalPooling(nn.Module):
    """Pool whole pictures: the largest element, with its place if `mask`, or the mean.

    Shapes:  x (N, C, H, W) -> (N, C, 1, 1), or two of these.
    """

    def __init__(self, *, mask: bool) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the largest elements, and their places if there is a mask."""
        y, places = F.max_pool2d_with_indices(x, tuple(x.shape[2:]))
        return (y, places.to(x.dtype)) if self.mask else y


class StochasticPooling(nn.Module):
    """Take an element of each window at random, a large one more often.

        training    y = x_i with probability x_i / sum(x_j in the window)
        evaluation  y = sum(x_i ** 2) / sum(x_i), 0 where the sum is not positive

    Shapes:  x (N, C, H, W), not negative -> (N, C, P, Q).
    Source:  Zeiler and Fergus 2013, Stochastic pooling; pooling_layer.cu. The numbers come from
             torch's global generator of x's device.
    """

    def __init__(self, panes: Panes) -> None:
        super().__init__()
        self.panes = panes

    def forward(self, x: Tensor) -> Tensor:
        """Return the chosen elements."""
        (tall, wide), (down, right) = self.panes.kernel, self.panes.stride
        parts = self.panes.padded(x, 0.0).unfold(2, tall, down).unfold(3, wide, right).flatten(4)
        if not self.training:
            total = parts.sum(-1)
            positive = total > 0
            mean = parts.square().sum(-1) / total.where(positive, 1.0)
            return mean.where(positive, 0.0)
        sums = parts.detach().cumsum(-1)
        threshold = torch.rand_like(sums[..., :1]) * sums[..., -1:]
        # The first element whose running sum reaches the threshold: zeros behind a picture add
        # nothing to the sum, so that the choice falls on them only if all else is zero.
        chosen = (sums >= threshold).to(torch.uint8).argmax(-1, keepdim=True)
        return parts.gather(-1, chosen)[..., 0]


def pooling(setting: Setting) -> nn.Module:
    """Build the pooling: torch's own layer where its windows are Caffe's for every picture.

    Raises: TextError for a bottom that is no (N, C, H, W), for sizes that are missing, contradict
            each other or are 0, for a pad that is not below the kernel, for a kernel beyond the
            picture, and for a mask of anything but MAX.
    """
    record, parameter = setting.record, setting.record["pooling_param"]
    method = parameter["pool"]
    if len(setting.bottom) != 4:
        raise record.refuse(f"Pooling takes (N, C, H, W) and has a blob {setting.bottom}")
    if setting.tops > 1 and method != "MAX":
        raise record.refuse(f"has 2 tops with pool {method}; only MAX has a mask as second top")
    if parameter["global_pooling"]:
        return _global(setting)
    panes = _panes(setting)
    for name, pane, side in zip(("height", "width"), panes, setting.bottom[2:], strict=True):
        try:
            pane.over(side)
        except ValueError:
            raise record.refuse(
                f"a kernel of {pane.kernel} does not fit a {name} of {side} with pad {pane.pad}; "
                "use a smaller kernel"
            ) from None
    if method == "STOCHASTIC":
        return StochasticPooling(panes)
    # torch clips always and wants pads up to half of the kernel. Where Caffe does not clip, a
    # window begins behind the picture only if the stride is larger than the kernel.
    equal = all(2 * p.pad <= p.kernel and (p.clips or p.stride <= p.kernel) for p in panes)
    kernel, stride, pad = (
        tall if tall == wide else (tall, wide)
        for tall, wide in zip(panes.rows[:3], panes.columns[:3], strict=True)
    )
    if method == "MAX" and setting.tops == 1 and equal:
        return nn.MaxPool2d(kernel, stride, pad, ceil_mode=panes.rows.ceil)
    if method == "AVE" and equal:
        return nn.AvgPool2d(kernel, stride, pad, ceil_mode=panes.rows.ceil)
    return MaxPooling(panes, mask=setting.tops > 1) if method == "MAX" else AveragePooling(panes)


def _global(setting: Setting) -> nn.Module:
    record, parameter = setting.record, setting.record["pooling_param"]
    for name in ("kernel_size", "kernel_h", "kernel_w"):
        if name in parameter:
            raise record.refuse(f"has {name} with global_pooling: true; leave one of them out")
    for name, only in (("pad", 0), ("stride", 1)):
        for field in (name, f"{name}_h", f"{name}_w"):
            if field in parameter and parameter[field] != only:
                raise record.refuse(
                    f"{field} is {parameter[field]} with global_pooling: true; leave it out"
                )
    if parameter["pool"] == "STOCHASTIC":
        kernel = setting.bottom[2:]
        return StochasticPooling(Panes(*(Pane(k, 1, 0, False, False) for k in kernel)))
    return (
        nn.AdaptiveAvgPool2d(1)
        if parameter["pool"] == "AVE"
        else GlobalPooling(mask=setting.tops > 1)
    )


def _panes(setting: Setting) -> Panes:
    """Return where the windows lie, from a PoolingParameter."""
    record, parameter = setting.record, setting.record["pooling_param"]
    for name in ("kernel", "stride", "pad"):
        halves = f"{name}_h", f"{name}_w"
        given = [half in parameter for half in halves]
        if any(given) and not all(given):
            raise record.refuse(
                f"{halves[given.index(True)]} is given without {halves[given.index(False)]}; "
                "give both"
            )
    kernel = pair(setting, parameter, "kernel_size", 0)
    stride = pair(setting, parameter, "stride", 1)
    pad = pair(setting, parameter, "pad", 0)
    if min(kernel) < 1:
        raise record.refuse("kernel_size is missing or 0; give it, or global_pooling: true")
    if min(stride) < 1:
        raise record.refuse(f"stride is {min(stride)}; give a number from 1 up")
    for size, border in zip(kernel, pad, strict=True):
        if border >= size:
            raise record.refuse(
                f"pad {border} is not below the kernel of {size}; use a smaller pad"
            )
    if any(pad) and parameter["pool"] == "STOCHASTIC":
        raise record.refuse("pad is for pool MAX and AVE only; leave it out for STOCHASTIC")
    ceil = parameter["round_mode"] == "CEIL"
    panes = (Pane(*numbers, ceil, any(pad)) for numbers in zip(kernel, stride, pad, strict=True))
    return Panes(*panes)
