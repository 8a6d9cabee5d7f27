"""ResNet: blocks that add what they compute to their input.

Source: He, Zhang, Ren and Sun, Deep Residual Learning for Image Recognition, arXiv 1512.03385,
table 1, figure 5 and sections 3.3 and 3.4; shortcuts of option B. Weights as in He, Zhang, Ren and
Sun, Delving Deep into Rectifiers, 1502.01852.

Blocks are called after table 1 with their number in the stage: conv2_1 is the first of conv2_x.
There are two lines of these nets, and weights of one do not serve the other:

- resnet18 ... resnet152 compute what the authors' Caffe files do: the first convolution of a
  bottleneck has the stride, and pool1 starts at the first pixel and hangs over the last.
- resnet18-torchvision ... are those of torchvision (and of fb.resnet.torch before it): the 3 x 3
  convolution has the stride ("v1.5"), and pool1 has a pixel of padding on all sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from alexnet.layers.fused import fuse
from alexnet.layers.merge import Add
from alexnet.nets.chain import Chain

BOTTLENECK_EXPANSION = 4
"""A bottleneck puts out this many times the channels that it computes with."""
STEM_CHANNELS = 64


@dataclass(frozen=True)
class Variant:
    """A column of table 1, in one of the two lines."""

    source: str
    blocks: tuple[int, ...]
    """Blocks in conv2_x, conv3_x, ..."""
    bottleneck: bool
    """True: 1 x 1, 3 x 3, 1 x 1 convolutions in a block; False: two of 3 x 3 (figure 5)."""
    stride_place: Literal["first", "3x3"] = "first"
    """The convolution of a bottleneck that has the stride."""
    pool1_edge: Literal["ceil", "padding"] = "ceil"
    """Windows of pool1 hang over the last pixel (Caffe), or padding surrounds the picture."""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Channels of the 3 x 3 convolutions in conv2_x, conv3_x, ..."""
    input_size: int = 224
    """Width and height of the crop that the network sees, in pixels."""
    published: tuple[int | None, int | None, int | None] | None = None
    """Published parameters, neurons and multiply-adds, at 1,000 classes and `input_size`."""
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""
    published_classes: ClassVar[int] = 1000
    channels: ClassVar[int] = 3
    text: ClassVar[str] = ""

    def build(self, *, classes: int = 1000, input_size: int | None = None) -> "ResNet":
        """Return the net on the current default device; weights as torch makes them."""
        size = self.input_size if input_size is None else input_size
        return ResNet(self, classes=classes, input_size=size)

    def check_input(self, input_size: int) -> int:
        """Return the side of the last block's maps for that input.

        Raises: ValueError if no pixel is left there.
        """
        side = self._last_side(input_size)
        if side < 1:
            smallest = next(size for size in range(1, 99) if self._last_side(size) >= 1)
            raise ValueError(
                f"input size {input_size} leaves no pixel at pool1; "
                f"the smallest size of this net is {smallest}"
            )
        return side

    def _last_side(self, input_size: int) -> int:
        side = (input_size + 1) // 2  # 7 x 7, stride 2, padding 3
        # Without padding -(-(side - 3) // 2) + 1, which is none for a single pixel.
        side = (side + 1) // 2 if self.pool1_edge == "padding" else side // 2
        for _ in self.blocks[1:]:
            side = (side + 1) // 2
        return side


class Residual(nn.Module):
    """A block: y = relu(F(x) + shortcut(x)) (equations 1 and 2).

    Shapes:  x (N, C, H, W) -> (N, outputs, H / stride, W / stride), rounded up.
    """

    def __init__(self, variant: Variant, channels: int, *, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * (BOTTLENECK_EXPANSION if variant.bottleneck else 1)
        kernels = (1, 3, 1) if variant.bottleneck else (3, 3)
        strided = 2 if variant.bottleneck and variant.stride_place == "3x3" else 1
        inputs = channels
        for number, kernel in enumerate(kernels, start=1):
            last = number == len(kernels)
            made = outputs if last else width
            convolution = nn.Conv2d(
                inputs,
                made,
                kernel,
                stride=stride if number == strided else 1,
                padding=kernel // 2,
                bias=False,
            )
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", nn.BatchNorm2d(made))
            if not last:
                self.add_module(f"relu{number}", nn.ReLU(inplace=True))
            inputs = made
        self.residuals = tuple(name for name, _ in self.named_children())
        self.projects = stride != 1 or channels != outputs
        if self.projects:
            self.project = nn.Conv2d(channels, outputs, 1, stride=stride, bias=False)
            self.bn_project = nn.BatchNorm2d(outputs)
        self.add = Add()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        residual, shortcut = x, x
        for step in fuse(self.get_submodule(name) for name in self.residuals):
            residual = step(residual)
        if self.projects:
            for step in fuse((self.project, self.bn_project)):
                shortcut = step(shortcut)
        y: Tensor = self.relu(self.add(residual, shortcut))
        return y


class ResNet(Chain):
    """A convolution, a pool, four stages of blocks, the mean over all places, one layer (table 1).

    Raises: ValueError if `classes` < 1 or `input_size` leaves no pixel at pool1.
    """

    def __init__(self, variant: Variant, *, classes: int, input_size: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        variant.check_input(input_size)
        self.variant, self.classes, self.input_size = variant, classes, input_size
        channels = STEM_CHANNELS
        self.conv1 = nn.Conv2d(variant.channels, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        if variant.pool1_edge == "padding":
            self.pool1 = nn.MaxPool2d(3, 2, padding=1)
        else:
            self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        for stage, blocks in enumerate(variant.blocks, start=2):
            for number in range(1, blocks + 1):
                stride = 2 if stage > 2 and number == 1 else 1
                block = Residual(variant, channels, width=variant.widths[stage - 2], stride=stride)
                self.add_module(f"conv{stage}_{number}", block)
                channels = variant.widths[stage - 2]
                channels *= BOTTLENECK_EXPANSION if variant.bottleneck else 1
        self.pool5 = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(channels, classes)

    def blocks(self) -> Iterator[tuple[str, Residual]]:
        """Yield the blocks with their names."""
        return ((name, each) for name, each in self.named_children() if isinstance(each, Residual))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw the initial weights as He et al. 2015 (1502.01852, equation 10) do.

            w ~ N(0, sqrt(2 / fan_in)) in convolutions; gamma = 1, beta = 0

        The papers say nothing of the last layer, which has no ReLU: w ~ N(0, sqrt(1 / fan_in)),
        b = 0, which is equation 10 without the ReLU's factor.
        """
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
            elif isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=generator)
                layer.bias.zero_()


_CAFFE_FILES = "He et al. 2015, as in the authors' Caffe files"
_TABLE = "He et al. 2015, table 1"
_COUNTED = "Table 1 gives {} x 10^9 multiply-adds; the exact sum is ours. It gives no parameters."

RESNET18 = Variant(
    source=_TABLE,
    blocks=(2, 2, 2, 2),
    bottleneck=False,
    published=(11_689_512, None, 1_814_073_344),
    notes=(_COUNTED.format("1.8"),),
)

RESNET34 = Variant(
    source=_TABLE,
    blocks=(3, 4, 6, 3),
    bottleneck=False,
    published=(21_797_672, None, 3_663_761_408),
    notes=(_COUNTED.format("3.6"),),
)

RESNET50 = Variant(
    source=_CAFFE_FILES,
    blocks=(3, 4, 6, 3),
    bottleneck=True,
    published=(25_557_032, None, 3_857_973_248),
    notes=(
        _COUNTED.format("3.8"),
        "conv1 of the Caffe file has 64 biases, which the batch norm after it takes out again.",
    ),
)

RESNET101 = Variant(
    source=_CAFFE_FILES,
    blocks=(3, 4, 23, 3),
    bottleneck=True,
    published=(44_549_160, None, 7_570_194_432),
    notes=(_COUNTED.format("7.6"),),
)

RESNET152 = Variant(
    source=_CAFFE_FILES,
    blocks=(3, 8, 36, 3),
    bottleneck=True,
    published=(60_192_808, None, 11_282_415_616),
    notes=(_COUNTED.format("11.3"),),
)


def _of_torchvision(paper: Variant, multiply_adds: int) -> Variant:
    published = paper.published
    assert published is not None
    return replace(
        paper,
        source="torchvision.models.resnet",
        stride_place="3x3",
        pool1_edge="padding",
        published=(published[0], None, multiply_adds),
        notes=("The parameters are published; the multiply-adds are our sum.",),
    )


RESNET18_TORCHVISION = _of_torchvision(RESNET18, 1_814_073_344)
RESNET34_TORCHVISION = _of_torchvision(RESNET34, 3_663_761_408)
RESNET50_TORCHVISION = _of_torchvision(RESNET50, 4_089_184_256)
RESNET101_TORCHVISION = _of_torchvision(RESNET101, 7_801_405_440)
RESNET152_TORCHVISION = _of_torchvision(RESNET152, 11_513_626_624)
