"""A convolution whose weight gradient is computed where that is quickest."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from alexnet.native.convolution import serves, weight_gradient


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: int, groups: int
) -> Tensor:
    """Convolve with stride 1; the gradient of the weights may be our own kernel's.

    Shapes:  x (N, C, H, W), weight (K, C / groups, R, S) -> (N, K, P, Q).
    """
    learns = torch.is_grad_enabled() and weight.requires_grad
    plain = x.is_meta or torch.compiler.is_compiling() or torch.is_autocast_enabled(x.device.type)
    if not learns or plain or x.dtype != weight.dtype or not serves(x, weight):
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)
    y: Tensor = _Convolve.apply(x, weight, bias, padding, groups)  # type: ignore[no-untyped-call]
    return y


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.groups, ctx.biases = padding, groups, bias is not None
        return F.conv2d(x, weight, bias, padding=padding, groups=groups)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        padding, groups = ctx.padding, ctx.groups
        dx, _, _ = torch.ops.aten.convolution_backward(
            *(dy, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], groups),
            [ctx.needs_input_grad[0], False, False],
        )
        high, wide = weight.shape[2:]
        dw = weight_gradient(x, dy, size=(high, wide), padding=padding, groups=groups)
        return dx, dw, dy.sum((0, 2, 3)) if ctx.biases else None, None, None
