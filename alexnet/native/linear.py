"""Fully connected layers for answers only, with weights of few bytes.

Krizhevsky 2012, section 3.5: fc6 to fc8 hold 96 % of the net's bytes, and for a few pictures the
time is that of reading them. The kernel keeps weights as they are stored and widens each as it is
read; sums are float32.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from alexnet.native import library

WEIGHTS = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.int8: "int8"}
LARGEST_INT8 = 127  # -128 is left out: the range is symmetric


def linear(
    x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor | None = None, *, relu: bool = False
) -> Tensor:
    """Apply a fully connected layer, whose rows of weights are scaled, and a ReLU if asked for.

        y = x @ weights^T * scale + bias;   y = max(y, 0) if relu

    Shapes:  x (N, in) float32 or bfloat16, weights (out, in) float32, bfloat16 or int8,
             scale (out) and bias (out) float32 -> (N, out) of x's type. No gradients.
    Raises:  ValueError if the shapes or types do not fit.
    """
    _check(x, weights, scale, bias)
    tensors = [each for each in (x, weights, scale, bias) if each is not None]
    on_cpu = all(each.device.type == "cpu" for each in tensors)
    if not on_cpu or x.numel() == 0 or weights.numel() == 0 or library.library() is None:
        return _linear_of_torch(x, weights, scale, bias, relu=relu)
    y = torch.empty(len(x), len(weights), dtype=x.dtype)
    described = library.Linear(len(x), x.shape[1], len(weights), relu)
    kernel = f"linear_{WEIGHTS[weights.dtype]}"
    x, weights, scale = x.contiguous(), weights.contiguous(), scale.contiguous()
    bias = None if bias is None else bias.contiguous()
    library.run(kernel, described, x, weights, scale, bias, y, form=x.dtype)
    return y


def quantise(weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return int8 weights and the float32 scale of each row, weights ~ int8 * scale.

        scale = max |row| / 127;   |weights - int8 * scale| <= scale / 2

    Shapes:  weights (out, in), any float -> (out, in) int8, (out) float32. A row of zeros has the
             scale 1.
    Raises:  ValueError if a weight is not finite.
    """
    quantised = torch.empty_like(weights, dtype=torch.int8, memory_format=torch.contiguous_format)
    scales = torch.ones(len(weights), device=weights.device)
    rows = max(1, 2**20 // max(1, weights.shape[1]))  # at a time, so that they stay in cache
    for first in range(0, len(weights), rows):
        part = weights[first : first + rows].float()
        if part.numel() == 0:
            continue
        largest = part.abs().amax(1)
        if not bool(largest.isfinite().all()):
            raise ValueError("a weight is not finite; such a net has no answers to give faster")
        scale = torch.where(largest > 0, largest / LARGEST_INT8, 1.0)
        scales[first : first + rows] = scale
        # A scale among the denormal numbers is inexact: the quotient may exceed the range.
        rounded = (part / scale[:, None]).round_().clamp_(-LARGEST_INT8, LARGEST_INT8)
        quantised[first : first + rows] = rounded.to(torch.int8)
    return quantised, scales


def _check(x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    if x.dtype not in library.TYPES or weights.dtype not in WEIGHTS:
        raise ValueError(
            f"x is {x.dtype} and weights are {weights.dtype}; x may be float32 or bfloat16, "
            "weights also int8"
        )
    if x.dim() != 2 or weights.dim() != 2 or x.shape[1] != weights.shape[1]:
        raise ValueError(
            f"x {tuple(x.shape)} does not fit weights {tuple(weights.shape)}; "
            "they are (N, in) and (out, in)"
        )
    for name, each in (("scale", scale), ("bias", bias)):
        if each is not None and (each.shape != weights.shape[:1] or each.dtype != torch.float32):
            raise ValueError(
                f"{name} is {tuple(each.shape)} {each.dtype}; "
                f"it must be ({len(weights)},) torch.float32"
            )


def _linear_of_torch(
    x: Tensor, weights: Tensor, scale: Tensor, bias: Tensor | None, *, relu: bool
) -> Tensor:
    """Do the same with torch's operations; the sums of float32 come in another order."""
    if x.is_cuda and x.dtype == weights.dtype:
        y = F.linear(x, weights).float() * scale  # on its matrix units, rounded once more
    else:
        y = F.linear(x.float(), weights.float()) * scale
    y = y if bias is None else y + bias
    return (y.relu() if relu else y).to(x.dtype)
