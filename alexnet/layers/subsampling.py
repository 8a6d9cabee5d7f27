"""Subsampling that learns, and the tanh of LeNet-5.

Source: LeCun, Bottou, Bengio and Haffner 1998, Gradient-Based Learning Applied to Document
Recognition, section II.B and appendix A.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

AMPLITUDE = 1.7159
SLOPE = 2 / 3
SIDE = 2
"""Width of a window, and its stride: windows do not overlap."""


class Subsampling(nn.Module):
    """Add up windows of 2 x 2; each map has a coefficient and a bias.

        y[n, c, p, q] = weight[c] * sum over i, j in 0, 1 of x[n, c, 2 p + i, 2 q + j] + bias[c]

    Shapes:  x (N, C, H, W) -> (N, C, H / 2, W / 2), rounded down: what fills no window is left out.
    Source:  section II.B, layer S2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 1 / SIDE**2))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return the weighted sums."""
        sums = F.avg_pool2d(x, SIDE) * SIDE**2
        return sums * self.weight[:, None, None] + self.bias[:, None, None]


class ScaledTanh(nn.Module):
    """Squash each element, so that 1 and -1 are where the curve bends most.

        y = 1.7159 tanh(2 / 3 x)

    Shapes:  any -> same.
    Source:  equation 6 and appendix A.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the squashed elements."""
        return AMPLITUDE * torch.tanh(SLOPE * x)
