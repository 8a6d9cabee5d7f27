"""Deconvnet: an activation brought back to the pixels that caused it.

Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, section 2.1.
Layer by layer from the top, all other activations of the layer zero:

    max pool      unpool: each value goes to the place of the maximum, the pool's switch
    ReLU          rectify what comes from above: max(0, r)
    convolution   the same kernels, transposed; biases left out

What differs, or is left open there: other linear layers (average pool, batch norm as it is in use,
flatten, fully connected) are transposed too. Where overlapping windows have one maximum, their
values add up there. Response norms and dropout are passed through as they are. Other activations
than ReLU, and nets that are no chain of layers, have no deconvnet.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.inspection.reach import PICTURE, Reach, seen_by
from alexnet.inspection.watch import find_layer
from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.padding import PadToStride
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets.chain import Chain
from alexnet.text.pooling import AveragePooling, MaxPooling
from alexnet.text.vision import Convolution

LINEAR = (
    *(nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.BatchNorm2d),
    *(nn.Flatten, nn.Identity, nn.ZeroPad2d, PadToStride),
    *(Convolution, InnerProduct, MaxPooling, AveragePooling),
)
"""Layers that are linear in their input, a max pool for the maxima that it has: each is
transposed."""
PASSED = (LocalResponseNorm, WithinChannelNorm, Dropout, nn.Dropout)


@dataclass(frozen=True)
class Projection:
    """An activation brought back to the input."""

    picture: Tensor
    """(C, H, W) float32: what comes out at the bottom."""
    value: float
    """The activation."""
    place: tuple[int, ...]
    """Its row and column in the map; () for a unit that has no map."""
    window: tuple[int, int, int, int]
    """Top, left, bottom and right of the pixels that it sees, inside the picture."""


def check_chain(net: Chain, layer: str) -> None:
    """Check that each layer up to `layer` can be brought back.

    Raises: ValueError naming the one that cannot, or the nearest layer where there is none.
    """
    find_layer(net, layer)
    for name, each in net.steps():
        if net.branches or not isinstance(each, (*LINEAR, *PASSED, nn.ReLU)):
            what = "the net branches" if net.branches else f"{name} is a {type(each).__name__}"
            raise ValueError(
                f"no deconvnet leads back from {layer}: {what}; it is made for chains of "
                "convolutions, ReLU and max pools, such as AlexNet and VGG"
            )
        if name == layer:
            return
    raise ValueError(f"no deconvnet leads back from {layer}: it lies within a block")


def project(net: Chain, x: Tensor, *, layer: str, unit: int) -> Projection:
    """Bring the largest activation of a map, or the activation of a unit, back to the pixels.

    Shapes:  x (1, C, H, W); the projection's picture (C, H, W).
    Raises:  ValueError as `check_chain`, or when the layer has no such unit.
    """
    check_chain(net, layer)
    net.eval()
    way: list[tuple[nn.Module, Tensor]] = []
    reach = PICTURE
    with torch.no_grad():
        for name, each in net.steps():
            way.append((each, x))
            reach = seen_by(each, x, reach)
            x = each(x.clone())  # an activation may work in place
            if name == layer:
                break
    check_unit(layer, unit, x.shape[1])
    signal, place = _largest(x, unit)
    for each, below in reversed(way):
        signal = _back(each, below, signal)
    rows, columns = way[0][1].shape[2:]
    top, bottom = _span(reach, place[0] if place else 0, rows)
    left, right = _span(reach, place[1] if place else 0, columns)
    value = float(x[(0, unit, *place)])
    return Projection(signal[0], value, place, (top, left, bottom, right))


def check_unit(layer: str, unit: int, count: int) -> None:
    """Check that a layer has a map or unit of that number.

    Raises: ValueError if it has not.
    """
    if not 0 <= unit < count:
        raise ValueError(f"unit {unit} is not in {layer}, whose units are 0 to {count - 1}")


def _largest(y: Tensor, unit: int) -> tuple[Tensor, tuple[int, ...]]:
    """Return y with all but the largest activation of one unit zero, and the place of that."""
    signal = torch.zeros_like(y)
    if y.dim() == 2:
        signal[0, unit] = y[0, unit]
        return signal, ()
    row, column = divmod(int(y[0, unit].flatten().argmax()), y.shape[3])
    signal[0, unit, row, column] = y[0, unit, row, column]
    return signal, (row, column)


def _back(layer: nn.Module, below: Tensor, signal: Tensor) -> Tensor:
    if isinstance(layer, nn.ReLU):
        return signal.relu()
    if isinstance(layer, PASSED):
        return signal
    with torch.enable_grad():  # the gradient of a linear layer is its transpose
        x = below.detach().clone().requires_grad_()
        (back,) = torch.autograd.grad(layer(x), x, signal)
    return back


def _span(reach: Reach, place: int, size: int) -> tuple[int, int]:
    """Return the first pixel that an output sees and the one behind the last."""
    first, last = reach.first(place), reach.last(place)
    return max(0, math.floor(first)), min(size, math.ceil(last) + 1)
