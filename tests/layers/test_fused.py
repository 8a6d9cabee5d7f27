"""Layers run together against the same layers run one by one."""

import pytest
import torch
from torch import Tensor, nn

from alexnet.layers.fused import fuse, members
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets import ALEXNETS

NORM = LocalResponseNorm(alpha=0.1)


def draw(*shape: int) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    return x.contiguous(memory_format=torch.channels_last)


def run(layers: list[nn.Module], x: Tensor) -> tuple[Tensor, int]:
    """Return what the fused layers give and how many calls they became."""
    steps = list(fuse(layers))
    for step in steps:
        x = step(x)
    return x, len(steps)


@pytest.mark.parametrize(
    ("layers", "calls"),
    [
        ([nn.ReLU(), NORM, nn.MaxPool2d(3, 2)], 1),  # the paper
        ([NORM, nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU()], 1),  # the program of 2012
        ([nn.ReLU(), nn.MaxPool2d(3, 2), NORM], 2),  # CaffeNet
        ([NORM, nn.ReLU(), nn.MaxPool2d(3, 2)], 1),  # the rebuilds for Keras
        ([nn.ReLU(), NORM, WithinChannelNorm(), nn.MaxPool2d(3, 2), nn.ReLU()], 3),
        ([nn.ReLU(), nn.MaxPool2d((3, 3), (2, 2), (1, 1)), nn.ReLU()], 1),
        ([nn.ReLU(), nn.ReLU(), NORM], 2),
        ([NORM, nn.ReLU()], 2),
        ([nn.ReLU(), nn.MaxPool2d((3, 2))], 2),  # no kernel for windows that are not square
        ([nn.ReLU(), nn.MaxPool2d(2, dilation=2)], 2),
        ([nn.Tanh(), nn.MaxPool2d(2)], 2),
        ([nn.ReLU()], 1),
        ([], 0),
    ],
)
def test_fused_layers_give_the_numbers_of_single_layers(
    layers: list[nn.Module], calls: int
) -> None:
    x = draw(2, 12, 9, 9).requires_grad_()
    y, count = run(layers, x)
    assert count == calls
    expected = nn.Sequential(*layers)(x)
    torch.testing.assert_close(y, expected)
    dy = draw(*y.shape)
    (dx,) = torch.autograd.grad(y, x, dy)
    (expected_dx,) = torch.autograd.grad(expected, x, dy)
    torch.testing.assert_close(dx, expected_dx)


def test_a_layer_with_a_hook_stays_alone_and_its_hook_is_called() -> None:
    seen: list[tuple[int, ...]] = []
    norm = LocalResponseNorm(alpha=0.1)
    norm.register_forward_hook(lambda _, __, y: seen.append(tuple(y.shape)))
    layers = [nn.ReLU(), norm, nn.MaxPool2d(3, 2)]
    y, count = run(layers, draw(2, 12, 9, 9))
    assert (count, seen) == (3, [(2, 12, 9, 9)])
    torch.testing.assert_close(y, run([nn.ReLU(), NORM, nn.MaxPool2d(3, 2)], draw(2, 12, 9, 9))[0])


def test_channels_that_do_not_fall_into_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="5 channels do not fall into 2 columns"):
        run([LocalResponseNorm(columns=2), nn.MaxPool2d(3, 2)], draw(1, 5, 7, 7))


@pytest.mark.parametrize("name", ALEXNETS)
def test_every_layer_belongs_to_one_call(name: str) -> None:
    net = ALEXNETS[name].build(classes=3, input_size=ALEXNETS[name].smallest_input())
    assert [layer for step in fuse(net.children()) for layer in members(step)] == [*net.children()]


@pytest.mark.parametrize("name", ALEXNETS)
def test_every_net_equals_its_layers_one_by_one(name: str) -> None:
    variant = ALEXNETS[name]
    net = variant.build(classes=3, input_size=variant.smallest_input()).eval()
    net.init_weights(torch.Generator().manual_seed(0))
    x = 50 * draw(2, 3, net.input_size, net.input_size)
    expected = x
    for layer in net.children():
        expected = layer(expected)
    # float32; the norms of two forms differ by 1e-7, and eight layers follow
    torch.testing.assert_close(net(x), expected, rtol=1e-5, atol=1e-5)
