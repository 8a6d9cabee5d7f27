"""Another arithmetic for the convolutions of a net, from outside.

A layer of torch's own, nn.Conv1d to nn.ConvTranspose3d, becomes one of the classes below, which
differ in how they compute and in nothing else: the module stays the same object with the same
parameters, buffers, hooks and state.

Torch's own arithmetic remains where ours has no say: under autocast, torch.compile, export, tracing
and function transforms, on other devices than the CPU, for types other than floats, and for work
that the algorithm refuses.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.convolution.algorithms import find
from alexnet.convolution.choose import all_native, is_ordinary
from alexnet.convolution.convolve import convolve, transposed_convolve
from alexnet.convolution.problem import DTYPES, WORKSPACE, Direction, Problem, Way, describe


@dataclass(frozen=True)
class Swapped:
    """What became of one convolution of a net."""

    name: str
    """With the names of the blocks around it, as in `named_modules`; empty for the net itself."""
    algorithm: str
    """By which it computes now; native if the algorithm asked for cannot do it."""
    reason: str = ""
    """Why it stays native, empty if that was asked for."""


class Arithmetic(NamedTuple):
    """How a swapped layer computes; its attribute `arithmetic`."""

    algorithm: str
    workspace: int


def check_algorithm(name: str, device: torch.device) -> None:
    """Refuse the name of an algorithm that nets on a device cannot be swapped to.

    Raises: ValueError if there is no such algorithm, or it is not native and the device no CPU.
    """
    if name != "auto":
        find(name)
    if name != "native" and device.type != "cpu":
        raise ValueError(
            f"convolution is {name!r} on {device}; on other devices than a CPU convolutions are "
            "torch's own: take --device cpu, or --convolution native"
        )


def swap(net: nn.Module, algorithm: str, *, workspace: int = WORKSPACE) -> tuple[Swapped, ...]:
    """Let every convolution of a net, transposed ones too, compute by an algorithm.

    `algorithm` and `workspace` are those of `convolve`; "native" puts everything back. Layers of
    other classes, such as those derived from torch's, stay as they are.

    Raises: ValueError if there is no such algorithm or the workspace is below 0.
    """
    if algorithm != "auto":
        find(algorithm)
    if workspace < 0:
        raise ValueError(f"workspace is {workspace} bytes; it must be 0 or more")
    return tuple(
        Swapped(name, *_swap(layer, Arithmetic(algorithm, workspace)))
        for name, layer in net.named_modules()
        if isinstance(layer, nn.modules.conv._ConvNd)
    )


def kind_of(layer: nn.Module) -> type[nn.Module]:
    """Return the class of a layer, torch's own for one that was swapped."""
    return BACK.get(type(layer), type(layer))


def _swap(layer: nn.modules.conv._ConvNd, how: Arithmetic) -> tuple[str, str]:
    """Swap one layer and return what it computes by, and why it is native."""
    if type(layer) in BACK:
        layer.__class__ = BACK[type(layer)]  # type: ignore[assignment]
        del layer.arithmetic
    derived = isinstance(layer, tuple(BACK))  # from a swapped class, as parametrizations do
    reason = "" if how.algorithm == "native" else _refusal(layer, how.algorithm)
    if reason:
        how = how._replace(algorithm="native")
    if not derived and how.algorithm != "native":
        layer.__class__ = FORTH[type(layer)]  # type: ignore[assignment]
    if derived or how.algorithm != "native":
        layer.__dict__["arithmetic"] = how
    return how.algorithm, reason


def _refusal(layer: nn.modules.conv._ConvNd, algorithm: str) -> str:
    """Return why a layer cannot compute by an algorithm whatever its input, or nothing."""
    if type(layer) not in FORTH and not isinstance(layer, tuple(BACK)):
        return f"its class {type(layer).__name__} is not torch's own and may compute otherwise"
    if layer.weight.dtype not in DTYPES:
        return f"its weights are {str(layer.weight.dtype).removeprefix('torch.')}"
    if algorithm == "auto":
        return ""
    spare = [d * (r - 1) for d, r in zip(layer.dilation, layer.kernel_size, strict=True)]
    # Of the smallest input that gives two outputs a side; what refuses it refuses the layer.
    size = tuple(s + each + 1 for s, each in zip(layer.stride, spare, strict=True))
    channels = layer.out_channels if layer.transposed else layer.in_channels
    return find(algorithm).refusal(
        _problem(
            *((1, channels, *size), tuple(layer.weight.shape), layer.weight.dtype),
            _Constants(layer.stride, (0,) * len(size), layer.dilation, layer.groups),
        )
    )


class _Constants(NamedTuple):
    stride: tuple[int, ...]
    padding: tuple[int, ...] | str
    dilation: tuple[int, ...]
    groups: int


@lru_cache(maxsize=4096)
def _problem(
    x: tuple[int, ...], w: tuple[int, ...], dtype: torch.dtype, constants: _Constants
) -> Problem:
    """Return the problem of convolving tensors of these shapes."""
    stride, padding, dilation, groups = constants
    return describe(
        torch.empty(x, dtype=dtype, device="meta"),
        torch.empty(w, dtype=dtype, device="meta"),
        stride=stride,
        padding=padding,  # type: ignore[arg-type]  # a string is "same" or "valid"
        dilation=dilation,
        groups=groups,
    )


def _by(
    layer: "Conv1d | Conv2d | Conv3d", x: Tensor, w: Tensor, bias: Tensor | None
) -> Tensor | None:
    """Return the layer's output by its algorithm; None where it is to be torch's own."""
    if not is_ordinary(x, w):
        return None
    axes = len(layer.kernel_size)
    if x.dim() == axes + 1:
        y = _by(layer, x[None], w, bias)
        return None if y is None else y[0]
    if x.dim() != axes + 2 or x.shape[1] != layer.in_channels:
        return None  # torch's own says what is wrong
    padding: tuple[int, ...] | str = layer.padding
    if layer.padding_mode != "zeros":
        x = F.pad(x, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
        padding = (0,) * axes
    constants = _Constants(layer.stride, padding, layer.dilation, layer.groups)
    problem = _problem(tuple(x.shape), tuple(w.shape), x.dtype, constants)
    how = layer.arithmetic
    way = Way(problem, how.algorithm, how.workspace)
    if _is_native(("forward", "input_gradient", "weight_gradient"), x, w, way):
        return None
    return convolve(
        *(x, w, bias),
        stride=layer.stride,
        padding=padding,  # type: ignore[arg-type]
        dilation=layer.dilation,
        groups=layer.groups,
        algorithm=how.algorithm,
        workspace=how.workspace,
    )


def _spread_by(
    layer: "ConvTranspose1d | ConvTranspose2d | ConvTranspose3d",
    x: Tensor,
    output_size: list[int] | None,
) -> Tensor | None:
    """Return a transposed layer's output by its algorithm; None where it is to be torch's own."""
    w, axes = layer.weight, len(layer.kernel_size)
    fits = x.dim() in (axes + 1, axes + 2) and x.shape[-axes - 1] == layer.in_channels
    if not is_ordinary(x, w) or not fits:
        return None
    more = layer._output_padding(
        x,
        output_size,
        *(layer.stride, layer.padding, layer.kernel_size),  # type: ignore[arg-type]
        num_spatial_dims=axes,
        dilation=layer.dilation,  # type: ignore[arg-type]
    )
    every = zip(x.shape[-axes:], *_numbers(layer), more, strict=True)
    size = [(p - 1) * s - 2 * pad + d * (r - 1) + m + 1 for p, s, pad, d, r, m in every]
    if min(size) < 1 or any(m >= s for m, s in zip(more, layer.stride, strict=True)):
        return None
    if x.dim() == axes + 1:
        y = _spread_by(layer, x[None], size)
        return None if y is None else y[0]
    shape = (len(x), layer.out_channels, *size)
    constants = _Constants(layer.stride, layer.padding, layer.dilation, layer.groups)
    problem = _problem(shape, tuple(w.shape), x.dtype, constants)
    how = layer.arithmetic
    way = Way(problem, how.algorithm, how.workspace)
    if _is_native(("input_gradient", "forward", "weight_gradient"), x, w, way):
        return None
    return transposed_convolve(
        *(x, w, layer.bias),
        stride=layer.stride,
        padding=layer.padding,  # type: ignore[arg-type]
        output_padding=tuple(more),
        dilation=layer.dilation,
        groups=layer.groups,
        algorithm=how.algorithm,
        workspace=how.workspace,
    )


def _is_native(
    order: tuple[Direction, Direction, Direction], x: Tensor, w: Tensor, way: Way
) -> bool:
    """Return whether torch's own layer is to do some work.

    `order` is the direction of the layer itself, of its input's gradient and of its weights'.
    """
    if way.algorithm != "auto":
        return bool(find(way.algorithm).refusal(way.problem))
    learns = torch.is_grad_enabled()
    wanted = zip(order[1:], (x.requires_grad, w.requires_grad), strict=True)
    gradients = tuple(direction for direction, needed in wanted if learns and needed)
    return all_native(order[0], x, w, way, gradients=gradients)


def _numbers(
    layer: "ConvTranspose1d | ConvTranspose2d | ConvTranspose3d",
) -> tuple[tuple[int, ...], ...]:
    """Return stride, padding, dilation and kernel, a number each for every axis."""
    assert isinstance(layer.padding, tuple)
    return layer.stride, layer.padding, layer.dilation, layer.kernel_size


class Conv1d(nn.Conv1d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = _by(self, input, weight, bias)
        return super()._conv_forward(input, weight, bias) if y is None else y


class Conv2d(nn.Conv2d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = _by(self, input, weight, bias)
        return super()._conv_forward(input, weight, bias) if y is None else y


class Conv3d(nn.Conv3d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        y = _by(self, input, weight, bias)
        return super()._conv_forward(input, weight, bias) if y is None else y


class ConvTranspose1d(nn.ConvTranspose1d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution."""
        y = _spread_by(self, input, output_size)
        return super().forward(input, output_size) if y is None else y


class ConvTranspose2d(nn.ConvTranspose2d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution."""
        y = _spread_by(self, input, output_size)
        return super().forward(input, output_size) if y is None else y


class ConvTranspose3d(nn.ConvTranspose3d):
    """Torch's layer with an arithmetic of our choice."""

    arithmetic: Arithmetic

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the transposed convolution."""
        y = _spread_by(self, input, output_size)
        return super().forward(input, output_size) if y is None else y


FORTH: Final[dict[type[nn.Module], type[nn.Module]]] = {
    nn.Conv1d: Conv1d,
    nn.Conv2d: Conv2d,
    nn.Conv3d: Conv3d,
    nn.ConvTranspose1d: ConvTranspose1d,
    nn.ConvTranspose2d: ConvTranspose2d,
    nn.ConvTranspose3d: ConvTranspose3d,
}
"""What torch's classes become."""
BACK: Final[dict[type[nn.Module], type[nn.Module]]] = {
    ours: theirs for theirs, ours in FORTH.items()
}
