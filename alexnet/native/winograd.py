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


class Tiles(NamedTuple):
    """How a picture is cut."""

    m: int
    """Outputs along a tile's side, one of SIDES."""
    padding: Pads
    groups: int
    workspace: int = 64 * 2**20
    """Bytes to hold besides the tensors, if the weights and 24 tiles a thread take no more."""


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


def forward(x: Tensor, w: Tensor, bias: Tensor | None, tiles: Tiles) -> Tensor:
    """Convolve.

        y = A^T [sum over c of (G w G^T) * (B^T x B)] A + bias    for each tile of m x m outputs

    Shapes:  x (N, C, H, W), w (K, C / groups, 3, 3), bias (K), all float32 or bfloat16 ->
             (N, K, P, Q) the same, channels last in memory; sums are float32.
    """
    size = (x.shape[2] + sum(tiles.padding[0]) - 2, x.shape[3] + sum(tiles.padding[1]) - 2)
    y = _empty(x, w.shape[0], size)
    _convolve(x, w, bias, y, tiles, turned=False)
    return y


def input_gradient(dy: Tensor, w: Tensor, size: Pair, tiles: Tiles) -> Tensor:
    """Return the gradient of the input: the convolution of dy with the weights turned round.

    Shapes:  dy (N, K, P, Q), w (K, C / groups, 3, 3), both float32 or bfloat16 -> (N, C, *size) the
             same, channels last in memory; sums are float32.
    """
    dx = _empty(dy, w.shape[1] * tiles.groups, size)
    _convolve(dy, w, None, dx, tiles, turned=True)
    return dx


def weight_gradient(x: Tensor, dy: Tensor, tiles: Tiles) -> Tensor:
    """Return the gradient of the weights: F(3 x 3, m x m) with tiles of dy as kernels.

        dw = A^T [sum over tiles of (G dy G^T) * (B^T x B)] A

    Shapes:  x (N, C, H, W), dy (N, K, P, Q), both float32 or bfloat16 -> (K, C / groups, 3, 3)
             float32, channels last in memory; sums are float32.
    """
    x, dy = (each.contiguous(memory_format=torch.channels_last) for each in (x, dy))
    n, c, h, w = x.shape
    k, out_h, out_w = dy.shape[1:]
    dw = torch.zeros(k, 3, 3, c // tiles.groups)
    if n:
        floats, block = _weights_floats(x.shape, dy.shape, tiles)
        described = library.Winograd(
            *(n, h, w, c, k, out_h, out_w, tiles.padding[0][0], tiles.padding[1][0]),
            *(tiles.groups, tiles.m, block, torch.get_num_threads(), 0, 0, 0, 0, 0),
        )
        library.run("winograd_weights", described, x, dy, dw, torch.empty(floats), form=x.dtype)
    return dw.permute(0, 3, 1, 2)


def workspace_bytes(
    direction: Direction, x_shape: tuple[int, ...], y_shape: tuple[int, ...], tiles: Tiles
) -> int:
    """Return the bytes that a kernel holds besides its tensors, with torch's number of threads.

        4 (m + 2)^2 (threads * block * (C + K) + groups * C * K)    forward, input gradient
        4 (m + 2)^2 (block * (C + K) + C * K)                       weight gradient

    with C and K of a group, each of them or their product rounded up to vectors and 16 more.
    """
    if direction == "weight_gradient":
        return 4 * _weights_floats(x_shape, y_shape, tiles)[0]
    if direction == "input_gradient":
        x_shape, y_shape = y_shape, x_shape
    return 4 * _floats(x_shape, y_shape, tiles)[0]


def _convolve(
    x: Tensor, w: Tensor, bias: Tensor | None, y: Tensor, tiles: Tiles, *, turned: bool
) -> None:
    if not len(x):
        return
    x = x.contiguous(memory_format=torch.channels_last)
    w = w.to(x.dtype)
    if w.stride(2) != 3 * w.stride(3):  # the kernel steps evenly from tap to tap
        w = w.contiguous()
    steps = w.stride()[:2]
    floats, block = _floats(x.shape, y.shape, tiles)
    before = [2 - behind if turned else behind for behind, _ in tiles.padding]
    described = library.Winograd(
        *(len(x), *x.shape[2:], x.shape[1], y.shape[1], *y.shape[2:], *before),
        *(tiles.groups, tiles.m, block, torch.get_num_threads()),
        *(*(reversed(steps) if turned else steps), w.stride(3)),
        *(w.shape[0] // tiles.groups * steps[0], turned),
    )
    bias = None if bias is None else bias.float().contiguous()
    library.run("winograd", described, x, w, bias, y, torch.empty(floats), form=x.dtype)


def _empty(like: Tensor, channels: int, size: Pair) -> Tensor:
    shape = (len(like), channels, *size)
    return torch.empty(shape, dtype=like.dtype, memory_format=torch.channels_last)


def _floats(x_shape: tuple[int, ...], y_shape: tuple[int, ...], tiles: Tiles) -> tuple[int, int]:
    """Return the floats that `winograd` holds, and the tiles that pass all of it together."""
    c, k, threads = x_shape[1] // tiles.groups, y_shape[1] // tiles.groups, torch.get_num_threads()
    fixed = threads * 48 + tiles.groups * _apart(_whole(k) * c)
    each = threads * (_apart(c) + _whole(k))
    # The least time with 64 and 128 channels, with 256 and 512; there is little between them.
    best = 48 if c + k <= 256 else 72
    share = -(-_count(y_shape, tiles.m) // threads)
    block = min(share, _fitting(fixed, each, tiles, best))
    own = block * _apart(c) + _apart(block * _whole(k))
    points = (tiles.m + 2) ** 2
    return points * (threads * own + tiles.groups * _apart(_whole(k) * c)), block


def _weights_floats(
    x_shape: tuple[int, ...], y_shape: tuple[int, ...], tiles: Tiles
) -> tuple[int, int]:
    """Return the same of `winograd_weights`, whose tiles all threads share."""
    c, k = x_shape[1] // tiles.groups, y_shape[1] // tiles.groups
    sums = _apart(_whole(c) * k)
    fitting = _fitting(sums + 48, _apart(k) + _whole(c), tiles, 96)
    block = min(_count(y_shape, tiles.m), fitting)
    own = block * _apart(k) + _apart(_whole(c) * block)
    return (tiles.m + 2) ** 2 * (sums + own), block


def _fitting(fixed: int, each: int, tiles: Tiles, best: int) -> int:
    """Return the tiles that fit into the workspace beside what is fixed, 24 ... best.

    With fewer than 24 most of the time would be spent on reading the weights.
    """
    floats = tiles.workspace // 4 // (tiles.m + 2) ** 2
    return max(24, min(best, (floats - fixed) // each))


def _count(shape: tuple[int, ...], m: int) -> int:
    """Return how many tiles outputs (N, K, P, Q) are cut into."""
    return shape[0] * -(-shape[2] // m) * -(-shape[3] // m)


def _apart(floats: int) -> int:
    """Return `apart` of winograd.h."""
    return -(-floats // 32) * 32 + 16


def _whole(columns: int) -> int:
    """Return the columns of whole panels, of the widest vectors that there are."""
    return -(-columns // 32) * 32
