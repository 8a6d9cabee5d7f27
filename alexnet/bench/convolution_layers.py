"""The convolutions to look at: those of a net, or one written down in a line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from alexnet.convolution.problem import Padding, Pair, Problem, Sizes, check, describe
from alexnet.nearest import nearest

GRAMMAR = (
    "write channels,kernels,kernel size @ input size and what is not plain, such as "
    '"64,64,3,3 @ 224", "3,96,11,11 @ 227x227 stride 4 pad 0" or "256,256,3 @ 200 dilation 2"'
)
LINE = re.compile(r"\s*(\d+(?:\s*,\s*\d+)*)\s*@\s*(\d+(?:x\d+)*)((?:\s+\S+)*)\s*")
PAD = re.compile(r"(\d+)(?:\+(\d+))?")
OPTIONS = ("stride", "pad", "dilation", "groups")


@dataclass(frozen=True)
class Layer:
    """A convolution, and where it is."""

    name: str
    """Of the first layer with these sizes."""
    problem: Problem
    count: int = 1
    """Layers of the net that have these sizes."""


def layers_of(net: nn.Module, x_shape: Sequence[int], *, dtype: torch.dtype) -> list[Layer]:
    """Return the convolutions of a net in the order in which they run, equal ones as one.

    The net, whose parameters may have no memory, is called once on the meta device, so that nothing
    is computed. Layers of torch.nn count; what a layer of another kind convolves inside, as LeNet's
    C3 does, is not seen.

    Shapes:  x_shape (N, C, H, W) or with one or three axes, of what the net reads.
    Raises:  ValueError if the net convolves nothing.
    """
    found: dict[Problem, tuple[str, int]] = {}
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

    def note(name: str, layer: nn.Module, x: Tensor) -> None:
        assert isinstance(layer, kinds)
        x, padding = _padded(layer, x)
        problem = describe(
            x,
            layer.weight,
            stride=layer.stride,
            padding=padding,
            dilation=layer.dilation,
            groups=layer.groups,
        )
        first, count = found.get(problem, (name, 0))
        found[problem] = (first, count + 1)

    handles = [
        layer.register_forward_pre_hook(lambda layer, x, name=name: note(name, layer, x[0]))
        for name, layer in net.named_modules()
        if isinstance(layer, kinds)
    ]
    try:
        with torch.no_grad():
            net(torch.empty(*x_shape, device="meta"))
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError("the net has no convolution; name another net, or a layer with --layer")
    every = found.items()
    return [Layer(name, replace(each, dtype=dtype), count) for each, (name, count) in every]


def parse_layer(text: str, *, batch: int, dtype: torch.dtype) -> Layer:
    """Return the convolution that a line describes.

        C,K,R[,S[,T]] @ H[xW[xD]] [stride s] [pad p] [dilation d] [groups g]

    One kernel number makes it 1-D, two 2-D, three 3-D; one input size stands for all axes, and so
    does one number of an option: `stride 2x1` gives each axis its own, `pad 0+1` is none before and
    one behind. Without `pad` it is half of what the kernel reaches over, which keeps the size.

    Raises: ValueError that says what was not understood, and gives an example.
    """
    line = LINE.fullmatch(text)
    numbers = [int(number) for number in line[1].split(",")] if line else []
    if line is None or not 3 <= len(numbers) <= 5:
        raise ValueError(f"layer {text!r} is not understood; {GRAMMAR}")
    channels, kernels, *kernel = numbers
    axes = len(kernel)
    options = _options(text, line[3].split())
    dilation = _sizes(text, "dilation", options["dilation"], axes)
    default = "x".join(str(d * (r - 1) // 2) for d, r in zip(dilation, kernel, strict=True))
    groups = _sizes(text, "groups", options["groups"], 1)[0]
    problem = Problem(
        batch=batch,
        channels=channels,
        kernels=kernels,
        size=_sizes(text, "the input size", line[2], axes),
        kernel=tuple(kernel),
        stride=_sizes(text, "stride", options["stride"], axes),
        padding=_pads(text, options["pad"] or default, axes),
        dilation=dilation,
        groups=groups,
        dtype=dtype,
    )
    for name, number in (("batch", batch), ("channels", channels)):
        if number < 1:
            raise ValueError(f"layer {text!r}: {name} is {number}; it must be at least 1")
    try:
        check(problem, w_channels=channels // groups)
    except ValueError as error:
        raise ValueError(f"layer {text!r}: {error}") from None
    return Layer(text, problem)


def spell(problem: Problem) -> str:
    """Return the line that describes a convolution, as `parse_layer` reads it."""
    words = [",".join(map(str, (problem.channels, problem.kernels, *problem.kernel)))]
    words += ["@", _joined(problem.size)]
    if set(problem.stride) != {1}:
        words += ["stride", _joined(problem.stride)]
    pads = [str(a) if a == b else f"{a}+{b}" for a, b in problem.padding]
    words += ["pad", pads[0] if len(set(pads)) == 1 else "x".join(pads)]
    if set(problem.dilation) != {1}:
        words += ["dilation", _joined(problem.dilation)]
    if problem.groups != 1:
        words += ["groups", str(problem.groups)]
    return " ".join(words)


def _joined(sizes: Sizes) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else "x".join(map(str, sizes))


def _options(text: str, words: list[str]) -> dict[str, str]:
    found = {"stride": "1", "pad": "", "dilation": "1", "groups": "1"}
    for name, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if name not in OPTIONS:
            raise ValueError(
                f"layer {text!r}: no option is called {name!r}{nearest(name, OPTIONS)}; "
                f"the options are {', '.join(OPTIONS)}"
            )
        if not value:
            raise ValueError(f"layer {text!r}: {name} has no number; write {name} 2")
        found[name] = value
    return found


def _sizes(text: str, name: str, value: str, axes: int) -> Sizes:
    numbers = [int(part) if part.isdecimal() else 0 for part in value.split("x")]
    if len(numbers) not in (1, axes) or min(numbers) < 1:
        many = "one number" if axes == 1 else f"one number or {axes} with x between"
        raise ValueError(f"layer {text!r}: {name} is {value}; it must be {many}, each at least 1")
    return tuple(numbers) if len(numbers) == axes else tuple(numbers * axes)


def _pads(text: str, value: str, axes: int) -> tuple[Pair, ...]:
    found = [PAD.fullmatch(part) for part in value.split("x")]
    pairs = [(int(pad[1]), int(pad[2] or pad[1])) for pad in found if pad]
    if len(pairs) < len(found) or len(pairs) not in (1, axes):
        many = "one number" if axes == 1 else f"one number or {axes} with x between"
        raise ValueError(
            f"layer {text!r}: pad is {value}; it must be {many}, or before+behind for each"
        )
    return tuple(pairs) if len(pairs) == axes else tuple(pairs * axes)


def _padded(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: Tensor) -> tuple[Tensor, Padding]:
    """Return what the convolution reads and its zeros; padding of another kind is made before."""
    if layer.padding_mode == "zeros":
        if isinstance(layer.padding, str):
            return x, "same" if layer.padding == "same" else "valid"
        return x, layer.padding
    flat = layer._reversed_padding_repeated_twice
    size = [n + flat[-2 * i - 2] + flat[-2 * i - 1] for i, n in enumerate(x.shape[2:])]
    return x.new_empty((*x.shape[:2], *size)), 0
