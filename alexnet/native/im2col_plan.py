"""Which sums im2col.cpp and depthwise.cpp are asked for, and in blocks of which size."""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch

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
OVER = 16
"""Numbers behind a row of columns that a whole vector may touch, at most."""
LINES = 16
"""Windows laid out in rows before the gradient of weights takes them apart."""
SLACK = 64
"""Numbers behind a buffer that whole vectors may still touch, at least."""
TASKS = 4
"""Blocks for each thread, at least, where blocks are small enough."""
KNOWN = 1024
"""Layers whose plans are kept, since to make one takes as long as to do a small layer."""


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
    def __hash__(self) -> int: ...


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

    @property
    def is_depthwise(self) -> bool:
        """Return whether nothing is summed over channels: depthwise.cpp does these."""
        return self.channels == self.kernels == 1


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


def plan(direction: str, layer: Layer, workspace: int) -> Blocks:
    """Return how much is done at a time, so that it fits into the workspace if that is possible.

    Held are kernels in panels, or dy of some positions; each thread's block; and of the pictures
    done at a time x and y channels last, which are there already if the tensors are: then all
    pictures are done at once.
    """
    return _plan(direction, layer, workspace, torch.get_num_threads())


@lru_cache(maxsize=KNOWN)
def _plan(direction: str, layer: Layer, workspace: int, threads: int) -> Blocks:
    task = task_of(direction, layer)
    if task.is_depthwise:
        return _plan_depthwise(direction, task, workspace, threads)
    if direction == "weight_gradient":
        return _plan_weights(task, workspace, threads)
    deepest = max(math.prod(len(meeting.taps) for meeting in grid) for grid in task.grids)
    longest = max(math.prod(meeting.outputs for meeting in grid) for grid in task.grids)
    window, positions = deepest * task.channels, task.batch * longest
    depth, width = _even(window, DEPTH, 1), min(WIDTH, _up(task.kernels, PANEL))
    rows = _even(positions, ROWS, TILE)

    def tasks() -> int:
        return task.groups * -(-positions // rows) * -(-task.kernels // width)

    while threads > 1 and tasks() < TASKS * threads and (rows > 2 * TILE or width > PANEL):
        if rows > 2 * TILE:
            rows = _up(rows // 2, TILE)
        else:
            width = _up(width // 2, PANEL)
    threads = max(1, min(threads, tasks()))
    buffer = rows * (depth + OVER + width) + SLACK
    panel, picture = 4 * task.groups * window * PANEL, _picture(task)
    fixed = 4 * (threads * buffer + SLACK) + _tables(task)
    free = workspace - fixed - picture
    panels = max(1, min(free // max(panel, 1), -(-task.kernels // PANEL)))
    pictures = max(1, min(task.batch, 1 + (free - panels * panel) // picture))
    held = fixed + panels * panel + pictures * picture
    return Blocks(pictures, panels * PANEL, rows, depth, width, threads, buffer, held)


def multiplications(direction: str, layer: Layer) -> int:
    """Return how many are done, those with the padding's zeros included."""
    task = task_of(direction, layer)
    meetings = sum(math.prod(m.outputs * len(m.taps) for m in grid) for grid in task.grids)
    return task.batch * task.groups * task.channels * task.kernels * meetings


def _plan_weights(task: Task, workspace: int, threads: int) -> Blocks:
    (grid,) = task.grids
    window = math.prod(len(meeting.taps) for meeting in grid) * task.channels
    width = min(NUMBERS, _up(window, PANEL))
    buffer = DEPTH * width + LINES * (width + OVER) + SLACK
    windows = task.groups * -(-window // width)
    splits = min(-(-TASKS * threads // windows), -(-task.kernels // TILE)) if threads > 1 else 1
    kernels = _even(task.kernels, -(-task.kernels // splits), TILE)
    threads = min(threads, windows * splits)
    position, picture = 4 * task.groups * _up(task.kernels, TILE), _picture(task)
    sums = 4 * task.groups * task.kernels * window
    fixed = 4 * (threads * buffer + 2 * SLACK) + sums + _tables(task)
    free = workspace - fixed - picture
    rows = DEPTH * max(1, min(SHARED // DEPTH, free // (position * DEPTH)))
    pictures = max(1, min(task.batch, 1 + (free - rows * position) // picture))
    held = fixed + rows * position + pictures * picture
    return Blocks(pictures, kernels, rows, DEPTH, width, threads, buffer, held)


def _plan_depthwise(direction: str, task: Task, workspace: int, threads: int) -> Blocks:
    """Return blocks of positions. Of w there are up to three copies while its taps are sorted."""
    window = sum(math.prod(len(meeting.taps) for meeting in grid) for grid in task.grids)
    positions = task.batch * max(math.prod(m.outputs for m in grid) for grid in task.grids)
    gradient = direction == "weight_gradient"
    most = max(1, NUMBERS * LINES // task.groups) if gradient else ROWS
    threads = max(1, min(threads, -(-positions // most)))
    buffer, picture = window * task.groups if gradient else 0, _picture(task)
    fixed = 4 * (3 * task.groups * window + threads * buffer + SLACK) + _tables(task)
    pictures = max(1, min(task.batch, (workspace - fixed) // picture))
    return Blocks(pictures, 1, most, 1, 1, threads, buffer, fixed + pictures * picture)


def _tables(task: Task) -> int:
    """Return the bytes that say where each tap meets x and lies in w, and of a float32 bias."""
    taps = sum(math.prod(len(meeting.taps) for meeting in grid) for grid in task.grids)
    return 4 * 8 * taps + 4 * task.groups * task.kernels


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


@lru_cache(maxsize=KNOWN)
def task_of(direction: str, layer: Layer) -> Task:
    """Return what a direction sums; the gradient of weights has the forward direction's windows."""
    return input_gradient_task(layer) if direction == "input_gradient" else forward_task(layer)


def forward_task(layer: Layer) -> Task:
    """Return the convolution itself."""
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


def input_gradient_task(layer: Layer) -> Task:
    """Return the gradient of the input: for each remainder by the strides its own windows of dy."""
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
