"""What every algorithm is told of a convolution besides the tensors, and what an algorithm is.

    y[n, k, p] = bias[k] + sum over c, r of w[k, c, r] * x[n, c, stride * p + dilation * r - before]

p and r count along one, two or three axes; c runs over the channels of k's group; x is zero outside
of its size. As in every net since LeNet, and unlike in mathematics, the kernel is not turned round.

Letters: N pictures, C channels, K kernels; sizes of the input D H W, of the output O P Q and of the
kernel T R S, of which one axis has the last, two axes the last two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

Direction = Literal["forward", "input_gradient", "weight_gradient"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
Sizes = tuple[int, ...]
"""One number an axis."""
Pair = tuple[int, int]
PerAxis = int | Sequence[int]
Padding = int | Sequence[int] | Sequence[Pair] | Literal["same", "valid"]

WORKSPACE = 64 * 2**20
"""Bytes that an algorithm may hold for itself unless it is told otherwise."""
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""The order in memory with channels last, by the tensor's dimensions; torch has these two."""
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Problem:
    """The sizes of a convolution; every output has at least one element along each axis."""

    batch: int
    channels: int
    kernels: int
    size: Sizes
    """Of the input, without padding."""
    kernel: Sizes
    stride: Sizes
    padding: tuple[Pair, ...]
    """Zeros before and behind each axis; less than none cuts elements off."""
    dilation: Sizes
    groups: int
    dtype: torch.dtype

    @property
    def axes(self) -> int:
        """Return how many axes the kernel moves along: 1, 2 or 3."""
        return len(self.size)

    @property
    def reach(self) -> Sizes:
        """Return the elements from a kernel's first tap to its last, both included."""
        return tuple(d * (r - 1) + 1 for d, r in zip(self.dilation, self.kernel, strict=True))

    @property
    def padded(self) -> Sizes:
        """Return the size of the padded input."""
        return tuple(size + sum(pad) for size, pad in zip(self.size, self.padding, strict=True))

    @property
    def output(self) -> Sizes:
        """Return the size of the output: (padded - reach) // stride + 1."""
        every = zip(self.padded, self.reach, self.stride, strict=True)
        return tuple((padded - reach) // stride + 1 for padded, reach, stride in every)

    @property
    def x_shape(self) -> Sizes:
        return (self.batch, self.channels, *self.size)

    @property
    def w_shape(self) -> Sizes:
        return (self.kernels, self.channels // self.groups, *self.kernel)

    @property
    def y_shape(self) -> Sizes:
        return (self.batch, self.kernels, *self.output)

    @property
    def is_plain(self) -> bool:
        """Return whether neither stride nor dilation is above 1."""
        return set(self.stride) | set(self.dilation) == {1}


class Way(NamedTuple):
    """A convolution to do, and how."""

    problem: Problem
    algorithm: str
    """A name that `algorithms.find` knows, or `auto`."""
    workspace: int
    """In bytes."""


@dataclass(frozen=True)
class Cost:
    """What an algorithm does for one convolution, by its equations."""

    multiplications: int
    additions: int
    bytes: int
    """Moved between memory and processor if each array that is written is also read back once:
    inputs, output, and what lies in the workspace."""
    workspace: int
    """Bytes held at most besides inputs and output."""
    copies: int = 0
    """Bytes held besides those for inputs that are not channels last in memory."""

    @property
    def most(self) -> int:
        """Return the bytes held at most, whatever the order of the inputs in memory."""
        return self.workspace + self.copies

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both, one after the other."""
        return Cost(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
            self.bytes + other.bytes,
            max(self.workspace, other.workspace),
            max(self.copies, other.copies),
        )


@dataclass(frozen=True)
class Algorithm:
    """A way to compute a convolution and its two gradients; all are bilinear in the tensors.

    The tensors' sizes are checked before, and `refusal` was asked. Each function returns a tensor
    of the dtype it was given, whose sums were taken in float32 or wider, and holds at most
    `workspace` bytes besides inputs and output where it can choose.
    """

    name: str
    forward: Callable[[Tensor, Tensor, Tensor | None, Problem, int], Tensor]
    """(x, w, bias, problem, workspace) -> y."""
    input_gradient: Callable[[Tensor, Tensor, Problem, int], Tensor]
    """(dy, w, problem, workspace) -> dx."""
    weight_gradient: Callable[[Tensor, Tensor, Problem, int], Tensor]
    """(x, dy, problem, workspace) -> dw."""
    refusal: Callable[[Problem], str]
    """(problem) -> why this algorithm cannot do it, or an empty string."""
    cost: Callable[[Direction, Problem, int], Cost]
    """(direction, problem, workspace) -> what it does and holds, by its equations."""

    def compute(
        self, direction: Direction, a: Tensor, b: Tensor, problem: Problem, workspace: int
    ) -> Tensor:
        """Return y of x and w, dx of dy and w, or dw of x and dy; without a bias."""
        if direction == "forward":
            return self.forward(a, b, None, problem, workspace)
        if direction == "input_gradient":
            return self.input_gradient(a, b, problem, workspace)
        return self.weight_gradient(a, b, problem, workspace)


def describe(
    x: Tensor, w: Tensor, *, stride: PerAxis, padding: Padding, dilation: PerAxis, groups: int
) -> Problem:
    """Return the problem of convolving x with w.

    Shapes:  x (N, C, ...), w (K, C / groups, ...), with one, two or three axes each.
    Raises:  ValueError when shapes, types or constants do not fit together.
    """
    axes = count_axes(x, w)
    kernel = tuple(w.shape[2:])
    dilations = per_axis("dilation", dilation, axes, least=1)
    strides = per_axis("stride", stride, axes, least=1)
    problem = Problem(
        batch=x.shape[0],
        channels=x.shape[1],
        kernels=w.shape[0],
        size=tuple(x.shape[2:]),
        kernel=kernel,
        stride=strides,
        padding=_padding(padding, kernel, strides, dilations),
        dilation=dilations,
        groups=groups,
        dtype=x.dtype,
    )
    check(problem, w_channels=w.shape[1])
    return problem


def count_axes(x: Tensor, w: Tensor) -> int:
    """Return along how many axes a kernel w moves over x: 1, 2 or 3.

    Raises: ValueError if they have not the same axes, or no type in common that we compute in.
    """
    if x.dim() not in (3, 4, 5) or w.dim() != x.dim():
        raise ValueError(
            f"x has shape {tuple(x.shape)} and w {tuple(w.shape)}; both need a batch or kernels, "
            "channels, and the same one, two or three axes behind"
        )
    if x.dtype != w.dtype or x.dtype not in DTYPES:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)
        raise ValueError(f"x is {x.dtype} and w is {w.dtype}; both must be the same of {names}")
    return x.dim() - 2


def check(problem: Problem, *, w_channels: int) -> None:
    """Refuse sizes that do not fit together.

    Raises: ValueError that names the first thing that does not fit.
    """
    groups, channels, kernels = problem.groups, problem.channels, problem.kernels
    if groups < 1 or channels % groups or kernels % groups:
        raise ValueError(
            f"groups is {groups}, which must divide the {channels} channels and {kernels} kernels"
        )
    if w_channels != channels // groups:
        raise ValueError(
            f"w reads {w_channels} channels, but x has {channels} in {groups} group(s); "
            f"w must read {channels // groups}"
        )
    if min(problem.w_shape) < 1:
        raise ValueError(f"w has shape {problem.w_shape}; every number must be at least 1")
    if min(problem.size) < 1:
        raise ValueError(f"x has shape {problem.x_shape}; only the batch may be 0")
    if min(problem.output) < 1:
        raise ValueError(
            f"a kernel that reaches over {problem.reach} does not fit into an input of "
            f"{problem.size} padded to {problem.padded}; pad more or take a larger input"
        )


def per_axis(name: str, value: PerAxis, axes: int, *, least: int) -> Sizes:
    """Return one number an axis; a single one stands for all.

    Raises: ValueError if there are not as many as axes, or one is below `least`.
    """
    numbers = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(numbers) != axes or any(number < least for number in numbers):
        raise ValueError(
            f"{name} is {value}; it must be one number or {axes}, each at least {least}"
        )
    return numbers


def _padding(value: Padding, kernel: Sizes, stride: Sizes, dilation: Sizes) -> tuple[Pair, ...]:
    axes = len(kernel)
    if isinstance(value, str):
        if value == "valid":
            return ((0, 0),) * axes
        if value != "same" or set(stride) != {1}:
            raise ValueError(
                f"padding is {value!r} with stride {stride}; it must be numbers, 'valid', or "
                "'same', which needs stride 1"
            )
        spare = [d * (r - 1) for d, r in zip(dilation, kernel, strict=True)]
        return tuple((each // 2, each - each // 2) for each in spare)
    numbers: Sequence[int | Pair] = [value] * axes if isinstance(value, int) else list(value)
    pairs = tuple((each, each) if isinstance(each, int) else each for each in numbers)
    if len(pairs) != axes or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(
            f"padding is {value}; it must be one number or {axes}, or {axes} pairs (before, "
            "behind), none below 0"
        )
    return pairs


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type to take sums in: float32 for half precision, else the type itself."""
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
