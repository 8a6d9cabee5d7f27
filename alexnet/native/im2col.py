"""A convolution by im2col.cpp: windows laid out a block at a time in the cache, and multiplied.

Where each channel has one kernel of its own there is no matrix, and depthwise.cpp does it.

Each function takes tensors (N, C, ...) of one to three axes in any layout, float32 or bfloat16, on
the processor. Those that are not channels last in memory are laid out so, some pictures at a time.
"""

import ctypes
import itertools
import math
import operator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from alexnet.native import library
from alexnet.native.im2col_plan import (
    KNOWN,
    SLACK,
    TILE,
    Blocks,
    Layer,
    Meeting,
    Sizes,
    Task,
    plan,
    task_of,
)


def serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether there are kernels for this device and type."""
    return device.type == "cpu" and dtype in library.TYPES and library.library() is not None


def forward(x: Tensor, w: Tensor, *, bias: Tensor | None, layer: Layer, workspace: int) -> Tensor:
    """Return the convolution of x with w.

    Shapes:  x (N, C, ...), w (K, C / groups, ...), bias (K) -> (N, K, ...), in x's layout and type;
             sums are float32.
    """
    task = task_of("forward", layer)
    apart = w.unflatten(0, (task.groups, task.kernels))
    sums = _sums("forward", layer, _steps(w, task))
    return _convolve(x, apart, bias, sums=sums, task=task, blocks=plan("forward", layer, workspace))


def input_gradient(dy: Tensor, w: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's input: dy convolved with w turned round.

    With a stride s, each remainder of an input's place by s meets taps of its own.

    Shapes:  dy (N, K, ...), w (K, C / groups, ...) -> (N, C, ...), in dy's layout and type.
    """
    task = task_of("input_gradient", layer)
    turned = w.unflatten(0, (task.groups, task.channels)).transpose(1, 2)
    sums = _sums("input_gradient", layer, _steps(w, task))
    blocks = plan("input_gradient", layer, workspace)
    return _convolve(dy, turned, None, sums=sums, task=task, blocks=blocks)


def weight_gradient(x: Tensor, dy: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's weights.

    Shapes:  x (N, C, ...), dy (N, K, ...) -> (K, C / groups, ...), in x's type.
    """
    task, blocks = task_of("weight_gradient", layer), plan("weight_gradient", layer, workspace)
    ((grid, taps, _),) = _sums("weight_gradient", layer, (0, 0, 0))
    buffers = torch.empty(blocks.threads * blocks.buffer + SLACK)
    if task.is_depthwise:
        dw = torch.zeros((*layer.kernel, task.channels, layer.kernels))
        name, others = "depthwise_weights", [buffers]
    else:
        dw = torch.zeros((layer.kernels, *layer.kernel, task.channels))
        tiles = -(-task.kernels // TILE) * TILE
        gradients = torch.empty(task.groups * tiles * blocks.rows + SLACK)
        name, others = "im2col_weights", [gradients, buffers]
    in_place = _is_last(x) and _is_last(dy)
    count = max(1, task.batch) if in_place else blocks.pictures
    for first in range(0, task.batch, count):
        some, of_them = _last(x[first : first + count]), _last(dy[first : first + count])
        described = _described(task, grid, blocks, pictures=len(some), first=0)
        library.run(name, described, some, taps, of_them, dw, *others, form=x.dtype)
        del some, of_them  # before the next are made
    if task.is_depthwise:
        return dw.movedim((-1, -2), (0, 1)).to(x.dtype)
    return dw.movedim(-1, 1).to(x.dtype)


class _Sum(NamedTuple):
    """Outputs that are one product, and where each of their taps meets x and lies in w."""

    grid: tuple[Meeting, ...]
    taps: Tensor
    offsets: Tensor


@lru_cache(maxsize=KNOWN)
def _sums(direction: str, layer: Layer, steps: Sizes) -> tuple[_Sum, ...]:
    """Return them, without those that no tap meets; `steps` are those of w along its axes."""
    found = []
    for grid in task_of(direction, layer).grids:
        if taps := list(itertools.product(*(meeting.taps for meeting in grid))):
            places = torch.tensor([[at for at, _ in tap] for tap in taps])
            numbers = ([number for _, number in tap] for tap in taps)
            offsets = [sum(map(operator.mul, number, steps)) for number in numbers]
            found.append(_Sum(grid, places, torch.tensor(offsets)))
    return tuple(found)


def _steps(w: Tensor, task: Task) -> Sizes:
    """Return the steps of w from tap to tap; kernels of single channels are taken as dense."""
    strides = w[0, 0].contiguous().stride() if task.is_depthwise else w.stride()[2:]
    return (*[0] * (3 - len(strides)), *strides)


def _convolve(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None,
    *,
    sums: tuple[_Sum, ...],
    task: Task,
    blocks: Blocks,
) -> Tensor:
    """Return y of x and w (groups, kernels, channels, ...)."""
    shape = (task.batch, task.groups * task.kernels, *task.out[3 - (x.dim() - 2) :])
    in_place = _is_last(x)
    if in_place and not x.is_contiguous():
        y = x.new_empty((shape[0], *shape[2:], shape[1])).movedim(-1, 1)
    else:
        y = x.new_empty(shape)
    if len(sums) < len(task.grids):
        y.zero_()
    bias = None if bias is None else bias.float().contiguous()
    deepest = max((len(taps) for _, taps, _ in sums), default=0) * task.channels
    packed = torch.empty(0 if task.is_depthwise else task.groups * deepest * blocks.kernels)
    buffers = torch.empty(blocks.threads * blocks.buffer + SLACK)
    count = max(1, task.batch) if in_place and _is_last(y) else blocks.pictures
    for first in range(0, task.batch, count):
        some, to = _last(x[first : first + count]), _last(y[first : first + count])
        for grid, taps, offsets in sums:
            for kernel in range(0, task.kernels, blocks.kernels):
                described = _described(task, grid, blocks, pictures=len(some), first=kernel)
                if task.is_depthwise:
                    factors = _factors(w, offsets)
                    library.run("depthwise", described, some, taps, factors, bias, to, form=x.dtype)
                    continue
                _pack(w, offsets, packed, task=task, first=kernel, count=blocks.kernels)
                library.run(
                    "im2col", described, some, taps, packed, bias, to, buffers, form=x.dtype
                )
        if not _is_last(y):
            y[first : first + count] = to.movedim(-1, 1)
        del some, to  # before the next are made
    return y


def _factors(w: Tensor, offsets: Tensor) -> Tensor:
    """Return these taps of the kernels of single channels, (taps, C)."""
    return w.flatten(1)[:, offsets].float().T.contiguous()


def _pack(
    w: Tensor, offsets: Tensor, packed: Tensor, *, task: Task, first: int, count: int
) -> None:
    """Lay out some kernels in panels, with these taps."""
    count = min(count, task.kernels - first)
    sizes = (task.groups, task.channels, first, count, len(offsets), *w.stride()[:3])
    described = library.Im2colWeights(*sizes)
    library.run("im2col_pack", described, w, offsets, packed, form=w.dtype)


def _described(
    task: Task, grid: tuple[Meeting, ...], blocks: Blocks, *, pictures: int, first: int
) -> ctypes.Structure:
    count, stride, start, step = (
        (ctypes.c_int64 * 3)(*numbers)
        for numbers in zip(*((m.outputs, m.stride, m.first, m.step) for m in grid), strict=True)
    )
    return library.Im2col(
        pictures=pictures,
        size=task.size,
        grid=count,
        stride=stride,
        out=task.out,
        first=start,
        step=step,
        groups=task.groups,
        channels=task.channels,
        kernels=task.kernels,
        origin=first,
        count=min(blocks.kernels, task.kernels - first),
        taps=math.prod(len(meeting.taps) for meeting in grid),
        rows=blocks.rows,
        depth=blocks.depth,
        width=blocks.width,
        threads=blocks.threads,
        buffer=blocks.buffer,
    )


def _is_last(x: Tensor) -> bool:
    return x.movedim(1, -1).is_contiguous()


def _last(x: Tensor) -> Tensor:
    """Return x as (N, ..., C), dense."""
    return x.movedim(1, -1).contiguous()
