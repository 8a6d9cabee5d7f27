"""Response normalisation: activations divided by a power of the energy around them.

Krizhevsky 2012, section 3.3, in the paper's form, as Caffe, torch, TensorFlow and ONNX define it,
and the spatial form that the program of 2012 also ran and the paper leaves out.

Letters: N images, C channels, H rows, W columns.
"""

import math
from typing import Literal, get_args

from torch import Tensor, nn

from alexnet.native.operators import norm_pool, spatial_norm
from alexnet.native.stages import Box, Constants, Norm, Stage
from alexnet.nearest import nearest

Convention = Literal["paper", "caffe", "torch", "tf", "onnx"]


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
    layer = LocalResponseNorm(
        window=window, bias=bias, alpha=alpha, beta=beta, convention=convention
    )
    y: Tensor = layer(x)
    return y


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
    box = Box((2, 3), window // 2, window // 2)
    return _laid_out_as(x, spatial_norm(x, box, Constants(bias, alpha / window**2, beta)))


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

    @property
    def norm(self) -> Norm:
        """The constants in one form for all conventions."""
        below, above = self.window // 2, (self.window - 1) // 2
        if self.convention == "onnx":
            below, above = above, below
        divided = self.convention not in ("paper", "tf")
        alpha = self.alpha / self.window if divided else self.alpha
        return Norm(below, above, self.bias, alpha, self.beta, self.columns)

    def check(self, x: Tensor) -> None:
        """Raise what `forward` raises for this input."""
        _check_input(x, ranks=(3, 4, 5), shape="(N, C, ...)")
        if x.shape[1] % self.columns:
            raise ValueError(
                f"{x.shape[1]} channels do not fall into {self.columns} columns; "
                f"use a multiple of {self.columns}"
            )

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return _laid_out_as(x, norm_pool(x, Stage(norm=self.norm)))

    def extra_repr(self) -> str:
        constants = f"window={self.window}, bias={self.bias}, alpha={self.alpha}, beta={self.beta}"
        return f'{constants}, convention="{self.convention}", columns={self.columns}'


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


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """Return y in the memory format of x; the kernels write channels last."""
    return y.contiguous() if x.is_contiguous() else y


def _allows_even(convention: Convention) -> bool:
    """Return whether the convention has even windows; refuse one that is not known."""
    known = get_args(Convention)
    if convention not in known:
        raise ValueError(
            f"convention {convention!r} is not known{nearest(convention, known)}; "
            f"the conventions are {', '.join(known)}"
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
