"""GoogLeNet: inception blocks, and two classifiers on the way that training listens to.

Source: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke and Rabinovich, Going Deeper
with Convolutions, arXiv 1409.4842, table 1, figure 3 and section 5. Where the paper is silent we
follow Caffe's bvlc_googlenet: pools that hang over the edge, the constants of the response norms,
initial weights.

Blocks are called after table 1; inside, inception_3a.conv3x3 follows inception_3a.reduce3x3. What
differs from the paper: pool5 takes the mean of all places, whatever their number; with pictures of
224 pixels these are its 7 x 7.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.fused import fuse
from alexnet.layers.merge import Concat
from alexnet.layers.response_norm import LocalResponseNorm
from alexnet.nets.chain import Chain, Heads

HEAD_DROPOUT = 0.7
HEADS = {"inception_4a": "loss1", "inception_4d": "loss2"}
"""Blocks whose outputs the auxiliary classifiers read."""


class Widths(NamedTuple):
    """A row of table 1: the kernels of a block's six convolutions."""

    conv1x1: int
    reduce3x3: int
    conv3x3: int
    reduce5x5: int
    conv5x5: int
    project: int

    @property
    def outputs(self) -> int:
        """Channels of the four branches together."""
        return self.conv1x1 + self.conv3x3 + self.conv5x5 + self.project


INCEPTIONS = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}


@dataclass(frozen=True)
class Variant:
    """Everything in which the networks called GoogLeNet differ."""

    source: str
    batch_norm: bool = False
    """True normalises each convolution's output over the batch; the convolutions lose biases."""
    response_norm: bool = True
    """Response norms after pool1 and conv2."""
    large_kernel: int = 5
    """Side of the kernels called 5x5; torchvision's are 3 x 3."""
    pool4_size: int = 3
    head_pool: Literal["5x5", "to 4x4"] = "5x5"
    """Pool of the auxiliary classifiers: windows of 5 x 5 every 3 pixels, or 4 x 4 means."""
    head_weight: float = 0.3
    """What the loss of each auxiliary classifier counts (section 5)."""
    dropout_rate: float = 0.4
    """Dropout before the last layer; its scale is made up for in training, as in Caffe."""
    initialisation: Literal["caffe", "torchvision"] = "caffe"
    """The paper gives none."""
    input_size: int = 224
    """Width and height of the crop that the network sees, in pixels."""
    published: tuple[int | None, int | None, int | None] | None = None
    """Published parameters, neurons and multiply-adds, without the auxiliary classifiers."""
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""
    published_classes: ClassVar[int] = 1000
    channels: ClassVar[int] = 3
    text: ClassVar[str] = ""

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "GoogLeNet":
        """Return the net on the current default device; weights as torch makes them."""
        size = self.input_size if input_size is None else input_size
        return GoogLeNet(self, classes=classes, input_size=size)

    def check_input(self, input_size: int) -> int:
        """Return the side of inception_5b for that input.

        Raises: ValueError if no pixel is left there, or no window for an auxiliary classifier.
        """
        if not self._fits(input_size):
            smallest = next(size for size in range(1, 99) if self._fits(size))
            raise ValueError(
                f"input size {input_size} leaves an auxiliary classifier or inception_5b nothing "
                f"to read; the smallest size of this net is {smallest}"
            )
        return self.sides(input_size)[1]

    def sides(self, input_size: int) -> tuple[int, int]:
        """Return the sides of inception_4a ... 4e and of inception_5a, 5b."""
        side = (input_size + 1) // 2  # 7 x 7, stride 2, padding 3
        for _ in range(3):
            side = side // 2  # -(-(side - 3) // 2) + 1, none where there is a single pixel
        last = side // 2 if self.pool4_size == 3 else (side + 1) // 2
        return side, last

    def head_side(self, input_size: int) -> int:
        """Return the side of what the auxiliary classifiers read."""
        side = self.sides(input_size)[0]
        return -(-(side - 5) // 3) + 1 if self.head_pool == "5x5" else 4

    def _fits(self, input_size: int) -> bool:
        return min(*self.sides(input_size), self.head_side(input_size)) >= 1


def _add_convolution(
    parent: nn.Module, name: str, channels: tuple[int, int], kernel: int, *, batch_norm: bool
) -> None:
    """Add conv3x3, bn3x3 and relu3x3, or reduce3x3, bn_reduce3x3 and relu_reduce3x3."""
    inputs, outputs = channels
    stride = 2 if kernel == 7 else 1
    parent.add_module(
        name,
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=not batch_norm),
    )
    suffix = name.removeprefix("conv") if name.startswith("conv") else f"_{name}"
    if batch_norm:
        parent.add_module(f"bn{suffix}", nn.BatchNorm2d(outputs, eps=0.001))
    parent.add_module(f"relu{suffix}", nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Four branches side by side: 1 x 1; 3 x 3; 5 x 5; max pool (figure 2b).

    Shapes:  x (N, C, H, W) -> (N, outputs, H, W).
    """

    def __init__(self, variant: Variant, channels: int, widths: Widths) -> None:
        super().__init__()
        rows = (
            ("conv1x1", channels, 1),
            ("reduce3x3", channels, 1),
            ("conv3x3", widths.reduce3x3, 3),
            ("reduce5x5", channels, 1),
            ("conv5x5", widths.reduce5x5, variant.large_kernel),
            ("project", channels, 1),
        )
        for (name, inputs, kernel), outputs in zip(rows, widths, strict=True):
            if name == "project":
                self.pool = nn.MaxPool2d(3, 1, padding=1)
            _add_convolution(self, name, (inputs, outputs), kernel, batch_norm=variant.batch_norm)
        self.concat = Concat()

    def branches(self) -> Iterator[list[nn.Module]]:
        """Yield the layers of each branch."""
        branch: list[nn.Module] = []
        for name, layer in self.named_children():
            if name in ("reduce3x3", "reduce5x5", "pool", "concat"):
                yield branch
                branch = []
            branch.append(layer)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.branches():
            y = x
            for step in fuse(branch):
                y = step(y)
            outputs.append(y)
        joined: Tensor = self.concat(*outputs)
        return joined


class AuxiliaryClassifier(nn.Module):
    """A small net on the output of inception_4a or 4d (section 5).

    Shapes:  x (N, C, H, W) -> (N, classes).
    """

    def __init__(self, variant: Variant, channels: int, *, classes: int, side: int) -> None:
        super().__init__()
        if variant.head_pool == "5x5":
            self.pool: nn.Module = nn.AvgPool2d(5, 3, ceil_mode=True)
        else:
            self.pool = nn.AdaptiveAvgPool2d(4)
        _add_convolution(self, "conv", (channels, 128), 1, batch_norm=variant.batch_norm)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(128 * side * side, 1024)
        self.relu_fc = nn.ReLU(inplace=True)
        self.drop_fc = Dropout(HEAD_DROPOUT, scaled="training")
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x: Tensor) -> Tensor:
        for step in fuse(self.children()):
            x = step(x)
        return x


class GoogLeNet(Chain):
    """Three convolutions, nine inception blocks, the mean over all places, one layer (table 1).

    `loss1` and `loss2` are no steps: only `heads` runs them, and only while training.

    Raises: ValueError if `classes` < 1 or `input_size` is too small.
    """

    def __init__(self, variant: Variant, *, classes: int, input_size: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        variant.check_input(input_size)
        self.variant, self.classes, self.input_size = variant, classes, input_size
        self._add_stem()
        channels = 192
        for name, widths in INCEPTIONS.items():
            if name in ("4a", "5a"):
                size = 3 if name == "4a" else variant.pool4_size
                number = int(name[0]) - 1
                self.add_module(f"pool{number}", nn.MaxPool2d(size, 2, ceil_mode=True))
            self.add_module(f"inception_{name}", Inception(variant, channels, widths))
            channels = widths.outputs
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.drop5 = Dropout(variant.dropout_rate, scaled="training")
        self.fc = nn.Linear(channels, classes)
        for block, head in HEADS.items():
            channels = INCEPTIONS[block.removeprefix("inception_")].outputs
            side = variant.head_side(input_size)
            self.add_module(
                head, AuxiliaryClassifier(variant, channels, classes=classes, side=side)
            )

    def _add_stem(self) -> None:
        batch_norm = self.variant.batch_norm
        _add_convolution(self, "conv1", (self.variant.channels, 64), 7, batch_norm=batch_norm)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        if self.variant.response_norm:
            self.norm1 = _response_norm()
        _add_convolution(self, "reduce2", (64, 64), 1, batch_norm=batch_norm)
        _add_convolution(self, "conv2", (64, 192), 3, batch_norm=batch_norm)
        if self.variant.response_norm:
            self.norm2 = _response_norm()
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)

    def steps(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the layers that lead from the input to the logits, with their names."""
        return ((name, layer) for name, layer in super().steps() if name not in HEADS.values())

    def heads(self, x: Tensor) -> Heads:
        """Return all three classifiers' logits while training, the last one's alone otherwise."""
        if not self.training:
            return Heads(self(x))
        readers = {self.get_submodule(block): head for block, head in HEADS.items()}
        auxiliary: list[Tensor] = []
        for step in fuse(layer for _, layer in self.steps()):
            x = step(x)
            if isinstance(step, nn.Module) and step in readers:
                auxiliary.append(self.get_submodule(readers[step])(x))
        return Heads(x, tuple(auxiliary), self.variant.head_weight)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights.

        caffe:        w uniform within sqrt(3 / fan_in); b = .2, 0 in the classifiers.
        torchvision:  w ~ N(0, .01) within +-2; b of fully connected layers uniform within
                      1 / sqrt(fan_in); gamma 1, beta 0.
        """
        caffe = self.variant.initialisation == "caffe"
        for name, layer in self.named_modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
            if not isinstance(layer, nn.Conv2d | nn.Linear):
                continue
            if caffe:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear", generator=generator)
            else:
                nn.init.trunc_normal_(layer.weight, std=0.01, a=-2, b=2, generator=generator)
            if layer.bias is None:
                continue
            if caffe:
                layer.bias.fill_(0.0 if name == "fc" or name.endswith(".classifier") else 0.2)
            else:
                bound = layer.weight[0].numel() ** -0.5
                layer.bias.uniform_(-bound, bound, generator=generator)


def _response_norm() -> LocalResponseNorm:
    return LocalResponseNorm(window=5, bias=1.0, alpha=1e-4, beta=0.75, convention="caffe")


GOOGLENET = Variant(
    source="Szegedy et al. 2014, as Caffe's bvlc_googlenet",
    published=(6_998_552, None, 1_582_671_872),
    notes=(
        "The paper gives about 1.5 x 10^9 multiply-adds; the exact figures are Caffe's files'.",
    ),
)

GOOGLENET_TORCHVISION = Variant(
    source="torchvision.models.googlenet",
    batch_norm=True,
    response_norm=False,
    large_kernel=3,
    pool4_size=2,
    head_pool="to 4x4",
    dropout_rate=0.2,
    initialisation="torchvision",
    published=(6_624_904, None, 1_498_376_192),
    notes=(
        "Not the paper's net: batch norms, no response norms, 3 x 3 kernels where 5 x 5 should be.",
        "The parameters are published, without auxiliary classifiers; the multiply-adds are ours.",
        "torchvision's own weights expect pixels in [-1, 1], its transform_input.",
    ),
)
