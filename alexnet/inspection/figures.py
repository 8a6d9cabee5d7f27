"""One layer of a net in numbers: its size, what it computes and how often it multiplies."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from alexnet.convolution.swap import kind_of
from alexnet.inspection.reach import Reach
from alexnet.layers.dropout import Dropout
from alexnet.layers.inner_product import InnerProduct
from alexnet.layers.merge import Add, Concat
from alexnet.layers.padding import PadToStride
from alexnet.layers.partial_convolution import PartialConvolution
from alexnet.layers.radial import RadialBasis
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.layers.subsampling import ScaledTanh, Subsampling
from alexnet.text.norms import BatchNorm
from alexnet.text.pooling import AveragePooling, GlobalPooling, MaxPooling
from alexnet.text.recurrent import RecurrentLayer
from alexnet.text.shaping import Join
from alexnet.text.vision import Convolution, ForEach, TransposedLinear

FLOAT_BYTES = 4
TYPES: dict[type[nn.Module], str] = {
    nn.Conv2d: "convolution",
    PartialConvolution: "partial convolution",
    nn.ConvTranspose2d: "transposed convolution",
    nn.Linear: "fully connected",
    InnerProduct: "fully connected",
    TransposedLinear: "fully connected",
    nn.MaxPool2d: "max pooling",
    MaxPooling: "max pooling",
    GlobalPooling: "max pooling",
    nn.AvgPool2d: "average pooling",
    AveragePooling: "average pooling",
    nn.AdaptiveAvgPool2d: "average pooling",
    nn.BatchNorm2d: "batch norm",
    BatchNorm: "batch norm",
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
    Join: "concatenation",
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
    """What it is called: by the text, such as InnerProduct, for a net that is given as one."""
    operation: str
    """What it computes, in our words, by which nets of two sources are compared."""
    output: tuple[int, ...]
    """Shape without the batch: (C, H, W) or (C,)."""
    parameters: int
    neurons: int
    """Outputs of a layer with multiply-adds; 0 for all others, as the paper counts."""
    multiply_adds: int
    """Products of a weight and an activation; biases, norms, scales, pools and rows that are looked
    up in a table are not counted."""
    parameter_bytes: int
    activation_bytes: int
    """Bytes of the output, float32."""
    receptive_field: int
    """Width in input pixels of what one output sees, of the one that sees most; it may reach past
    the picture."""


class Ledger:
    """The rows of a net; a parameter counts where it is met first."""

    def __init__(self) -> None:
        self.rows: list[LayerFigures] = []
        self._counted: set[int] = set()

    def enter(
        self,
        name: str,
        layer: nn.Module,
        *,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        reach: Reach,
        kind: str = "",
    ) -> None:
        """Add the row of a layer that ran.

        `kind` is what a text calls it, and "" for a net of ours. A layer of several outputs is
        shown by the first.
        """
        parameters = [p for p in layer.parameters() if id(p) not in self._counted]
        self._counted |= {id(p) for p in parameters}
        count = sum(p.numel() for p in parameters)
        products = multiply_adds(layer, inputs, outputs)
        operation = TYPES.get(kind_of(layer), kind or type(layer).__name__)
        y = outputs[0]
        self.rows.append(
            LayerFigures(
                name=name,
                type=kind or operation,
                operation=operation,
                output=tuple(y.shape[1:]),
                parameters=count,
                neurons=sum(y.numel() for y in outputs) if products else 0,
                multiply_adds=products,
                parameter_bytes=count * FLOAT_BYTES,
                activation_bytes=sum(y.numel() for y in outputs) * FLOAT_BYTES,
                receptive_field=reach.width,
            )
        )


def multiply_adds(layer: nn.Module, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    """Return how many products of a weight and an activation a layer computes.

    Products with the zeros of a pad are counted, and so are those of a transposed convolution that
    its pad cuts off.
    """
    match layer:
        case ForEach():
            each = zip(inputs, outputs, strict=True)
            return sum(multiply_adds(layer.layer, [x], [y]) for x, y in each)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() | Convolution():
            return layer.weight[0].numel() * outputs[0].numel()
        case nn.ConvTranspose1d() | nn.ConvTranspose2d() | nn.ConvTranspose3d():
            return layer.weight[0].numel() * inputs[0].numel()
        case nn.Linear() | TransposedLinear():
            return layer.weight.numel() * (outputs[0].numel() // outputs[0].shape[-1])
        case PartialConvolution():
            return layer.weight.numel() * outputs[0][0, 0].numel()
        case Subsampling():
            return outputs[0].numel()
        case RadialBasis():
            return layer.codes.numel()
        case RecurrentLayer():
            return _recurrent(layer, inputs[0])
    return 0


def _recurrent(layer: RecurrentLayer, x: Tensor) -> int:
    """Count the products of all steps; those with the static input are the same in each."""
    steps, streams = x.shape[:2]
    matrices = [(n, w) for n, w in layer.cell.named_parameters() if w.dim() == 2]
    return streams * sum(
        w.numel() * (1 if name.endswith("static") else steps) for name, w in matrices
    )
