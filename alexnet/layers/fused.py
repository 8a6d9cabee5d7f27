"""Layers that follow each other and run as one pass over memory.

Nothing changes but the time: the same layers, called one by one, give the same numbers.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeGuard

import torch
from torch import Tensor, nn

from alexnet.layers.convolution import convolution
from alexnet.layers.response_norm import LocalResponseNorm
from alexnet.layers.space_to_depth import MOST_CHANNELS, space_to_depth_convolution
from alexnet.native.library import has_matrix_units
from alexnet.native.operators import norm_pool
from alexnet.native.stages import Pool, Stage

Step = Callable[[Tensor], Tensor]


def fuse(layers: Iterable[nn.Module]) -> Iterator[Step]:
    """Yield what to call, in order, instead of the layers one by one.

    ReLU, response norm, ReLU, max pool, ReLU: any run of these that holds a norm or a pool becomes
    one call. A ReLU before a pool is applied after it, to a quarter of the elements. Convolutions
    take the quickest way to the same sums. Layers with hooks stay alone, so that the hooks see what
    they were set for.
    """
    remaining = list(layers)
    while remaining:
        stage, count = _match(remaining)
        if stage is None:
            layer = remaining.pop(0)
            yield _Convolution(layer) if _is_plain(layer) else layer
        else:
            yield _Fused(stage, tuple(remaining[:count]))
            del remaining[:count]


def members(step: Step) -> tuple[nn.Module, ...]:
    """Return the layers that one call of `fuse` stands for."""
    if isinstance(step, nn.Module):
        return (step,)
    assert isinstance(step, _Fused | _Convolution)
    return step.layers


class _Fused:
    """Some layers as one call."""

    def __init__(self, stage: Stage, layers: tuple[nn.Module, ...]) -> None:
        self.stage = stage
        self.layers = layers
        self.norm = next((each for each in layers if isinstance(each, LocalResponseNorm)), None)

    def __call__(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            self.norm.check(x)
        return norm_pool(x, self.stage)


class _Convolution:
    """A convolution by the quickest way to the same sums.

    The first one in bfloat16 goes by way of blocks where that fills the matrix units: its weight
    gradient takes a third of the time there. In float32 on vector units blocks took 1.4 times as
    long, so that one stays as it is.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        self.layers = (layer,)

    def __call__(self, x: Tensor) -> Tensor:
        (layer,) = self.layers
        padding, stride = layer.padding[0], layer.stride[0]
        assert isinstance(padding, int)
        if stride == 1:
            return convolution(x, layer.weight, layer.bias, padding=padding, groups=layer.groups)
        few = layer.in_channels <= MOST_CHANNELS and layer.groups == 1
        if few and x.dtype == torch.bfloat16 and x.device.type == "cpu" and has_matrix_units():
            return space_to_depth_convolution(
                x, layer.weight, layer.bias, stride=stride, padding=padding
            )
        y: Tensor = layer(x)
        return y


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Return whether a layer is a convolution that `_Convolution` can take over."""
    return (
        type(layer) is nn.Conv2d
        and layer.stride[0] == layer.stride[1]
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and layer.padding[0] == layer.padding[1]
        and not _has_hooks(layer)
    )


def _match(layers: list[nn.Module]) -> tuple[Stage | None, int]:
    """Return the longest stage that the layers begin with and how many of them it is."""
    position = 0

    def take(kind: type[nn.Module]) -> nn.Module | None:
        nonlocal position
        layer = layers[position] if position < len(layers) else None
        if not isinstance(layer, kind) or _has_hooks(layer):
            return None
        position += 1
        return layer

    first, norm = take(nn.ReLU), take(LocalResponseNorm)
    after_norm = position
    middle, pool = take(nn.ReLU), take(nn.MaxPool2d)
    places = _places(pool) if isinstance(pool, nn.MaxPool2d) else None
    if places is None:
        if not isinstance(norm, LocalResponseNorm):
            return None, 1
        return Stage(first is not None, norm.norm), after_norm
    last = take(nn.ReLU)
    constants = norm.norm if isinstance(norm, LocalResponseNorm) else None
    return Stage(first is not None, constants, places, bool(middle or last)), position


def _places(pool: nn.MaxPool2d) -> Pool | None:
    """Return the pool's constants, None for a pool that has no kernel."""
    size, stride, padding = (
        value if isinstance(value, tuple) else (value, value)
        for value in (pool.kernel_size, pool.stride, pool.padding)
    )
    square = all(height == width for height, width in (size, stride, padding))
    if not square or pool.dilation not in (1, (1, 1)) or pool.return_indices:
        return None
    return Pool(size[0], stride[0], padding[0], pool.ceil_mode)


def _has_hooks(layer: nn.Module) -> bool:
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
    )
