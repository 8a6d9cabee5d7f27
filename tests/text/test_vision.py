"""Convolution, Pooling and InnerProduct give what the original gives."""

import pytest
import torch
from torch import nn

from alexnet.layers.inner_product import InnerProduct
from alexnet.text.vision import KINDS, Convolution, ForEach, TransposedLinear
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check
from tests.text.single_layer import draw, make

CASES = [*read_cases("vision"), *read_cases("pooling")]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)


def _convolution(text: str, *shapes: tuple[int, ...]) -> nn.Module:
    text = f'type: "Convolution" convolution_param {{ {text} }}'
    return make(KINDS, text, shapes, tops=len(shapes))


@pytest.mark.parametrize(
    ("text", "shape", "wanted"),
    [
        (
            "num_output: 6 kernel_size: 3 stride: 2 pad: 1 group: 2",
            (1, 4, 7, 9),
            nn.Conv2d(4, 6, 3, 2, 1, groups=2),
        ),
        (
            "num_output: 6 kernel_size: 3 dilation: 2 bias_term: false",
            (1, 4, 7, 9),
            nn.Conv2d(4, 6, 3, dilation=2, bias=False),
        ),
        ("num_output: 6 kernel_size: 3", (1, 4, 7), nn.Conv1d(4, 6, 3)),
        ("num_output: 6 kernel_size: 3", (1, 4, 7, 7, 7), nn.Conv3d(4, 6, 3)),
    ],
)
def test_a_convolution_is_torchs_own_where_there_is_one(
    text: str, shape: tuple[int, ...], wanted: nn.Module
) -> None:
    assert repr(_convolution(text, shape)) == repr(wanted)


def test_a_fully_connected_layer_is_torchs_own_or_one_that_makes_its_input_flat() -> None:
    text = 'type: "InnerProduct" inner_product_param { num_output: 5 }'
    assert repr(make(KINDS, text, [(2, 3)])) == repr(nn.Linear(3, 5))
    deep = make(KINDS, text, [(2, 3, 2, 2)])
    assert repr(deep) == repr(InnerProduct(12, 5, axis=1))
    assert list(deep.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("num_output: 2 kernel_size: 2 stride: 2 pad: 1", (1, 2, 3, 2, 4, 3)),
        ("num_output: 4 kernel_size: 2 group: 2 dilation: 2", (1, 4, 3, 4, 3, 3)),
        ("num_output: 2 kernel_size: 3 axis: 2 pad: 1", (2, 2, 3, 4, 5)),
        ("num_output: 4 kernel_size: 1 group: 2", (3, 4)),
    ],
)
def test_gradients_of_convolutions_over_any_axes_are_the_slopes(
    text: str, shape: tuple[int, ...]
) -> None:
    module = _convolution(text, shape)
    assert isinstance(module, Convolution)
    own = list(module.parameters())

    def run(x: torch.Tensor, *blobs: torch.Tensor) -> torch.Tensor:
        names = dict(zip(("weight", "bias"), blobs, strict=True))
        y: torch.Tensor = torch.func.functional_call(module, names, (x,))
        return y

    assert torch.autograd.gradcheck(run, (draw(*shape), *own))


def test_a_convolution_over_four_axes_is_a_sum_of_ones_over_three() -> None:
    module = _convolution("num_output: 3 kernel_size: 2 pad: 1", (2, 2, 3, 4, 3, 5))
    x, (weight, bias) = draw(2, 2, 3, 4, 3, 5), module.parameters()
    y = module(x)
    for place in range(4):
        wanted = bias.view(3, 1, 1, 1).expand(2, 3, 5, 4, 6)
        for offset in range(2):
            if 0 <= place + offset - 1 < 3:
                row = x[:, :, place + offset - 1]
                part = torch.nn.functional.conv3d(row, weight[:, :, offset], padding=1)
                wanted = wanted + part
        torch.testing.assert_close(y[:, :, place], wanted, rtol=1e-12, atol=1e-12)


def test_several_bottoms_have_one_set_of_blobs() -> None:
    module = _convolution("num_output: 3 kernel_size: 2", (1, 2, 3, 3), (1, 2, 3, 3))
    assert isinstance(module, ForEach)
    assert [tuple(p.shape) for p in module.parameters()] == [(3, 2, 2, 2), (3,)]
    first, second = draw(1, 2, 3, 3), draw(1, 2, 3, 3, seed=1)
    ys = module(first, second)
    assert torch.equal(ys[1], module(second, first)[0])
    assert not torch.equal(ys[0], ys[1])


def test_transposed_weights_are_those_of_a_linear_layer_on_their_side() -> None:
    text = 'type: "InnerProduct" inner_product_param { num_output: 5 transpose: true }'
    module = make(KINDS, text, [(2, 3)])
    assert isinstance(module, TransposedLinear)
    linear = nn.Linear(3, 5, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(module.weight.t())
        linear.bias.copy_(module.bias if module.bias is not None else torch.zeros(5))
    x = draw(4, 3)
    torch.testing.assert_close(module(x), linear(x), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(module, (x,))


def test_layers_take_another_batch_and_other_pictures_than_they_were_built_for() -> None:
    module = _convolution("num_output: 3 kernel_size: 2 axis: 2", (2, 2, 3, 5))
    x = draw(4, 7, 3, 8)
    assert torch.equal(module(x)[1:2], module(x[1:2]))
    text = 'type: "InnerProduct" inner_product_param { num_output: 5 }'
    linear = make(KINDS, text, [(2, 3, 2)])
    y = draw(6, 3, 2)
    torch.testing.assert_close(linear(y)[4:], linear(y[4:]), rtol=1e-12, atol=1e-12)
