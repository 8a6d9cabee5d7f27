"""Winograd's convolution F(m x m, 3 x 3) and both its gradients by kernels of our own.

They do a quarter of the multiplications (m = 4) and keep a block of tiles in the cache from the
first transform to the last: as separate passes the transforms lose all that the products gain. The
points are mirrored pairs (cook_toom.h), other than those of `alexnet.convolution.cook_toom` where
m = 4; these have smaller errors.
Source: Lavin and Gray 2016, "Fast algorithms for convolutional neural networks".
"""

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from alexnet.native import library

SIDES = (2, 4, 6)
"""The numbers of outputs along a tile's side, m, that there are kernels for."""
LEAST_CHANNELS = 4
"""Of each group where there are several: with fewer, vectors are mostly empty, and torch's own
operations were as quick (two) or took a third of our time (one)."""
Direction = Literal["forward", "input_gradient", "weight_gradient"]
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]
"""Zeros before and behind rows and columns; less than none cuts pixels off."""


class Problem(Protocol):
    """What `serves` asks of a convolution."""

    @property
    def channels(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def size(self) -> tuple[int, ...]: ...
    @property
    def output(self) -> tuple[int, ...]: ...
    @property
    def kernel(self) -> tuple[int, ...]: ...
    @property
    def stride(self) -> tuple[int, ...]: ...
    @property
    def dilation(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> torch.dtype: ...


class Tiling(NamedTuple):
    """How the kernel is to go over the picture."""

    m: int
    before: Pair
    """Zeros before the first row and column."""
    groups: int
    turned: bool
    """Whether kernels and channels are exchanged and taps come in the opposite order."""


def serves(problem: Problem, m: int, device: torch.device) -> bool:
    """Return whether there is a kernel for tiles of m x m outputs.

    That is for 3x3 with neither stride nor dilation, pictures of at least one tile, and no groups
    that are nearly depthwise.
    """
    return (
        problem.kernel == (3, 3)
        and min(*problem.size, *problem.output) >= m
        and (problem.groups == 1 or problem.channels // problem.groups >= LEAST_CHANNELS)
        and {*problem.stride, *problem.dilation} == {1}
        and m in SIDES
        and device.type == "cpu"
        and problem.dtype in library.TYPES
        and library.library() is not None
    )


def forward(
    x: Tensor, w: Tensor, bias: Tensor | None, *, m: int, padding: Pads, groups: int
) -> Tensor:
    """Convolve.

        y = A^T [sum over c of (G w G^T) * (B^T x B)] A + bias    for each tile of m x m outputs

    Shapes:  x (N, C, H, W), w (K, C / groups, 3, 3), bias (K), all float32 or bfloat16 ->
             (N, K, P, Q) the same, channels last in memory; sums are float32.
    """
    (before_h, behind_h), (before_w, behind_w) = padding
    size = x.shape[2] + before_h + behind_h - 2, x.shape[3] + before_w + behind_w - 2
    y = _empty(x, w.shape[0], size)
    _convolve(x, w, bias, y, Tiling(m, (before_h, before_w), groups, turned=False))
    return y


def input_gradient(
    dy: Tensor, w: Tensor, *, m: int, size: Pair, padding: Pads, groups: int
) -> Tensor:
    """Return the gradient of the input: the convolution of dy with the weights turned round.

    Shapes:  dy (N, K, P, Q), w (K, C / groups, 3, 3), both float32 or bfloat16 -> (N, C, *size) the
             same, channels last in memory; sums are float32.
    """
    before = 2 - padding[0][0], 2 - padding[1][0]
    dx = _empty(dy, w.shape[1] * groups, size)
    _convolve(dy, w, None, dx, Tiling(m, before, groups, turned=True))
    return dx


def weight_gradient(x: Tensor, dy: Tensor, *, m: int, padding: Pads, groups: int) -> Tensor:
    """Return the gradient of the weights: F(3 x 3, m x m) with tiles of dy as kernels.

        dw = A^T [sum over tiles of (G dy G^T) * (B^T x B)] A

    Shapes:  x (N, C, H, W), dy (N, K, P, Q), both float32 or bfloat16 -> (K, C / groups, 3, 3)
             float32, channels last in memory; sums are float32.
    """
    x, dy = (each.contiguous(memory_format=torch.channels_last) for each in (x, dy))
    n, c, h, w = x.shape
    k, out_h, out_w = dy.shape[1:]
    dw = torch.zeros(k, 3, 3, c // groups)
    if n:
        tiles = _tiles(n, (out_h, out_w), m)
        block = _weights_block(tiles)
        work = torch.empty(_weights_floats(c // groups, k // groups, m=m, block=block))
        threads = torch.get_num_threads()
        described = library.Winograd(
            *(n, h, w, c, k, out_h, out_w, padding[0][0], padding[1][0]),
            *(groups, m, block, threads, 0, 0, 0, 0, 0),
        )
        library.run("winograd_weights", described, x, dy, dw, work, form=x.dtype)
    return dw.permute(0, 3, 1, 2)


def workspace_bytes(
    direction: Direction, x_shape: tuple[int, ...], y_shape: tuple[int, ...], *, m: int, groups: int
) -> int:
    """Return the bytes that a kernel holds besides its tensors, with torch's number of threads.

        4 (m + 2)^2 (threads * block * (C + K) + C * K)      forward, input gradient
        4 (m + 2)^2 (block * (C + K) + C * K / groups)       weight gradient

    with C and K of a group in the first of each line's terms, rounded up to vectors and a few
    more; C * K is of all groups, C * K / groups weights each.
    """
    n, c, k, out = x_shape[0], x_shape[1] // groups, y_shape[1] // groups, y_shape[2:]
    if direction == "weight_gradient":
        block = _weights_block(_tiles(n, out, m))
        return 4 * _weights_floats(c, k, m=m, block=block)
    if direction == "input_gradient":
        c, k, out = k, c, x_shape[2:]
    block = _block(_tiles(n, out, m), c + k)
    return 4 * _floats(c, k, m=m, block=block, groups=groups)


def _convolve(x: Tensor, w: Tensor, bias: Tensor | None, y: Tensor, tiling: Tiling) -> None:
    if not len(x):
        return
    m, before, groups, turned = tiling
    x = x.contiguous(memory_format=torch.channels_last)
    w = w.to(x.dtype)
    if w.stride(2) != 3 * w.stride(3):  # the kernel steps evenly from tap to tap
        w = w.contiguous()
    steps = w.stride()[:2]
    c, k = x.shape[1] // groups, y.shape[1] // groups
    block = _block(_tiles(len(x), y.shape[2:], m), c + k)
    described = library.Winograd(
        *(len(x), *x.shape[2:], x.shape[1], y.shape[1], *y.shape[2:], *before),
        *(groups, m, block, torch.get_num_threads()),
        *(*(reversed(steps) if turned else steps), w.stride(3)),
        *(w.shape[0] // groups * steps[0], turned),
    )
    work = torch.empty(_floats(c, k, m=m, block=block, groups=groups))
    bias = None if bias is None else bias.float().contiguous()
    library.run("winograd", described, x, w, bias, y, work, form=x.dtype)


def _empty(like: Tensor, channels: int, size: Pair) -> Tensor:
    shape = (len(like), channels, *size)
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _tiles(n: int, size: tuple[int, ...], m: int) -> int:
    return n * -(-size[0] // m) * -(-size[1] // m)


def _block(tiles: int, channels: int) -> int:
    """Return how many tiles pass the transforms and the product together."""
    least = 48 if channels <= 256 else 72  # the least time at 64, 128, 256 and 512 channels
    share = -(-tiles // torch.get_num_threads())
    return max(1, min(least, share))


def _weights_block(tiles: int) -> int:
    return max(1, min(144, tiles))


def _apart(floats: int) -> int:
    """Return `apart` of winograd.h."""
    return -(-floats // 32) * 32 + 16


def _whole(columns: int) -> int:
    """Return the columns of whole panels, of the widest vectors that there are."""
    return -(-columns // 32) * 32


def _floats(c: int, k: int, *, m: int, block: int, groups: int) -> int:
    own = block * _apart(c) + _apart(block * _whole(k))
    weights = _apart(_whole(k) * c)
    return (m + 2) ** 2 * (torch.get_num_threads() * own + groups * weights)


def _weights_floats(c: int, k: int, *, m: int, block: int) -> int:
    sums = _apart(_whole(c) * k)
    return (m + 2) ** 2 * (sums + block * _apart(k) + _apart(_whole(c) * block))
