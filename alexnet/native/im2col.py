"""A convolution by im2col.cpp: windows laid out a block at a time in the cache, and multiplied.

Each function takes tensors (N, C, ...) of one to three axes in any layout, float32 or bfloat16, on
the processor. Those that are not channels last in memory are laid out so, some pictures at a time.
"""

import ctypes
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from alexnet.native import library

Sizes = tuple[int, ...]

ROWS = 144
"""Positions of a block: with DEPTH numbers of each window they fill a part of the second cache."""
DEPTH = 256
"""Numbers of a window in a block: so many of a panel of kernels fit into the first cache."""
WIDTH = 256
"""Kernels of a block."""
NUMBERS = 128
"""Numbers of a window in a block of the gradient of weights, which has DEPTH positions."""
SHARED = 2048
"""Positions whose dy is laid out at a time for the gradient of weights, by all threads."""
PANEL = 32
"""Kernels of a panel in the widest form of the kernels; those of the others divide it."""
TILE = 12
"""Rows of a register tile in the widest form; those of the others divide it."""
SLACK = 64
"""Numbers behind a buffer that whole vectors may still touch, at least."""
TASKS = 4
"""Blocks for each thread, at least, where blocks are small enough."""


class Layer(Protocol):
    """The sizes of a convolution, as `alexnet.convolution.problem.Problem` has them."""

    @property
    def batch(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def kernels(self) -> int: ...
    @property
    def groups(self) -> int: ...
    @property
    def size(self) -> Sizes: ...
    @property
    def kernel(self) -> Sizes: ...
    @property
    def stride(self) -> Sizes: ...
    @property
    def padding(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def dilation(self) -> Sizes: ...
    @property
    def output(self) -> Sizes: ...
    @property
    def dtype(self) -> torch.dtype: ...


class Meeting(NamedTuple):
    """Along one axis: outputs `first`, `first + step`, ... and the taps that they all meet."""

    first: int
    step: int
    outputs: int
    stride: int
    """Elements of the input from one of these outputs to the next."""
    taps: list[tuple[int, int]]
    """Each with how far from an output's origin it meets the input, the nearest first."""


class Task(NamedTuple):
    """One direction of a convolution, as sums over windows of what is called x here."""

    batch: int
    groups: int
    channels: int
    kernels: int
    """Both of a group; for the gradient of the input they change places, as x and y do."""
    size: Sizes
    """Of x, along three axes."""
    out: Sizes
    grids: list[tuple[Meeting, ...]]
    """Which outputs are one product."""
    dtype: torch.dtype


class Blocks(NamedTuple):
    """How much is done at a time."""

    pictures: int
    kernels: int
    """Of each group; for the gradient of weights those of a block."""
    rows: int
    depth: int
    width: int
    threads: int
    buffer: int
    """Numbers of a thread's."""
    workspace: int
    """In bytes."""


def serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether there are kernels for this device and type."""
    return device.type == "cpu" and dtype in library.TYPES and library.library() is not None


def forward(x: Tensor, w: Tensor, *, bias: Tensor | None, layer: Layer, workspace: int) -> Tensor:
    """Return the convolution of x with w.

    Shapes:  x (N, C, ...), w (K, C / groups, ...), bias (K) -> (N, K, ...), in x's layout and type;
             sums are float32.
    """
    task = _forward_task(layer)
    apart = w.unflatten(0, (task.groups, task.kernels))
    return _convolve(x, apart, bias, task=task, blocks=plan("forward", layer, workspace))


def input_gradient(dy: Tensor, w: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's input: dy convolved with w turned round.

    With a stride s, each remainder of an input's place by s meets taps of its own.

    Shapes:  dy (N, K, ...), w (K, C / groups, ...) -> (N, C, ...), in dy's layout and type.
    """
    task = _input_gradient_task(layer)
    turned = w.unflatten(0, (task.groups, task.channels)).transpose(1, 2)
    blocks = plan("input_gradient", layer, workspace)
    return _convolve(dy, turned, None, task=task, blocks=blocks)


def weight_gradient(x: Tensor, dy: Tensor, *, layer: Layer, workspace: int) -> Tensor:
    """Return the gradient of a convolution's weights.

    Shapes:  x (N, C, ...), dy (N, K, ...) -> (K, C / groups, ...), in x's type.
    """
    task, blocks = _forward_task(layer), plan("weight_gradient", layer, workspace)
    (grid,) = task.grids
    taps, _ = _taps(grid)
    dw = torch.zeros((layer.kernels, *layer.kernel, task.channels))
    tiles = -(-task.kernels // TILE) * TILE
    gradients = torch.empty(task.groups * tiles * blocks.rows + SLACK)
    buffers = torch.empty(blocks.threads * blocks.buffer + SLACK)
    count = task.batch if _is_last(x) and _is_last(dy) else blocks.pictures
    for first in range(0, task.batch, count):
        some, of_them = _last(x[first : first + count]), _last(dy[first : first + count])
        described = _described(task, grid, blocks, pictures=len(some), first=0)
        tensors = (some, taps, of_them, dw, gradients, buffers)
        library.run("im2col_weights", described, *tensors, form=x.dtype)
    return dw.movedim(-1, 1).to(x.dtype)


def plan(direction: str, layer: Layer, workspace: int) -> Blocks:
    """Return how much is done at a time, so that it fits into the workspace if that is possible.

    Held are kernels in panels, or dy of some positions; each thread's block; and of the pictures
    done at a time x and y channels last.
    """
    if direction == "weight_gradient":
        return _plan_weights(_forward_task(layer), workspace)
    task = _forward_task(layer) if direction == "forward" else _input_gradient_task(layer)
    deepest = max(math.prod(len(meeting.taps) for meeting in grid) for grid in task.grids)
    longest = max(math.prod(meeting.outputs for meeting in grid) for grid in task.grids)
    window, positions = deepest * task.channels, task.batch * longest
    depth, width = _even(window, DEPTH, 1), min(WIDTH, _up(task.kernels, PANEL))
    rows, threads = _even(positions, ROWS, TILE), torch.get_num_threads()

    def tasks() -> int:
        return task.groups * -(-positions // rows) * -(-task.kernels // width)

    while threads > 1 and tasks() < TASKS * threads and (rows > 2 * TILE or width > PANEL):
        if rows > 2 * TILE:
            rows = _up(rows // 2, TILE)
        else:
            width = _up(width // 2, PANEL)
    threads = max(1, min(threads, tasks()))
    buffer = rows * (depth + width) + SLACK
    panel, picture = 4 * task.groups * window * PANEL, _picture(task)
    free = workspace - 4 * (threads * buffer + SLACK) - picture
    panels = max(1, min(free // max(panel, 1), -(-task.kernels // PANEL)))
    pictures = max(1, min(task.batch, 1 + (free - panels * panel) // picture))
    held = 4 * (threads * buffer + SLACK) + panels * panel + pictures * picture
    return Blocks(pictures, panels * PANEL, rows, depth, width, threads, buffer, held)


def multiplications(direction: str, layer: Layer) -> int:
    """Return how many are done, those with the padding's zeros included."""
    gradient = direction == "input_gradient"
    task = _input_gradient_task(layer) if gradient else _forward_task(layer)
    meetings = sum(math.prod(m.outputs * len(m.taps) for m in grid) for grid in task.grids)
    return task.batch * task.groups * task.channels * task.kernels * meetings


def _plan_weights(task: Task, workspace: int) -> Blocks:
    (grid,) = task.grids
    window = math.prod(len(meeting.taps) for meeting in grid) * task.channels
    width, threads = min(NUMBERS, _up(window, PANEL)), torch.get_num_threads()
    buffer = DEPTH * width + width + SLACK
    windows = task.groups * -(-window // width)
    splits = min(-(-TASKS * threads // windows), -(-task.kernels // TILE)) if threads > 1 else 1
    kernels = _even(task.kernels, -(-task.kernels // splits), TILE)
    threads = min(threads, windows * splits)
    position, picture = 4 * task.groups * _up(task.kernels, TILE), _picture(task)
    sums = 4 * task.groups * task.kernels * window
    free = workspace - 4 * (threads * buffer + 2 * SLACK) - picture - sums
    rows = DEPTH * max(1, min(SHARED // DEPTH, free // (position * DEPTH)))
    pictures = max(1, min(task.batch, 1 + (free - rows * position) // picture))
    held = 4 * (threads * buffer + 2 * SLACK) + sums + rows * position + pictures * picture
    return Blocks(pictures, kernels, rows, DEPTH, width, threads, buffer, held)


def _picture(task: Task) -> int:
    """Return the bytes of one picture's x and y."""
    inputs, outputs = math.prod(task.size), math.prod(task.out)
    numbers = task.groups * (task.channels * inputs + task.kernels * outputs)
    return task.dtype.itemsize * numbers


def _up(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _even(count: int, most: int, unit: int) -> int:
    """Return the size of blocks of about the same size, none above `most`, in multiples of unit."""
    blocks = max(1, -(-count // most))
    return max(unit, min(_up(-(-count // blocks), unit), _up(most, unit)))


def _forward_task(layer: Layer) -> Task:
    every = zip(layer.kernel, layer.stride, layer.padding, layer.dilation, strict=True)
    grid = [
        Meeting(0, 1, count, stride, [(dilation * tap - before, tap) for tap in range(taps)])
        for count, (taps, stride, (before, _), dilation) in zip(layer.output, every, strict=True)
    ]
    return Task(
        batch=layer.batch,
        groups=layer.groups,
        channels=layer.channels // layer.groups,
        kernels=layer.kernels // layer.groups,
        size=_three(layer.size),
        out=_three(layer.output),
        grids=[_three_meetings(grid)],
        dtype=layer.dtype,
    )


def _input_gradient_task(layer: Layer) -> Task:
    along = [list(_remainders(layer, axis)) for axis in range(len(layer.size))]
    return Task(
        batch=layer.batch,
        groups=layer.groups,
        channels=layer.kernels // layer.groups,
        kernels=layer.channels // layer.groups,
        size=_three(layer.output),
        out=_three(layer.size),
        grids=[_three_meetings(grid) for grid in itertools.product(*along)],
        dtype=layer.dtype,
    )


def _remainders(layer: Layer, axis: int) -> Iterator[Meeting]:
    """Yield what meets an input at stride * i + first: dy at i + at for each (at, tap).

    An output p meets input h with tap r if stride * p + dilation * r - before = h.
    """
    stride, dilation = layer.stride[axis], layer.dilation[axis]
    before, size = layer.padding[axis][0], layer.size[axis]
    for first in range(min(stride, size)):
        taps = [
            ((first + before - dilation * tap) // stride, tap)
            for tap in reversed(range(layer.kernel[axis]))
            if (first + before - dilation * tap) % stride == 0
        ]
        yield Meeting(first, stride, -(-(size - first) // stride), 1, taps)


def _three(sizes: Sizes) -> Sizes:
    return (*[1] * (3 - len(sizes)), *sizes)


def _three_meetings(grid: Sequence[Meeting]) -> tuple[Meeting, ...]:
    return (*[Meeting(0, 1, 1, 1, [(0, 0)])] * (3 - len(grid)), *grid)


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
    packed = torch.empty(task.groups * deepest * blocks.kernels)
    buffers = torch.empty(blocks.threads * blocks.buffer + SLACK)
    count = task.batch if in_place and _is_last(y) else blocks.pictures
    for first in range(0, task.batch, count):
        some, to = _last(x[first : first + count]), _last(y[first : first + count])
        for grid, taps, numbers in grids:
            for kernel in range(0, task.kernels, blocks.kernels):
                _pack(w, numbers, packed, task=task, first=kernel, count=blocks.kernels)
                described = _described(task, grid, blocks, pictures=len(some), first=kernel)
                tensors = (some, taps, packed, bias, to, buffers)
                library.run("im2col", described, *tensors, form=x.dtype)
        if not _is_last(y):
            y[first : first + count] = to.movedim(-1, 1)
    return y


def _pack(
    w: Tensor, numbers: list[Sizes], packed: Tensor, *, task: Task, first: int, count: int
) -> None:
    """Lay out some kernels in panels, with these taps."""
    steps = (*[0] * (6 - w.dim()), *w.stride()[3:])
    offsets = [sum(n * step for n, step in zip(tap, steps, strict=True)) for tap in numbers]
    count = min(count, task.kernels - first)
    sizes = (task.groups, task.channels, first, count, len(numbers), *w.stride()[:3])
    described = library.Im2colWeights(*sizes)
    library.run("im2col_pack", described, w, torch.tensor(offsets), packed, form=w.dtype)


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
