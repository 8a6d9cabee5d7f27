"""Radial basis functions as the last layer: the nearer to a class's code, the likelier it is.

Source: LeCun, Bottou, Bengio and Haffner 1998, section II.B, equation 7, and section II.C,
equation 9.
"""

import torch
from torch import Tensor, nn


class RadialBasis(nn.Module):
    """Return as logit of each class the negated squared distance to its code.

        logits[n, k] = -sum over i of (x[n, i] - codes[k, i]) ** 2

    While training there is one more logit, -penalty: the paper's class of rubbish. With it, the
    cross entropy is equation 9,

        E = y_D + ln(exp(-j) + sum over k of exp(-y_k)),   y = -logits, j = penalty

    which stops pushing away codes that are far enough. The codes do not learn.

    Shapes:  x (N, D), codes (K, D) -> (N, K), and (N, K + 1) while training; in the codes' type,
             float32 as they are.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, penalty: float) -> None:
        super().__init__()
        self.register_buffer("codes", codes)
        self.penalty = penalty

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        # The differences themselves: |x|^2 - 2 x c + |c|^2 would cancel where x is near a code.
        logits = -(x.to(self.codes.dtype)[:, None] - self.codes).square().sum(2)
        if not self.training:
            return logits
        rubbish = logits.new_full((len(x), 1), -self.penalty)
        return torch.cat([logits, rubbish], 1)
