"""A net in numbers: sizes, parameters, multiply-adds and receptive field of every layer.

Nothing is computed on pictures: the net runs once on meta tensors, which have shapes but no data.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.merge import Add, Concat
from alexnet.layers.padding import PadToStride
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.radial import RadialBasis
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.layers.subsampling import SIDE, ScaledTanh, Subsampling
from alexnet.model import architecture
from alexnet.nets.chain import leaves

FLOAT_BYTES = 4
COUNTED = ("parameters", "neurons", "multiply_adds")
TYPES: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    PartialConvolution: "partial convolution",
    nn.Linear: "fully connected",
    InnerProduct: "fully connected",
    nn.MaxPool2d: "max pooling",
    nn.AvgPool2d: "average pooling",
    nn.AdaptiveAvgPool2d: "average pooling",
    nn.BatchNorm2d: "batch norm",
    nn.ReLU: "ReLU",
    nn.Tanh: "tanh",
    ScaledTanh: "tanh",
    Subsampling: "subsampling",
    RadialBasis: "radial basis",
    nn.Identity: "identity",
    nn.Flatten: "flatten",
    nn.ZeroPad2d: "zero padding",
    nn.Dropout: "dropout",
    Add: "addition",
    Concat: "concatenation",
    PadToStride: "zero padding",
    LocalResponseNorm: "response norm",
    WithinChannelNorm: "spatial norm",
    Dropout: "dropout",
}


@dataclass(frozen=True)
class LayerFigures:
    """One layer, for one picture."""

    name: str
    """The layer's name, with a dot behind each block that it is in."""
    type: str
    output: tuple[int, ...]
    """Shape without the batch: (C, H, W) or (C,)."""
    parameters: int
    neurons: int
    """Outputs of a layer with multiply-adds; 0 for all others, as the paper counts."""
    multiply_adds: int
    """Products of a weight and an activation; biases, norms and pools are not counted."""
    parameter_bytes: int
    activation_bytes: int
    """Bytes of the output, float32."""
    receptive_field: int
    """Width in input pixels of what one output sees; it may reach past the picture."""


@dataclass(frozen=True)
class Summary:
    """All layers of a net and their sums."""

    net: str
    source: str
    channels: int
    """Colours of the input."""
    input_size: int
    classes: int
    layers: tuple[LayerFigures, ...]
    """In the order in which they run; a layer that runs twice stands there twice."""
    published: tuple[int | None, int | None, int | None] | None
    """Published (parameters, neurons, multiply-adds), where they hold for this size; None for one
    that nobody published."""
    notes: tuple[str, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the layers."""
        return {
            "parameters": sum(layer.parameters for layer in self.layers),
            "neurons": sum(layer.neurons for layer in self.layers),
            "multiply_adds": sum(layer.multiply_adds for layer in self.layers),
            "parameter_bytes": sum(layer.parameter_bytes for layer in self.layers),
            "activation_bytes": sum(layer.activation_bytes for layer in self.layers),
        }

    @property
    def check(self) -> str:
        """What the comparison with the published figures found."""
        if self.published is None:
            return "no published figures for this number of classes and input size"
        counted = tuple(self.totals[key] for key in COUNTED)
        wanted = zip(COUNTED, counted, self.published, strict=True)
        known = [(key, ours == theirs) for key, ours, theirs in wanted if theirs is not None]
        if all(equal for _, equal in known):
            names = [key.replace("multiply_adds", "multiply-adds") for key, _ in known]
            *others, last = names
            return f"equal to the published {', '.join(others)}{' and ' * bool(others)}{last}"
        return f"NOT equal to the published figures {self.published}: counted {counted}"

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values for `--json`."""
        return {
            "net": self.net,
            "source": self.source,
            "channels": self.channels,
            "input_size": self.input_size,
            "classes": self.classes,
            "layers": [asdict(layer) for layer in self.layers],
            "totals": self.totals,
            "check": self.check,
            "notes": list(self.notes),
        }


def summarise(name: str, *, classes: int | None = None, input_size: int | None = None) -> Summary:
    """Count the net called `name`, with the classes and the input of its source if none are given.

        multiply_adds(conv) = positions * K * K * C_in / groups * C_out
        receptive(layer)    = receptive(below) + (K - 1) * product of the strides below

    Where branches meet, a layer sees what any of them sees.

    Raises:  ValueError if there is no such net, or it does not fit the sizes asked for.
    """
    found = architecture(name)
    classes = found.published_classes if classes is None else classes
    with torch.device("meta"):
        net = found.build(classes=classes, input_size=input_size)
        x = torch.empty(1, found.channels, net.input_size, net.input_size)
    as_published = classes == found.published_classes and net.input_size == found.input_size
    layers = layer_figures(net, x)
    beside = sum(p.numel() for p in net.parameters()) - sum(each.parameters for each in layers)
    training_only = f"{beside:,} more parameters serve training only and are not counted here."
    return Summary(
        net=name,
        source=found.source,
        channels=found.channels,
        input_size=net.input_size,
        classes=classes,
        layers=tuple(layers),
        published=found.published if as_published else None,
        notes=(*found.notes, training_only) if beside else found.notes,
    )


@torch.no_grad()
def layer_figures(net: nn.Module, x: Tensor) -> list[LayerFigures]:
    """Run a net on meta tensors, without dropout, and return its layers in the order they run.

    Shapes:  x (1, C, H, W) on the device `meta`, as the net's weights.
    """
    tracker = _Tracker(x)
    handles = [
        layer.register_forward_hook(
            lambda layer, inputs, output, name=name: tracker.see(name, layer, inputs, output)
        )
        for name, layer in leaves(net)
    ]
    was_training = net.training
    try:
        net.eval()(x)
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
    return tracker.rows


class _View(NamedTuple):
    """The input pixels that the outputs of a layer see, along one side."""

    first: Fraction
    """The first pixel that output 0 sees; it may lie before the picture."""
    last: Fraction
    """The last."""
    stride: Fraction
    """Pixels from one output to the next."""


class _Tracker:
    """Follows tensors through a net, from layer to layer."""

    def __init__(self, x: Tensor) -> None:
        self.rows: list[LayerFigures] = []
        self._views = {id(x): _View(Fraction(0), Fraction(0), Fraction(1))}
        self._latest = self._views[id(x)]
        self._alive = [x]  # an id is a tensor's as long as the tensor lives
        self._counted: set[int] = set()

    def see(self, name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Take in what a layer was given and what it returned."""
        given = list(_tensors(inputs))
        # What came about outside any layer, such as a reshaped tensor, sees what ran before it.
        views = [self._views.get(id(x), self._latest) for x in given] or [self._latest]
        merged = _View(
            min(view.first for view in views),
            max(view.last for view in views),
            max(view.stride for view in views),
        )
        view = _through(layer, given[0], merged) if given else merged
        outputs = list(_tensors(output))
        for y in outputs:
            self._views[id(y)] = view
        self._latest = view
        self._alive += outputs
        y = outputs[0]
        parameters = [p for p in layer.parameters() if id(p) not in self._counted]
        self._counted |= {id(p) for p in parameters}
        count = sum(p.numel() for p in parameters)
        products = _multiply_adds(layer, y)
        self.rows.append(
            LayerFigures(
                name=name,
                type=TYPES.get(type(layer), type(layer).__name__),
                output=tuple(y.shape[1:]),
                parameters=count,
                neurons=y.numel() if products else 0,
                multiply_adds=products,
                parameter_bytes=count * FLOAT_BYTES,
                activation_bytes=y.numel() * FLOAT_BYTES,
                receptive_field=int(view.last - view.first + 1),
            )
        )


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)


def _through(layer: nn.Module, x: Tensor, view: _View) -> _View:
    """Return what a layer's outputs see if its inputs see `view`."""
    kernel, stride, before = _extent(layer, x)
    first = view.first - before * view.stride
    return _View(
        first, first + view.last - view.first + (kernel - 1) * view.stride, view.stride * stride
    )


def _extent(layer: nn.Module, x: Tensor) -> tuple[int, int | Fraction, int]:
    """Return the width that one output reads, its stride, and how far before input 0 it begins."""
    match layer:
        case nn.Conv2d():
            width = (layer.kernel_size[-1] - 1) * layer.dilation[-1] + 1
            padding = layer._reversed_padding_repeated_twice[0]
            return width, layer.stride[-1], int(padding)
        case nn.MaxPool2d() | nn.AvgPool2d():
            return _last(layer.kernel_size), _last(layer.stride), _last(layer.padding)
        case PartialConvolution():
            return layer.size, 1, 0
        case Subsampling():
            return SIDE, SIDE, 0
        case nn.ZeroPad2d():
            return 1, 1, int(layer.padding[0])
        case WithinChannelNorm():
            return layer.window, 1, layer.window // 2
        case nn.AdaptiveAvgPool2d():
            side, outputs = x.shape[-1], int(_last(layer.output_size))
            # Window i runs from floor(i * side / outputs) to ceil((i + 1) * side / outputs).
            widest = max(
                -(-(i + 1) * side // outputs) - i * side // outputs for i in range(outputs)
            )
            return (
                widest,
                Fraction(side - widest, max(outputs - 1, 1)),
                0,
            )  # all reach across `side`
        case nn.Flatten() | InnerProduct():  # what is flat reads every position
            return x.shape[-1], 1, 0
    return 1, 1, 0


def _last(size: Any) -> int:
    return int(size[-1] if isinstance(size, tuple) else size)


def _multiply_adds(layer: nn.Module, y: Tensor) -> int:
    match layer:
        case nn.Conv2d():
            return layer.weight[0].numel() * y.numel()
        case nn.Linear():
            return layer.weight.numel() * (y.numel() // y.shape[-1])
        case PartialConvolution():
            return layer.weight.numel() * y[0, 0].numel()
        case Subsampling():
            return y.numel()
        case RadialBasis():
            return layer.codes.numel()
    return 0
