"""Layers watched while a net answers: whole, in the graph, found by name."""

import pytest
import torch

from alexnet.inspection.watch import (
    find_layer,
    last_maps,
    last_weights,
    layer_names,
    map_layers,
    watched,
)
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from tests.conftest import TINY


def a_net() -> Chain:
    net = TINY.build(classes=3)
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def test_what_is_watched_is_whole_though_the_next_layer_works_in_place() -> None:
    net, x = a_net(), torch.randn(1, 3, 67, 67)
    with watched(net, ("conv1", "relu1")) as kept:
        net(x)
    torch.testing.assert_close(kept["conv1"], net.get_submodule("conv1")(x))
    assert bool((kept["conv1"] < 0).any())
    torch.testing.assert_close(kept["relu1"], kept["conv1"].relu())
    assert net.training


def test_the_layer_of_the_maps_is_the_last_activation_with_places() -> None:
    names = {"alexnet": "relu5", "googlenet": "inception_5b", "vgg11": "relu5_2"}
    names |= {"lenet-5": "squash3", "resnet18": "conv4_2"}
    sizes = {"alexnet": 67, "resnet18": 32, "googlenet": 97, "lenet-5": 32, "vgg11": 64}
    for name, wanted in names.items():
        known = TINY if name == "alexnet" else NETS[name]
        with torch.device("meta"):
            net = known.build(classes=2, input_size=sizes[name])
            x = torch.empty(1, known.channels, sizes[name], sizes[name])
        assert last_maps(net, x) == wanted, name
        assert len(map_layers(net, x)[wanted]) == 3


def test_the_last_weights_are_those_of_the_logits() -> None:
    assert last_weights(a_net()) == "fc8"
    assert last_weights(NETS["lenet-5"].build(classes=10)) == "output"


def test_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no layer is called 'conv6' \(did you mean 'conv5'"):
        find_layer(a_net(), "conv6")


def test_layers_within_blocks_have_names_too() -> None:
    with torch.device("meta"):
        net = NETS["resnet18"].build(classes=2)
    assert "conv2_1.conv1" in layer_names(net)
    assert find_layer(net, "conv2_1.conv1") is net.get_submodule("conv2_1.conv1")


def test_nets_without_convolutions_or_weights_are_refused() -> None:
    class Empty(Chain):
        def __init__(self) -> None:
            super().__init__()
            self.flatten = torch.nn.Flatten()

    with pytest.raises(ValueError, match="no convolution whose maps have more than one place"):
        last_maps(Empty(), torch.zeros(1, 1, 2, 2))
    with pytest.raises(ValueError, match="no layer of the net has weights"):
        last_weights(Empty())
