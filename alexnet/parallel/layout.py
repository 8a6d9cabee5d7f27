"""How a net is spread over processes: options of a command, not of a run.

A run may go on in another layout; only the order of sums differs, and the rounding of messages
where that is asked for.
"""

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["a", "b", "c"]
Crossing = Literal["same", "fp16", "bf16"]


@dataclass(frozen=True)
class Layout:
    """What each process holds; processes are started by torchrun."""

    columns: int = 1
    """Processes that share a net, each with a column of it, as in 2012; they must divide the
    processes. Each such group trains on its own part of a batch."""
    hybrid: Scheme | None = None
    """One weird trick (2014): convolutional layers as replicas, fully connected ones in columns
    over all processes. Activations go round a: all at once, b: in turn, c: in slices."""
    crossing: Crossing = "same"
    """Type in which activations and their gradients travel between columns; fp16 and bf16 halve
    the bytes, and the journal says what the rounding costs."""

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"columns is {self.columns}; it must be at least 1")
        if self.hybrid and self.columns > 1:
            raise ValueError(
                f"hybrid is {self.hybrid!r} and columns {self.columns}; one weird trick cuts the "
                "fully connected layers over all processes: give one of the two"
            )
