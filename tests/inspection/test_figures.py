"""One layer in numbers: its products are counted by letting each of them be 1."""

import pytest
import torch
from torch import Tensor, nn

from alexnet.inspection.figures import Ledger, multiply_adds
from alexnet.inspection.reach import PICTURE
from alexnet.layers.inner_product import InnerProduct
from alexnet.text.recurrent import LSTMCell, RecurrentLayer, RNNCell
from alexnet.text.shaping import Join
from alexnet.text.vision import Convolution, ForEach, TransposedLinear, Windows


def products_of(layer: nn.Module, *inputs: Tensor) -> int:
    """Count the products of a layer whose inputs are all inside, by ones alone."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
        outputs = layer(*inputs)
    tensors = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    return int(sum(y.double().sum() for y in tensors))


SPATIAL = Windows((2, 1, 2, 2), (1, 1, 2, 1), (0, 0, 0, 0), (1, 1, 1, 2))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 3, 2, groups=2), (1, 4, 11)),
        (nn.Conv2d(4, 6, (3, 2), dilation=2), (1, 4, 9, 7)),
        (nn.Conv2d(6, 6, 3, groups=6), (1, 6, 5, 5)),
        (nn.Conv3d(2, 3, (2, 3, 1), (1, 2, 1)), (1, 2, 4, 7, 3)),
        (nn.ConvTranspose1d(4, 6, 3, 2, groups=2), (1, 4, 5)),
        (nn.ConvTranspose2d(4, 6, (4, 3), 2, groups=2, dilation=(1, 2)), (1, 4, 3, 5)),
        (nn.ConvTranspose3d(2, 3, (2, 1, 3), 2), (1, 2, 2, 3, 2)),
        (nn.Linear(5, 7), (1, 5)),
        (nn.Linear(5, 7), (1, 3, 2, 5)),
        (InnerProduct(30, 7), (1, 5, 3, 2)),
        (TransposedLinear(30, 7, axis=1, bias=True), (1, 5, 3, 2)),
        (TransposedLinear(6, 7, axis=2, bias=False), (1, 5, 3, 2)),
        (Convolution(4, 2, windows=SPATIAL, group=2, axis=1, bias=True), (1, 4, 3, 2, 5, 4)),
        (
            Convolution(5, 2, windows=Windows((), (), (), ()), group=1, axis=2, bias=False),
            (1, 3, 5),
        ),
        (nn.ReLU(), (1, 0)),
    ],
)
def test_multiply_adds_are_the_sum_of_outputs_where_all_factors_are_one(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.ones(shape)
    assert multiply_adds(layer, [x], [layer(x)]) == products_of(layer, x)


def test_a_layer_of_several_bottoms_counts_each_of_them() -> None:
    layer, xs = ForEach(nn.Conv2d(2, 3, 3)), [torch.ones(1, 2, 5, 4)] * 3
    assert multiply_adds(layer, xs, layer(*xs)) == products_of(layer, *xs) == 3 * 3 * 2 * 3 * 18


def test_products_with_a_pad_and_what_a_pad_cuts_off_are_counted() -> None:
    x = torch.ones(1, 2, 5, 5)
    for layer in (nn.Conv2d(2, 3, 3, padding=1), nn.ConvTranspose2d(2, 3, 3, padding=1)):
        assert multiply_adds(layer, [x], [layer(x)]) == 25 * 9 * 6


@pytest.mark.parametrize("cell", [RNNCell, LSTMCell])
def test_a_recurrent_layer_multiplies_in_each_step_but_once_for_the_static_input(
    cell: type[RNNCell] | type[LSTMCell],
) -> None:
    steps, streams, inputs, static, outputs = 5, 2, 3, 4, 6
    layer = RecurrentLayer(cell(inputs, static, outputs), static=True, exposed=False)
    x = torch.empty(steps, streams, inputs, device="meta")
    gates = outputs if cell is RNNCell else 4 * outputs
    per_step = gates * (inputs + outputs) + (outputs * outputs if cell is RNNCell else 0)
    wanted = streams * (steps * per_step + gates * static)
    assert multiply_adds(layer, [x], [x]) == wanted


def test_a_parameter_counts_where_it_is_met_first() -> None:
    ledger, layer, x = Ledger(), nn.Conv2d(2, 3, 3), torch.ones(1, 2, 5, 5)
    for name in ("one", "two"):
        ledger.enter(name, layer, inputs=[x], outputs=[layer(x)], reach=PICTURE)
    assert [row.parameters for row in ledger.rows] == [57, 0]
    assert [row.parameter_bytes for row in ledger.rows] == [228, 0]
    assert [row.neurons for row in ledger.rows] == [27, 27]


def test_a_layer_is_called_by_its_text_and_compared_by_what_it_computes() -> None:
    ledger, x = Ledger(), torch.ones(1, 2, 5, 5)
    joined = torch.ones(1, 4, 5, 5)
    for kind in ("Concat", ""):
        ledger.enter(kind, Join(1), inputs=[x, x], outputs=[joined], reach=PICTURE, kind=kind)
    assert [(row.type, row.operation) for row in ledger.rows] == [
        ("Concat", "concatenation"),
        ("concatenation", "concatenation"),
    ]
    ledger.enter("unknown", nn.Hardtanh(), inputs=[x], outputs=[x], reach=PICTURE, kind="Clip")
    assert (ledger.rows[-1].type, ledger.rows[-1].operation) == ("Clip", "Clip")
