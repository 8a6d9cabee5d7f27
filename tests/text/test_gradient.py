"""A value with the gradient of another expression."""

import torch

from alexnet.text.gradient import with_gradient


def test_the_value_is_one_expressions_and_the_gradient_anothers() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    y = with_gradient(x.square(), 5 * x)
    y.backward(torch.tensor([1.0, 10.0, 100.0]))
    assert y.tolist() == [1.0, 4.0, 9.0]
    assert x.grad is not None
    assert x.grad.tolist() == [5.0, 50.0, 500.0]


def test_without_gradients_the_value_is_left() -> None:
    with torch.no_grad():
        y = with_gradient(torch.tensor([2.0]), torch.tensor([7.0]))
    assert y.tolist() == [2.0]
    assert not y.requires_grad
