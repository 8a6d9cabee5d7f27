"""Pools in ONNX Runtime beside torch's, for sizes where their roundings part."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.export.onnx_graph import Graph, Value
from alexnet.export.onnx_layers import write
from tests.export.sessions import run_layer

SIZES = [(side, size, step) for side in (5, 6, 7, 8) for size in (2, 3) for step in (1, 2, 3)]


def noise(*shape: int) -> Tensor:
    # Below zero, so that a pool that counted padding as zeros would be found.
    return -torch.rand(shape, generator=torch.Generator().manual_seed(5)) - 1


@pytest.mark.parametrize(("ceil", "padding"), list(itertools.product((False, True), (0, 1))))
def test_pools_have_the_windows_of_torch(ceil: bool, padding: int) -> None:
    for side, size, step in SIZES:
        x = noise(2, 3, side, side + 1)
        for layer in (
            nn.MaxPool2d(size, step, padding, ceil_mode=ceil),
            nn.AvgPool2d(size, step, padding, ceil_mode=ceil),
            nn.AvgPool2d(size, step, padding, ceil_mode=ceil, count_include_pad=False),
        ):
            wanted = layer(x).numpy()
            np.testing.assert_allclose(run_layer(write, layer, x), wanted, rtol=1e-5)


@pytest.mark.parametrize("wanted", [1, (2, 3), (6, 8), (4, 5), 3])
def test_maps_are_averaged_to_any_size(wanted: int | tuple[int, int]) -> None:
    layer, x = nn.AdaptiveAvgPool2d(wanted), noise(2, 3, 6, 8)
    np.testing.assert_allclose(run_layer(write, layer, x), layer(x).numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.MaxPool2d(2, dilation=2), "layer pool spreads its windows"),
        (nn.AvgPool2d(2, divisor_override=3), "layer pool divides by a number of its own"),
    ],
)
def test_a_pool_without_a_form_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(Graph(), "pool", layer, [Value("x", (1, 6, 6))])
