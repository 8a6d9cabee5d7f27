"""A net in columns: each process holds a part of every layer's kernels.

Any net whose layers form a chain is cut by the same rules, whatever its name:

- A layer with weights keeps the kernels of its part: the first of P equal parts for column 0, and
  so on. All of its tensors are cut along their first dimension, so that the parts, one below the
  other, are the tensors of the whole net.
- A convolution in groups that P divides reads what its own process made. One that reads all maps,
  and a fully connected layer, reads the others' as well: that is the crossing, 2012's transfer
  layer. In AlexNet these are conv3, fc6, fc7 and fc8.
- Norms, pools and activations work on the own maps. A response norm whose window reaches into the
  maps of another column gets those first.
- The logits are collected, so that each process has all of them. A last layer whose kernels cannot
  be cut evenly, as fc8 of three classes, is computed whole by every process.

A crossing starts as soon as its input is there. While it is under way the layer works on the own
part; in the backward pass the gradients of the others' parts leave first, and that of the weights
is computed while they travel.

Source: Krizhevsky 2012, section 3.5 and figure 2; his notes of 2012 for several cards.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.padding import PadToStride
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets.chain import Chain, Multipliers
from alexnet.parallel.collectives import Circle, collect, gather, start_gather, start_sum
from alexnet.parallel.dropout import Rows, SharedDropout

EACH_MAP = (
    *(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Identity, nn.Flatten, nn.ZeroPad2d),
    *(nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, PadToStride, WithinChannelNorm),
)
"""Layers without weights that treat each map alone, and so do the same to a part of the maps."""


class Columns(Chain):
    """This process's column of a net; its children have the names of the net's.

    Raises:  ValueError if the net's layers form no chain, or one cannot be cut into so many parts.
    """

    def __init__(self, net: Chain, circle: Circle, rows: Rows) -> None:
        super().__init__()
        if net.branches:
            raise ValueError(
                "columns need a net whose layers form a chain, and this one's branch; train it "
                "without --columns: every net runs as replicas"
            )
        self.classes, self.input_size, self.circle = net.classes, net.input_size, circle
        whole = True  # whether each process has all maps: before the first layer with weights
        steps = list(net.steps())
        for number, (name, layer) in enumerate(steps):
            if stays_whole(steps, number, circle):
                assert isinstance(layer, nn.Linear)
                self.add_module(name, WholeLayer(layer, circle))
                continue
            try:
                self.add_module(name, part_of(layer, circle, rows, reads_all=whole))
            except ValueError as error:
                raise ValueError(f"{name} cannot run in {circle.size} columns: {error}") from None
            whole = whole and not isinstance(layer, nn.Conv2d | nn.Linear)
        self._multipliers = net.multipliers()
        if not any(isinstance(layer, WholeLayer) for layer in self.children()):
            self.add_module("collected", Collected(circle))

    def multipliers(self) -> dict[str, Multipliers]:
        """Return what the whole net's source says of single parameters' rates."""
        return self._multipliers

    @property
    def cut_names(self) -> frozenset[str]:
        """Return the names of the parameters of which this process holds a part."""
        return names_of(self.named_children())


def names_of(layers: Iterable[tuple[str, nn.Module]]) -> frozenset[str]:
    """Return the names of the parameters of the layers that are cut."""
    return frozenset(
        f"{name}.{parameter}"
        for name, layer in layers
        if not isinstance(layer, WholeLayer)
        for parameter, _ in layer.named_parameters()
    )


def stays_whole(steps: Sequence[tuple[str, nn.Module]], number: int, circle: Circle) -> bool:
    """Return whether a layer is the last with weights, fully connected, and cannot be cut evenly.

    Where it is the only one, there is nothing before it to collect.
    """
    layer = steps[number][1]
    weighted = [each for _, each in steps if isinstance(each, nn.Conv2d | nn.Linear)]
    return (
        isinstance(layer, nn.Linear)
        and layer is weighted[-1]
        and len(weighted) > 1
        and layer.out_features % circle.size > 0
    )


def whole_tensor(part: Tensor, circle: Circle) -> Tensor:
    """Return a tensor of the whole net from those of the columns."""
    return torch.cat(start_gather(part, circle).wait())


class _Geometry(NamedTuple):
    """How a convolution moves; None stands for a fully connected layer."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


class _Crossing(nn.Module):
    """A convolution or fully connected layer that reads the maps of all columns.

    y = w[:, own] * own + sum over the others of w[:, theirs] * theirs + bias
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, circle: Circle) -> None:
        super().__init__()
        self.weight, self.bias = _own_parameters(layer, circle)
        self._circle, self._flattens = circle, isinstance(layer, InnerProduct)
        self._geometry = None
        if isinstance(layer, nn.Conv2d):
            assert not isinstance(layer.padding, str)
            self._geometry = _Geometry(layer.stride, layer.padding, layer.dilation)

    def forward(self, x: Tensor) -> Tensor:
        """Return this column's maps of the layer."""
        x = x.flatten(1) if self._flattens else x
        y: Tensor = _Cross.apply(  # type: ignore[no-untyped-call]
            x, self.weight, self.bias, self._circle, self._geometry
        )
        return y


class _Cross(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        circle: Circle,
        geometry: _Geometry | None,
    ) -> Tensor:
        ctx.circle, ctx.geometry, ctx.biases = circle, geometry, bias is not None
        coming = start_gather(x, circle)
        weights = weight.chunk(circle.size, 1)
        y = _apply(x, weights[circle.rank], bias, geometry)
        parts = coming.wait()
        parts[circle.rank] = x
        for rank, (part, own) in enumerate(zip(parts, weights, strict=True)):
            if rank != circle.rank:
                y += _apply(part, own, None, geometry)
        ctx.save_for_backward(weight, *parts)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        weight, *parts = ctx.saved_tensors
        circle: Circle = ctx.circle
        pairs = list(zip(parts, weight.chunk(circle.size, 1), strict=True))
        leaving = None
        if ctx.needs_input_grad[0]:
            inputs = [_gradient(dy, part, own, ctx.geometry, wanted=0) for part, own in pairs]
            leaving = start_sum(inputs, circle)
        dw = torch.cat([_gradient(dy, part, own, ctx.geometry, wanted=1) for part, own in pairs], 1)
        db = dy.sum([0, *range(2, dy.dim())]) if ctx.biases else None
        dx = leaving.wait()[0] if leaving is not None else None
        return dx, dw, db, None, None


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry | None) -> Tensor:
    if geometry is None:
        return F.linear(x, weight, bias)
    stride, padding, dilation = geometry
    return F.conv2d(x, weight, bias, stride, padding, dilation)


def _gradient(
    dy: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry | None, *, wanted: int
) -> Tensor:
    """Return the gradient of x (wanted 0) or of the weight (wanted 1)."""
    if geometry is None:
        return dy @ weight if wanted == 0 else dy.T @ x
    stride, padding, dilation = geometry
    gradients = torch.ops.aten.convolution_backward(
        *(dy, x, weight, None, stride, padding, dilation, False, [0, 0], 1),
        [wanted == 0, wanted == 1, False],
    )
    gradient: Tensor = gradients[wanted]
    return gradient


class _CrossingNorm(nn.Module):
    """A response norm whose windows reach into other columns."""

    def __init__(self, norm: LocalResponseNorm, circle: Circle) -> None:
        super().__init__()
        self._norm, self._circle = (norm,), circle

    def forward(self, x: Tensor) -> Tensor:
        """Return this column's maps of the norm."""
        return self._circle.own(self._norm[0](gather(x, self._circle, 1)), 1)


class Collected(nn.Module):
    """The logits of all columns."""

    def __init__(self, circle: Circle) -> None:
        super().__init__()
        self._circle = circle

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all classes; from here on each process computes the same."""
        return collect(x, self._circle, 1)


class WholeLayer(nn.Module):
    """A last layer that every process computes alike, from the maps of all columns."""

    def __init__(self, layer: nn.Linear, circle: Circle) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self._circle = circle

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of all classes; from here on each process computes the same."""
        return F.linear(collect(x.flatten(1), self._circle, 1), self.weight, self.bias)


def part_of(layer: nn.Module, circle: Circle, rows: Rows, *, reads_all: bool) -> nn.Module:
    """Return a column's part of a layer.

    Raises: ValueError for a layer that has none.
    """
    if isinstance(layer, Dropout):
        return SharedDropout(layer, rows, circle)
    if isinstance(layer, LocalResponseNorm):
        return _part_of_norm(layer, circle)
    if isinstance(layer, nn.Conv2d | nn.Linear):
        inside = isinstance(layer, nn.Conv2d) and layer.groups > 1
        if inside or reads_all:
            return _own_kernels(layer, circle, reads_all=reads_all)
        if isinstance(layer, InnerProduct) and layer.axis != 1:
            raise ValueError(f"it takes axes from {layer.axis} on as one; only 1 can be cut")
        return _Crossing(layer, circle)
    if type(layer) in EACH_MAP:
        return layer
    raise ValueError(f"{type(layer).__name__} is not known to work on a part of the maps")


def _part_of_norm(norm: LocalResponseNorm, circle: Circle) -> nn.Module:
    if norm.columns % circle.size:
        return _CrossingNorm(norm, circle)
    return LocalResponseNorm(
        window=norm.window,
        bias=norm.bias,
        alpha=norm.alpha,
        beta=norm.beta,
        convention=norm.convention,
        columns=norm.columns // circle.size,
    )


def _own_kernels(layer: nn.Conv2d | nn.Linear, circle: Circle, *, reads_all: bool) -> nn.Module:
    """Return the layer with the kernels of this column, which reads what is here already."""
    weight, bias = _own_parameters(layer, circle)
    own: nn.Conv2d | nn.Linear
    if isinstance(layer, InnerProduct):
        own = InnerProduct(layer.in_features, len(weight), axis=layer.axis)
    elif isinstance(layer, nn.Linear):
        own = nn.Linear(layer.in_features, len(weight), device="meta")
    else:
        groups = layer.groups
        if groups > 1 and (reads_all or groups % circle.size):
            raise ValueError(f"it has {groups} groups, which {circle.size} columns must divide")
        parts = circle.size if groups > 1 else 1
        assert not isinstance(layer.padding, str)
        own = nn.Conv2d(
            *(
                layer.in_channels // parts,
                len(weight),
                (layer.kernel_size[0], layer.kernel_size[1]),
            ),
            stride=(layer.stride[0], layer.stride[1]),
            padding=(layer.padding[0], layer.padding[1]),
            dilation=(layer.dilation[0], layer.dilation[1]),
            groups=groups // parts,
            device="meta",
        )
    own.weight = weight
    own.register_parameter("bias", bias)
    return own


def _own_parameters(
    layer: nn.Conv2d | nn.Linear, circle: Circle
) -> tuple[nn.Parameter, nn.Parameter | None]:
    tensors = (layer.weight, layer.bias)
    own = [None if each is None else circle.own(each.detach(), 0).clone() for each in tensors]
    weight, bias = (None if each is None else nn.Parameter(each) for each in own)
    assert weight is not None
    return weight, bias
