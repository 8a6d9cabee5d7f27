"""What the compiled operators do, as values: norms and pools with their constants."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Norm(NamedTuple):
    """The constants of y = x / (bias + alpha * sum(x[j] ** 2 for j near c)) ** beta."""

    below: int
    """Channels below c in the sum."""
    above: int
    """Channels above c in the sum."""
    bias: float
    alpha: float
    """Weight of one term."""
    beta: float
    columns: int = 1
    """Equal parts of the channels whose edges no sum crosses."""

    @property
    def window(self) -> int:
        """The channels of a sum."""
        return self.below + 1 + self.above


class Pool(NamedTuple):
    """Max pooling over square windows that may stick out of the picture where ceil says so."""

    size: int
    stride: int
    padding: int = 0
    ceil: bool = False

    def outputs(self, size: int) -> int:
        """Return how many windows fit side by side into that many pixels, as torch counts them."""
        spare = size + 2 * self.padding - self.size
        count = (-(-spare // self.stride) if self.ceil else spare // self.stride) + 1
        if self.ceil and (count - 1) * self.stride >= size + self.padding:
            count -= 1  # the last window must begin inside the picture or its left padding
        return count


class Stage(NamedTuple):
    """What stands between two convolutions: any of these steps, in this order.

    A ReLU between norm and pool is the same as one after the pool: neither changes which element
    of a window is the largest.
    """

    relu_first: bool = False
    norm: Norm | None = None
    pool: Pool | None = None
    relu_last: bool = False

    def output_shape(self, shape: Sequence[int]) -> tuple[int, int, int, int]:
        """Return (N, C, H_out, W_out) for an input (N, C, H, W)."""
        n, c, h, w = shape
        if self.pool is None:
            return n, c, h, w
        return n, c, self.pool.outputs(h), self.pool.outputs(w)


class Box(NamedTuple):
    """The neighbourhood of an activation: below + 1 + above elements along each of dims."""

    dims: tuple[int, ...]
    below: int
    above: int

    @property
    def window(self) -> int:
        return self.below + 1 + self.above

    def transposed(self) -> "Box":
        """Return the box of those whose neighbourhood an activation is in."""
        return Box(self.dims, self.above, self.below)


class Constants(NamedTuple):
    """The constants of y = x / (bias + alpha * energy) ** beta; alpha weighs one term."""

    bias: float
    alpha: float
    beta: float


class Windows(NamedTuple):
    """A window of each picture: its upper left corner, and whether it is mirrored."""

    top: Tensor
    """(N,) int64 on the CPU, pixels; likewise the next."""
    left: Tensor
    flip: Tensor
    """(N,) bool on the CPU."""


class Values(NamedTuple):
    """How grey levels become inputs: (picture - mean + shift) / divide_by."""

    mean: Tensor | None
    """(H, W, 3) float32, subtracted where the window lies."""
    shift: Tensor | None
    """(N, 3) float32, added to each pixel."""
    divide_by: float
