"""The compiled kernels as torch operators: shapes, gradients and devices.

Each public function takes the kernels where they serve and their twins in torch where they do not:
another type than float32 and bfloat16, constants without a fast power, a machine without kernels.
On CUDA the kernels are Triton's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from alexnet.native import library, twins
from alexnet.native.stages import Box, Constants, Norm, Pool, Stage

LARGEST_POOL = 15  # a byte tells the places in a window apart, 255 stands for none
SMALLEST_BIAS = 1e-20  # below it the fourth root leaves the range of float32

DEFINITIONS = torch.library.Library("alexnet", "DEF")
"""The operators `torch.ops.alexnet`."""

_STAGE = "bool relu_first, int[] window, float[] constants, int[] pool, bool relu_last"
_BOX = "int below, int above, float bias, float alpha, float beta"
DEFINITIONS.define(f"norm_pool(Tensor x, {_STAGE}) -> (Tensor, Tensor)")
DEFINITIONS.define(
    f"norm_pool_backward(Tensor dy, Tensor? x, Tensor winners, int[] shape, {_STAGE}) -> Tensor"
)
DEFINITIONS.define(f"spatial_norm(Tensor x, {_BOX}) -> Tensor")
DEFINITIONS.define(f"spatial_norm_backward(Tensor dy, Tensor x, {_BOX}) -> Tensor")


def norm_pool(x: Tensor, stage: Stage) -> Tensor:
    """Run a stage in one pass: ReLU, response normalisation, max pooling, ReLU.

        a = max(x, 0);   b = a / (bias + alpha * sum(a[j] ** 2)) ** beta
        y = max(max of b over the window, 0)          each step where the stage names it

    Shapes:  x (N, C, H, W), any float -> (N, C, H_out, W_out), channels last in memory where the
             kernels serve; sums are float32 for the types below it.
    Source:  Krizhevsky 2012, sections 3.1, 3.3, 3.4. A maximum that occurs twice in a window hands
             its gradient to the first, as in Caffe and torch; the program of 2012 gave it to both.
    """
    if not _serves(x, stage.norm, stage.pool):
        return twins.norm_pool(x, stage)
    if stage.norm is None and stage.pool is None:
        return twins.norm_pool(x, stage)
    if stage.pool is None and stage.relu_last:
        return norm_pool(x, stage._replace(relu_last=False)).relu()
    if stage.norm is None:
        stage = stage._replace(relu_first=False, relu_last=stage.relu_first or stage.relu_last)
    y: Tensor = torch.ops.alexnet.norm_pool(x, *_flatten(stage))[0]
    return y


def spatial_norm(x: Tensor, box: Box, constants: Constants) -> Tensor:
    """Normalise each activation by the energy of a box of positions around it.

        y = x / (bias + alpha * sum(x[i, j] ** 2 over the box)) ** beta

    Shapes:  x (N, C, H, W), any float -> same.
    """
    norm = Norm(box.below, box.above, *constants)
    if not _serves(x, norm, None):
        return twins.normalise(x, box, constants)
    y: Tensor = torch.ops.alexnet.spatial_norm(x, box.below, box.above, *constants)
    return y


def _serves(x: Tensor, norm: Norm | None, pool: Pool | None) -> bool:
    """Return whether there is a kernel for this."""
    if x.dim() != 4 or x.dtype not in library.TYPES or x.numel() == 0:
        return False
    if norm is not None and (
        4 * norm.beta not in (1, 2, 3, 4) or norm.bias < SMALLEST_BIAS or norm.alpha < 0
    ):
        return False
    if pool is not None and (pool.size > LARGEST_POOL or pool.outputs(min(x.shape[2:])) < 1):
        return False
    if x.device.type == "cpu":
        return library.library() is not None
    return x.device.type == "cuda" and library.TRITON


def _flatten(stage: Stage) -> tuple[bool, list[int], list[float], list[int], bool]:
    norm, pool = stage.norm, stage.pool
    window = [norm.below, norm.above, norm.columns] if norm else []
    constants = [norm.bias, norm.alpha, norm.beta] if norm else []
    places = [pool.size, pool.stride, pool.padding, int(pool.ceil)] if pool else []
    return stage.relu_first, window, constants, places, stage.relu_last


def _unflatten(flat: Sequence[Any]) -> Stage:
    relu_first, window, constants, places, relu_last = flat
    norm = pool = None
    if window:
        below, above, columns = window
        bias, alpha, beta = constants
        norm = Norm(below, above, bias, alpha, beta, columns)
    if places:
        size, stride, padding, ceil = places
        pool = Pool(size, stride, padding, bool(ceil))
    return Stage(relu_first, norm, pool, relu_last)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _empty_outputs(x: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
    shape = stage.output_shape(x.shape)
    y = _empty(shape, x)
    n, c, h, w = shape if stage.pool else (0, 0, 0, 0)
    return y, torch.empty((n, h, w, c), dtype=torch.uint8, device=x.device)


def _describe(shape: Sequence[int], stage: Stage) -> library.NormPool:
    norm, pool = stage.norm, stage.pool
    n, c, h, w = shape
    *_, out_h, out_w = stage.output_shape(shape)
    return library.NormPool(
        n=n, h=h, w=w, c=c,
        below=norm.below if norm else 0,
        above=norm.above if norm else 0,
        columns=norm.columns if norm else 1,
        power=round(4 * norm.beta) if norm else 0,
        bias=norm.bias if norm else 1.0,
        alpha=norm.alpha if norm else 0.0,
        size=pool.size if pool else 0,
        stride=pool.stride if pool else 1,
        padding=pool.padding if pool else 0,
        out_h=out_h, out_w=out_w,
        relu_first=stage.relu_first, relu_last=stage.relu_last,
    )  # fmt: skip


def _norm_pool(x: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    stage, x = _unflatten(flat), _channels_last(x)
    y, winners = _empty_outputs(x, stage)
    if x.is_cuda:
        from alexnet.native import triton_kernels

        triton_kernels.norm_pool(x, y, winners, stage)
    else:
        library.run("norm_pool", _describe(x.shape, stage), x, y, winners, form=x.dtype)
    return y, winners


def _norm_pool_fake(x: Tensor, *flat: Any) -> tuple[Tensor, Tensor]:
    return _empty_outputs(x, _unflatten(flat))


def _norm_pool_backward(
    dy: Tensor, x: Tensor | None, winners: Tensor, shape: list[int], *flat: Any
) -> Tensor:
    stage, dy = _unflatten(flat), _channels_last(dy)
    x = None if x is None else _channels_last(x)
    dx = _empty(shape, dy)
    if dy.is_cuda:
        from alexnet.native import triton_kernels

        triton_kernels.norm_pool_backward(dy, x, winners, dx, stage)
    else:
        library.run(
            "norm_pool_backward", _describe(shape, stage), dy, x, winners, dx, form=dy.dtype
        )
    return dx


def _norm_pool_backward_fake(
    dy: Tensor, x: Tensor | None, w: Tensor, shape: list[int], *_: Any
) -> Tensor:
    return _empty(shape, dy)


def _norm_pool_keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, *flat = inputs
    ctx.flat, ctx.shape = flat, list(x.shape)
    # A pool alone needs the winners only; the activations before it are let go.
    ctx.save_for_backward(x if _unflatten(flat).norm else None, output[1])
    ctx.mark_non_differentiable(output[1])


def _norm_pool_gradient(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    x, winners = ctx.saved_tensors
    dx = torch.ops.alexnet.norm_pool_backward(dy, x, winners, ctx.shape, *ctx.flat)
    return dx, *[None] * len(ctx.flat)


def _spatial_norm(x: Tensor, *constants: Any) -> Tensor:
    x = _channels_last(x)
    y = torch.empty_like(x)
    if x.is_cuda:
        from alexnet.native import triton_kernels

        triton_kernels.spatial_norm(x, y, Norm(*constants))
    else:
        library.run("spatial_norm", _describe_box(x, Norm(*constants)), x, y, form=x.dtype)
    return y


def _spatial_norm_backward(dy: Tensor, x: Tensor, *constants: Any) -> Tensor:
    dy, x = _channels_last(dy), _channels_last(x)
    dx = torch.empty_like(x)
    if x.is_cuda:
        from alexnet.native import triton_kernels

        triton_kernels.spatial_norm_backward(dy, x, dx, Norm(*constants))
    else:
        library.run(
            "spatial_norm_backward", _describe_box(x, Norm(*constants)), dy, x, dx, form=dy.dtype
        )
    return dx


def _describe_box(x: Tensor, norm: Norm) -> library.SpatialNorm:
    n, c, h, w = x.shape
    power, bias, alpha = round(4 * norm.beta), norm.bias, norm.alpha
    return library.SpatialNorm(n, h, w, c, norm.below, norm.above, power, bias, alpha)


def _spatial_norm_keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, *ctx.constants = inputs
    ctx.save_for_backward(x)


def _spatial_norm_gradient(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    dx = torch.ops.alexnet.spatial_norm_backward(dy, x, *ctx.constants)
    return dx, *[None] * len(ctx.constants)


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def _register() -> None:
    library.library()  # here, since torch.compile cannot trace the search for a file
    forwards: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "norm_pool": (_norm_pool, _norm_pool_fake),
        "norm_pool_backward": (_norm_pool_backward, _norm_pool_backward_fake),
        "spatial_norm": (_spatial_norm, lambda x, *_: _empty(x.shape, x)),
        "spatial_norm_backward": (_spatial_norm_backward, lambda dy, x, *_: _empty(x.shape, x)),
    }
    for name, (function, fake) in forwards.items():
        for device in ("CPU", "CUDA"):
            DEFINITIONS.impl(name, function, device)
        torch.library.register_fake(f"alexnet::{name}", fake, lib=DEFINITIONS)
    gradients: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "norm_pool": (_norm_pool_gradient, _norm_pool_keep),
        "spatial_norm": (_spatial_norm_gradient, _spatial_norm_keep),
    }
    for name, (gradient, keep) in gradients.items():
        torch.library.register_autograd(
            f"alexnet::{name}", gradient, setup_context=keep, lib=DEFINITIONS
        )


_register()
