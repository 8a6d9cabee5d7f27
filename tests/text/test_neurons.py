"""Layers that work on each element give what the original gives."""

import pytest
import torch
from torch import nn

from alexnet.layers.dropout import Dropout
from alexnet.text.neurons import KINDS
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check
from tests.text.single_layer import draw, make

CASES = read_cases("neurons")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('type: "ReLU"', nn.ReLU()),
        ('type: "ReLU" relu_param { negative_slope: 0.5 }', nn.LeakyReLU(0.5)),
        ('type: "ELU"', nn.ELU(1.0)),
        ('type: "Sigmoid"', nn.Sigmoid()),
        ('type: "TanH"', nn.Tanh()),
        ('type: "Swish"', nn.SiLU()),
        ('type: "Dropout" dropout_param { dropout_ratio: 0.25 }', Dropout(0.25, scaled="training")),
    ],
)
def test_a_known_module_is_built_where_there_is_one(text: str, wanted: nn.Module) -> None:
    assert repr(make(KINDS, text, [(2, 3)])) == repr(wanted)


@pytest.mark.parametrize(
    "text",
    [
        'type: "PReLU"',
        'type: "AbsVal"',
        'type: "Power" power_param { power: 3 scale: 2 shift: 0.5 }',
        'type: "Exp" exp_param { base: 2 scale: 0.5 shift: 0.25 }',
        'type: "BNLL"',
        'type: "Clip" clip_param { min: -0.5 max: 0.5 }',
        'type: "Swish" swish_param { beta: 0.7 }',
    ],
)
def test_gradients_are_the_slopes(text: str) -> None:
    assert torch.autograd.gradcheck(make(KINDS, text, [(2, 3, 4)]), (draw(2, 3, 4),))


def test_gradients_of_logarithms_are_the_slopes() -> None:
    module = make(KINDS, 'type: "Log" log_param { base: 3 scale: 2 shift: 1 }', [(7,)])
    x = draw(7).detach().abs().requires_grad_()
    assert torch.autograd.gradcheck(module, (x,))


def test_dropout_scales_in_training_and_does_nothing_in_evaluation() -> None:
    module = make(KINDS, 'type: "Dropout" dropout_param { dropout_ratio: 0.75 }', [(100, 100)])
    torch.manual_seed(1)
    y = module.train()(torch.ones(100, 100))
    assert set(y.unique().tolist()) == {0.0, 4.0}
    assert abs(float((y > 0).float().mean()) - 0.25) < 5 * (0.25 * 0.75 / y.numel()) ** 0.5
    x = draw(3, 4)
    assert torch.equal(module.eval()(x), x)
