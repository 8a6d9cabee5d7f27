"""One convolution, its transpose and all their gradients by the algorithm of one's choice.

A convolution is bilinear, and so are its two gradients. With C the convolution, I the gradient of
its input and W that of its weights,

    y = C(x, w)     dx = I(dy, w)     dw = W(x, dy)

and the gradients of I and W are made of the same three, so that derivatives of any order exist:

    of I(dy, w), for g like x:   C(g, w) and W(g, dy)
    of W(x, dy), for g like w:   I(dy, g) and C(x, g)

The transposed convolution is I.
"""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from alexnet.convolution.choose import chosen
from alexnet.convolution.problem import (
    WORKSPACE,
    Padding,
    PerAxis,
    Problem,
    Way,
    check,
    count_axes,
    describe,
    per_axis,
)


def convolve(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    algorithm: str = "auto",
    workspace: int = WORKSPACE,
) -> Tensor:
    """Convolve along one, two or three axes.

        y[n, k, p] = bias[k] + sum over c, r of w[k, c, r] * x[n, c, s * p + d * r - pad]

    with stride s and dilation d. `algorithm` is one of ALGORITHMS, `winograd-M` for tiles of M
    outputs a side, or `auto`, which measures each direction once for these sizes on this machine
    and takes the quickest. `padding` is a number, one an axis, a pair (before, behind) an axis,
    "same" or "valid". `workspace` is in bytes: what im2col and FFT may hold besides inputs and
    output.

    Shapes:  x (N, C, H, W), w (K, C / groups, R, S), bias (K) -> (N, K, P, Q), or with one axis or
             three; P = (H + pads - dilation * (R - 1) - 1) // stride + 1. float64, float32,
             bfloat16 or float16 -> same; sums of the halves are taken in float32, but by
             `native` where torch has no units for halves. Under autocast all but float64 are
             taken in its type, as torch's own convolution does.
    Raises:  ValueError when sizes do not fit together, or the algorithm is unknown or refuses them.
    """
    x, w, bias = _autocast(x), _autocast(w), bias if bias is None else _autocast(bias)
    problem = describe(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    _check_bias(bias, w.shape[0], w.dtype)
    return _convolve(x, w, bias, Way(problem, algorithm, workspace))


def transposed_convolve(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None = None,
    *,
    stride: PerAxis = 1,
    padding: PerAxis = 0,
    output_padding: PerAxis = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    algorithm: str = "auto",
    workspace: int = WORKSPACE,
) -> Tensor:
    """Spread each input over a window of the output: the gradient of a convolution's input.

        y[n, c, stride * p + dilation * r - padding] += w[k, c, r] * x[n, k, p]

    Shapes:  x (N, K, P, Q), w (K, C / groups, R, S), bias (C) -> (N, C, H, W), or with one axis or
             three; H = (P - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1.
    Raises:  ValueError when sizes do not fit together, output_padding is not below stride (torch
             takes one below the dilation too), or the algorithm is unknown or refuses them.
    """
    x, w, bias = _autocast(x), _autocast(w), bias if bias is None else _autocast(bias)
    axes = count_axes(x, w)
    strides = per_axis("stride", stride, axes, least=1)
    pads = per_axis("padding", padding, axes, least=0)
    dilations = per_axis("dilation", dilation, axes, least=1)
    more = per_axis("output_padding", output_padding, axes, least=0)
    if any(extra >= s for extra, s in zip(more, strides, strict=True)):
        raise ValueError(
            f"output_padding is {output_padding}; it must be below the stride {stride}"
        )
    every = zip(x.shape[2:], strides, pads, dilations, w.shape[2:], more, strict=True)
    problem = Problem(
        batch=x.shape[0],
        channels=w.shape[1] * groups,
        kernels=w.shape[0],
        size=tuple(
            (p - 1) * s - 2 * pad + d * (r - 1) + extra + 1 for p, s, pad, d, r, extra in every
        ),
        kernel=tuple(w.shape[2:]),
        stride=strides,
        padding=tuple((pad, pad) for pad in pads),
        dilation=dilations,
        groups=groups,
        dtype=x.dtype,
    )
    if x.shape[1] != w.shape[0] or min(problem.size) < 1:
        raise ValueError(
            f"x has {x.shape[1]} channels and w {w.shape[0]} kernels, which must be as many; the "
            f"output would have the size {problem.size}, which must be at least 1"
        )
    check(problem, w_channels=w.shape[1])
    _check_bias(bias, problem.channels, w.dtype)
    y = _input_gradient(x, w, Way(problem, algorithm, workspace))
    return y if bias is None else y + bias.view(-1, *[1] * axes)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, way: Way) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.way = way
        algorithm = chosen("forward", x, w, way)
        return _own(algorithm.forward(x, w, bias, way.problem, way.workspace))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        dx = _input_gradient(dy, w, ctx.way) if wanted[0] else None
        dw = _weight_gradient(x, dy, ctx.way) if wanted[1] else None
        others = (0, *range(2, dy.dim()))
        return dx, dw, dy.sum(others) if wanted[2] else None, None


class _InputGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dy: Tensor, w: Tensor, way: Way) -> Tensor:
        ctx.save_for_backward(dy, w)
        ctx.way = way
        algorithm = chosen("input_gradient", dy, w, way)
        return _own(algorithm.input_gradient(dy, w, way.problem, way.workspace))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        dy, w = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        to_dy = _convolve(g, w, None, ctx.way) if wanted[0] else None
        to_w = _weight_gradient(g, dy, ctx.way) if wanted[1] else None
        return to_dy, to_w, None


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, way: Way) -> Tensor:
        ctx.save_for_backward(x, dy)
        ctx.way = way
        algorithm = chosen("weight_gradient", x, dy, way)
        return _own(algorithm.weight_gradient(x, dy, way.problem, way.workspace))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, dy = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        to_x = _input_gradient(dy, g, ctx.way) if wanted[0] else None
        to_dy = _convolve(x, g, None, ctx.way) if wanted[1] else None
        return to_x, to_dy, None


def _own(y: Tensor) -> Tensor:
    """Return the tensor as no view of another: torch forbids to change views of ours in place."""
    return y.data if y._is_view() else y


def _check_bias(bias: Tensor | None, count: int, dtype: torch.dtype) -> None:
    if bias is not None and (bias.shape != (count,) or bias.dtype != dtype):
        raise ValueError(
            f"bias has shape {tuple(bias.shape)} and type {bias.dtype}; it must be ({count},) and "
            f"{dtype}, as w is"
        )


def _autocast(tensor: Tensor) -> Tensor:
    """Return the tensor in the type that autocast wants, if it is on."""
    if not _is_autocast(tensor) or tensor.dtype == torch.float64:
        return tensor
    return tensor.to(torch.get_autocast_dtype(tensor.device.type))


def _is_autocast(tensor: Tensor) -> bool:
    # Of the device `meta` autocast knows nothing, and refuses to be asked.
    return not tensor.is_meta and torch.is_autocast_enabled(tensor.device.type)


def _convolve(x: Tensor, w: Tensor, bias: Tensor | None, way: Way) -> Tensor:
    return _apply(_Convolve, x, w, bias, way)


def _input_gradient(dy: Tensor, w: Tensor, way: Way) -> Tensor:
    return _apply(_InputGradient, dy, w, way)


def _weight_gradient(x: Tensor, dy: Tensor, way: Way) -> Tensor:
    return _apply(_WeightGradient, x, dy, way)


def _apply(
    function: type[torch.autograd.Function], a: Tensor, *others: Tensor | Way | None
) -> Tensor:
    """Apply one of the three with autocast off, which would take sums in half precision."""
    off = torch.autocast(a.device.type, enabled=False) if _is_autocast(a) else nullcontext()
    with off:
        result: Tensor = function.apply(a, *others)
    return result
