"""Partial connections against numpy, their gradients, and tables that cannot be."""

import re

import numpy as np
import pytest
import torch

from alexnet.layers.partial_convolution import PartialConvolution
from tests.oracles.alexnet import convolve

TABLE = ((0, 2), (1,), (0, 1, 2), (2,))


def layer() -> PartialConvolution:
    torch.manual_seed(0)
    found = PartialConvolution(TABLE, 3, 3).double()
    torch.nn.init.normal_(found.weight)
    torch.nn.init.normal_(found.bias)
    return found


@pytest.mark.parametrize(("height", "width"), [(3, 3), (5, 8)])
def test_each_map_adds_up_the_maps_of_its_row_of_the_table(height: int, width: int) -> None:
    own = layer()
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    weight, bias = own.weight.detach().numpy(), own.bias.detach().numpy()
    number = 0
    for kernel, inputs in enumerate(TABLE):
        expected = np.full((2, height - 2, width - 2), bias[kernel])
        for c in inputs:
            maps = x[:, c : c + 1].numpy()
            expected += convolve(maps, weight[number][None, None], np.zeros(1))[:, 0]
            number += 1
        for given in (x, x.contiguous(memory_format=torch.channels_last)):
            found = own(given)[:, kernel].detach().numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_weights_stand_only_where_there_is_a_connection() -> None:
    own = layer()
    assert tuple(own.weight.shape) == (7, 3, 3)
    dense = own.dense_weight().detach()
    connected = torch.zeros(4, 3, dtype=torch.bool)
    for kernel, inputs in enumerate(TABLE):
        connected[kernel, list(inputs)] = True
    assert torch.equal(dense.abs().amax((2, 3)) > 0, connected)
    assert torch.equal(dense[connected], own.weight.detach())


def test_partial_connections_pass_gradcheck() -> None:
    own = layer()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w, b: torch.func.functional_call(own, {"weight": w, "bias": b}, (x,)),
        (x, own.weight, own.bias),
    )


@pytest.mark.parametrize("inputs", [(), (0, 0), (3,), (-1,)])
def test_a_table_that_cannot_be_is_refused(inputs: tuple[int, ...]) -> None:
    message = f"map 1 reads the maps {inputs}; name each at most once, at least one, from 0 to 2"
    with pytest.raises(ValueError, match=re.escape(message)):
        PartialConvolution(((0,), inputs), 3, 3)
