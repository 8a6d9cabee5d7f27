"""A net in numbers: sizes, parameters, multiply-adds and receptive field of every layer.

Nothing is computed on pictures: the net runs once on meta tensors, which have shapes but no data.
"""

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.layers.dropout import Dropout
from alexnet.layers.padding import PadToStride
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets import find

FLOAT_BYTES = 4
TYPES: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    nn.Linear: "fully connected",
    nn.MaxPool2d: "max pooling",
    nn.AdaptiveAvgPool2d: "average pooling",
    nn.ReLU: "ReLU",
    nn.Tanh: "tanh",
    nn.Flatten: "flatten",
    nn.ZeroPad2d: "zero padding",
    PadToStride: "zero padding",
    LocalResponseNorm: "response norm",
    WithinChannelNorm: "spatial norm",
    Dropout: "dropout",
}


@dataclass(frozen=True)
class LayerFigures:
    """One layer, for one picture."""

    name: str
    type: str
    output: tuple[int, ...]
    """Shape without the batch: (C, H, W) or (C,)."""
    parameters: int
    neurons: int
    """Outputs of a layer with weights; 0 for all others, as the paper counts."""
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
    input_size: int
    classes: int
    layers: tuple[LayerFigures, ...]
    published: tuple[int, int, int] | None
    """Published (parameters, neurons, multiply-adds), where they hold for this size."""
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
        counted = tuple(self.totals[key] for key in ("parameters", "neurons", "multiply_adds"))
        if counted == self.published:
            return "equal to the published parameters, neurons and multiply-adds"
        return f"NOT equal to the published figures {self.published}: counted {counted}"

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values for `--json`."""
        return {
            "net": self.net,
            "source": self.source,
            "input_size": self.input_size,
            "classes": self.classes,
            "layers": [asdict(layer) for layer in self.layers],
            "totals": self.totals,
            "check": self.check,
            "notes": list(self.notes),
        }


def summarise(name: str, *, classes: int = 1000, input_size: int | None = None) -> Summary:
    """Count the net called `name`.

        multiply_adds(conv) = positions * K * K * C_in / groups * C_out
        receptive(layer)    = receptive(below) + (K - 1) * product of the strides below

    Raises:  ValueError if there is no such net, or it does not fit the sizes asked for.
    """
    variant = find(name)
    with torch.device("meta"):
        net = variant.build(classes=classes, input_size=input_size)
        rows = _figures(net, torch.empty(1, 3, net.input_size, net.input_size))
    as_published = classes == 1000 and net.input_size == variant.input_size
    return Summary(
        net=name,
        source=variant.source,
        input_size=net.input_size,
        classes=classes,
        layers=tuple(rows),
        published=variant.published if as_published else None,
        notes=variant.notes,
    )


def _figures(net: nn.Module, x: Tensor) -> list[LayerFigures]:
    rows = []
    field, stride_below = Fraction(1), Fraction(1)
    for name, layer in net.named_children():
        inputs, x = x, layer(x)
        kernel, stride = _extent(layer, inputs)
        field += (kernel - 1) * stride_below
        stride_below *= stride
        parameters = sum(p.numel() for p in layer.parameters())
        rows.append(
            LayerFigures(
                name=name,
                type=TYPES[type(layer)],
                output=tuple(x.shape[1:]),
                parameters=parameters,
                neurons=x.numel() if parameters else 0,
                multiply_adds=_multiply_adds(layer, x),
                parameter_bytes=parameters * FLOAT_BYTES,
                activation_bytes=x.numel() * FLOAT_BYTES,
                receptive_field=int(field),
            )
        )
    return rows


def _extent(layer: nn.Module, x: Tensor) -> tuple[int, int | Fraction]:
    """Return the width that one output of this layer reads, and its stride."""
    match layer:
        case nn.Conv2d():
            return layer.kernel_size[0], layer.stride[0]
        case nn.MaxPool2d():
            return int(layer.kernel_size), int(layer.stride)  # type: ignore[arg-type]
        case WithinChannelNorm():
            return layer.window, 1
        case nn.AdaptiveAvgPool2d():
            side, outputs = x.shape[-1], int(layer.output_size)  # type: ignore[arg-type]
            # Window i runs from floor(i * side / outputs) to ceil((i + 1) * side / outputs).
            widest = max(
                -(-(i + 1) * side // outputs) - i * side // outputs for i in range(outputs)
            )
            return widest, Fraction(side - widest, max(outputs - 1, 1))  # all reach across `side`
        case nn.Flatten():  # the layer above reads every position
            return x.shape[-1], 1
    return 1, 1


def _multiply_adds(layer: nn.Module, y: Tensor) -> int:
    match layer:
        case nn.Conv2d():
            return layer.weight[0].numel() * y.numel()
        case nn.Linear():
            return layer.weight.numel()
    return 0
