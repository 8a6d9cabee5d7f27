"""The merges of branches as modules, so that a net's layers tell where branches meet.

Sources: Szegedy et al. 2014 (filter concatenation), He et al. 2015 (shortcut connection).
"""

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Put the channels of all branches behind each other.

    y = [x_1, x_2, ...] along the channels

    Shapes:  each x (N, C_i, H, W) -> (N, sum of C_i, H, W).
    Source:  Szegedy et al. 2014, Going deeper with convolutions, section 4: "filter concatenation".
    """

    def forward(self, *xs: Tensor) -> Tensor:
        """Return the branches as one tensor."""
        return torch.cat(xs, dim=1)


class Add(nn.Module):
    """Add a shortcut to what it passes by.

    y = a + b

    Shapes:  a, b (N, C, H, W) -> same.
    Source:  He et al. 2015, Deep residual learning for image recognition, equation 1.
    """

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum."""
        return a + b
