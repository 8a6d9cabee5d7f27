"""The four-layer nets of figure 1."""

import pytest
import torch
from torch.nn import functional as F

from alexnet.nets import find
from alexnet.nets.four_layer import FOUR_LAYER, FOUR_LAYER_TANH


def test_the_nets_differ_in_their_neurons_alone() -> None:
    relu, tanh = find("four-layer").build(), find("four-layer-tanh").build()
    for net in (relu, tanh):
        net.init_weights(torch.Generator().manual_seed(3))
    one, other = relu.state_dict(), tanh.state_dict()
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    names = [name for name, _ in relu.named_children()]
    assert [name.replace("relu", "tanh") for name in names] == list(dict(tanh.named_children()))


@pytest.mark.parametrize("name", ["four-layer", "four-layer-tanh"])
@pytest.mark.parametrize("side", [32, 24, 8])
def test_a_net_computes_what_its_layers_say(name: str, side: int) -> None:
    net = find(name).build(classes=4, input_size=side)
    net.init_weights(torch.Generator().manual_seed(0))
    weights = net.state_dict()
    x = y = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    for layer in ("conv1", "conv2", "conv3"):
        y = F.conv2d(y, weights[f"{layer}.weight"], weights[f"{layer}.bias"], padding=2)
        y = y.tanh() if name.endswith("tanh") else y.clamp_min(0)
        y = F.max_pool2d(y, 3, 2, ceil_mode=True)
    expected = y.flatten(1) @ weights["fc4.weight"].T + weights["fc4.bias"]
    with torch.no_grad():
        torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5)


def test_sizes_are_those_of_the_programs_example() -> None:
    """89,440 weights and 138 biases: 32, 32 and 64 kernels of 5x5, ten classes."""
    net = FOUR_LAYER.build()
    shapes = [tuple(p.shape) for p in net.parameters() if p.ndim > 1]
    assert shapes == [(32, 3, 5, 5), (32, 32, 5, 5), (64, 32, 5, 5), (10, 1024)]


def test_initial_weights_are_those_of_the_programs_example() -> None:
    """The four initW of layers-18pct.cfg; biases at 0."""
    net = FOUR_LAYER_TANH.build()
    net.init_weights(torch.Generator().manual_seed(0))
    found = [float(p.detach().std()) for p in net.parameters() if p.ndim > 1]
    assert found == pytest.approx([0.0001, 0.01, 0.01, 0.01], rel=0.05)
    assert not any(p.any() for p in net.parameters() if p.ndim == 1)


def test_impossible_nets_are_refused() -> None:
    with pytest.raises(ValueError, match="classes is 0; a net needs at least 1 class"):
        FOUR_LAYER.build(classes=0)
    with pytest.raises(
        ValueError, match=r"input size 7 leaves no pixel at pool3; the smallest .* is 8"
    ):
        FOUR_LAYER.build(input_size=7)
    assert FOUR_LAYER.check_input(8) == 1
