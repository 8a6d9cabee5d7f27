"""AlexNet, and every network that goes by its name.

Source: Krizhevsky, Sutskever and Hinton, ImageNet Classification with Deep Convolutional Neural
Networks, NIPS 2012, sections 3 and 5.

One module serves all of them; a frozen `Variant` holds everything in which they differ. The preset
`alexnet` follows the text of the paper; what differs from the text, and why:

- The input is 227 pixels wide where the text says 224: only (227 - 11) / 4 + 1 gives the 55 x 55
  maps that the neuron counts of figure 2 need.
- A response norm ends at the edge of its column. Section 3.5 lists the layers that read across the
  two devices (conv3 and the fully connected ones); a norm is not among them.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.padding import PadToStride
from alexnet.layers.response_norm import Convention, LocalResponseNorm, WithinChannelNorm
from alexnet.nets.chain import Chain

Step = Literal["activation", "norm", "spatial_norm", "pool"]
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
KERNEL_SIZES = (11, 5, 3, 3, 3)
POOL_STRIDE = 2


@dataclass(frozen=True)
class ResponseNorm:
    """Constants of the cross-channel normalisation (section 3.3)."""

    convention: Convention = "paper"
    """How alpha is to be read: per term (paper) or divided by the window (caffe, torch)."""
    window: int = 5
    """Neighbouring kernel maps in the sum, n in the paper."""
    bias: float = 2.0
    """k in the paper; Caffe's default is 1."""
    alpha: float = 1e-4
    beta: float = 0.75
    within_column: bool = True
    """True ends the window at the edge of its column."""


@dataclass(frozen=True)
class Variant:
    """Everything in which the networks called AlexNet differ."""

    source: str
    """The paper or file that this variant follows."""
    kernels: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256)
    """Kernels of conv1 to conv5, all columns together."""
    fc_units: int = 4096
    """Neurons of fc6 and of fc7, all columns together."""
    columns: int = 2
    """Columns ("GPUs"): conv2, conv4 and conv5 read only their own."""
    input_size: int = 227
    """Width and height of the crop that the network sees, in pixels."""
    conv1_padding: tuple[int, int] | Literal["end"] = (0, 0)
    """Zeros before and after each side; "end" adds what the last stride needs."""
    after_conv1: tuple[Step, ...] = ("activation", "norm", "pool")
    after_conv2: tuple[Step, ...] = ("activation", "norm", "pool")
    after_conv5: tuple[Step, ...] = ("activation", "pool")
    norm: ResponseNorm = ResponseNorm()
    """Constants of norm1 and norm2, where the orders above name them."""
    spatial_alpha: float = 1e-3
    """alpha of the 5x5 norm over positions, where an order names it; beta 0.75, constant 1."""
    crosses: bool = True
    """Whether conv3 reads all columns, as in section 3.2; else they meet at fc6 only."""
    pool_size: int = 3
    """Width and height of a pool's window, z in section 3.4; the stride is 2."""
    pool_rounding: Literal["floor", "ceil"] = "floor"
    average_pool: int | None = None
    """Side to which pool5 is averaged before fc6; torchvision does this, None leaves it."""
    activation: Literal["relu", "tanh"] = "relu"
    dropout_rate: float = 0.5
    dropout_place: Literal["after", "before"] = "after"
    """Dropout after fc6 and fc7 (the paper), or before them (torchvision)."""
    dropout_scaled: Literal["test", "training"] = "test"
    """Where the kept share is made up for: at test (the paper) or in training (inverted)."""
    initialisation: Literal["gaussian", "torch", "glorot"] = "gaussian"
    """gaussian takes the two fields below; torch and glorot are the defaults of those libraries."""
    weight_std: tuple[float, ...] = (0.01,) * 8
    """Standard deviation of the initial weights, conv1 to fc8."""
    initial_biases: tuple[float, ...] = (0, 1, 0, 1, 1, 1, 1, 0)
    """Constant of the initial biases, conv1 to fc8."""
    published: tuple[int, int, int] | None = None
    """Published parameters, neurons and multiply-adds, at 1,000 classes and `input_size`."""
    published_classes: ClassVar[int] = 1000
    channels: ClassVar[int] = 3
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "AlexNet":
        """Return the net on the current default device; weights as torch makes them."""
        size = self.input_size if input_size is None else input_size
        return AlexNet(self, classes=classes, input_size=size)

    def check_input(self, input_size: int) -> int:
        """Return the side of pool5 for that input.

        Raises: ValueError if no pixel is left there.
        """
        side = self.pool5_size(input_size)
        if side < 1:
            raise ValueError(
                f"input size {input_size} leaves no pixel at pool5; "
                f"the smallest size of this net is {self.smallest_input()}"
            )
        return side

    def pool5_size(self, input_size: int) -> int:
        """Return the side of pool5 for a square input, 0 where no pixel is left."""
        size = input_size
        if self.conv1_padding == "end":
            size = max(math.ceil((size - 11) / 4), 0) + 1
        else:
            size = (size + sum(self.conv1_padding) - 11) // 4 + 1
        for _ in range(3):  # conv2 to conv5 keep the size; only the three pools shrink it
            if size < (self.pool_size if self.pool_rounding == "floor" else 1):
                return 0
            spare = (size - self.pool_size) / POOL_STRIDE
            size = (math.floor(spare) if self.pool_rounding == "floor" else math.ceil(spare)) + 1
        return max(size, 0)

    def smallest_input(self) -> int:
        """Return the smallest input side that leaves a pixel at pool5."""
        size = 1
        while self.pool5_size(size) < 1:
            size += 1
        return size


class AlexNet(Chain):
    """Five convolutional and three fully connected layers (section 3.5).

    Children carry the paper's names (conv1, norm1, pool1, ..., fc8) and stand in the order in which
    they run.

    Raises: ValueError if `classes` < 1 or `input_size` leaves no pixel at pool5.
    """

    def __init__(self, variant: Variant, *, classes: int, input_size: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        side = variant.check_input(input_size)
        self.variant, self.classes, self.input_size = variant, classes, input_size
        self._add_convolutions()
        if variant.average_pool:
            self.average5 = nn.AdaptiveAvgPool2d(variant.average_pool)
            side = variant.average_pool
        self.flatten = nn.Flatten()
        self._add_fully_connected(variant.kernels[-1] * side * side)

    def _add_convolutions(self) -> None:
        variant, kernels = self.variant, self.variant.kernels
        columns = variant.columns
        grouped = (1, columns, 1 if variant.crosses else columns, columns, columns)
        orders: tuple[tuple[Step, ...], ...] = (
            variant.after_conv1,
            variant.after_conv2,
            ("activation",),
            ("activation",),
            variant.after_conv5,
        )
        if variant.conv1_padding == "end":
            self.pad1: nn.Module = PadToStride(11, 4)
        elif any(variant.conv1_padding):
            before, after = variant.conv1_padding
            self.pad1 = nn.ZeroPad2d((before, after, before, after))
        for index, (size, groups, order) in enumerate(
            zip(KERNEL_SIZES, grouped, orders, strict=True)
        ):
            number = index + 1
            self.add_module(
                f"conv{number}",
                nn.Conv2d(
                    kernels[index - 1] if index else 3,
                    kernels[index],
                    size,
                    stride=1 if index else 4,
                    padding=size // 2 if index else 0,
                    groups=groups,
                ),
            )
            for step in order:
                self._add_step(step, number)

    def _add_step(self, step: Step, number: int) -> None:
        variant = self.variant
        if step == "activation":
            self.add_module(f"{variant.activation}{number}", _activation(variant.activation))
        elif step == "norm":
            norm = variant.norm
            across = LocalResponseNorm(
                window=norm.window,
                bias=norm.bias,
                alpha=norm.alpha,
                beta=norm.beta,
                convention=norm.convention,
                columns=variant.columns if norm.within_column else 1,
            )
            self.add_module(f"norm{number}", across)
        elif step == "spatial_norm":  # "cnorm2" in the program of 2012
            spatial = WithinChannelNorm(window=5, alpha=variant.spatial_alpha, beta=0.75, bias=1.0)
            self.add_module(f"cnorm{number}", spatial)
        else:
            rounds_up = variant.pool_rounding == "ceil"
            pool = nn.MaxPool2d(variant.pool_size, POOL_STRIDE, ceil_mode=rounds_up)
            self.add_module(f"pool{number}", pool)

    def _add_fully_connected(self, features: int) -> None:
        variant = self.variant
        for number in (6, 7):
            dropout = Dropout(variant.dropout_rate, scaled=variant.dropout_scaled)
            if variant.dropout_place == "before":
                self.add_module(f"drop{number}", dropout)
            self.add_module(f"fc{number}", nn.Linear(features, variant.fc_units))
            self.add_module(f"{variant.activation}{number}", _activation(variant.activation))
            if variant.dropout_place == "after":
                self.add_module(f"drop{number}", dropout)
            features = variant.fc_units
        self.fc8 = nn.Linear(features, self.classes)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights as this variant's source does (section 5).

        gaussian:  w ~ N(0, weight_std), b = initial_biases, per layer.
        torch:     the defaults of nn.Conv2d and nn.Linear: uniform within 1 / sqrt(fan_in).
        glorot:    uniform within sqrt(6 / (fan_in + fan_out)), b = 0.
        """
        variant = self.variant
        for index, name in enumerate(LAYERS):
            layer = self.get_submodule(name)
            assert isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None
            if variant.initialisation == "gaussian":
                layer.weight.normal_(0, variant.weight_std[index], generator=generator)
                layer.bias.fill_(variant.initial_biases[index])
            elif variant.initialisation == "torch":
                bound = 1 / math.sqrt(layer.weight[0].numel())
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
            else:
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                layer.bias.zero_()


def _activation(name: Literal["relu", "tanh"]) -> nn.Module:
    return nn.ReLU(inplace=True) if name == "relu" else nn.Tanh()
