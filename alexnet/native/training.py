"""What a training step does to memory beside the net: windows cut, weights updated.

Each in one pass, on the CPU by the compiled kernels, on CUDA by Triton's; where there are none, by
torch's own operations.
"""

from typing import Any

import torch
from torch import Tensor

from alexnet.native import library
from alexnet.native.operators import DEFINITIONS
from alexnet.native.stages import Values, Windows

DEFINITIONS.define(
    "cut(Tensor pictures, Tensor top, Tensor left, Tensor flip, Tensor? mean, Tensor? shift, "
    "float divide_by, int size, ScalarType dtype) -> Tensor"
)
DEFINITIONS.define(
    "update_(Tensor(a!) weights, Tensor(b!) velocities, Tensor gradients, Tensor(c!)? copies, "
    "float momentum, float rate, float decay) -> ()"
)


def cut(
    pictures: Tensor, windows: Windows, values: Values, *, size: int, dtype: torch.dtype
) -> Tensor:
    """Cut a window from each picture, make its levels inputs, then mirror it.

    Shapes:  pictures (N, H, W, 3) uint8 -> (N, 3, size, size) of `dtype`, channels last in memory.
    Raises:  ValueError if a window leaves its picture.
    """
    height, width = pictures.shape[1:3]
    for name, corners, limit in (("top", windows.top, height), ("left", windows.left, width)):
        low, high = (int(corners.min()), int(corners.max())) if len(corners) else (0, 0)
        if low < 0 or high + size > limit:
            raise ValueError(
                f"a window of {size} pixels at {name} {low if low < 0 else high} leaves its "
                f"picture of {limit}; move it or make it smaller"
            )
    top, left, flip = (each.contiguous() for each in windows)  # the kernel reads them in a row
    out: Tensor = torch.ops.alexnet.cut(
        pictures, top.long(), left.long(), flip.bool(), *values, size, dtype
    )
    return out.permute(0, 3, 1, 2)


def update(
    weights: Tensor,
    velocities: Tensor,
    gradients: Tensor,
    copies: Tensor | None,
    *,
    factors: tuple[float, float, float],
) -> None:
    """Make one update of the paper in place; `factors` are momentum, rate and decay.

        v <- momentum * v + rate * (g + decay * w)
        w <- w - v,   copy <- w rounded to bfloat16

    The velocity is the paper's, negated.

    Shapes:  all alike and dense; weights and velocities float32, gradients float32 or bfloat16,
             copies bfloat16 or None.
    Source:  Krizhevsky 2012, section 5.
    """
    if gradients.stride() != weights.stride():
        gradients = torch.empty_like(weights, dtype=gradients.dtype).copy_(gradients)
    torch.ops.alexnet.update_(weights, velocities, gradients, copies, *factors)


def _cut(
    pictures: Tensor, top: Tensor, left: Tensor, flip: Tensor, mean: Tensor | None, *rest: Any
) -> Tensor:
    shift, divide_by, size, dtype = rest
    n, h, w, _ = pictures.shape
    windows, values = Windows(top, left, flip), Values(mean, shift, divide_by)
    pictures = pictures.contiguous()
    if pictures.is_cuda and library.TRITON:
        from alexnet.native import triton_kernels

        out = pictures.new_empty((n, size, size, 3), dtype=dtype)
        triton_kernels.cut(pictures, windows, values, out)
        return out
    if pictures.is_cuda or dtype not in library.TYPES or library.library() is None:
        return _cut_twin(pictures, windows, values, size=size).to(dtype)
    out = pictures.new_empty((n, size, size, 3), dtype=dtype)
    described = library.Cut(n, h, w, size, divide_by)
    mean, shift = (None if each is None else each.contiguous() for each in (mean, shift))
    library.run("cut", described, pictures, top, left, flip, mean, shift, out, form=dtype)
    return out


def _cut_twin(pictures: Tensor, windows: Windows, values: Values, *, size: int) -> Tensor:
    out = torch.empty((len(pictures), size, size, 3), device=pictures.device)
    for index, (top, left, flip) in enumerate(zip(*(w.tolist() for w in windows), strict=True)):
        window = slice(top, top + size), slice(left, left + size)
        view = pictures[index][window]
        view = view if values.mean is None else view - values.mean[window]
        out[index].copy_(view.flip(1) if flip else view)
    if values.shift is not None:
        out += values.shift[:, None, None, :]
    return out if values.divide_by == 1 else out.div_(values.divide_by)


def _update(
    weights: Tensor, velocities: Tensor, gradients: Tensor, copies: Tensor | None, *factors: float
) -> None:
    momentum, rate, decay = factors
    if weights.is_cuda and library.TRITON:
        from alexnet.native import triton_kernels

        triton_kernels.update(weights, velocities, gradients, copies, factors)
    elif not _has_kernel(weights, gradients):
        step = gradients.to(weights.dtype).add(weights, alpha=decay)
        weights.sub_(velocities.mul_(momentum).add_(step, alpha=rate))
        if copies is not None:
            copies.copy_(weights)
    else:
        described = library.Update(weights.numel(), *factors)
        tensors = weights, velocities, gradients, copies
        library.run("update", described, *tensors, form=gradients.dtype)


def _has_kernel(weights: Tensor, gradients: Tensor) -> bool:
    typed = weights.dtype == torch.float32 and gradients.dtype in library.TYPES
    return typed and not weights.is_cuda and library.library() is not None


def _register() -> None:
    for device in ("CPU", "CUDA"):
        DEFINITIONS.impl("cut", _cut, device)
        DEFINITIONS.impl("update_", _update, device)
    torch.library.register_fake("alexnet::cut", _cut_fake, lib=DEFINITIONS)
    torch.library.register_fake("alexnet::update_", lambda *_: None, lib=DEFINITIONS)


def _cut_fake(pictures: Tensor, *rest: Any) -> Tensor:
    size, dtype = rest[-2:]
    return pictures.new_empty((len(pictures), size, size, 3), dtype=dtype)


_register()
