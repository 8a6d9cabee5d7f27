"""The algorithm `fft`: a product at each frequency, of tiles that overlap.

The Fourier transform makes products of convolutions. With X, W and Y the transforms of a tile of T
inputs, of a kernel of R taps turned round, and of T outputs, of which the last T - R + 1 hold,

    Y[n, k] = sum over c of X[n, c] * W[k, c]               at every frequency

which is one product of matrices a frequency. The gradient of the inputs is the same with channels
and kernels exchanged and the kernel not turned round; that of the weights, with DY of the gradient
of the outputs of one tile and a bar for the complex conjugate,

    DW[k, c] = sum over n of X[n, c] * bar(DY[n, k])

summed over all tiles and transformed back once. Tensors are real, so that half of the frequencies
tell all. How large tiles are, and how many are done at a time, is `fft_plan`'s to say, and where
further sources are. Strides and dilation are taken apart by `phases`; padding costs nothing, for
tiles that reach over the edge are filled with zeros anyway.

The complex products are torch's own. On one core of Zen 3 three real products of matrices for one
complex (Gauss) took 1.3 to 3.5 times as long at 16 to 64 rows and 64 to 256 channels, and four
real ones 1.1 to 1.6 times.

Rounding: a transform of t numbers has a relative error (in the square mean) of the order of
epsilon * log2(t), Higham, Accuracy and Stability of Numerical Algorithms, section 24.1, and here
two transforms meet and one leads back. The error spreads over a tile: it is relative to the largest
outputs, not to each one.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from alexnet.convolution.fft_plan import Block, Extent, Plan, cost, plan
from alexnet.convolution.fft_tiles import Cut, cut_tiles, inverse, put_tiles, transform
from alexnet.convolution.phases import Part, parts, spread_kernel, spread_taps, tap_places
from alexnet.convolution.problem import Algorithm, Cost, Direction, Problem, Sizes, wide


class Target(NamedTuple):
    """Where outputs go."""

    y: Tensor
    """(N, K, ...)."""
    adds: bool
    """Whether they are added to what is there."""
    bias: Tensor | None
    """What else is added to each channel."""


def _forward(x: Tensor, w: Tensor, bias: Tensor | None, problem: Problem, workspace: int) -> Tensor:
    plans = _plans("forward", problem, workspace)
    adds = _adds("forward", problem, plans)
    y = x.new_empty(problem.y_shape, dtype=wide(x.dtype) if adds else x.dtype)
    if adds:
        y.zero_()
    if bias is not None and adds:
        y += bias.view(-1, *[1] * problem.axes)
        bias = None
    w = spread_taps(w, problem)
    for part, each in zip(parts(problem), plans, strict=True):
        inside, before = _unpadded(part, problem)
        turned = w[part.w].flip(tuple(range(2, w.dim())))
        _correlate(x[inside], turned, before, each, Target(y[part.y], adds, bias))
    return y.to(x.dtype)


def _input_gradient(dy: Tensor, w: Tensor, problem: Problem, workspace: int) -> Tensor:
    plans = _plans("input_gradient", problem, workspace)
    adds = _adds("input_gradient", problem, plans)
    dx = dy.new_zeros(problem.x_shape, dtype=wide(dy.dtype) if adds else dy.dtype)
    w = spread_taps(w, problem)
    for part, each in zip(parts(problem), plans, strict=True):
        inside, zeros = _unpadded(part, problem)
        before = tuple(r - 1 - z for r, z in zip(each.extent.kernel, zeros, strict=True))
        exchanged = w[part.w].unflatten(0, (problem.groups, -1)).transpose(1, 2).flatten(0, 1)
        _correlate(dy[part.y], exchanged, before, each, Target(dx[inside], adds, None))
    return dx.to(dy.dtype)


def _weight_gradient(x: Tensor, dy: Tensor, problem: Problem, workspace: int) -> Tensor:
    shape = (*problem.w_shape[:2], *spread_kernel(problem))
    dw = x.new_zeros(shape, dtype=wide(x.dtype))
    plans = _plans("weight_gradient", problem, workspace)
    for part, each in zip(parts(problem), plans, strict=True):
        inside, before = _unpadded(part, problem)
        _add_weights(x[inside], dy[part.y], before, each, dw[part.w])
    return dw[tap_places(problem)].to(x.dtype).contiguous()


def _cost(direction: Direction, problem: Problem, workspace: int) -> Cost:
    plans = _plans(direction, problem, workspace)
    total = sum((cost(each) for each in plans), start=Cost(0, 0, 0, 0))
    held = _besides(direction, problem)
    x, w, y = (math.prod(shape) for shape in (problem.x_shape, problem.w_shape, problem.y_shape))
    if _adds(direction, problem, plans) and wide(problem.dtype) != problem.dtype:
        held += wide(problem.dtype).itemsize * (y if direction == "forward" else x)
    moved = total.bytes + problem.dtype.itemsize * (x + w + y) + 2 * held
    return Cost(total.multiplications, total.additions, moved, total.workspace + held)


FFT = Algorithm("fft", _forward, _input_gradient, _weight_gradient, lambda _: "", _cost)


def _plans(direction: Direction, problem: Problem, workspace: int) -> list[Plan]:
    besides = _besides(direction, problem)
    return [plan(_extent(direction, problem, each), workspace, besides) for each in parts(problem)]


def _extent(direction: Direction, problem: Problem, part: Part) -> Extent:
    """Return the sizes of the correlation of one part that leads in a direction."""
    c, k = problem.channels // problem.groups, problem.kernels // problem.groups
    outputs = _lengths(part.y, problem.output)
    if direction == "input_gradient":
        c, k = k, c
        outputs = _lengths(_unpadded(part, problem)[0], problem.size)
    return Extent(
        *(problem.batch, problem.groups, c, k, outputs),
        _lengths(part.w, spread_kernel(problem)),
        wide(problem.dtype).itemsize,
        direction == "weight_gradient",
    )


def _lengths(part: tuple[slice, ...], sizes: Sizes) -> Sizes:
    """Return the elements of a part along each axis, of which it has the slices behind two more."""
    every = zip(part[2:], sizes, strict=True)
    return tuple(max(1, len(range(*each.indices(size)))) for each, size in every)


def _besides(direction: Direction, problem: Problem) -> int:
    """Return the bytes of copies of all weights, which are not cut into blocks."""
    weights = problem.kernels * (problem.channels // problem.groups)
    spread = weights * math.prod(spread_kernel(problem))
    is_spread = spread_kernel(problem) != problem.kernel
    if direction == "weight_gradient":
        exact = wide(problem.dtype)
        return spread * exact.itemsize if is_spread or exact != problem.dtype else 0
    largest = max(math.prod(_extent(direction, problem, each).kernel) for each in parts(problem))
    copies = direction == "forward" or problem.groups > 1  # turned round, or exchanged in groups
    return problem.dtype.itemsize * (spread * is_spread + weights * largest * copies)


def _adds(direction: Direction, problem: Problem, plans: list[Plan]) -> bool:
    """Return whether several products add up to one output."""
    in_blocks = any(each.channels < each.extent.channels for each in plans)
    strided = direction == "forward" and max(problem.stride) > 1
    return in_blocks or strided


def _unpadded(part: Part, problem: Problem) -> tuple[tuple[slice, ...], Sizes]:
    """Return which elements of the input a part has, and how many zeros there are before them."""
    inside, zeros = list(part.x[:2]), []
    for where, size, (before, _) in zip(part.x[2:], problem.size, problem.padding, strict=True):
        skipped = max(0, -((where.start - before) // where.step))
        start = where.start - before + skipped * where.step
        inside.append(slice(start, max(start, min(where.stop - before, size)), where.step))
        zeros.append(skipped)
    return tuple(inside), tuple(zeros)


def _correlate(x: Tensor, w: Tensor, before: Sizes, plan: Plan, target: Target) -> None:
    """Give the target y[n, k, p] = sum over c, r of w[k, c, R - 1 - r] * x[n, c, p + r - before].

    Elements outside of x are zero.
    """
    for block in plan.all_blocks():
        inputs, outputs = _channels(block, plan)
        spectra_w = _weight_spectra(w[outputs, block.channels], plan)
        bias = None if target.bias is None else target.bias[outputs]
        some = Target(target.y[:, outputs], target.adds, bias)
        for chunk in plan.all_chunks():
            cut = Cut(*chunk, plan.tile, plan.step, before)
            _correlate_tiles(x[:, inputs], spectra_w, cut, plan, some)
        del spectra_w  # before the next are made


def _correlate_tiles(x: Tensor, spectra_w: Tensor, cut: Cut, plan: Plan, target: Target) -> None:
    """Do the same for one block of weights and some tiles."""
    valid = tuple(slice(r - 1, None) for r in plan.extent.kernel)
    # Nested, because a tensor that has a name here would be kept until the end.
    y = inverse(
        _multiply(transform(cut_tiles(x, cut), cut.length), spectra_w, plan), plan.tile, valid
    )
    y = y.unflatten(0, (*map(_count, (cut.pictures, *cut.tiles)), -1))
    if target.bias is not None:
        y += target.bias.view(-1, *[1] * len(cut.step))
    put_tiles(y, target.y, cut._replace(length=cut.step), adds=target.adds)


def _multiply(spectra_x: Tensor, spectra_w: Tensor, plan: Plan) -> Tensor:
    """Return the transforms of outputs from those of inputs and weights.

    Shapes: (rows * C, F), and as of _weight_spectra -> (rows * K, F).
    """
    if plan.by_element:
        groups, _, channels, _ = spectra_w.shape
        x = spectra_x.view(-1, groups, 1, channels, plan.frequencies)
        y = x[:, :, :, 0] * spectra_w[:, :, 0]
        for c in range(1, channels):
            y.addcmul_(x[:, :, :, c], spectra_w[:, :, c])
        return y.view(-1, plan.frequencies)
    spectra_x = _by_frequency(spectra_x, spectra_w.shape[1])
    spectra_y = torch.bmm(spectra_x, spectra_w)
    del spectra_x
    return spectra_y.view(plan.frequencies, -1).t().contiguous()


def _add_weights(x: Tensor, dy: Tensor, before: Sizes, plan: Plan, dw: Tensor) -> None:
    """Add to dw[k, c, r] the sum over n, p of dy[n, k, p] * x[n, c, p + r - before].

    Elements outside of x are zero.
    """
    kept = tuple(slice(r) for r in plan.extent.kernel)
    for block in plan.all_blocks():
        inputs, outputs = _channels(block, plan)
        # Nested, so that no name keeps the sums while they are transformed back.
        some = inverse(
            _sum_products(x[:, inputs], dy[:, outputs], before, plan, block), plan.tile, kept
        )
        dw[outputs, block.channels] += some.unflatten(0, (-1, _count(block.channels)))
        del some


def _sum_products(x: Tensor, dy: Tensor, before: Sizes, plan: Plan, block: Block) -> Tensor:
    """Return the transforms of a block's weights.

    Shapes: x and dy have the block's channels only -> (groups * K * C, F).
    """
    groups, channels, kernels = map(_count, block)
    shape: Sizes = (plan.frequencies, kernels, channels)
    if plan.by_element:
        shape = (groups, kernels, channels, plan.frequencies)
    sums = x.new_zeros(shape, dtype=wide(x.dtype).to_complex())
    for chunk in plan.all_chunks():
        _add_products(x, dy, Cut(*chunk, plan.tile, plan.step, before), plan, sums)
    if plan.by_element:
        return sums.view(-1, plan.frequencies)
    return sums.view(plan.frequencies, -1).t().contiguous()


def _add_products(x: Tensor, dy: Tensor, cut: Cut, plan: Plan, sums: Tensor) -> None:
    """Add to the transforms of weights what some tiles give."""
    cut_y = cut._replace(length=cut.step, before=(0,) * len(cut.step))
    if plan.by_element:
        groups, kernels, channels, _ = sums.shape
        rows_x = transform(cut_tiles(x, cut), plan.tile).unflatten(0, (-1, groups, 1, channels))
        rows_y = transform(cut_tiles(dy, cut_y), plan.tile).unflatten(0, (-1, groups, kernels, 1))
        rows_y.conj_physical_()
        for row_x, row_y in zip(rows_x, rows_y, strict=True):
            sums.addcmul_(row_x, row_y)
        return
    spectra_x = _by_frequency(transform(cut_tiles(x, cut), plan.tile), sums.shape[2])
    spectra_y = _by_frequency(transform(cut_tiles(dy, cut_y), plan.tile), sums.shape[1])
    sums.baddbmm_(spectra_y.conj_physical_().transpose(1, 2), spectra_x)


def _weight_spectra(w: Tensor, plan: Plan) -> Tensor:
    """Return the transforms of a block of weights.

    Shapes: (groups * K, C, ...) -> (groups, K, C, F) for products by element, else (F, C, K).
    """
    kernels, channels = w.shape[:2]
    w = w.to(wide(w.dtype))
    if plan.by_element:
        spectra = transform(w.flatten(0, 1), plan.tile)
        return spectra.view(-1, plan.kernels, channels, plan.frequencies)
    return _by_frequency(transform(w.transpose(0, 1).flatten(0, 1), plan.tile), kernels)


def _by_frequency(spectra: Tensor, columns: int) -> Tensor:
    """Lay transforms out as a matrix a frequency: (rows * columns, F) -> (F, rows, columns)."""
    return spectra.t().contiguous().view(spectra.shape[1], -1, columns)


def _channels(block: Block, plan: Plan) -> tuple[slice, slice]:
    """Return which channels of inputs and of outputs a block has, counted over all groups."""
    first, last = block.groups.start, block.groups.stop - 1
    c, k = plan.extent.channels, plan.extent.kernels
    return (
        slice(first * c + block.channels.start, last * c + block.channels.stop),
        slice(first * k + block.kernels.start, last * k + block.kernels.stop),
    )


def _count(part: slice) -> int:
    return int(part.stop - part.start)
