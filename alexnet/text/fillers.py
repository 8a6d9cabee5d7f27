"""The fillers of Caffe: what a blob holds before training.

Source: BVLC Caffe, include/caffe/filler.hpp. The distributions are the original's and the numbers
are not: they come from torch's generator.
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from alexnet.nearest import nearest
from alexnet.text.message import Message

FILLERS: Final = (
    "constant",
    "gaussian",
    "positive_unitball",
    "uniform",
    "xavier",
    "msra",
    "bilinear",
)
_WIDEST: Final = torch.finfo(torch.float32).max


def check(filler: Message, shape: Sequence[int]) -> None:
    """Refuse a FillerParameter that cannot fill a blob of a shape.

    Raises: TextError if the type is not known, a number is out of range, or the type is not for
            such a shape.
    """
    kind, sparse = filler["type"], filler["sparse"]
    if kind not in FILLERS:
        raise filler.refuse(
            f"filler type {kind!r} is not known{nearest(kind, FILLERS)}; it must be one of "
            f"{', '.join(FILLERS)}",
            "type",
        )
    if sparse != -1 and kind != "gaussian":
        raise filler.refuse(f"sparse is for type gaussian; leave it out for {kind}", "sparse")
    if kind in ("positive_unitball", "xavier", "msra") and not shape:
        raise filler.refuse(f"filler type {kind} is not for a blob without axes; use constant")
    if kind == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        raise filler.refuse(
            f"filler type bilinear is for four axes with a square kernel, not {tuple(shape)}"
        )
    if kind == "uniform" and not 0 <= filler["max"] - filler["min"] <= _WIDEST:
        raise filler.refuse(
            f"min is {filler['min']:g} and max {filler['max']:g}; give two numbers that rise", "min"
        )
    if kind == "gaussian":
        _check_gaussian(filler, shape)


def _check_gaussian(filler: Message, shape: Sequence[int]) -> None:
    sparse = filler["sparse"]
    if not filler["std"] > 0:
        raise filler.refuse(
            f"std is {filler['std']:g}; give a positive number, or type constant", "std"
        )
    outputs = shape[0] if shape else 0
    if sparse != -1 and not 0 <= sparse <= outputs:
        raise filler.refuse(
            f"sparse is {sparse}; give the mean number of inputs that are not 0, from 0 to the "
            f"{outputs} outputs",
            "sparse",
        )


@torch.no_grad()
def fill(tensor: Tensor, filler: Message, generator: torch.Generator | None) -> None:
    """Fill a blob as a FillerParameter says.

        constant           value
        uniform            U(min, max)
        gaussian           N(mean, std ** 2); with sparse, each times 1 with probability
                           sparse / shape[0], else 0
        positive_unitball  U(0, 1), divided by its sum over all axes but the first
        xavier             U(-a, a), a = sqrt(3 / n)
        msra               N(0, 2 / n)
        bilinear           (1 - |x / f - c|) * (1 - |y / f - c|), f = ceil(width / 2),
                           c = (width - 1) / (2 * f): interpolation by a Deconvolution

    n: fan in = elements / shape[0], fan out = elements / shape[1] (all elements with one axis), or
    the mean of both, as variance_norm says. A generator of None is torch's global one.

    Shapes:  any float tensor on the generator's device, of any memory format, filled in place.
    Source:  include/caffe/filler.hpp.
    Raises:  TextError as `check`.
    """
    check(filler, tensor.shape)
    # Numbers are drawn in the order of the axes, so that another memory format has the same ones.
    target = tensor if tensor.is_contiguous() else torch.empty(tensor.shape, device=tensor.device)
    match filler["type"]:
        case "constant":
            target.fill_(filler["value"])
        case "uniform":
            target.uniform_(filler["min"], filler["max"], generator=generator)
        case "gaussian":
            target.normal_(filler["mean"], filler["std"], generator=generator)
            if filler["sparse"] != -1:
                share = filler["sparse"] / tensor.shape[0]
                target *= torch.empty_like(target).bernoulli_(share, generator=generator)
        case "positive_unitball":
            target.uniform_(0, 1, generator=generator)
            rows = target.view(len(target), -1)
            rows /= rows.sum(1, keepdim=True)
        case "xavier":
            bound = math.sqrt(3 / _fan(filler, tensor.shape))
            target.uniform_(-bound, bound, generator=generator)
        case "msra":
            target.normal_(0, math.sqrt(2 / _fan(filler, tensor.shape)), generator=generator)
        case "bilinear":
            target.copy_(_tent(tensor.shape[3]))
    if target is not tensor:
        tensor.copy_(target)


def _fan(filler: Message, shape: Sequence[int]) -> float:
    """Return n of the fillers whose variance depends on the number of connections."""
    count = math.prod(shape)
    fan_in = count // shape[0]
    fan_out = count // shape[1] if len(shape) > 1 else count
    match filler["variance_norm"]:
        case "AVERAGE":
            return (fan_in + fan_out) / 2
        case "FAN_OUT":
            return fan_out
    return fan_in


def _tent(width: int) -> Tensor:
    """Return the kernel of bilinear interpolation, (width, width)."""
    half = math.ceil(width / 2)
    centre = (width - 1) / (2 * half)
    sides = 1 - (torch.arange(width) / half - centre).abs()
    return sides[:, None] * sides
