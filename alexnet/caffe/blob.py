"""pycaffe's Blob and Layer: what a script sees of a net's arrays and of its layers.

Source: BVLC Caffe, python/caffe/_caffe.cpp. What differs: arrays of four axes may lie in memory
with their channels last, so that `data.reshape(-1)` is a copy; write through `data[...]` or
`data.flat`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float32]


class Blob:
    """An array of a net with its gradient; writing into `data` or `diff` changes the net."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self._diff: Array | None = None

    @property
    def data(self) -> Array:
        """The values; a view, not a copy."""
        view: Array = self.tensor.detach().numpy()
        return view

    @property
    def diff(self) -> Array:
        """The gradient, of the shape of `data`."""
        if self._diff is None or self._diff.shape != self.data.shape:
            self._diff = np.zeros(self.data.shape, np.float32)
        return self._diff

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of all axes."""
        return tuple(self.tensor.shape)

    @property
    def count(self) -> int:
        """The number of elements."""
        return self.tensor.numel()

    @property
    def num(self) -> int:
        """The first axis of a legacy blob."""
        return self._legacy(0)

    @property
    def channels(self) -> int:
        """The second axis of a legacy blob."""
        return self._legacy(1)

    @property
    def height(self) -> int:
        """The third axis of a legacy blob."""
        return self._legacy(2)

    @property
    def width(self) -> int:
        """The fourth axis of a legacy blob."""
        return self._legacy(3)

    def reshape(self, *shape: int) -> None:
        """Take another shape; values are kept as far as they fit. `Net.reshape` follows.

        Raises: ValueError for a negative side, and for a parameter, whose shape the text decides.
        """
        if isinstance(self.tensor, nn.Parameter):
            raise ValueError(
                f"a parameter of shape {self.shape} cannot become {shape}: its shape follows from "
                "the prototxt; change that"
            )
        if min(shape, default=0) < 0:
            raise ValueError(f"the shape {shape} has a negative side; give sides of 0 or more")
        flat = torch.zeros(int(np.prod(shape)))
        kept = min(len(flat), self.count)
        flat[:kept] = self.tensor.detach().reshape(-1)[:kept]
        self.tensor = flat.reshape(shape)

    def _legacy(self, axis: int) -> int:
        if self.tensor.dim() > 4:
            raise ValueError(
                f"a blob of {self.tensor.dim()} axes has no num, channels, height and width; "
                "take its shape"
            )
        return self.shape[axis] if axis < self.tensor.dim() else 1


@dataclass(frozen=True)
class Layer:
    """A layer as scripts look at it."""

    type: str
    """Its kind, such as "Convolution"."""
    blobs: list[Blob]
    """Its parameters in Caffe's order; none for a layer without."""
