"""A value whose gradient is that of another expression.

Some layers of Caffe's pass on a gradient that is not the derivative of what they compute: a
constant that keeps a division from failing stands in one of the two only. Both are then written
down as they are there.
"""

from typing import Any

import torch
from torch import Tensor


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, carrier: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[None, Tensor]:
        return None, dy


def with_gradient(value: Tensor, carrier: Tensor) -> Tensor:
    """Return `value`; gradients go to what `carrier` was computed from.

    Shapes:  value and carrier of one shape -> that shape.
    """
    result: Tensor = _WithGradient.apply(value.detach(), carrier)  # type: ignore[no-untyped-call]
    return result
