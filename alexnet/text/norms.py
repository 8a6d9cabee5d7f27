"""Kinds of layers that scale and shift: LRN, BatchNorm, Scale and Bias.

Source: BVLC Caffe, src/caffe/layers/{lrn,batch_norm,scale,bias}_layer.cpp. What differs: LRN runs
by the kernels of `alexnet.layers.response_norm`; BatchNorm takes no blob of one axis, on which the
original's check of sizes fails.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.text.kind import Initial, Kind, Setting, Shape
from alexnet.text.message import Message


def response_norm(setting: Setting) -> nn.Module:
    """Build the response norm, over channels or within them.

        y = x / (k + alpha / n * sum(x_j ** 2)) ** beta

    over n = local_size channels, or over local_size ** 2 pixels, where k is always 1.

    Raises: TextError for a bottom that is no (N, C, H, W), an even local_size, or a constant that
            is no number.
    """
    record, parameter = setting.record, setting.record["lrn_param"]
    size = parameter["local_size"]
    if len(setting.bottom) != 4:
        raise record.refuse(f"LRN takes (N, C, H, W) and has a blob {setting.bottom}")
    if size % 2 == 0:
        raise record.refuse(f"local_size {size} is even; use {max(size - 1, 1)} or {size + 1}")
    alpha, beta = parameter["alpha"], parameter["beta"]
    try:
        if parameter["norm_region"] == "WITHIN_CHANNEL":
            return WithinChannelNorm(window=size, bias=1.0, alpha=alpha, beta=beta)
        return LocalResponseNorm(
            window=size, bias=parameter["k"], alpha=alpha, beta=beta, convention="caffe"
        )
    except ValueError as error:
        raise record.refuse(str(error)) from None


class BatchNorm(nn.Module):
    """Subtract the mean of each channel and divide by its deviation.

        y = (x - m) / sqrt(v + eps)

    Statistics of the batch: m and v of the batch, without correction; and the blobs become
        mean <- f * mean + m,  variance <- f * variance + n / (n - 1) * v,  factor <- f * factor + 1
    Stored statistics: m = mean / factor, v = variance / factor; both 0 if factor is 0.

    Shapes:  x (N, C, ...) -> same; mean and variance (C), factor (1); n = N * places.
    Source:  Ioffe and Szegedy 2015; batch_norm_layer.cpp. Unlike torch's, the blobs are sums that
             begin at 0, and the factor says of how much.
    """

    mean: Tensor
    variance: Tensor
    factor: Tensor

    def __init__(
        self, channels: int, *, fraction: float, eps: float, stored: bool | None = None
    ) -> None:
        super().__init__()
        self.fraction, self.eps, self.stored = fraction, eps, stored
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.zeros(channels))
        self.register_buffer("factor", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalised values; by batch statistics the blobs change."""
        stored = not self.training if self.stored is None else self.stored
        if stored:
            share = torch.where(self.factor == 0, 0.0, 1 / self.factor)
            y: Tensor = F.batch_norm(x, self.mean * share, self.variance * share, eps=self.eps)
            return y
        mean, variance = torch.zeros_like(self.mean), torch.zeros_like(self.variance)
        if x.numel() == len(self.mean):  # one value a channel: torch refuses, Caffe gives 0
            mean += x.detach().reshape(-1)
            y = (x - x) / self.eps**0.5
        else:
            # momentum 1 leaves the batch's own mean and its variance times n / (n - 1) in them
            y = F.batch_norm(x, mean, variance, training=True, momentum=1.0, eps=self.eps)
        self._take_over(mean, variance)
        return y

    @torch.no_grad()
    def _take_over(self, mean: Tensor, variance: Tensor) -> None:
        self.mean.mul_(self.fraction).add_(mean)
        self.variance.mul_(self.fraction).add_(variance)
        self.factor.mul_(self.fraction).add_(1)

    def extra_repr(self) -> str:
        return f"{len(self.mean)}, fraction={self.fraction}, eps={self.eps}, stored={self.stored}"


def batch_norm(setting: Setting) -> nn.Module:
    """Build the batch norm, by statistics of the batch in training unless the text says otherwise.

    Raises: TextError for a bottom of fewer than two axes, and for param entries that would let a
            solver change the statistics.
    """
    record, parameter = setting.record, setting.record["batch_norm_param"]
    if len(setting.bottom) < 2:
        raise record.refuse(f"BatchNorm takes (N, C, ...) and has a blob {setting.bottom}")
    for spec in record["param"]:
        if spec["lr_mult"] != 0:
            raise record.refuse(
                f"lr_mult is {spec['lr_mult']:g}, but statistics are not learned; give "
                "`param { lr_mult: 0 }` for each, or none"
            )
    given = "use_global_stats" in parameter
    return BatchNorm(
        setting.bottom[1],
        fraction=parameter["moving_average_fraction"],
        eps=parameter["eps"],
        stored=parameter["use_global_stats"] if given else None,
    )


class Affine(nn.Module):
    """Scale a blob and shift it, by numbers that hold for some of its axes.

        y[i, j, k] = w[j] * x[i, j, k] + b[j]

    with j over the axes of w and b, from `axis` on. w is the layer's own or the second bottom.

    Shapes:  x (*before, *own, *after), w and b (*own) -> as x.
    """

    def __init__(self, axis: int, *, scale: Shape | None, bias: Shape | None) -> None:
        super().__init__()
        self.axis = axis
        self.scale = None if scale is None else nn.Parameter(torch.empty(scale))
        self.bias = None if bias is None else nn.Parameter(torch.empty(bias))

    def forward(self, x: Tensor, second: Tensor | None = None) -> Tensor:
        """Return the scaled and shifted values."""
        scale = self.scale if second is None else second
        y = x if scale is None else x * _along(scale, x, self.axis)
        return y if self.bias is None else y + _along(self.bias, x, self.axis)


class Shift(nn.Module):
    """Add a second bottom along some axes of the first.

        y[i, j, k] = x[i, j, k] + b[j]

    Shapes:  x (*before, *own, *after), b (*own) -> as x.
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return the sums."""
        return x + _along(bias, x, self.axis)


def _along(own: Tensor, x: Tensor, axis: int) -> Tensor:
    """Return numbers for x's axes from `axis` on in a shape that torch spreads over x."""
    after = x.dim() - axis - own.dim() if own.dim() else 0
    return own.reshape((*own.shape, *[1] * after))


def _own(setting: Setting, parameter: Message) -> tuple[int, Shape]:
    """Return the axis and the shape of the numbers that a Scale or Bias layer works with.

    They are the second bottom's, or those of `num_axes` axes of the first one.
    """
    record, bottom = setting.record, setting.bottom
    if len(setting.bottoms) > 1:
        own = setting.bottoms[1]
        axis = setting.axis(parameter["axis"]) if own else 0
        if bottom[axis : axis + len(own)] != own:
            raise record.refuse(
                f"the second bottom {own} does not lie in the first one {bottom} from axis {axis} "
                "on; their sides must be equal"
            )
        return axis, own
    axis, count = setting.axis(parameter["axis"]), parameter["num_axes"]
    if count < -1:
        raise record.refuse(f"num_axes is {count}; give 0 or more, or -1 for all that follow")
    if count >= 0 and axis + count > len(bottom):
        raise record.refuse(
            f"num_axes {count} from axis {axis} on goes beyond a blob of {len(bottom)} axes; use "
            f"{len(bottom) - axis} or less, or -1"
        )
    return axis, bottom[axis:] if count == -1 else bottom[axis : axis + count]


def scale(setting: Setting) -> nn.Module:
    """Build the scaling, with a bias if the text asks for one.

    Raises: TextError if the numbers do not fit the bottom.
    """
    parameter = setting.record["scale_param"]
    axis, own = _own(setting, parameter)
    learned = own if len(setting.bottoms) == 1 else None
    return Affine(axis, scale=learned, bias=own if parameter["bias_term"] else None)


def bias(setting: Setting) -> nn.Module:
    """Build the shift.

    Raises: TextError if the numbers do not fit the bottom.
    """
    axis, own = _own(setting, setting.record["bias_param"])
    if len(setting.bottoms) > 1:
        return Shift(axis)
    return Affine(axis, scale=None, bias=own)


def _of_scale(record: Message, count: int) -> tuple[Initial, ...]:
    """Return what a Scale's blobs start from; with two bottoms its only blob is the bias."""
    both = Initial("scale_param.filler", 1.0), Initial("scale_param.bias_filler")
    return both[len(record["bottom"]) - 1 :]


KINDS: Final = {
    "LRN": Kind(response_norm),
    "BatchNorm": Kind(batch_norm),
    "Scale": Kind(
        scale,
        bottoms=(1, 2),
        initial=_of_scale,
    ),
    "Bias": Kind(bias, bottoms=(1, 2), initial=(Initial("bias_param.filler"),)),
}
"""The kinds of this file by the type that a prototxt names."""
