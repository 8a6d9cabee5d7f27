"""The compiled operators once more, in torch's own operations: same numbers, slower.

They serve where no kernel was compiled, and every type, shape and constant that the kernels leave
out. All are differentiable.

A tensor called flat_... is a block of activations laid out in one dimension with a halo of zeros.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from alexnet.native.stages import Box, Constants, Norm, Stage

# The elements that the CPU works on at a time. Blocks that fit into the second-level cache are no
# faster on an idle machine, and on a busy one each meeting of the threads waits for the scheduler:
# 65,536 elements then took twice as long as 1,048,576.
BLOCK_ELEMENTS = 1_048_576


def norm_pool(x: Tensor, stage: Stage) -> Tensor:
    """Run the steps of a stage one after the other.

    Shapes:  x (N, C, H, W) -> (N, C, H_out, W_out).
    """
    if stage.relu_first:
        x = F.relu(x)
    if stage.norm is not None:
        x = response_norm(x, stage.norm)
    if stage.pool is not None:
        pool = stage.pool
        x = F.max_pool2d(x, pool.size, pool.stride, pool.padding, ceil_mode=pool.ceil)
    return F.relu(x) if stage.relu_last else x


def response_norm(x: Tensor, norm: Norm) -> Tensor:
    """Normalise over neighbouring channels of the same column.

    Shapes:  x (N, C, ...) of 3 to 5 dimensions -> same, in x's memory format.
    """
    parts = _part_columns(x, norm.columns)
    box = Box((1,), norm.below, norm.above)
    y_NCP = normalise(parts.flatten(2), box, Constants(norm.bias, norm.alpha, norm.beta))
    return _join_columns(y_NCP.reshape(parts.shape), x)


def _part_columns(x: Tensor, columns: int) -> Tensor:
    """Return a view of x (N, C, H, W) in which each column is an image of its own.

    Channels last in memory gives (N * H * W * columns, C / columns, 1), else
    (N * columns, C / columns, H, W).
    """
    if columns == 1:
        return x
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1] // columns, 1)
    return x.reshape(-1, x.shape[1] // columns, *x.shape[2:])


def _join_columns(y: Tensor, x: Tensor) -> Tensor:
    """Undo `_part_columns`: return y in the shape and memory format of x."""
    if y.shape == x.shape:
        return y
    if y.dim() == 3 and x.dim() == 4:
        n, c, h, w = x.shape
        return y.reshape(n, h, w, c).permute(0, 3, 1, 2)
    return y.reshape(x.shape)


def normalise(x: Tensor, box: Box, constants: Constants) -> Tensor:
    """Normalise over any box of one or two dimensions.

    Shapes:  x of 3 or 4 dimensions, any float -> same, in x's memory format.
    """
    y: Tensor = _Normalise.apply(x, box, constants)  # type: ignore[no-untyped-call]
    return y


class _Normalise(torch.autograd.Function):
    """Normalise over a box.

        d = bias + alpha * sum(x ** 2 over the box)
        y = x * d ** -beta
        dx = dy * d ** -beta - 2 * alpha * beta * x * sum(dy * x * d ** (-beta - 1))

    the last sum over those whose box holds x. Only x is kept for the backward pass: in cache, d is
    computed again in less time than memory takes to store and return it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, box: Box, constants: Constants) -> Tensor:
        ctx.save_for_backward(x)
        ctx.box = box
        ctx.constants = constants
        y = torch.empty_like(x)
        for scratch, (x_block, y_block) in _blocks(box, constants, (x, y)):
            scratch.load(x_block)
            scratch.flat_scale.mul_(scratch.flat_x)
            y_block.copy_(scratch.scale)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        box, constants = ctx.box, ctx.constants
        factor = -2 * constants.alpha * constants.beta
        dx = torch.empty_like(x)
        for scratch, (x_block, dy_block, dx_block) in _blocks(box, constants, (x, dy, dx)):
            scratch.load(x_block)
            scratch.scale.mul_(dy_block)
            torch.div(scratch.flat_x, scratch.flat_d, out=scratch.flat_d)
            # Into q alone, not the zeros around it: x / d is not a number there if d is zero.
            torch.mul(scratch.scale, scratch.d, out=scratch.q)
            scratch.sum_q()
            scratch.flat_scale.addcmul_(scratch.flat_x, scratch.flat_d, value=factor)
            dx_block.copy_(scratch.scale)
        return dx, None, None


class _Scratch:
    """What one block needs, each tensor in one dimension and, without flat_, as the block is.

    Zeros separate the lines of x and q that a box may run past, so that a shift along any dimension
    of the block is a shift of the whole vector: each pass is one long loop, whatever the memory
    format. All views are made here, since making them takes as long as a pass over a small block.
    """

    def __init__(self, block: Tensor, box: Box, constants: Constants) -> None:
        reach = max(box.below, box.above)
        strides = [0] * block.ndim
        size = 1
        for dim in sorted(range(block.ndim), key=block.stride):
            strides[dim] = size
            size *= block.shape[dim] + (reach if dim in box.dims else 0)
        steps = [strides[dim] for dim in box.dims]
        margin = reach * sum(steps)
        dtype = torch.promote_types(block.dtype, torch.float32)
        length = margin + size + margin
        padded_x, padded_q = block.new_zeros(2, length, dtype=dtype).unbind()
        energy, pairs, *sums = block.new_empty(2 + len(steps), length, dtype=dtype).unbind()
        self.constants = constants
        # A share of the bias in each term, zeros included, saves the pass that would add it.
        self.share = padded_x.new_tensor(constants.bias / box.window ** len(steps))
        self.padded_x = padded_x
        self.energy = energy
        self.x_passes = _box_passes(energy, box, steps=steps, size=size, pairs=pairs, sums=sums)
        self.q_passes = _box_passes(
            padded_q, box.transposed(), steps=steps, size=size, pairs=pairs, sums=sums
        )
        self.flat_x = padded_x[margin : margin + size]
        self.flat_scale = energy[:size]
        self.flat_d = sums[-1][:size]
        self.x = self.flat_x.as_strided(block.shape, strides)
        self.q = padded_q[margin:].as_strided(block.shape, strides)
        self.scale = self.flat_scale.as_strided(block.shape, strides)
        self.d = self.flat_d.as_strided(block.shape, strides)

    def load(self, block: Tensor) -> None:
        """Set x to the block, d to bias + alpha * sum(x ** 2) and scale to d ** -beta."""
        self.x.copy_(block)
        torch.addcmul(
            self.share, self.padded_x, self.padded_x, value=self.constants.alpha, out=self.energy
        )
        _run(self.x_passes)
        if self.constants.beta == 0.75:
            # Square roots take a fifth of the time of pow.
            torch.sqrt(self.flat_d, out=self.flat_scale).mul_(self.flat_d).rsqrt_()
        else:
            torch.pow(self.flat_d, -self.constants.beta, out=self.flat_scale)

    def sum_q(self) -> None:
        """Set d to the sum of q over the transposed box."""
        _run(self.q_passes)


_Pass = tuple[Tensor, Tensor | int, Tensor]  # two terms, and where their sum goes


def _run(passes: list[_Pass]) -> None:
    for first, second, out in passes:
        torch.add(first, second, out=out)


def _box_passes(
    padded: Tensor, box: Box, *, steps: list[int], size: int, pairs: Tensor, sums: list[Tensor]
) -> list[_Pass]:
    """Plan the sum of a padded vector over the box around each element, into sums[-1][:size]."""
    more = box.window - 1
    start = (padded.numel() - size) // 2 - box.below * sum(steps)
    size += more * sum(steps)
    flat = padded[start : start + size]
    passes: list[_Pass] = []
    for step, buffer in zip(steps, sums, strict=True):
        size -= more * step
        flat_sum = buffer[:size]
        terms = [flat[more * step :]] if box.window % 2 == 1 else []
        if more > 0:
            # Sums of pairs first: five terms then take three passes, not four.
            flat_pairs = pairs[: flat.numel() - step]
            passes.append((flat[:-step], flat[step:], flat_pairs))
            terms += [flat_pairs[k * step :][:size] for k in range(0, more, 2)]
        passes.append((terms[0], terms[1] if len(terms) > 1 else 0, flat_sum))
        passes += [(flat_sum, term, flat_sum) for term in terms[2:]]
        flat = flat_sum
    return passes


def _blocks(
    box: Box, constants: Constants, tensors: tuple[Tensor, ...]
) -> Iterator[tuple[_Scratch, tuple[Tensor, ...]]]:
    """Cut tensors of one shape alike, across the two dimensions that the box does not touch."""
    shape = tensors[0].shape
    if 0 in shape:
        return
    limit = BLOCK_ELEMENTS if tensors[0].device.type == "cpu" else tensors[0].numel()
    outer, inner = (dim for dim in range(len(shape)) if dim not in box.dims)
    line = math.prod(shape[dim] for dim in box.dims)
    outer_chunks = min(shape[outer], math.ceil(line * shape[inner] * shape[outer] / limit))
    inner_chunks = min(shape[inner], math.ceil(line * shape[inner] / limit))
    scratches: dict[torch.Size, _Scratch] = {}
    for parts in zip(*(tensor.chunk(outer_chunks, outer) for tensor in tensors), strict=True):
        for blocks in zip(*(part.chunk(inner_chunks, inner) for part in parts), strict=True):
            shape = blocks[0].shape
            if shape not in scratches:
                scratches[shape] = _Scratch(blocks[0], box, constants)
            yield scratches[shape], blocks
