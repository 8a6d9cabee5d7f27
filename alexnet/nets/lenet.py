"""LeNet-5 as published, and what most call LeNet since.

Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-Based Learning Applied to Document
Recognition, Proceedings of the IEEE 86, section II; the common form: Caffe, examples/mnist.

`lenet-5` follows the paper: subsampling that learns, the partial connections of table I, a scaled
tanh after each layer up to F6, and outputs that measure the distance to fixed codes. What is not
in its text:

- The codes are 7 x 12 bitmaps of the ten digits; figure 3 shows them and no table has them. Ours
  are drawn after it.
- The paper gives no value for the constant j of its loss.
- A unit of C5 sees all of S4, so that a picture of another size has no meaning here.

`lenet` reads 28 x 28 pixels, has ReLU once, max pools, and a softmax for a loss.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.radial import RadialBasis
from alexnet.layers.subsampling import ScaledTanh, Subsampling
from alexnet.nets.chain import Chain

TABLE_I = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
"""The maps of S2 that each of the 16 maps of C3 reads."""
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...##..  .#####.  #######  ....##.  #######  ..####.  #######  .#####.  .#####.
.##.##.  ..###..  ##...##  .....##  ...###.  ##.....  .##....  ##...##  ##...##  ##...##
##...##  .####..  .....##  ....##.  ..####.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...##..  .....##  ...##..  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  ....##.  ..####.  ##..##.  ######.  ######.  ....##.  .#####.  .######
##...##  ...##..  ...##..  .....##  ##..##.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  ..##...  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...##..  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
..###..  .######  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""
"""The targets of the ten digits, # for 1 and . for -1: 12 rows of 7."""
CODE_LENGTH = 84
CODE_SEED = 1998
INITIAL_BOUND = 2.4


def codes(classes: int) -> Tensor:
    """Return a code of +1 and -1 for each class.

    Ten classes have the bitmaps of the digits 0 to 9, in this order. Any other number has random
    codes from a fixed seed, each bit with equal probability, as the paper proposes for classes
    without a stylised picture.

    Shapes:  -> (classes, 84) float32.
    """
    if classes != 10:
        generator = torch.Generator().manual_seed(CODE_SEED)
        size = (classes, CODE_LENGTH)
        bits = torch.randint(0, 2, size, generator=generator, device="cpu")
        return (bits * 2.0 - 1.0).to(torch.get_default_device())
    rows = [line.split() for line in DIGITS.split("\n") if line]
    drawn = ["".join(row[digit] for row in rows) for digit in range(10)]
    return torch.tensor([[1.0 if dot == "#" else -1.0 for dot in digit] for digit in drawn])


@dataclass(frozen=True)
class Original:
    """LeNet-5 as the paper has it."""

    source: str
    penalty: float = 1.0
    """j in equation 9; the paper says "a positive constant"."""
    published: tuple[int | None, int | None, int | None] | None = None
    """Published parameters; neurons and multiply-adds are not."""
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""
    input_size: ClassVar[int] = 32
    channels: ClassVar[int] = 1
    published_classes: ClassVar[int] = 10

    def build(self, *, classes: int = 10, input_size: int | None = None) -> "LeNet5":
        """Return the net on the current default device."""
        self.check_input(self.input_size if input_size is None else input_size)
        return LeNet5(classes=classes, penalty=self.penalty)

    def check_input(self, input_size: int) -> int:
        """Return the side of C5's maps, which is 1.

        Raises: ValueError if the input is not 32 pixels wide.
        """
        if input_size != self.input_size:
            raise ValueError(
                f"input size is {input_size}; the maps of C5 are one pixel wide only if it is "
                f"{self.input_size}: use --input-size {self.input_size}, or the net lenet"
            )
        return 1


@dataclass(frozen=True)
class Modern:
    """LeNet as Caffe's example for MNIST has it."""

    source: str
    published: tuple[int | None, int | None, int | None] | None = None
    """Published parameters, neurons and multiply-adds, at 10 classes and `input_size`."""
    notes: tuple[str, ...] = ()
    """What a reader who compares the figures with the source should know."""
    input_size: int = 28
    """Width and height of the crop that the net sees, in pixels."""
    channels: ClassVar[int] = 1
    published_classes: ClassVar[int] = 10

    def build(self, *, classes: int = 10, input_size: int | None = None) -> "LeNet":
        """Return the net on the current default device."""
        side = self.check_input(self.input_size if input_size is None else input_size)
        return LeNet(classes=classes, input_size=input_size or self.input_size, side=side)

    def check_input(self, input_size: int) -> int:
        """Return the side of pool2 for that input.

        Raises: ValueError if conv2 has no pixel there.
        """
        side = -(-(input_size - 4) // 2) - 4
        if side < 1:
            raise ValueError(
                f"input size {input_size} leaves no pixel at conv2; "
                "the smallest size of this net is 13"
            )
        return -(-side // 2)


class LeNet5(Chain):
    """C1, S2, C3, S4, C5, F6 and the output (figure 2); a squash after each but the last.

    Raises: ValueError if `classes` < 1.
    """

    def __init__(self, *, classes: int, penalty: float) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        self.classes, self.input_size = classes, Original.input_size
        self.c1 = nn.Conv2d(1, 6, 5)
        self.squash1 = ScaledTanh()
        self.s2 = Subsampling(6)
        self.squash2 = ScaledTanh()
        self.c3 = PartialConvolution(TABLE_I, 6, 5)
        self.squash3 = ScaledTanh()
        self.s4 = Subsampling(16)
        self.squash4 = ScaledTanh()
        self.c5 = nn.Conv2d(16, 120, 5)
        self.squash5 = ScaledTanh()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, CODE_LENGTH)
        self.squash6 = ScaledTanh()
        self.output = RadialBasis(codes(classes), penalty)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases uniform within 2.4 / F, F the inputs of a unit (appendix A)."""
        for layer in self.children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                assert layer.bias is not None
                _draw(layer.weight, layer.weight[0].numel(), generator)
                _draw(layer.bias, layer.weight[0].numel(), generator)
            elif isinstance(layer, Subsampling):
                _draw(layer.weight, 4, generator)
                _draw(layer.bias, 4, generator)
            elif isinstance(layer, PartialConvolution):
                first, area = 0, layer.size**2
                for kernel, inputs in enumerate(layer.table):
                    _draw(layer.weight[first : first + len(inputs)], len(inputs) * area, generator)
                    _draw(layer.bias[kernel : kernel + 1], len(inputs) * area, generator)
                    first += len(inputs)


class LeNet(Chain):
    """Two convolutions with max pools, two fully connected layers; Caffe's names.

    Raises: ValueError if `classes` < 1.
    """

    def __init__(self, *, classes: int, input_size: int, side: int) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}; a net needs at least 1 class")
        self.classes, self.input_size = classes, input_size
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.pool1 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool2 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.flatten = nn.Flatten()
        self.ip1 = nn.Linear(50 * side * side, 500)
        self.relu1 = nn.ReLU(inplace=True)
        self.ip2 = nn.Linear(500, classes)

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Draw weights as Caffe's "xavier" does, uniform within sqrt(3 / fan_in); biases are 0."""
        for layer in self.children():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                assert layer.bias is not None
                bound = (3 / layer.weight[0].numel()) ** 0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.zero_()


def _draw(values: Tensor, inputs: int, generator: torch.Generator | None) -> None:
    values.uniform_(-INITIAL_BOUND / inputs, INITIAL_BOUND / inputs, generator=generator)


LENET_5 = Original(
    source="LeCun, Bottou, Bengio and Haffner 1998, section II.B",
    published=(60_000, None, None),
    notes=(
        "The 840 numbers of the ten codes are fixed; they count among the paper's connections.",
        (
            "The paper's 340,908 connections count each bias, and all four inputs of a unit of S2 "
            "and S4; the multiply-adds here count neither."
        ),
    ),
)

LENET = Modern(
    source="Caffe, examples/mnist/lenet.prototxt",
    published=(431_080, None, 2_293_000),
    notes=("The multiply-adds are the sum over the layers of Caffe's file.",),
)
