"""How much of a convolution by Fourier transforms is done at a time.

Inputs are cut into tiles that overlap by a kernel less one element, so that a small kernel is never
transformed at the size of a large picture. A tile of T elements along an axis yields T - R + 1
outputs. Three numbers pull: longer tiles overlap less, shorter ones cost fewer transforms of
kernels, and all transforms that are held at a time must fit into the workspace. Where they do not,
pictures and tiles are taken in chunks, and then kernels and channels in blocks; for each block of
kernels the inputs are transformed again, and for each of channels the outputs.

Source: overlap-save, Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7; of nets
Mathieu, Henaff and LeCun, Fast Training of Convolutional Networks through FFTs, 2014, who transform
whole pictures, and Vasilache et al., Fast Convolutional Nets With fbfft, 2015, with tiles.

Letters: N pictures, C channels and K kernels of one group, R taps.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from alexnet.convolution.problem import Cost, Sizes

COUNTS = tuple(sorted({*(2**i for i in range(31)), *(3 * 2**i for i in range(29))}))
"""Tiles along an axis that are tried; the best is flat, so that not every number needs to be."""
FEW = 16
"""Up to so many channels times kernels a group, matrices are too small for a matrix product."""
ENOUGH_ROWS = 48
"""Rows of the matrices above which it does not pay to cut kernels and channels into blocks."""
LARGE = 4 * 2**20
"""Bytes of a tensor above which the system takes its pages back and hands them out anew."""

BUFFER = 60 * 60
"""Numbers that torch lays out anew at a time, in memory of its own."""

# Nanoseconds on one core of Zen 3, by which plans are compared; only ratios matter.
MOVED = 2.2  # an element cut out, laid out by frequency, and back
BUTTERFLY = (0.06, 0.14)  # an element, for each halving of a length: a power of two, or another
FAULT = 3.5  # more for an element of what is large
PRODUCT = 0.13  # a complex product within a matrix product, at 60 billion operations a second
ROWS_TO_READ = 8  # rows whose products take as long as reading the other matrix from memory
PRODUCT_BY_ELEMENT = 1.2  # a complex product that is not in a matrix product
CHUNK = 2e5  # what a chunk costs besides


class Extent(NamedTuple):
    """The sizes of a plain correlation: y[n, k, p] = sum over c, r of w[k, c, r] * x[n, c, p + r].

    C and K are those of one group.
    """

    batch: int
    groups: int
    channels: int
    kernels: int
    outputs: Sizes
    kernel: Sizes
    itemsize: int
    """Bytes of the type that sums are taken in."""
    into_weights: bool
    """Whether w is sought, from x and y."""


class Chunk(NamedTuple):
    """Pictures and tiles that are transformed at a time."""

    pictures: slice
    tiles: tuple[slice, ...]
    """Along each axis."""


class Block(NamedTuple):
    """Groups, and channels and kernels of each, whose weights are held transformed."""

    groups: slice
    channels: slice
    kernels: slice


@dataclass(frozen=True)
class Plan:
    """The tiles of a correlation, and how many are transformed at a time."""

    extent: Extent
    tile: Sizes
    """Elements of a transform along each axis."""
    groups: int
    """Of a block, as are the next two."""
    channels: int
    kernels: int
    pictures: int
    """Of a chunk."""
    tiles: Sizes
    """Of a chunk, along each axis."""

    @property
    def step(self) -> Sizes:
        """Return the outputs of a tile along each axis: T - R + 1."""
        return tuple(t - r + 1 for t, r in zip(self.tile, self.extent.kernel, strict=True))

    @property
    def count(self) -> Sizes:
        """Return the tiles along each axis."""
        return tuple(-(-p // s) for p, s in zip(self.extent.outputs, self.step, strict=True))

    @property
    def frequencies(self) -> int:
        """Return the complex numbers of a tile's transform: half of the last axis, and one."""
        return math.prod(self.tile[:-1]) * (self.tile[-1] // 2 + 1)

    @property
    def by_element(self) -> bool:
        """Return whether products are taken element by element, not as matrix products."""
        return self.extent.channels * self.extent.kernels <= FEW

    @property
    def rows(self) -> int:
        """Return the tiles of all pictures."""
        return self.extent.batch * math.prod(self.count)

    @property
    def chunks(self) -> int:
        """Return how many there are."""
        every = zip((self.extent.batch, *self.count), (self.pictures, *self.tiles), strict=True)
        return math.prod(-(-whole // part) for whole, part in every)

    @property
    def spectrum_bytes(self) -> int:
        """Return the bytes of a tile's transform."""
        return 2 * self.extent.itemsize * self.frequencies

    @property
    def weights_bytes(self) -> int:
        """Return what a block of transformed weights needs while it is made.

        Per kernel and channel the taps in the type of the sums, and two transforms: before and
        after laying them out anew. Where weights are sought, only the transforms.
        """
        into = self.extent.into_weights
        taps = 0 if into else math.prod(self.extent.kernel) * self.extent.itemsize
        return self.weights * (taps + 2 * self.spectrum_bytes)

    @property
    def weights(self) -> int:
        """Return how many pairs of a channel and a kernel a block has."""
        return self.groups * self.channels * self.kernels

    @property
    def row_bytes(self) -> int:
        """Return what a tile needs: the transforms of all its channels, and twice what is made.

        2 * max(C, K)            where outputs are sought
        max(2 * C, C + 2 * K)    where weights are
        """
        c, k = self.channels, self.kernels
        most = max(2 * c, c + 2 * k) if self.extent.into_weights else 2 * max(c, k)
        return most * self.groups * self.spectrum_bytes

    @property
    def workspace(self) -> int:
        """Return the bytes that are held at most."""
        rows = self.pictures * math.prod(self.tiles)
        kept = self.weights * self.spectrum_bytes
        return max(self.weights_bytes, kept + rows * self.row_bytes) + self.buffer_bytes

    @property
    def buffer_bytes(self) -> int:
        """Return what torch takes to lay complex numbers out anew."""
        return 2 * self.extent.itemsize * BUFFER

    def all_chunks(self) -> Iterator[Chunk]:
        """Yield the chunks, which share no tile."""
        pictures = _cut(self.extent.batch, self.pictures)
        along = [_cut(count, tiles) for count, tiles in zip(self.count, self.tiles, strict=True)]
        for some, *tiles in itertools.product(pictures, *along):
            yield Chunk(some, tuple(tiles))

    def all_blocks(self) -> Iterator[Block]:
        """Yield the blocks, which share no weight."""
        extent = self.extent
        every = itertools.product(
            _cut(extent.groups, self.groups),
            _cut(extent.channels, self.channels),
            _cut(extent.kernels, self.kernels),
        )
        return (Block(*each) for each in every)


@functools.lru_cache(maxsize=1024)
def plan(extent: Extent, workspace: int, besides: int = 0) -> Plan:
    """Return the plan that should be quickest among those that hold at most `workspace` bytes.

    Of these, `besides` are taken by something else.

    Raises: ValueError if not even one tile of one channel and one kernel fits.
    """
    tiles = list(itertools.product(*map(_lengths, extent.outputs, extent.kernel)))
    plans = [each for tile in tiles for each in _plans(extent, tile, workspace - besides)]
    if not plans:
        least = min(_with_rows(_smallest(extent, tile), 1).workspace for tile in tiles)
        raise ValueError(
            f"fft needs {least + besides} bytes for the least that it can do at a time, more "
            f"than the workspace of {workspace}; give it at least that, or take another algorithm"
        )
    return min(plans, key=nanoseconds)


def nanoseconds(plan: Plan) -> float:
    """Return about how long a plan takes, to compare it with others of the same extent."""
    extent = plan.extent
    halvings = sum(math.log2(t) * BUTTERFLY[t & (t - 1) != 0] for t in plan.tile)
    products = plan.frequencies * extent.groups * extent.channels * extent.kernels
    if plan.by_element:
        multiplied = products * plan.rows * PRODUCT_BY_ELEMENT
    else:
        multiplied = products * (plan.rows + ROWS_TO_READ * plan.chunks) * PRODUCT
    blocks = sum(1 for _ in plan.all_blocks())
    row = plan.groups * max(plan.channels, plan.kernels) * plan.spectrum_bytes
    is_large = (
        plan.pictures * math.prod(plan.tiles) * row > LARGE,
        plan.weights * plan.spectrum_bytes > LARGE,
    )
    each = (MOVED + halvings + FAULT * large for large in is_large)
    moved = sum(n * per for n, per in zip(_transforms(plan), each, strict=True))
    moved *= math.prod(plan.tile)
    return moved + multiplied + CHUNK * blocks * plan.chunks


def cost(plan: Plan) -> Cost:
    """Return what a plan does.

    A real transform of t elements takes t * log2(t) multiplications and half as many additions
    again: half of a complex one by halving, whose steps have 4 and 6 for two numbers. A complex
    product takes 4 and 2, and 2 more to add it up. Each transform is moved three times: cut out,
    transformed, and laid out by frequency.
    """
    extent, elements = plan.extent, math.prod(plan.tile)
    transforms = sum(_transforms(plan))
    halved = math.ceil(elements * math.log2(elements))
    products = plan.frequencies * extent.groups * extent.channels * extent.kernels * plan.rows
    moved = transforms * (elements * extent.itemsize + 2 * plan.spectrum_bytes)
    return Cost(
        multiplications=transforms * halved + 4 * products,
        additions=transforms * halved * 3 // 2 + 4 * products,
        bytes=2 * moved,
        workspace=plan.workspace,
    )


def _transforms(plan: Plan) -> tuple[int, int]:
    """Return the transforms of tiles and of weights.

    Weights are transformed once, inputs for each block of K, outputs for each block of C.
    """
    extent = plan.extent
    c, k = extent.channels, extent.kernels
    inputs = plan.rows * c * -(-k // plan.kernels)
    outputs = plan.rows * k * -(-c // plan.channels)
    return extent.groups * (inputs + outputs), extent.groups * c * k


def _lengths(outputs: int, taps: int) -> list[int]:
    """Return lengths of tiles to try along an axis, one for each number of tiles."""
    counts = (count for count in (*COUNTS, outputs) if count <= outputs)
    return sorted({_fast(-(-outputs // count) + taps - 1) for count in counts})


@functools.cache
def _fast(least: int) -> int:
    """Return the next length that transforms fast: 1, or even without prime factors above 5."""
    length = least
    while length > 1 and (length % 2 or not _smooth(length)):
        length += 1
    return length


def _smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def _plans(extent: Extent, tile: Sizes, workspace: int) -> Iterator[Plan]:
    """Yield plans with smaller and smaller blocks, until enough rows fit beside them."""
    some = _smallest(extent, tile)
    if some.by_element:
        some = replace(some, groups=extent.groups)
    else:
        some = replace(some, channels=extent.channels, kernels=extent.kernels)
    while True:
        room = workspace - some.buffer_bytes
        rows = (room - some.weights * some.spectrum_bytes) // some.row_bytes
        if rows > 0 and some.weights_bytes <= room:
            yield _with_rows(some, rows)
            row = some.groups * max(some.channels, some.kernels) * some.spectrum_bytes
            if LARGE // row < min(rows, some.rows):
                yield _with_rows(some, max(1, LARGE // row))
            if rows >= min(some.rows, ENOUGH_ROWS):
                return
        smaller = _halved(some)
        if smaller == some:
            return
        some = smaller


def _smallest(extent: Extent, tile: Sizes) -> Plan:
    """Return the plan that holds the least: one tile of one group, channel and kernel.

    Products by element take all channels and kernels of a group, which are few.
    """
    few = Plan(extent, tile, 1, extent.channels, extent.kernels, 1, (1,) * len(tile))
    return few if few.by_element else replace(few, channels=1, kernels=1)


def _halved(plan: Plan) -> Plan:
    if plan.by_element:
        return replace(plan, groups=-(-plan.groups // 2))
    if plan.channels > plan.kernels:
        return replace(plan, channels=-(-plan.channels // 2))
    return replace(plan, kernels=-(-plan.kernels // 2))


def _with_rows(plan: Plan, rows: int) -> Plan:
    """Return the plan with chunks of about equal size and at most so many rows.

    Whole pictures are taken if one fits, else a picture's tiles, the last axis first.
    """
    parts = []
    for whole in (*reversed(plan.count), plan.extent.batch):
        part = max(min(whole, rows), 1)
        parts.append(-(-whole // -(-whole // part)) if whole else 1)
        rows = rows // part if part == whole else 1
    *tiles, pictures = parts
    return replace(plan, pictures=pictures, tiles=tuple(reversed(tiles)))


def _cut(whole: int, part: int) -> list[slice]:
    return [slice(at, min(at + part, whole)) for at in range(0, whole, part)]
