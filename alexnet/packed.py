"""A net for answers only: weights reordered once, layers fused, fewer bytes of weights.

What differs from the net: a convolution or a fully connected layer and the ReLU behind it are one
call; the test-time factor of dropout (Krizhevsky 2012, section 4.2) is a factor of the next layer's
weights; norms and pools run as `alexnet.layers.fused` runs them. On a CPU convolutions are oneDNN's
with weights in its own order; fully connected layers are `alexnet.native.linear`, whose weights
may also be bfloat16 or int8.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.layers.dropout import Dropout
from alexnet.layers.fused import fuse
from alexnet.layers.inner_product import InnerProduct
from alexnet.native.linear import linear, quantise
from alexnet.nets.chain import Chain

FullyConnected = Literal["same", "bf16", "int8"]
Step = Callable[[Tensor], Tensor]

FEW = 4  # pictures whose fully connected layers take the time of reading the weights
SAME_ANSWERS = 1e-5
"""The largest difference of logits, as a share of the largest logit, that float32 sums in another
order make; above it something else differs."""
CLOSE_ANSWERS = 0.1
"""The same for arithmetic or weights below float32, far above what their rounding makes."""


class PackedNet(nn.Module):
    """A net packed by `pack`: it answers as the net did, and never trains."""

    def __init__(self, steps: list[Step], dtype: torch.dtype) -> None:
        super().__init__()
        self.steps = steps
        self.dtype = dtype
        self.layers = nn.ModuleList(each for each in steps if isinstance(each, nn.Module))
        super().train(False)

    @property
    def weight_bytes(self) -> int:
        """The bytes of weights and biases, without the reordered copies of some."""
        return sum(each.nbytes for each in chain(self.parameters(), self.buffers()))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits; no gradients.

        Shapes:  x (N, C, H, W), any float -> (N, classes) float32.
        """
        with torch.inference_mode(), torch.autocast(x.device.type, enabled=False):
            x = x.to(self.dtype)
            if x.dim() == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            for step in self.steps:
                x = step(x)
            return x.float()

    def train(self, mode: bool = True) -> "PackedNet":
        """Stay in evaluation mode.

        Raises: ValueError if mode is True.
        """
        if mode:
            raise ValueError("a packed net only answers; train the net that it was packed from")
        return self


@torch.no_grad()
def pack(
    net: nn.Module, *, dtype: torch.dtype = torch.float32, fully_connected: FullyConnected = "same"
) -> PackedNet:
    """Return what the net does in evaluation mode as a module that answers faster.

    `net` is a Chain, or runs its children in order, as nn.Sequential does. The layers inside a
    block are packed one by one; those that are not known here run as they are, in float32 if they
    have weights. `dtype` is the type of weights and
    activations; `fully_connected` that of the weights of the fully connected layers, which then
    compute in float32. The net stays as it is. What needs no conversion is shared with it: float32
    weights cost no second copy, and a net that learns on has to be packed again.

    Raises: ValueError if fully_connected is int8 and a weight is not finite.
    """
    tensors = chain(net.parameters(), net.buffers())
    shared = {id(tensor): tensor for tensor in tensors}
    steps: Iterable[nn.Module] = net if isinstance(net, nn.Sequential) else net.children()
    if isinstance(net, Chain):
        steps = (layer for _, layer in net.steps())
    copies = [copy.deepcopy(each, shared).eval() for each in steps]
    layers = [_convert(each, dtype, fully_connected) for each in copies]
    return PackedNet(list(_join(fuse(layers))), dtype)


def pack_verified(
    net: nn.Module,
    x: Tensor,
    *,
    dtype: torch.dtype = torch.float32,
    fully_connected: FullyConnected = "same",
) -> nn.Module:
    """Return the packed net if it answers x as the net does in evaluation mode, else the net.

    As the net: within SAME_ANSWERS in float32, within CLOSE_ANSWERS below it.

    Shapes:  x (N, C, H, W) float32, a picture or a few.
    A net that is no chain stays as it is.

    Raises:  ValueError if fully_connected is not "same" and the answers differ by more, or are not
             finite, or the net is no chain.
    """
    if isinstance(net, Chain) and net.branches:
        if fully_connected != "same":
            raise ValueError(
                f"a net from a text with branches has no {fully_connected} weights; "
                'use the weights "same"'
            )
        return net.eval()
    packed = pack(net.eval(), dtype=dtype, fully_connected=fully_connected)
    with torch.inference_mode():
        wanted, given = net(x), packed(x)
    difference = float((wanted - given).abs().max() / wanted.abs().max())
    if fully_connected != "same" and not difference <= CLOSE_ANSWERS:
        raise ValueError(
            f"with {fully_connected} weights the answers of this net differ by {difference:.0%} "
            'of the largest; use the weights "same"'
        )
    exact = dtype == torch.float32 and fully_connected == "same"
    return packed if difference <= (SAME_ANSWERS if exact else CLOSE_ANSWERS) else net


def _convert(layer: nn.Module, dtype: torch.dtype, fully_connected: FullyConnected) -> nn.Module:
    """Return the layer's packed form, or a layer that is not known with its own arithmetic."""
    if type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
        return _Convolution(layer, dtype)
    if isinstance(layer, nn.Linear) and type(layer) in (nn.Linear, InnerProduct):
        return _FullyConnected(layer, dtype, fully_connected)
    if next(layer.children(), None) is not None:
        for name, inner in list(layer.named_children()):
            layer.add_module(name, _convert(inner, dtype, fully_connected))
        return layer
    return _InFloat32(layer, dtype) if next(layer.parameters(), None) is not None else layer


def _join(steps: Iterable[Step]) -> Iterator[Step]:
    """Make the ReLU behind a layer, and the factor of dropout before it, part of the layer."""
    keep = 1.0  # what dropout multiplies the next layer's input by
    remaining = list(steps)
    while remaining:
        step = remaining.pop(0)
        if isinstance(step, Dropout | nn.Dropout):
            if isinstance(step, Dropout) and step.scaled == "test":
                keep *= 1.0 - step.rate
            continue
        if keep != 1.0:
            if isinstance(step, _FullyConnected):
                step.scale *= keep
            else:
                yield _Multiply(keep)
            keep = 1.0
        if isinstance(step, _Convolution | _FullyConnected):
            step.relu = bool(remaining) and isinstance(remaining[0], nn.ReLU)
            del remaining[: int(step.relu)]
        yield step
    if keep != 1.0:
        yield _Multiply(keep)


class _Convolution(nn.Module):
    """A convolution and perhaps a ReLU.

    oneDNN wants its weights in another order for another size of pictures, and in a wrong one takes
    a hundred times as long; they are reordered when a size is first met.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype) -> None:
        super().__init__()
        weight = layer.weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        bias = None if layer.bias is None else layer.bias.detach().to(dtype)
        self.relu = False
        self.padding = layer.padding
        self.constants = (layer.stride, layer.dilation, layer.groups)
        self.reorders = isinstance(layer.padding, tuple) and _one_dnn_serves(weight)
        self.reordered: tuple[torch.Size, Tensor] | None = None
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.reorders or x.dim() != 4 or len(x) == 0:
            stride, dilation, groups = self.constants
            y = F.conv2d(x, self.weight, self.bias, stride, self.padding, dilation, groups)
            return y.relu_() if self.relu else y
        x = x.contiguous(memory_format=torch.channels_last)
        after = "relu" if self.relu else "none"
        run = torch.ops.mkldnn._convolution_pointwise
        weight = self._weight_for(x.shape[1:])
        z: Tensor = run(x, weight, self.bias, self.padding, *self.constants, after, [], "")
        return z

    def _weight_for(self, size: torch.Size) -> Tensor:
        if self.reordered is None or self.reordered[0] != size:
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            weight = reorder(self.weight, self.padding, *self.constants, [1, *size])
            self.reordered = size, weight
        return self.reordered[1]


class _FullyConnected(nn.Module):
    """A fully connected layer and perhaps a ReLU; `dtype` is that of the activations around it.

    More than a few pictures in bfloat16 take the matrix units where the processor has them; oneDNN
    wants a second copy of the weights for that, in an order that depends on the batch.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, dtype: torch.dtype, weights: FullyConnected) -> None:
        super().__init__()
        weight = layer.weight.detach()
        scale = torch.ones(len(weight), device=weight.device)
        if weights == "int8":
            weight, scale = quantise(weight)
        else:
            weight = weight.to(dtype if weights == "same" else torch.bfloat16).contiguous()
        bias = None if layer.bias is None else layer.bias.detach().float()
        self.relu = False
        self.flat_from = layer.axis if isinstance(layer, InnerProduct) else None
        self.dtype = dtype if weights == "same" else torch.float32
        self.reorders = self.dtype == torch.bfloat16 and _one_dnn_serves(weight)
        self.reordered: tuple[int, Tensor] | None = None
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.flat_from is not None:
            x = x.flatten(self.flat_from)
        rows = x.to(self.dtype).reshape(-1, x.shape[-1])
        if self.reorders and len(rows) > FEW:
            after = "relu" if self.relu else "none"
            bias = None if self.bias is None else self.bias.to(self.dtype)
            run = torch.ops.mkldnn._linear_pointwise
            y: Tensor = run(rows, self._weight_for(len(rows)), bias, after, [], "")
        else:
            y = linear(rows, self.weight, self.scale, self.bias, relu=self.relu)
        return y.view(*x.shape[:-1], -1)

    def _weight_for(self, batch: int) -> Tensor:
        if self.reordered is None or self.reordered[0] != batch:
            weight = (self.weight * self.scale[:, None]).to(self.dtype)
            self.reordered = batch, torch.ops.mkldnn._reorder_linear_weight(weight, batch)
        return self.reordered[1]


class _InFloat32(nn.Module):
    """A layer that is not known here, in its own arithmetic."""

    def __init__(self, layer: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = layer
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.float())
        return y.to(self.dtype)


class _Multiply:
    """What dropout scaled at test leaves where no fully connected layer follows."""

    def __init__(self, keep: float) -> None:
        self.keep = keep

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.keep


def _one_dnn_serves(weight: Tensor) -> bool:
    """Return whether oneDNN takes weights of this type on this machine, in an order of its own."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32
