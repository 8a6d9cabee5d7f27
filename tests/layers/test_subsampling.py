"""Subsampling and the scaled tanh against numpy, and their gradients."""

import numpy as np
import pytest
import torch

from alexnet.layers.subsampling import ScaledTanh, Subsampling
from tests.oracles import lenet as oracle


def layer(channels: int) -> Subsampling:
    torch.manual_seed(0)
    found = Subsampling(channels).double()
    torch.nn.init.normal_(found.weight)
    torch.nn.init.normal_(found.bias)
    return found


@pytest.mark.parametrize(("height", "width"), [(4, 4), (7, 5), (2, 9)])
def test_a_map_is_its_coefficient_times_the_sums_plus_its_bias(height: int, width: int) -> None:
    own = layer(3)
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    weight, bias = own.weight.detach().numpy(), own.bias.detach().numpy()
    for given in (x, x.transpose(2, 3).contiguous().transpose(2, 3)):
        found = own(given).detach().numpy()
        np.testing.assert_allclose(found, oracle.subsample(x.numpy(), weight, bias), rtol=1e-12)


def test_a_new_layer_takes_the_mean() -> None:
    x = torch.randn(1, 2, 4, 6)
    expected = x.reshape(1, 2, 2, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(Subsampling(2)(x).detach(), expected)


def test_subsampling_passes_gradcheck_at_an_odd_size() -> None:
    own = layer(2)
    x = torch.randn(2, 2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w, b: torch.func.functional_call(own, {"weight": w, "bias": b}, (x,)),
        (x, own.weight, own.bias),
    )


def test_the_scaled_tanh_is_the_papers_and_maps_one_to_one() -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    np.testing.assert_allclose(ScaledTanh()(x).numpy(), oracle.squash(x.numpy()), rtol=1e-14)
    ends = ScaledTanh()(torch.tensor([-1.0, 1.0], dtype=torch.float64))
    np.testing.assert_allclose(ends.numpy(), [-1, 1], atol=1e-4)  # appendix A: f(1) = 1
    assert torch.autograd.gradcheck(ScaledTanh(), (x.requires_grad_(),))
