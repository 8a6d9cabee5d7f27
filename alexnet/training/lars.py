"""A rate of its own for each tensor, in proportion to its norm, for batches of thousands.

With a large batch the rate has to be large, and one that suits most layers breaks those whose
gradients are large for their weights. LARS lets each tensor move by the same share of its norm.

Source: You, Gitman and Ginsburg 2017, "Large batch training of convolutional networks", section 4
and algorithm 1; how weights are updated then is in `alexnet.training.sgd`. The paper has a rate for
each layer; here it is one for each tensor of weights, and those of one dimension (biases, the
scales and shifts of batch norm) keep the rate as it is: a bias that starts at zero has no norm that
a move could be a share of.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Term(NamedTuple):
    """What a parameter's own rate is taken from."""

    name: str
    weights: Tensor
    gradient: Tensor
    decay: float


@dataclass(frozen=True)
class Lars:
    """How the rates of single tensors are found."""

    trust: float = 0.001
    """Share of its norm that a tensor moves by in an update at rate 1."""
    cut: Collection[str] = ()
    """Names of the tensors of which this process holds a part."""
    total: Callable[[Tensor], Tensor] | None = None
    """Sums over the processes that hold the other parts; all of them must call it alike."""

    def rates(self, terms: Sequence[Term], scale: float = 1.0) -> dict[str, Tensor]:
        """Return the factor on the rate of each tensor that has one, by name.

            rate[w] = trust * ||w|| / (||scale * g|| + decay * ||w||),   1 where a norm is 0

        Tensors of one dimension have none. Norms of tensors that are cut are those of the whole
        tensors, for which all processes send one message together.

        Shapes:  -> () each, float32 or wider, on the tensor's device: nothing is waited for.
        """
        scaled = [each for each in terms if each.weights.dim() > 1]
        squares = {
            each.name: torch.stack([_square(each.weights), _square(each.gradient)])
            for each in scaled
        }
        names = [each.name for each in scaled if each.name in self.cut]
        if names and self.total is not None:
            together = self.total(torch.stack([squares[name] for name in names]))
            squares |= dict(zip(names, together.unbind(), strict=True))
        rates = {}
        for each in scaled:
            weights, gradient = squares[each.name].sqrt()
            rate = self.trust * weights / (gradient * abs(scale) + each.decay * weights)
            nothing = (weights == 0) | (gradient == 0)
            rates[each.name] = torch.where(nothing, torch.ones_like(rate), rate)
        return rates


def _square(x: Tensor) -> Tensor:
    """Return the sum of squares of a tensor of two dimensions or more.

    Added up row by row: torch's norm of 37 million equal float32 numbers at once is 1 % short.
    """
    wide = x.dtype if x.itemsize > 4 else torch.float32
    rows = torch.linalg.vector_norm(x, dim=tuple(range(1, x.dim())), dtype=wide)
    square: Tensor = rows.square().sum()
    return square
