"""A strided convolution of few channels as one without stride of many.

The first layer reads 3 channels with a stride of 4. Matrix units multiply tiles of 32 channels and
stand almost empty there; blocks of 4 x 4 pixels laid out as 48 channels fill them.
"""

from torch import Tensor
from torch.nn import functional as F

MOST_CHANNELS = 4
"""Channels of an input for which this is worth its copy."""


def space_to_depth_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int = 0
) -> Tensor:
    """Convolve with a stride by way of blocks of stride x stride pixels.

        y = conv(blocks(x), blocks(w))
        blocks: (C, H, W) -> (C * stride ** 2, H / stride, W / stride)

    The kernel is filled up with zeros to whole blocks; sums are those of the strided convolution
    in another order.

    Shapes:  x (N, C, H, W), weight (K, C, R, S) -> (N, K, P, Q), channels last in memory.
    """
    blocks_high = -(-weight.shape[2] // stride)
    blocks_wide = -(-weight.shape[3] // stride)
    rows = (x.shape[2] + 2 * padding - weight.shape[2]) // stride + blocks_high
    columns = (x.shape[3] + 2 * padding - weight.shape[3]) // stride + blocks_wide
    return F.conv2d(
        _blocks(_sized(x, rows * stride, columns * stride, before=padding), stride),
        _blocks(_sized(weight, blocks_high * stride, blocks_wide * stride), stride),
        bias,
    )


def _sized(x: Tensor, rows: int, columns: int, *, before: int = 0) -> Tensor:
    """Pad x with zeros, or cut what no window reads, to that many rows and columns."""
    bottom, right = rows - x.shape[2] - before, columns - x.shape[3] - before
    return F.pad(x, (before, right, before, bottom)) if (before, bottom, right) != (0, 0, 0) else x


def _blocks(x: Tensor, side: int) -> Tensor:
    """Lay out blocks of side x side pixels as channels: (row, column, channel) from the outside."""
    n, c, h, w = x.shape
    depth = side * side * c
    parts = x.permute(0, 2, 3, 1).reshape(n, h // side, side, w // side, side * c)
    return parts.transpose(2, 3).reshape(n, h // side, w // side, depth).permute(0, 3, 1, 2)
