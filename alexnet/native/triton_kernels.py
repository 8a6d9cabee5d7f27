"""The compiled operators once more, for CUDA: same numbers as norm_pool.cpp and its neighbours.

Tensors are dense, those of four dimensions channels last in memory, and sums are float32 whatever
the type. Importing this needs triton, which comes with the CUDA builds of torch.
"""

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from alexnet.native import triton_programs as programs
from alexnet.native.stages import Norm, Pool, Stage, Values, Windows

TILE_ELEMENTS = 1024  # 8 for each thread of 4 warps: 16 bytes of bfloat16
MAX_CHANNELS = 128  # of a tile whose channels do not depend on each other


class _Images(NamedTuple):
    """The shape of some images, and of their pooled images."""

    n: int
    h: int
    w: int
    c: int
    out_h: int
    out_w: int
    width: int
    """Channels of a tile: no more than its block has."""


class _Block(NamedTuple):
    """The shape of a tile, in powers of two."""

    pixels: int
    channels: int


class _Pooled(NamedTuple):
    """What leaves a pool, or its gradient, and which place of each window it is from."""

    y: Tensor
    winners: Tensor | None
    """None where there is no pool."""


class _Gradients(NamedTuple):
    """What the spatial norm's backward pass sums."""

    dy: Tensor
    products: Tensor
    """dy * x * s ** (-beta - 1) in float32, where y = x * s ** -beta."""


def norm_pool(x: Tensor, y: Tensor, winners: Tensor, stage: Stage) -> None:
    """Run a stage that has a norm, a pool or both, and note the winners of the pool.

    Shapes:  x (N, C, H, W), y (N, C, H_out, W_out) of float32 or bfloat16;
             winners (N, H_out, W_out, C) uint8 if there is a pool.
    """
    images, block = _plan(x, stage)
    grid = _grid(y, images, block)
    pooled, stage = _pooled(y, winners, stage)
    with torch.cuda.device_of(x):
        programs.norm_pool[grid](x, pooled, images, stage, block)


def norm_pool_backward(
    dy: Tensor, x: Tensor | None, winners: Tensor, dx: Tensor, stage: Stage
) -> None:
    """Set dx to the gradient of a stage, whose ReLU stands last where it has no norm.

    Shapes:  dy and winners as `norm_pool`'s y and winners; dx (N, C, H, W); x alike, None if there
             is no norm.
    """
    assert stage.norm is None or x is not None
    assert stage.norm is not None or not stage.relu_first
    images, block = _plan(dx, stage)
    grid = _grid(dx, images, block)
    pooled, stage = _pooled(dy, winners, stage)
    with torch.cuda.device_of(dx):
        programs.norm_pool_backward[grid](pooled, x, dx, images, stage, block)


def spatial_norm(x: Tensor, y: Tensor, norm: Norm) -> None:
    """Normalise over a box of positions: below up and left, above down and right.

    Shapes:  x (N, C, H, W) float32 or bfloat16, y alike.
    """
    images, block = _plan(x, Stage())
    with torch.cuda.device_of(x):
        programs.spatial_norm[_grid(x, images, block)](x, y, images, norm, block)


def spatial_norm_backward(dy: Tensor, x: Tensor, dx: Tensor, norm: Norm) -> None:
    """Set dx to the gradient of `spatial_norm`.

    Shapes:  x (N, C, H, W) float32 or bfloat16, dy and dx alike.
    """
    images, block = _plan(x, Stage())
    grid = _grid(x, images, block)
    gradients = _Gradients(dy, torch.empty_like(x, dtype=torch.float32))
    with torch.cuda.device_of(x):
        programs.spatial_products[grid](gradients, x, images, norm, block)
        programs.spatial_norm_backward[grid](gradients, x, dx, images, norm, block)


def cut(pictures: Tensor, windows: Windows, values: Values, out: Tensor) -> None:
    """Cut a square window from each picture, make its levels inputs, then mirror it.

    Shapes:  pictures (N, H, W, 3) uint8, out (N, S, S, 3) float32 or bfloat16; windows and values
             on any device.
    """
    n, h, w, _ = pictures.shape
    size = out.shape[1]
    mean, shift = (None if t is None else _beside(t, out) for t in (values.mean, values.shift))
    values = Values(mean, shift, values.divide_by)
    windows = Windows(*(_beside(t, out) for t in windows))
    grid = (n, triton.cdiv(size * size * 3, programs.LINE.value))
    with torch.cuda.device_of(out):
        programs.cut[grid](pictures, windows, values, out, (h, w, size))


def _beside(tensor: Tensor, other: Tensor) -> Tensor:
    return tensor.to(other.device, non_blocking=True).contiguous()


def update(
    weights: Tensor,
    velocities: Tensor,
    gradients: Tensor,
    copies: Tensor | None,
    factors: tuple[float, ...],
) -> None:
    """Make one update of the paper in place; `factors` are momentum, rate and decay.

    Shapes:  any, all alike in shape and strides. Weights and velocities are float32, gradients
             float32 or bfloat16; copies, if any, are the weights in bfloat16.
    """
    count = weights.numel()
    grid = (triton.cdiv(count, programs.LINE.value),)
    with torch.cuda.device_of(weights):
        programs.update[grid](weights, velocities, gradients, copies, count, factors)


def _plan(x: Tensor, stage: Stage) -> tuple[_Images, _Block]:
    n, c, h, w = x.shape
    out_h, out_w = stage.output_shape(x.shape)[2:]
    # A norm's sums stay in a column, so that a tile holds all channels of one.
    width = c // stage.norm.columns if stage.norm else min(c, MAX_CHANNELS)
    channels = triton.next_power_of_2(width)
    block = _Block(max(TILE_ELEMENTS // channels, 1), channels)
    return _Images(n, h, w, c, out_h, out_w, width), block


def _grid(tensor: Tensor, images: _Images, block: _Block) -> tuple[int, int]:
    """Return the programs that it takes to cover a tensor (N, C, H, W) with tiles."""
    pixels = tensor.numel() // images.c
    return triton.cdiv(pixels, block.pixels), triton.cdiv(images.c, images.width)


def _pooled(values: Tensor, winners: Tensor, stage: Stage) -> tuple[_Pooled, Stage]:
    """Make of no pool one of single pixels, without winners."""
    if stage.pool is None:
        return _Pooled(values, None), stage._replace(pool=Pool(1, 1))
    return _Pooled(values, winners), stage
