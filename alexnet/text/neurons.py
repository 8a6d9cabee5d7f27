"""Kinds of layers that work on each element alone, from ReLU to Dropout.

Source: BVLC Caffe, src/caffe/layers/*_layer.cpp. Torch's own modules are built where they compute
the same; gradients at the corners of functions are the original's in all of them.
"""

import math
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.text.kind import Initial, Kind, Setting


def relu(setting: Setting) -> nn.Module:
    """Build max(x, 0) + negative_slope * min(x, 0)."""
    slope = setting.record["relu_param"]["negative_slope"]
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


class PReLU(nn.Module):
    """Multiply what is not positive by a slope that is learned.

        y = max(x, 0) + w * min(x, 0)

    Shapes:  x (N, C, ...) -> same; w (C), or () if all channels share it.
    Source:  He et al. 2015, Delving deep into rectifiers. nn.PReLU's shared slope is (1).
    """

    def __init__(self, channels: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(() if channels is None else channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        return F.prelu(x, self.weight.reshape(-1))


def prelu(setting: Setting) -> nn.Module:
    """Build a PReLU.

    Raises: TextError for a bottom of fewer than two axes.
    """
    if len(setting.bottom) < 2:
        raise setting.record.refuse(f"PReLU takes (N, C, ...) and has a blob {setting.bottom}")
    shared = setting.record["prelu_param"]["channel_shared"]
    return PReLU(None if shared else setting.bottom[1])


def elu(setting: Setting) -> nn.Module:
    """Build max(x, 0) + alpha * (exp(min(x, 0)) - 1)."""
    return nn.ELU(setting.record["elu_param"]["alpha"])


class Absolute(nn.Module):
    """Take y = |x|, of x of any shape; the gradient at 0 is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        return x.abs()


def absolute(setting: Setting) -> nn.Module:
    """Build |x|.

    Raises: TextError if the layer works in place.
    """
    refuse_in_place(setting)
    return Absolute()


def refuse_in_place(setting: Setting) -> None:
    """Refuse a layer whose top has its bottom's name, as the original does for this kind.

    Raises: TextError if it has.
    """
    both = set(setting.record["bottom"]) & set(setting.record["top"])
    if both:
        kind = setting.record["type"]
        raise setting.record.refuse(
            f"{kind} cannot work in place on {min(both)!r}; give its top another name"
        )


class Power(nn.Module):
    """Take y = (shift + scale * x) ** power, of x of any shape.

    With a scale or power of 0 the value is a constant and the gradient 0.
    """

    def __init__(self, power: float, scale: float, shift: float) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        if self.power * self.scale == 0:
            base = torch.full_like(x, self.shift)
            return base**self.power
        y = x if self.scale == 1 else x * self.scale
        y = y if self.shift == 0 else y + self.shift
        return y if self.power == 1 else y**self.power

    def extra_repr(self) -> str:
        return f"power={self.power}, scale={self.scale}, shift={self.shift}"


def power(setting: Setting) -> nn.Module:
    """Build a Power."""
    parameter = setting.record["power_param"]
    return Power(parameter["power"], parameter["scale"], parameter["shift"])


class Exponential(nn.Module):
    """Take y = base ** (shift + scale * x), of x of any shape, with e as base if it is None."""

    def __init__(self, base: float | None, scale: float, shift: float) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift
        logarithm = 1.0 if base is None else math.log(base)
        self.inner, self.outer = logarithm * scale, math.exp(logarithm * shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        y = (x if self.inner == 1 else x * self.inner).exp()
        return y if self.outer == 1 else y * self.outer

    def extra_repr(self) -> str:
        return f"base={self.base}, scale={self.scale}, shift={self.shift}"


class Logarithm(nn.Module):
    """Take y = log(shift + scale * x) to a base, e if it is None, of x of any shape."""

    def __init__(self, base: float | None, scale: float, shift: float) -> None:
        super().__init__()
        self.base, self.scale, self.shift = base, scale, shift
        self.outer = 1.0 if base is None else 1 / math.log(base)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        y = x if self.scale == 1 else x * self.scale
        y = (y if self.shift == 0 else y + self.shift).log()
        return y if self.outer == 1 else y * self.outer

    def extra_repr(self) -> str:
        return f"base={self.base}, scale={self.scale}, shift={self.shift}"


def exponential(setting: Setting) -> nn.Module:
    """Build an Exponential.

    Raises: TextError if the base is neither positive nor -1, which stands for e, or the constant
            factor is too large a number.
    """
    parameter = setting.record["exp_param"]
    try:
        return Exponential(_base(setting, "exp_param"), parameter["scale"], parameter["shift"])
    except OverflowError:
        raise setting.record.refuse(
            f"shift is {parameter['shift']:g}, and base ** shift is too large; use a smaller shift"
        ) from None


def logarithm(setting: Setting) -> nn.Module:
    """Build a Logarithm.

    Raises: TextError if the base is 1, or neither positive nor -1, which stands for e.
    """
    parameter = setting.record["log_param"]
    base = _base(setting, "log_param")
    if base == 1:
        raise setting.record.refuse("base is 1, which has no logarithms; use another one")
    return Logarithm(base, parameter["scale"], parameter["shift"])


def _base(setting: Setting, name: str) -> float | None:
    base: float = setting.record[name]["base"]
    if base == -1:
        return None
    if not 0 < base < math.inf:
        raise setting.record.refuse(f"base is {base:g}; give a positive number, or -1 for e")
    return base


class SoftPlus(nn.Module):
    """Take y = log(1 + exp(x)), of x of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        return F.softplus(x)


class Clip(nn.Module):
    """Hold x of any shape within bounds; the gradient at a bound is 1."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__()
        self.least, self.most = least, most

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        return x.clamp(self.least, self.most)

    def extra_repr(self) -> str:
        return f"{self.least}, {self.most}"


def clip(setting: Setting) -> nn.Module:
    """Build a Clip.

    Raises: TextError if a bound is missing or the lower one is above the upper one.
    """
    record, parameter = setting.record, setting.record["clip_param"]
    for name in ("min", "max"):
        if name not in parameter:
            raise record.refuse(f"clip_param has no {name}; give min and max")
    least, most = parameter["min"], parameter["max"]
    if least > most:
        raise record.refuse(f"min {least:g} is above max {most:g}; exchange them")
    return Clip(least, most)


class Swish(nn.Module):
    """Take y = x * sigmoid(beta * x), of x of any shape."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        """Return the values."""
        return x * torch.sigmoid(self.beta * x)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


def swish(setting: Setting) -> nn.Module:
    """Build x * sigmoid(beta * x)."""
    beta = setting.record["swish_param"]["beta"]
    return nn.SiLU() if beta == 1 else Swish(beta)


class Threshold(nn.Module):
    """Take 1 where x of any shape is above a threshold, else 0; without gradient."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        """Return ones and zeros."""
        return (x > self.threshold).to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.threshold}"


def threshold(setting: Setting) -> nn.Module:
    """Build a Threshold."""
    return Threshold(setting.record["threshold_param"]["threshold"])


def dropout(setting: Setting) -> nn.Module:
    """Build the dropout that scales while it trains.

    Raises: TextError if dropout_ratio is not in [0, 1).
    """
    ratio = setting.record["dropout_param"]["dropout_ratio"]
    if not 0 <= ratio < 1:
        raise setting.record.refuse(
            f"dropout_ratio is {ratio:g}; give the share to drop, from 0 to below 1"
        )
    return Dropout(ratio, scaled="training")


KINDS: Final = {
    "ReLU": Kind(relu),
    "PReLU": Kind(prelu, initial=(Initial("prelu_param.filler", 0.25),)),
    "ELU": Kind(elu),
    "Sigmoid": Kind(lambda setting: nn.Sigmoid()),
    "TanH": Kind(lambda setting: nn.Tanh()),
    "AbsVal": Kind(absolute),
    "Power": Kind(power),
    "Exp": Kind(exponential),
    "Log": Kind(logarithm),
    "BNLL": Kind(lambda setting: SoftPlus()),
    "Clip": Kind(clip),
    "Swish": Kind(swish),
    "Threshold": Kind(threshold),
    "Dropout": Kind(dropout),
}
"""The kinds of this file by the type that a prototxt names."""
