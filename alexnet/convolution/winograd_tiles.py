"""How Winograd's convolution is cut into tiles and chunks, and what it costs.

Letters as in problem.py; m outputs and t = m + r - 1 inputs of a tile along each axis, l tiles of a
chunk. A plain convolution (stride 1, dilation 1, no padding) has three stages,

    U = G w                     once                (t..., K, C)
    V = B^T x                   for each chunk      (t..., C, l)
    y = A^T (U V)               for each chunk      (m..., K, l)

with a matrix along each axis, one after the other. The gradient of the input is the same with
channels and kernels exchanged. That of the weights makes r outputs with m taps, F(r, m), whose taps
are the tiles of dy:

    V = B^T x,  Z = G dy,  P += Z V^T       for each chunk;       dw = A^T P       once
"""

import bisect
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

import torch
from torch import Tensor

from alexnet.convolution.cook_toom import Matrix, Transform, error_bound, expected_error, transform
from alexnet.convolution.problem import Cost, Direction, Problem, Sizes, wide

TILES = (4, 3, 2)
"""Outputs of a tile that the default may take, the first that is exact enough."""
EXPECTED = {torch.float32: 2e-5, torch.float64: 1e-11}
"""The error to expect at most of the default's tiles, relative to the output."""


@dataclass(frozen=True)
class Nested:
    """A matrix along each of the leading axes of a tensor, applied one after the other."""

    matrices: tuple[Matrix, ...]

    @cached_property
    def counts(self) -> list[int]:
        """Return the numbers a tile has before, between and after the steps.

        The identity is no step.
        """
        sizes = [len(rows[0]) for rows in self.matrices]
        counts = [math.prod(sizes)]
        for axis, rows in enumerate(self.matrices):
            sizes[axis] = len(rows)
            if not _is_identity(rows):
                counts.append(math.prod(sizes))
        return counts

    @cached_property
    def operations(self) -> tuple[int, int]:
        """Return multiplications and additions for a tile.

        Entries of 0 take none, those of 1 and -1 no multiplication. (torch multiplies by them all.)
        """
        sizes = [len(rows[0]) for rows in self.matrices]
        products = sums = 0
        for axis, rows in enumerate(self.matrices):
            sizes[axis] = 1
            products += math.prod(sizes) * sum(abs(e) not in (0, 1) for row in rows for e in row)
            sums += math.prod(sizes) * sum(sum(map(bool, row)) - 1 for row in rows)
            sizes[axis] = len(rows)
        return products, sums

    def apply(self, z: Tensor) -> Tensor:
        """Multiply the first axes of z, in this order.

        Shapes:  z (inputs of each matrix..., rest) -> (outputs of each..., rest).
        """
        for axis, rows in self._steps:
            before, behind = z.shape[:axis], z.shape[axis + 1 :]
            matrix = torch.tensor(rows, dtype=z.dtype, device=z.device)
            flat = z.reshape(math.prod(before), z.shape[axis], math.prod(behind))
            z = matrix.expand(len(flat), -1, -1).bmm(flat).view(*before, len(rows), *behind)
        return z

    @cached_property
    def _steps(self) -> list[tuple[int, list[list[float]]]]:
        """Return the axes that have a step, and their matrices in float64."""
        return [
            (axis, [[float(each) for each in row] for row in rows])
            for axis, rows in enumerate(self.matrices)
            if not _is_identity(rows)
        ]


@dataclass(frozen=True)
class Transforms:
    """What is done to the input's tiles, the kernels and the products."""

    inputs: Nested
    """B^T."""
    kernels: Nested
    """G; for the gradient of the weights the kernels are the tiles of dy."""
    products: Nested
    """A^T."""

    @cached_property
    def entries(self) -> int:
        """Return the numbers in the matrices of the largest of the three."""
        every = (self.inputs, self.kernels, self.products)
        return max(sum(len(rows) * len(rows[0]) for rows in each.matrices) for each in every)


@cache
def transforms(m: Sizes, r: Sizes) -> Transforms:
    """Return those of F(m, r), an m and an r for each axis."""
    every = [transform(outputs, taps) for outputs, taps in zip(m, r, strict=True)]
    return Transforms(
        Nested(tuple(each.b_rows for each in every)),
        Nested(tuple(each.g for each in every)),
        Nested(tuple(_turned(each) for each in every)),
    )


@dataclass(frozen=True)
class Plan:
    """The sizes of a plain convolution, its tiles, and how many are done at a time.

    For the gradient of the input x is dy with r - 1 zeros around it, and C and K are exchanged.
    """

    batch: int
    channels: int
    """That are read, of all groups."""
    kernels: int
    groups: int
    output: Sizes
    kernel: Sizes
    m: Sizes
    """Outputs of a tile along each axis: 1 where there is one tap, at most what there is."""
    sums_weights: bool
    """Whether this is the gradient of the weights."""
    item: int
    """Bytes of a number."""
    pictures: int = 1
    """Of a chunk; 1 where a chunk has not all of a picture's rows."""
    rows: int = 1
    """Of a chunk: tiles along the first axis."""

    @property
    def t(self) -> Sizes:
        """Return the inputs of a tile."""
        return tuple(m + r - 1 for m, r in zip(self.m, self.kernel, strict=True))

    @property
    def tiles(self) -> Sizes:
        """Return the tiles of a picture; the last ones reach over its edge."""
        return tuple(-(-outputs // m) for outputs, m in zip(self.output, self.m, strict=True))

    @property
    def transforms(self) -> Transforms:
        """Return the matrices."""
        if self.sums_weights:
            return transforms(self.kernel, self.m)
        return transforms(self.m, self.kernel)

    @property
    def connections(self) -> int:
        """Return the pairs of a kernel and a channel that it reads."""
        return self.kernels * self.channels // self.groups

    def chunks(self) -> Iterator[tuple[slice, slice]]:
        """Yield pictures and rows of tiles that are done together."""
        for picture in range(0, self.batch, self.pictures):
            for row in range(0, self.tiles[0], self.rows):
                yield (
                    slice(picture, min(picture + self.pictures, self.batch)),
                    slice(row, min(row + self.rows, self.tiles[0])),
                )

    def held(self, pictures: int, rows: int) -> int:
        """Return the bytes held at most, besides input and output, by chunks of that size."""
        stages, window = self.transforms, math.prod(self.t)
        tiles = pictures * rows * math.prod(self.tiles[1:])
        v, z = self.channels * tiles, self.kernels * tiles
        cut = self.channels * pictures * math.prod(self._reach(rows, self.kernel))
        reading = max(cut + window * v, v * _peak(stages.inputs))
        if self.sums_weights:
            dy = self.kernels * pictures * math.prod(self._reach(rows, (1,) * len(self.m)))
            taps = max(dy + math.prod(self.m) * z, z * _peak(stages.kernels))
            chunk = max(reading, window * v + taps)
            once = self.connections * (_peak(stages.products) + stages.products.counts[-1])
        else:
            placed = 2 * stages.products.counts[-1] * z
            chunk = max(reading, window * (v + z), z * _peak(stages.products), placed)
            once = self.connections * (math.prod(self.kernel) + _peak(stages.kernels))
        kept = stages.entries + self.connections * math.prod(self.kernel)  # turned round
        return self.item * (kept + max(once, window * self.connections + chunk))

    def _reach(self, rows: int, kernel: Sizes) -> Iterator[int]:
        """Yield how much of the padded input rows of tiles read along each axis."""
        for count, m, r in zip((rows, *self.tiles[1:]), self.m, kernel, strict=True):
            yield count * m + r - 1


def plan(direction: Direction, problem: Problem, workspace: int, *, m: int) -> Plan:
    """Return the tiles of a plain problem, in the largest chunks that fit into the workspace.

    Whole pictures where at least one fits, else rows of tiles; at least one row.
    """
    back = direction == "input_gradient"
    outputs = problem.size if back else problem.output
    every = zip(outputs, problem.kernel, strict=True)
    least = Plan(
        batch=problem.batch,
        channels=problem.kernels if back else problem.channels,
        kernels=problem.channels if back else problem.kernels,
        groups=problem.groups,
        output=outputs,
        kernel=problem.kernel,
        m=tuple(1 if taps == 1 else min(m, count) for count, taps in every),
        sums_weights=direction == "weight_gradient",
        item=wide(problem.dtype).itemsize,
    )
    rows = least.tiles[0]
    pictures = _most(problem.batch, lambda count: least.held(count, rows) <= workspace)
    if not pictures:
        rows = _most(rows, lambda count: least.held(1, count) <= workspace)
    return replace(least, pictures=max(pictures, 1), rows=max(rows, 1))


def tile(problem: Problem) -> int:
    """Return the outputs of a tile along an axis that the plain name `winograd` stands for.

    4, 3 or 2, the largest whose `predicted_error` is at most 2e-5 in float32 and 1e-11 in float64;
    else 1, the definition. For kernels of 3 taps that is 4, but along three axes with more than
    some thousand channels; for 7 x 7 in float32 it is 2, for 11 x 11 it is 1.
    """
    most = EXPECTED[wide(problem.dtype)]
    return next((m for m in TILES if predicted_error("forward", problem, m=m) <= most), 1)


def predicted_error(direction: Direction, problem: Problem, *, m: int) -> float:
    """Return the error to expect, relative to the output: `cook_toom.expected_error`.

    Both are root mean squares, for independent inputs of mean 0. A result of half precision is
    rounded once more, which is not counted here.
    """
    exact = wide(problem.dtype)
    return max(
        expected_error(outputs, taps, terms=terms, dtype=exact)
        for outputs, taps, terms in _sums(direction, problem, m)
    )


def bound(direction: Direction, problem: Problem, *, m: int) -> float:
    """Return what no error of an output exceeds: `cook_toom.error_bound` and what is added to it.

    Relative to the largest sum of |w| |x| that an output could have: max|x| times the largest sum
    of |w[k]|, or of |dy| for what w[k, c, r] is met by. Strides add up several parts; a result of
    half precision is rounded once more.
    """
    exact = wide(problem.dtype)
    parts = math.prod(problem.stride)
    limit = max(
        error_bound(outputs, taps, terms=terms + parts, dtype=exact)
        for outputs, taps, terms in _sums(direction, problem, m)
    )
    return limit if exact == problem.dtype else limit + torch.finfo(problem.dtype).eps / 2


def product_ratio(m: Sizes, r: Sizes) -> float:
    """Return the definition's multiplications per one of nested F(m, r), transforms left out.

    product over the axes of m * r / (m + r - 1)
    """
    every = zip(m, r, strict=True)
    return math.prod(outputs * taps / (outputs + taps - 1) for outputs, taps in every)


def cost(direction: Direction, problem: Problem, workspace: int, *, m: int) -> Cost:
    """Return what a plain problem costs.

    Products: one for each of a tile's t... places, tile, kernel and channel that it reads.
    Transforms: Nested.operations for each tile of each channel and kernel, and for each pair of a
    kernel and a channel.
    """
    how = plan(direction, problem, workspace, m=m)
    stages, window = how.transforms, math.prod(how.t)
    tiles = how.batch * math.prod(how.tiles)
    x, y, w = tiles * how.channels, tiles * how.kernels, how.connections
    if how.sums_weights:
        times = ((stages.inputs, x), (stages.kernels, y), (stages.products, w))
        sums = window * w * max(tiles - 1, 0)
    else:
        times = ((stages.inputs, x), (stages.kernels, w), (stages.products, y))
        sums = window * y * (how.channels // how.groups - 1)
    products = tiles * window * w
    between = sum(sum(stage.counts) * count for stage, count in times)
    outside = math.prod(problem.x_shape) + math.prod(problem.w_shape) + math.prod(problem.y_shape)
    return Cost(
        multiplications=products + sum(stage.operations[0] * count for stage, count in times),
        additions=sums + sum(stage.operations[1] * count for stage, count in times),
        bytes=how.item * (outside + 2 * between),
        workspace=how.held(how.pictures, how.rows),
    )


def _sums(direction: Direction, problem: Problem, m: int) -> Iterator[tuple[Sizes, Sizes, int]]:
    """Yield m and r along each axis, and the products that are added up for an output.

    For each kind of parts that strides and dilation leave: a stride leaves its share of the taps to
    each, dilation its share of the outputs, both rounded up or down.
    """
    along = []
    for axis, (stride, reach) in enumerate(zip(problem.stride, problem.reach, strict=True)):
        taps, outputs = problem.kernel[axis], problem.output[axis]
        if stride > 1:
            along.append([(outputs, r) for r in _shares(reach, stride)])
        else:
            along.append([(p, taps) for p in _shares(outputs, problem.dilation[axis])])
    for axes in itertools.product(*along):
        kernel = tuple(r for _, r in axes)
        back = direction == "input_gradient"
        sizes = (p + r - 1 if back else p for p, r in axes)
        tiles = tuple(1 if r == 1 else min(m, p) for p, r in zip(sizes, kernel, strict=True))
        if direction == "weight_gradient":
            count = math.prod(-(-p // each) for (p, _), each in zip(axes, tiles, strict=True))
            yield kernel, tiles, problem.batch * count
        else:
            read = problem.kernels if back else problem.channels
            yield tiles, kernel, read // problem.groups


def _shares(count: int, parts: int) -> set[int]:
    """Return how many of so many fall to a part, of which none is empty."""
    return {-(-count // parts), max(count // parts, 1)}


def _turned(each: Transform) -> Matrix:
    return tuple(zip(*each.a, strict=True))


def _is_identity(rows: Matrix) -> bool:
    return all(e == (i == j) for i, row in enumerate(rows) for j, e in enumerate(row))


def _peak(stage: Nested) -> int:
    """Return what a tile holds at most: what went in, what a step reads, and what it writes."""
    first, *later = stage.counts
    return first + max(map(sum, itertools.pairwise((0, *later))), default=0)


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """Return the largest count up to the limit that fits, if each below it does; or 0."""
    return bisect.bisect_left(range(1, limit + 1), True, key=lambda count: not fits(count))
