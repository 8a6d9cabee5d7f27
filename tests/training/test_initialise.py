"""Weights normalised on a batch: what every layer puts out there, by numpy."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.layers.merge import Concat
from alexnet.nets.alexnet import LAYERS, AlexNet
from alexnet.nets.chain import Chain
from alexnet.training.initialise import LAST_DEVIATION, normalise_outputs, not_normalisable
from tests.blocks import block_net
from tests.conftest import TINY


def tiny() -> tuple[AlexNet, Tensor]:
    generator = torch.Generator().manual_seed(3)
    net = TINY.build(classes=5, input_size=83)
    net.init_weights(generator)
    return net, torch.randn(16, 3, 83, 83, generator=generator) * 40


@pytest.mark.parametrize("layer", LAYERS)
def test_every_output_has_mean_0_and_deviation_1_and_the_last_a_tenth(layer: str) -> None:
    net, x = tiny()
    normalise_outputs(net, x)
    with torch.no_grad():
        y = net.activations(x, [layer])[layer].double().numpy()
    outputs = np.moveaxis(y, 1, 0).reshape(y.shape[1], -1)
    expected = LAST_DEVIATION if layer == "fc8" else 1.0
    # float32 sums over 16 pictures and their positions
    np.testing.assert_allclose(outputs.mean(1), 0, atol=2e-4)
    np.testing.assert_allclose(outputs.std(1), expected, rtol=2e-4)


def test_each_kernel_is_scaled_and_not_turned() -> None:
    net, x = tiny()
    before = copy.deepcopy(net)
    normalise_outputs(net, x)
    for name in LAYERS:
        old = before.get_parameter(f"{name}.weight").detach().flatten(1).double().numpy()
        new = net.get_parameter(f"{name}.weight").detach().flatten(1).double().numpy()
        cosine = (old * new).sum(1) / np.linalg.norm(old, axis=1) / np.linalg.norm(new, axis=1)
        np.testing.assert_allclose(cosine, 1, atol=1e-6)


def test_two_layers_by_hand() -> None:
    first, last = nn.Linear(1, 1), nn.Linear(1, 1)
    net = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        first.weight.fill_(2.0)
        last.weight.fill_(-3.0)
    normalise_outputs(net, torch.tensor([[1.0], [2.0], [3.0]]))
    # 2x = 2, 4, 6: mean 4, deviation sqrt(8/3); so w = r = sqrt(3/2), b = -2r, outputs -r, 0, r,
    # after ReLU 0, 0, r. -3x = 0, 0, -3r: mean -r, deviation r sqrt(2) = sqrt(3); divided by .1
    # that is 10 sqrt(3).
    r, scale = np.sqrt(3 / 2), 10 * np.sqrt(3)
    found = [p.item() for p in net.parameters()]
    np.testing.assert_allclose(found, [r, -2 * r, -3 / scale, r / scale], rtol=1e-6)


def test_an_output_that_is_the_same_for_all_pictures_keeps_its_weights() -> None:
    first = nn.Linear(2, 2)
    net = nn.Sequential(first, nn.Linear(2, 2))
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 5.0]]))
    normalise_outputs(net, torch.tensor([[1.0, 7.0], [2.0, 7.0], [3.0, 7.0]]))
    r = np.sqrt(3 / 2)  # 1, 2, 3 have the deviation sqrt(2/3)
    np.testing.assert_allclose(first.weight.detach().numpy(), [[r, 0], [0, 5]], rtol=1e-6)
    np.testing.assert_allclose(first.bias.detach().numpy(), [-2 * r, -35], rtol=1e-6)
    assert all(bool(p.isfinite().all()) for p in net.parameters())


class Fork(nn.Module):
    """Two convolutions side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(3, 4, 1)
        self.concat = Concat()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.concat(self.left(x), self.right(x))
        return y


class ForkNet(Chain):
    """A fork and a fully connected layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fork, self.relu = Fork(), nn.ReLU()
        self.flatten, self.fc = nn.Flatten(), nn.Linear(6 * 25, 3)


def test_layers_in_blocks_are_normalised_too() -> None:
    torch.manual_seed(0)
    net, x = ForkNet(), torch.randn(16, 3, 5, 5) * 40
    normalise_outputs(net, x)
    seen = net.activations(x, ["fork.left", "fork.right", "fc"])
    for name, y in seen.items():
        outputs = np.moveaxis(y.detach().double().numpy(), 1, 0).reshape(y.shape[1], -1)
        np.testing.assert_allclose(outputs.mean(1), 0, atol=2e-4)
        expected = LAST_DEVIATION if name == "fc" else 1.0
        np.testing.assert_allclose(outputs.std(1), expected, rtol=2e-4)


def test_a_net_with_batch_norm_or_without_biases_is_refused() -> None:
    message = "and block.conv3x3 of this net is one without a bias; use --init source"
    with pytest.raises(ValueError, match=message):
        normalise_outputs(block_net(), torch.zeros(2, 3, 16, 16))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert not_normalisable(net) == (
        "init is 'normalised', which scales convolutions and fully connected layers with biases, "
        "and 1 of this net is of the kind BatchNorm2d; use --init source"
    )
    assert not_normalisable(tiny()[0]) is None
