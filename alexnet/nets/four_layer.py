"""The four-layer nets of figure 1: one with ReLU, one with tanh, for CIFAR-10.

Source: Krizhevsky 2012, section 3.1 and figure 1. The paper does not say what the four layers are.
These have the sizes of the three convolutions and the one fully connected layer that came with the
program of 2012 for CIFAR-10 (layers-18pct.cfg), without its norms, and with max pools throughout:
figure 1 was measured without regularisation of any kind, and is about the neurons.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from alexnet.nets.chain import Chain

KERNELS = (32, 32, 64)
WEIGHT_STD = (0.0001, 0.01, 0.01, 0.01)
"""Deviations of the initial weights, conv1 to fc4, for inputs in grey levels."""
POOL_SIZE, POOL_STRIDE = 3, 2
SMALLEST = 8
"""Pixels a side of which pool3 has one."""


@dataclass(frozen=True)
class FourLayer:
    """What the two nets differ in."""

    source: str
    activation: Literal["relu", "tanh"] = "relu"
    published: tuple[int | None, int | None, int | None] | None = None
    """Sizes that the paper gives: none."""
    notes: tuple[str, ...] = (
        "The paper gives no sizes; these are those of the program's own example for CIFAR-10.",
    )
    """What a reader who compares the figures with the source should know."""
    input_size: ClassVar[int] = 32
    channels: ClassVar[int] = 3
    published_classes: ClassVar[int] = 10

    def build(self, *, classes: int = 10, input_size: int | None = None) -> "FourLayerNet":
        """Return the net on the current default device."""
        size = self.input_size if input_size is None else input_size
        return FourLayerNet(self.activation, classes=classes, input_size=size)

    def check_input(self, input_size: int) -> int:
        """Return the side of pool3 for that input.

        Raises: ValueError if there is no pixel.
        """
        if input_size < SMALLEST:
            raise ValueError(
                f"input size {input_size} leaves no pixel at pool3; the smallest size of this net "
                f"is {SMALLEST}"
            )
        size = input_size
        for _ in KERNELS:  # rounded up, as the program does
            size = -(-(size - POOL_SIZE) // POOL_STRIDE) + 1
        return size


class FourLayerNet(Chain):
    """Three 5x5 convolutions, each with its neurons and a 3x3 max pool of stride 2, and fc4.

    Raises: ValueError if `classes` is below 1 or the input leaves no pixel at pool3.
    """

    def __init__(
        self, activation: Literal["relu", "tanh"], *, classes: int, input_size: int
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        side = FOUR_LAYER.check_input(input_size)
        self.classes, self.input_size = classes, input_size
        channels = 3
        for number, kernels in enumerate(KERNELS, start=1):
            self.add_module(f"conv{number}", nn.Conv2d(channels, kernels, 5, padding=2))
            neurons = nn.ReLU(inplace=True) if activation == "relu" else nn.Tanh()
            self.add_module(f"{activation}{number}", neurons)
            self.add_module(f"pool{number}", nn.MaxPool2d(POOL_SIZE, POOL_STRIDE, ceil_mode=True))
            channels = kernels
        self.flatten = nn.Flatten()
        self.fc4 = nn.Linear(channels * side * side, classes)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw weights with the deviations of layers-18pct.cfg; biases are 0."""
        layers = [x for x in self.children() if isinstance(x, nn.Conv2d | nn.Linear)]
        for layer, deviation in zip(layers, WEIGHT_STD, strict=True):
            assert layer.bias is not None
            layer.weight.normal_(0, deviation, generator=generator)
            layer.bias.zero_()


FOUR_LAYER = FourLayer("Krizhevsky 2012, figure 1, the solid line: ReLU")
FOUR_LAYER_TANH = FourLayer("Krizhevsky 2012, figure 1, the dashed line: tanh", "tanh")
