"""A convolution whose kernels read only some of the maps below.

Source: LeCun, Bottou, Bengio and Haffner 1998, section II.B, layer C3 and table I.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PartialConvolution(nn.Module):
    """Convolve each map with a kernel per map that it is connected to.

        y[n, k, p, q] = b[k] + sum over c in table[k], i, j of w[k, c, i, j] x[n, c, p + i, q + j]

    The weights are stored connection by connection, so that there is none without a connection;
    groups of `nn.Conv2d` cannot say which maps are read.

    Shapes:  x (N, C, H, W) -> (N, len(table), H - size + 1, W - size + 1); weight
             (connections, size, size).
    Raises:  ValueError if a map reads none, one twice, or one that is not there.
    """

    positions: Tensor

    def __init__(self, table: Sequence[Sequence[int]], channels: int, size: int) -> None:
        super().__init__()
        for kernel, inputs in enumerate(table):
            known = set(inputs) <= set(range(channels))
            if not inputs or len(set(inputs)) < len(inputs) or not known:
                raise ValueError(
                    f"map {kernel} reads the maps {tuple(inputs)}; name each at most once, at "
                    f"least one, from 0 to {channels - 1}"
                )
        self.table = tuple(tuple(inputs) for inputs in table)
        self.channels, self.size = channels, size
        places = [k * channels + c for k, inputs in enumerate(self.table) for c in inputs]
        self.register_buffer("positions", torch.tensor(places), persistent=False)
        self.weight = nn.Parameter(torch.zeros(len(places), size, size))
        self.bias = nn.Parameter(torch.zeros(len(self.table)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the sums over the connected maps."""
        return F.conv2d(x, self.dense_weight(), self.bias)

    def dense_weight(self) -> Tensor:
        """Return the kernels with zeros where there is no connection: (maps, C, size, size)."""
        kernels, size = len(self.table), self.size
        dense = self.weight.new_zeros(kernels * self.channels, size, size)
        dense = dense.index_copy(0, self.positions, self.weight)
        return dense.view(kernels, self.channels, size, size)
