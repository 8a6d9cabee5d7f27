"""A net as the calls of its forward pass, each with what it computes, moves and keeps.

All is counted on the module itself, which runs on meta tensors: they have shapes but no data. What
the backward pass needs is counted where torch saves it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from alexnet.inspection.figures import FLOAT_BYTES, LayerFigures
from alexnet.inspection.summary import layer_figures, text_figures
from alexnet.layers.fused import fuse, members
from alexnet.layers.response_norm import LocalResponseNorm
from alexnet.nets.chain import Chain
from alexnet.text.picture import PictureNet

PICTURES = 2  # of the run that counts what is kept; batch norm wants two


@dataclass(frozen=True)
class Stage:
    """One call of the forward pass: a layer, or some that run as one; counts are for a picture."""

    name: str
    """The layer with weights or the norm in it, else the first."""
    layers: tuple[str, ...]
    multiply_adds: int
    parameters: tuple[int, ...]
    """Elements of each of its tensors."""
    inputs: int
    """Elements that it reads, besides its parameters."""
    outputs: int
    kept_bytes: int
    """Bytes that are kept for the backward pass and that no stage before keeps already."""
    normed: int = 0
    """Channels of the batch norm in it."""


@dataclass(frozen=True)
class Counted:
    """A net's stages and what belongs to no single one."""

    stages: tuple[Stage, ...]
    is_chain: bool
    """Whether the stages are the net's own calls. Else they are its layers one by one, each taken
    to read as much as it writes, but for fully connected ones, and all that is kept stands with the
    first."""
    beside: tuple[int, ...] = ()
    """Elements of each parameter that serves training only, as in auxiliary classifiers."""


def count_stages(net: Chain, channels: int, dtype: torch.dtype) -> Counted:
    """Count a net that lies on the device `meta`; its layers are turned into `dtype`.

    Layers that keep numbers in buffers stay in float32, as they do in training.
    """
    with torch.device("meta"):
        single = torch.empty(1, channels, net.input_size, net.input_size)
        x = torch.empty(PICTURES, channels, net.input_size, net.input_size, dtype=dtype)
    figures = (
        text_figures(net, single) if isinstance(net, PictureNet) else layer_figures(net, single)
    )
    for layer in net.modules():
        if not list(layer.children()) and not any(b.is_floating_point() for b in layer.buffers()):
            layer.to(dtype)
    net.train()
    steps = list(net.steps())
    simple = not net.branches and all(not list(layer.children()) for _, layer in steps)
    named = {each.name for each in figures}
    stages = _called(net, figures, x) if simple else _one_by_one(net, figures, x)
    on_the_way = {id(p) for name in named for p in net.get_submodule(name).parameters()}
    beside = tuple(p.numel() for p in net.parameters() if id(p) not in on_the_way)
    return Counted(tuple(stages), simple, beside)


def _called(net: Chain, figures: list[LayerFigures], x: Tensor) -> Iterator[Stage]:
    """Yield the calls of a chain as `Chain.forward` makes them."""
    names = {id(layer): name for name, layer in net.steps()}
    products = {each.name: each.multiply_adds for each in figures}
    for layers, bottom, top, kept in _steps(net, x):
        inside = [(names[id(layer)], layer) for layer in layers]
        weighted = [name for name, layer in inside if list(layer.parameters())]
        norms = [name for name, layer in inside if isinstance(layer, LocalResponseNorm)]
        yield Stage(
            name=[*weighted, *norms, inside[0][0]][0],
            layers=tuple(name for name, _ in inside),
            multiply_adds=sum(products.get(name, 0) for name, _ in inside),
            parameters=tuple(p.numel() for layer in layers for p in layer.parameters()),
            inputs=bottom[0].numel(),
            outputs=top[0].numel(),
            kept_bytes=kept // PICTURES,
            normed=_normed(layers),
        )


def _one_by_one(net: Chain, figures: list[LayerFigures], x: Tensor) -> Iterator[Stage]:
    """Yield the layers of a net that is no chain of layers."""
    if net.branches:
        with _kept(net, {}) as sizes:
            net.heads(x)
        kept = sum(sizes)
    else:
        kept = sum(size for *_, size in _steps(net, x))
    modules = dict(net.named_modules())
    counted: set[int] = set()
    for number, each in enumerate(figures):
        layer = modules[each.name]
        own = [p for p in layer.parameters() if id(p) not in counted]
        counted |= {id(p) for p in own}
        elements = each.activation_bytes // FLOAT_BYTES
        yield Stage(
            name=each.name,
            layers=(each.name,),
            multiply_adds=each.multiply_adds,
            parameters=tuple(p.numel() for p in own),
            inputs=layer.in_features if isinstance(layer, nn.Linear) else elements,
            outputs=elements,
            kept_bytes=0 if number else kept // PICTURES,
            normed=_normed([layer]),
        )


def _steps(net: Chain, x: Tensor) -> Iterator[tuple[tuple[nn.Module, ...], Tensor, Tensor, int]]:
    """Yield what runs as one: its layers, what it reads and gives, and the bytes that it keeps.

    Norms and pools run in kernels of ours, for which meta tensors have only twins: the kernels keep
    the norm's input and, of each maximum, a byte that says where it was.
    """
    known: dict[int, Tensor] = {}
    for step in fuse(layer for _, layer in net.steps()):
        layers = members(step)
        with _kept(net, known) as sizes:
            y: Tensor = step(x)
        kept = sum(sizes)
        if any(isinstance(layer, LocalResponseNorm | nn.MaxPool2d) for layer in layers):
            normed = any(isinstance(layer, LocalResponseNorm) for layer in layers)
            pooled = any(isinstance(layer, nn.MaxPool2d) for layer in layers)
            kept = normed * x.numel() * x.element_size() + pooled * y.numel()
        yield layers, x, y, kept
        x = y


@contextmanager
def _kept(net: nn.Module, known: dict[int, Tensor]) -> Iterator[list[int]]:
    """Give a list that collects the bytes of each storage that the backward pass will read.

    Parameters and what is in `known` already do not count. The tensors stay alive there, for a
    storage's number is its own as long as it lives.
    """
    known |= {p.untyped_storage()._cdata: p for p in net.parameters()}
    kept: list[int] = []

    def pack(x: Tensor) -> Tensor:
        number = x.untyped_storage()._cdata
        if number not in known:
            known[number] = x
            kept.append(x.untyped_storage().nbytes())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        yield kept


def _normed(layers: Iterable[nn.Module]) -> int:
    return sum(each.num_features for each in layers if type(each) is nn.BatchNorm2d)
