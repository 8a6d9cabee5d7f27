"""Grad-CAM against weights from finite differences."""

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.inspection.grad_cam import enlarge, grad_cam
from alexnet.nets.chain import Chain


class Small(Chain):
    """A convolution, a tanh and a layer on top, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.classes, self.input_size = 2, 6
        self.conv1 = nn.Conv2d(2, 3, 3)
        self.tanh1 = nn.Tanh()
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(3 * 16, 2)


def test_weights_of_the_maps_are_those_of_finite_differences() -> None:
    torch.manual_seed(0)
    net, x = Small().double(), torch.randn(1, 2, 6, 6).double()
    maps = net.tanh1(net.conv1(x)).detach()
    alpha = []
    for channel in range(3):
        total = 0.0
        for i, j in np.ndindex(4, 4):
            more, less = maps.clone(), maps.clone()
            more[0, channel, i, j] += 1e-4
            less[0, channel, i, j] -= 1e-4
            scores = net.fc(torch.cat([more, less]).flatten(1))[:, 1]
            total += float((scores[0] - scores[1]).detach()) / 2e-4
        alpha.append(total / 16)
    wanted = np.maximum(sum(a * maps[0, k].numpy() for k, a in enumerate(alpha)), 0)
    found = grad_cam(net, x, target=1)
    assert np.any(wanted > 0)
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-4, atol=1e-6)


def test_enlarging_keeps_what_is_even() -> None:
    torch.testing.assert_close(
        enlarge(torch.full((1, 2, 3), 4.0), (7, 5)), torch.full((1, 7, 5), 4.0)
    )


def test_a_class_or_layer_that_does_not_fit_is_refused() -> None:
    net, x = Small(), torch.zeros(1, 2, 6, 6)
    with pytest.raises(ValueError, match="class number 2 is not among the 2 of the net"):
        grad_cam(net, x, target=2)
    with pytest.raises(ValueError, match="layer fc gives no maps but 2; name one with"):
        grad_cam(net, x, target=1, layer="fc")
    with pytest.raises(ValueError, match=r"no layer is called 'conv2' \(did you mean 'conv1'"):
        grad_cam(net, x, target=1, layer="conv2")
