"""VGG: 11 to 19 layers of 3 x 3 convolutions.

Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
arXiv 1409.1556, table 1 (configurations A, B, D, E) and section 3.1.

Layers are called as in the authors' Caffe files: conv1_1, relu1_1, ..., pool5, fc6, ..., fc8. What
differs from the paper:

- The text draws weights with a *variance* of 10^-2. That is a deviation of .1, with which the
  logits of configuration A begin near 10^7 on pixels; we read it as the deviation, .01.
- The deeper configurations started from a trained A. They are drawn as the paper's footnote
  recommends instead, after Glorot and Bengio 2010.
- Batch normalisation came a year later (1502.03167); those nets are torchvision's.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import nn

from alexnet.layers.dropout import Dropout
from alexnet.nets.chain import Chain

SHRINKAGE = 32
"""The five pools halve the picture five times."""


@dataclass(frozen=True)
class Configuration:
    """A column of the paper's table 1."""

    source: str
    convolutions: tuple[int, ...]
    """Convolutions before each of the five pools."""
    batch_norm: bool = False
    """True normalises each convolution's output before its ReLU."""
    initialisation: Literal["gaussian", "glorot", "he"] = "glorot"
    """gaussian: N(0, .01); glorot: the paper's footnote; he: torchvision's, for batch norm."""
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    """Kernels of the convolutions before each pool."""
    fc_units: int = 4096
    """Neurons of fc6 and of fc7."""
    dropout_rate: float = 0.5
    """Dropout after fc6 and fc7, made up for in training, as in the authors' Caffe."""
    input_size: int = 224
    """Width and height of the crop that the network sees, in pixels."""
    published: tuple[int | None, int | None, int | None] | None = None
    """Published parameters, neurons and multiply-adds, at 1,000 classes and `input_size`."""
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""
    published_classes: ClassVar[int] = 1000
    channels: ClassVar[int] = 3
    text: ClassVar[str] = ""

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "VGG":
        """Return the net on the current default device; weights as torch makes them."""
        size = self.input_size if input_size is None else input_size
        return VGG(self, classes=classes, input_size=size)

    def check_input(self, input_size: int) -> int:
        """Return the side of pool5 for that input; the pools leave out what does not fill a window.

        Raises: ValueError if no pixel is left there.
        """
        if input_size < SHRINKAGE:
            raise ValueError(
                f"input size {input_size} leaves no pixel at pool5; "
                f"the smallest size of this net is {SHRINKAGE}"
            )
        return input_size // SHRINKAGE


class VGG(Chain):
    """Blocks of convolutions and a max pool, then three fully connected layers (section 2.1).

    Raises: ValueError if `classes` < 1 or `input_size` leaves no pixel at pool5.
    """

    def __init__(self, configuration: Configuration, *, classes: int, input_size: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        side = configuration.check_input(input_size)
        self.configuration, self.classes, self.input_size = configuration, classes, input_size
        channels = configuration.channels
        for block, width in enumerate(configuration.widths, start=1):
            for number in range(1, configuration.convolutions[block - 1] + 1):
                name = f"{block}_{number}"
                self.add_module(f"conv{name}", nn.Conv2d(channels, width, 3, padding=1))
                if configuration.batch_norm:
                    self.add_module(f"bn{name}", nn.BatchNorm2d(width))
                self.add_module(f"relu{name}", nn.ReLU(inplace=True))
                channels = width
            self.add_module(f"pool{block}", nn.MaxPool2d(2, 2))
        self.flatten = nn.Flatten()
        features = channels * side * side
        for layer in (6, 7):
            self.add_module(f"fc{layer}", nn.Linear(features, configuration.fc_units))
            self.add_module(f"relu{layer}", nn.ReLU(inplace=True))
            dropout = Dropout(configuration.dropout_rate, scaled="training")
            self.add_module(f"drop{layer}", dropout)
            features = configuration.fc_units
        self.fc8 = nn.Linear(features, classes)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights; all biases are 0.

        gaussian:  w ~ N(0, .01) (section 3.1).
        glorot:    w uniform within sqrt(6 / (fan_in + fan_out)) (section 3.1, footnote).
        he:        convolutions N(0, sqrt(2 / fan_out)), fully connected N(0, .01), gamma 1, beta 0.
        """
        kind = self.configuration.initialisation
        for layer in self.children():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            assert layer.bias is not None
            layer.bias.zero_()
            if kind == "glorot":
                nn.init.xavier_uniform_(layer.weight, generator=generator)
            elif kind == "he" and isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(
                    layer.weight, mode="fan_out", nonlinearity="relu", generator=generator
                )
            else:
                layer.weight.normal_(0, 0.01, generator=generator)


_ADDED_UP = "Multiply-adds are our sum over table 1; the paper gives millions of parameters only."

VGG11 = Configuration(
    source="Simonyan and Zisserman 2014, configuration A",
    convolutions=(1, 1, 2, 2, 2),
    initialisation="gaussian",
    published=(132_863_336, None, 7_609_090_048),
    notes=(
        _ADDED_UP,
        (
            "The text's initial weights have a variance of 10^-2, with which the logits begin near "
            "10^7; we take 10^-2 as their deviation."
        ),
    ),
)

VGG13 = Configuration(
    source="Simonyan and Zisserman 2014, configuration B",
    convolutions=(2, 2, 2, 2, 2),
    published=(133_047_848, None, 11_308_466_176),
    notes=(_ADDED_UP,),
)

VGG16 = Configuration(
    source="Simonyan and Zisserman 2014, configuration D",
    convolutions=(2, 2, 3, 3, 3),
    published=(138_357_544, None, 15_470_264_320),
    notes=(
        _ADDED_UP,
        "He et al. 2015 quote 15.3 x 10^9, which is the convolutions alone (15.35 x 10^9).",
    ),
)

VGG19 = Configuration(
    source="Simonyan and Zisserman 2014, configuration E",
    convolutions=(2, 2, 4, 4, 4),
    published=(143_667_240, None, 19_632_062_464),
    notes=(_ADDED_UP, "He et al. 2015, table 1, quote 19.6 x 10^9 multiply-adds."),
)


def _with_batch_norm(plain: Configuration, parameters: int) -> Configuration:
    published = plain.published
    assert published is not None
    return replace(
        plain,
        source=f"torchvision's batch normalisation in {plain.source.rpartition(', ')[2]}",
        batch_norm=True,
        initialisation="he",
        published=(parameters, None, published[2]),
        notes=("Not in the paper. The parameters are those that torchvision publishes.",),
    )


VGG11_BN = _with_batch_norm(VGG11, 132_868_840)
VGG13_BN = _with_batch_norm(VGG13, 133_053_736)
VGG16_BN = _with_batch_norm(VGG16, 138_365_992)
VGG19_BN = _with_batch_norm(VGG19, 143_678_248)
