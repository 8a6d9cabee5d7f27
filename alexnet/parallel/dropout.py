"""Dropout whose masks depend on the sample and the unit, not on the process that computes them.

Each process draws the mask of the whole batch and of all units, from the same seed in the same
order, and takes its rows and columns: numbers are cheaper than messages, and any arrangement of
processes drops what a single one would.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from alexnet.layers.dropout import Dropout, draw_mask
from alexnet.parallel.collectives import Circle


@dataclass
class Rows:
    """Which samples of an update's batch the layers see; set before each forward pass."""

    indices: Tensor | None = None
    """(n,) int64: positions in the batch; None for all samples in their order."""
    whole: int = 0
    """Samples of the batch."""

    def __deepcopy__(self, _: Any) -> "Rows":
        """Return itself: a copy of a net sees the same samples."""
        return self


class SharedDropout(nn.Module):
    """Do what `Dropout` does to this process's part of the samples and units.

    Shapes:  x (n, C / columns, ...) -> same; the mask has the shape (N, C, ...).
    """

    def __init__(self, dropout: Dropout, rows: Rows, columns: Circle) -> None:
        super().__init__()
        self.rate, self.scaled = dropout.rate, dropout.scaled
        self._rows, self._columns = rows, columns

    def forward(self, x: Tensor) -> Tensor:
        """Return x with some elements set to zero while training, scaled as it is said."""
        keep = 1.0 - self.rate
        if self.rate == 0.0:
            return x
        if not self.training:
            return x * keep if self.scaled == "test" else x
        rows, columns = self._rows, self._columns
        count = len(x) if rows.indices is None else rows.whole
        whole = (count, x.shape[1] * columns.size, *x.shape[2:])
        mask = columns.own(draw_mask(x.new_empty(1).expand(whole), keep), 1)
        if rows.indices is not None:
            mask = mask[rows.indices]
        return x * (mask if self.scaled == "test" else mask / keep)

    def extra_repr(self) -> str:
        return f'rate={self.rate}, scaled="{self.scaled}"'
