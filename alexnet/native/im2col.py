"""A convolution by im2col.cpp: windows laid out a block at a time in the cache, and multiplied.

Where each channel has one kernel of its own there is no matrix, and depthwise.cpp does it.

Each function takes tensors (N, C, ...) of one to three axes in any layout, float32 or bfloat16, on
the processor. Those that are not channels last in memory are laid out so, some pictures at a time.
"""

import ctypes
import itertools
import math
import operator

import torch
from torch import Tensor

from alexnet.native import library
from alexnet.native.im2col_plan import (
    SLACK,
    TILE,
    Blocks,
    Layer,
    Meeting,
    Sizes,
    Task,
    forward_task,
    input_gradient_task,
    plan,
)


def serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether there are kernels for this device and type."""
    return device.type == "cpu" and dtype in library.TYPES and library.library() is not None


def forward(x: Tensor, w: Tensor, *, bias: Tensor | None, layer: Layer, workspace: int) -> Tensor:
    """Return the convolution of x with w.

    Shapes:  x (N, C, ...), w (K, C / groups, ...), bias (K) -> (N, K, ...), in x's layout and type;
             sums are float32.
    """
    task = forward_task(layer)
    apart = w.unflatten(0, (task.groups, task.kernels))
    return _convolve(x, apart, bias, task=task, blocks=plan("forward", layer, workspace))


def input_gradient(dy: Tensor, w: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's input: dy convolved with w turned round.

    With a stride s, each remainder of an input's place by s meets taps of its own.

    Shapes:  dy (N, K, ...), w (K, C / groups, ...) -> (N, C, ...), in dy's layout and type.
    """
    task = input_gradient_task(layer)
    turned = w.unflatten(0, (task.groups, task.channels)).transpose(1, 2)
    blocks = plan("input_gradient", layer, workspace)
    return _convolve(dy, turned, None, task=task, blocks=blocks)


def weight_gradient(x: Tensor, dy: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's weights.

    Shapes:  x (N, C, ...), dy (N, K, ...) -> (K, C / groups, ...), in x's type.
    """
    task, blocks = forward_task(layer), plan("weight_gradient", layer, workspace)
    (grid,) = task.grids
    taps, _ = _taps(grid)
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


def _taps(grid: tuple[Meeting, ...]) -> tuple[Tensor, list[Sizes]]:
    """Return where each tap meets x, and which tap that is along each axis."""
    every = list(itertools.product(*(meeting.taps for meeting in grid)))
    return torch.tensor([[at for at, _ in tap] for tap in every]), [
        tuple(number for _, number in tap) for tap in every
    ]


def _convolve(x: Tensor, w: Tensor, bias: Tensor | None, *, task: Task, blocks: Blocks) -> Tensor:
    """Return y of x and w (groups, kernels, channels, ...)."""
    shape = (task.batch, task.groups * task.kernels, *task.out[3 - (x.dim() - 2) :])
    in_place = _is_last(x)
    if in_place and not x.is_contiguous():
        y = x.new_empty((shape[0], *shape[2:], shape[1])).movedim(-1, 1)
    else:
        y = x.new_empty(shape)
    grids = [(grid, *_taps(grid)) for grid in task.grids if all(meeting.taps for meeting in grid)]
    if len(grids) < len(task.grids):
        y.zero_()
    bias = None if bias is None else bias.float().contiguous()
    deepest = max((len(taps) for _, taps, _ in grids), default=0) * task.channels
    packed = torch.empty(0 if task.is_depthwise else task.groups * deepest * blocks.kernels)
    buffers = torch.empty(blocks.threads * blocks.buffer + SLACK)
    count = max(1, task.batch) if in_place and _is_last(y) else blocks.pictures
    for first in range(0, task.batch, count):
        some, to = _last(x[first : first + count]), _last(y[first : first + count])
        for grid, taps, numbers in grids:
            for kernel in range(0, task.kernels, blocks.kernels):
                described = _described(task, grid, blocks, pictures=len(some), first=kernel)
                if task.is_depthwise:
                    factors = _factors(w, numbers)
                    library.run("depthwise", described, some, taps, factors, bias, to, form=x.dtype)
                    continue
                _pack(w, numbers, packed, task=task, first=kernel, count=blocks.kernels)
                library.run(
                    "im2col", described, some, taps, packed, bias, to, buffers, form=x.dtype
                )
        if not _is_last(y):
            y[first : first + count] = to.movedim(-1, 1)
        del some, to  # before the next are made
    return y


def _offsets(w: Tensor, numbers: list[Sizes]) -> Tensor:
    """Return where each tap lies in the memory of w."""
    steps = (*[0] * (6 - w.dim()), *w.stride()[3:])
    return torch.tensor([sum(map(operator.mul, tap, steps)) for tap in numbers])


def _factors(w: Tensor, numbers: list[Sizes]) -> Tensor:
    """Return these taps of the kernels of single channels, (taps, C)."""
    w = w.contiguous()
    return w.flatten(1)[:, _offsets(w, numbers)].float().T.contiguous()


def _pack(
    w: Tensor, numbers: list[Sizes], packed: Tensor, *, task: Task, first: int, count: int
) -> None:
    """Lay out some kernels in panels, with these taps."""
    count = min(count, task.kernels - first)
    sizes = (task.groups, task.channels, first, count, len(numbers), *w.stride()[:3])
    described = library.Im2colWeights(*sizes)
    library.run("im2col_pack", described, w, _offsets(w, numbers), packed, form=w.dtype)


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
