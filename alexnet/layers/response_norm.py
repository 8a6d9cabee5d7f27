"""Response normalisation: activations divided by a power of the energy around them.

Krizhevsky 2012, section 3.3, in the paper's form, as Caffe, torch, TensorFlow and ONNX define it,
and the spatial form that the program of 2012 also ran and the paper leaves out.

Letters: N images, C channels, H rows, W columns, P = H * W pixels; a tensor called flat_... is
a block of any of them laid out in one dimension with a halo of zeros.
"""

import difflib
import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Convention = Literal["paper", "caffe", "torch", "tf", "onnx"]

# The elements that the CPU works on at a time. Blocks that fit into the second-level cache are no
# faster on an idle machine, and on a busy one each meeting of the threads waits for the scheduler:
# 65,536 elements then took twice as long as 1,048,576.
BLOCK_ELEMENTS = 1_048_576


class _Box(NamedTuple):
    """The neighbourhood of an activation: below + 1 + above elements along each of dims."""

    dims: tuple[int, ...]
    below: int
    above: int

    @property
    def window(self) -> int:
        return self.below + 1 + self.above

    def transposed(self) -> "_Box":
        """Return the box of those whose neighbourhood an activation is in."""
        return _Box(self.dims, self.above, self.below)


class _Constants(NamedTuple):
    """The constants of y = x / (bias + alpha * energy) ** beta; alpha weighs one term."""

    bias: float
    alpha: float
    beta: float


def local_response_norm(
    x: Tensor,
    *,
    window: int = 5,
    bias: float = 2.0,
    alpha: float = 1e-4,
    beta: float = 0.75,
    convention: Convention = "paper",
) -> Tensor:
    """Divide each activation by the energy of its neighbouring channels.

        y[n, c] = x[n, c] / (bias + a * sum(x[n, j] ** 2 for j near c)) ** beta

        convention       a               j - c
        paper, tf        alpha           -(window // 2) ... window // 2
        caffe            alpha / window  -(window // 2) ... window // 2
        torch            alpha / window  -(window // 2) ... (window - 1) // 2
        onnx             alpha / window  -((window - 1) // 2) ... window // 2

    Channels past either end count as zero. Only torch and onnx allow even windows. TensorFlow's
    depth_radius is window // 2.

    Shapes:  x (N, C, ...) of 3 to 5 dimensions, any float -> same, in x's memory format; below
             float32 the arithmetic is done in float32 and the result rounded once.
    Source:  paper: Krizhevsky 2012, section 3.3; the program of 2012 (layer.py: scale /= size)
             divided alpha by the window, as caffe. caffe: lrn_layer.cpp. torch:
             torch.nn.LocalResponseNorm. tf: tf.nn.local_response_normalization. onnx: the
             operator LRN. Each has defaults of its own; those here are the paper's.
    Raises:  ValueError if x is not 3-D to 5-D or not floating-point, window is below 1 or even
             where odd is the rule, a constant is not finite, or the convention is not known.
    """
    _check_constants(window, even=_allows_even(convention), bias=bias, alpha=alpha, beta=beta)
    _check_input(x, ranks=(3, 4, 5), shape="(N, C, ...)")
    box = _Box((1,), window // 2, (window - 1) // 2)
    if convention == "onnx":
        box = box.transposed()
    per_term = alpha if convention in ("paper", "tf") else alpha / window
    y_NCP = _normalise(x.flatten(2), box, _Constants(bias, per_term, beta))
    return y_NCP.reshape(x.shape)


def within_channel_norm(
    x: Tensor, *, window: int = 5, bias: float = 1.0, alpha: float = 1e-3, beta: float = 0.75
) -> Tensor:
    """Divide each activation by the energy of its neighbours in the same channel.

        y[h, w] = x[h, w] / (bias + alpha / window**2 * sum(x[i, j] ** 2)) ** beta

    with the sum over the window x window pixels around (h, w). Pixels outside the picture are
    zero and count in the area.

    Shapes:  x (N, C, H, W), any float -> same, in x's memory format; below float32 the arithmetic
             is done in float32 and the result rounded once.
    Source:  layer `cnorm2`, type rnorm, of layers-145.cfg in the program of 2012, whose constants
             are the defaults here: size 5, scale 1e-3, pow 0.75, added constant 1. The paper does
             not mention it. Caffe's LRN with norm_region WITHIN_CHANNEL is the same function.
    Raises:  ValueError if x is not 4-D or not floating-point, window is below 1 or even, or a
             constant is not finite.
    """
    _check_constants(window, even=False, bias=bias, alpha=alpha, beta=beta)
    _check_input(x, ranks=(4,), shape="(N, C, H, W)")
    box = _Box((2, 3), window // 2, window // 2)
    return _normalise(x, box, _Constants(bias, alpha / window**2, beta))


class LocalResponseNorm(nn.Module):
    """Apply `local_response_norm` with constants fixed at construction.

    With `columns` > 1 the channels fall into that many equal parts, and no window reaches across
    the edge of a part, as on the separate devices of 2012.

    Raises:  ValueError as `local_response_norm`; in forward also if `columns` does not divide C.
    """

    def __init__(
        self,
        *,
        window: int = 5,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        convention: Convention = "paper",
        columns: int = 1,
    ) -> None:
        super().__init__()
        _check_constants(window, even=_allows_even(convention), bias=bias, alpha=alpha, beta=beta)
        self.window = window
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.convention = convention
        self.columns = columns

    def forward(self, x: Tensor) -> Tensor:
        y = local_response_norm(
            _part_columns(x, self.columns),
            window=self.window,
            bias=self.bias,
            alpha=self.alpha,
            beta=self.beta,
            convention=self.convention,
        )
        return _join_columns(y, x)

    def extra_repr(self) -> str:
        constants = f"window={self.window}, bias={self.bias}, alpha={self.alpha}, beta={self.beta}"
        return f'{constants}, convention="{self.convention}", columns={self.columns}'


def _part_columns(x: Tensor, columns: int) -> Tensor:
    """Return a view of x (N, C, H, W) in which each column is an image of its own.

    Channels last in memory gives (N * H * W * columns, C / columns, 1), else
    (N * columns, C / columns, H, W).
    """
    if columns == 1:
        return x
    if x.shape[1] % columns:
        raise ValueError(
            f"{x.shape[1]} channels do not fall into {columns} columns; use a multiple of {columns}"
        )
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


class WithinChannelNorm(nn.Module):
    """Apply `within_channel_norm` with constants fixed at construction."""

    def __init__(
        self, *, window: int = 5, bias: float = 1.0, alpha: float = 1e-3, beta: float = 0.75
    ) -> None:
        super().__init__()
        _check_constants(window, even=False, bias=bias, alpha=alpha, beta=beta)
        self.window = window
        self.bias = bias
        self.alpha = alpha
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        return within_channel_norm(
            x, window=self.window, bias=self.bias, alpha=self.alpha, beta=self.beta
        )

    def extra_repr(self) -> str:
        return f"window={self.window}, bias={self.bias}, alpha={self.alpha}, beta={self.beta}"


def _normalise(x: Tensor, box: _Box, constants: _Constants) -> Tensor:
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
    def forward(ctx: Any, x: Tensor, box: _Box, constants: _Constants) -> Tensor:
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

    def __init__(self, block: Tensor, box: _Box, constants: _Constants) -> None:
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
    padded: Tensor, box: _Box, *, steps: list[int], size: int, pairs: Tensor, sums: list[Tensor]
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
    box: _Box, constants: _Constants, tensors: tuple[Tensor, ...]
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


def _allows_even(convention: Convention) -> bool:
    """Return whether the convention has even windows; refuse one that is not known."""
    known = get_args(Convention)
    if convention not in known:
        near = difflib.get_close_matches(convention, known, n=1, cutoff=0.0)[0]
        raise ValueError(
            f'convention "{convention}" is not one of {", ".join(known)}; did you mean "{near}"?'
        )
    return convention in ("torch", "onnx")


def _check_constants(window: int, *, even: bool, bias: float, alpha: float, beta: float) -> None:
    if window < 1:
        raise ValueError(f"window {window} is below 1; give a number of elements >= 1")
    if window % 2 == 0 and not even:
        raise ValueError(
            f"window {window} is even and has no middle; use {window - 1} or {window + 1}"
        )
    for name, value in (("bias", bias), ("alpha", alpha), ("beta", beta)):
        if not math.isfinite(value):
            raise ValueError(f"{name} {value} is not finite; give a number")


def _check_input(x: Tensor, *, ranks: tuple[int, ...], shape: str) -> None:
    if x.ndim not in ranks:
        allowed = " or ".join(str(rank) for rank in ranks)
        raise ValueError(f"x has {x.ndim} dimensions, not {allowed}; reshape it to {shape}")
    if not x.is_floating_point():
        raise ValueError(f"x is {x.dtype}, not floating-point; convert it with x.float()")
