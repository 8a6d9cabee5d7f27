"""Eltwise, Concat, Slice and the layers that reshape give what the original gives."""

import pytest
import torch

from alexnet.text.shaping import KINDS
from tests.golden.layer_cases import Case, read_cases
from tests.text.golden_layers import check
from tests.text.single_layer import draw, make

CASES = read_cases("shaping")


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_layer_gives_what_the_original_gives(case: Case, channels_last: bool) -> None:
    check(case, KINDS, channels_last=channels_last)


@pytest.mark.parametrize(
    "text",
    [
        'type: "Eltwise" eltwise_param { coeff: 0.5 coeff: -2 coeff: 1 }',
        'type: "Eltwise" eltwise_param { operation: PROD }',
        'type: "Eltwise" eltwise_param { operation: MAX }',
        'type: "Concat"',
    ],
)
def test_gradients_of_merges_are_the_slopes(text: str) -> None:
    module = make(KINDS, text, [(2, 3, 4)] * 3)
    assert torch.autograd.gradcheck(module, tuple(draw(2, 3, 4, seed=i) for i in range(3)))


def test_equal_elements_give_their_gradient_to_one_bottom() -> None:
    module = make(KINDS, 'type: "Eltwise" eltwise_param { operation: MAX }', [(2,)] * 3)
    xs = [torch.tensor(values, requires_grad=True) for values in ([1.0, 2], [1.0, 1], [1.0, 2])]
    module(*xs).sum().backward()
    gradients = [x.grad.tolist() for x in xs if x.grad is not None]
    assert gradients == [[0, 1], [1, 0], [0, 0]]


def test_layers_take_another_batch_than_they_were_built_for() -> None:
    text = 'type: "Reshape" reshape_param { shape { dim: 0 dim: -1 dim: 2 } }'
    x = draw(5, 6, 3)
    assert torch.equal(make(KINDS, text, [(2, 6)])(x), x.reshape(5, 9, 2))
    text = 'type: "Slice" slice_param { slice_point: 1 }'
    parts = make(KINDS, text, [(2, 6)], tops=2)(x)
    assert torch.equal(parts[0], x[:, :1])
    assert torch.equal(parts[1], x[:, 1:])
    flat = make(KINDS, 'type: "Flatten" flatten_param { axis: 1 end_axis: 0 }', [(2, 6)])
    assert torch.equal(flat(x), x[:, None])


def test_a_blob_of_another_size_that_does_not_fit_is_refused_as_it_runs() -> None:
    text = 'type: "Reshape" reshape_param { shape { dim: 0 dim: 3 dim: 2 } }'
    module = make(KINDS, text, [(2, 6)])
    message = r"a blob \(5, 7\) of 35 elements does not fit the shape \(5, 3, 2\)"
    with pytest.raises(ValueError, match=message):
        module(draw(5, 7))
