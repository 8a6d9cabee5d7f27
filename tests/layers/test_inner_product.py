"""The fully connected layer over several axes, against the sum in numpy."""

import numpy as np
import pytest
import torch

from alexnet.layers.inner_product import InnerProduct


def layer(inputs: int, axis: int, *, bias: bool = True) -> InnerProduct:
    made = InnerProduct(inputs, 4, axis=axis, bias=bias).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return made


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_all_axes_from_one_on_are_multiplied_in_their_order(
    axis: int, channels_last: bool, bias: bool
) -> None:
    x = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    inputs = int(np.prod(x.shape[axis:]))
    it = layer(inputs, axis, bias=bias)
    wanted = x.numpy().reshape(*x.shape[:axis], inputs) @ it.weight.detach().numpy().T
    if bias:
        wanted = wanted + it.bias.detach().numpy()
    given = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    np.testing.assert_allclose(it(given).detach(), wanted, rtol=1e-12)


def test_gradients_are_those_of_small_steps() -> None:
    it = layer(3 * 5 * 3, 1)
    x = torch.randn(2, 3, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    wide = x.transpose(2, 3).contiguous().transpose(2, 3).requires_grad_()  # not contiguous
    assert torch.autograd.gradcheck(it, (wide,))


def test_it_says_from_which_axis_on_it_multiplies() -> None:
    assert repr(layer(6, 2)) == "InnerProduct(in_features=6, out_features=4, bias=True, axis=2)"
