"""The gradient of a convolution's weights by a kernel of our own.

oneDNN's kernel for it reaches half of what a processor with AVX2 multiplies; its others are good.
"""

import torch
from torch import Tensor

from alexnet.native import library

LEAST_CHANNELS = 48
"""Channels that each kernel reads. With 32 and fewer oneDNN took a half to a fifth of our time."""


def serves(x: Tensor, weight: Tensor) -> bool:
    """Return whether `weight_gradient` is the quicker one for a convolution of x.

    That was measured on AVX2 only: with AVX-512 oneDNN has other kernels.
    """
    return (
        x.device.type == "cpu"
        and weight.shape[1] >= LEAST_CHANNELS
        and x.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
        and library.library() is not None
    )


def weight_gradient(
    x: Tensor, dy: Tensor, *, size: tuple[int, int], padding: int, groups: int
) -> Tensor:
    """Return the gradient of the weights of a convolution with stride 1.

        dw[k, c, r, s] = sum over n, p, q of dy[n, k, p, q] * x[n, c, p + r - padding, ...]

    with c counted within the group of k.

    Shapes:  x (N, C, H, W), dy (N, K, P, Q), both float32 or bfloat16 -> (K, C / groups, *size)
             float32, channels last in memory; sums are float32.
    """
    x, dy = (each.contiguous(memory_format=torch.channels_last) for each in (x, dy))
    n, c, h, w = x.shape
    k, out_h, out_w = dy.shape[1:]
    dw = torch.zeros((k, *size, c // groups), device=x.device)
    described = library.WeightGradient(n, h, w, c, k, out_h, out_w, *size, padding, groups)
    library.run("weight_gradient", described, x, dy, dw, form=x.dtype)
    return dw.permute(0, 3, 1, 2)
