"""Layers watched while a net answers: whole, in the graph, found by name."""

import pytest
import torch

from alexnet.inspection.watch import (
    find_layer,
    last_maps,
    last_weights,
    layer_names,
    map_layers,
    named_layer,
    watched,
    without_doubles,
)
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from alexnet.text.picture import preset_of
from alexnet.text.prototxt import parse
from tests.conftest import TINY
from tests.text.small_nets import conv, inner, layer


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


def test_names_of_three_worlds_lead_to_a_layer() -> None:
    net = a_net()
    wanted = {"conv5": "relu5", "conv5:before": "conv5", "features.11": "relu5", "fc8": "fc8"}
    assert {name: named_layer(net, name) for name in wanted} == wanted
    with pytest.raises(ValueError, match=r"no layer is called 'conv6' \(did you mean 'conv"):
        named_layer(net, "conv6")


def test_a_blob_of_a_text_is_the_last_layer_that_works_on_it() -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" '
        "input_param { shape { dim: 1 dim: 3 dim: 15 dim: 15 } } }\n"
        + conv("conv.1", "data")
        + layer("relu.1", "ReLU", "conv.1", "conv.1")
        + inner("fc2", "conv.1", outputs=2)
    )
    net = preset_of(parse(text, "NetParameter", source="a test"), source="a test").build(classes=2)
    names = ("conv.1", "relu.1", "fc2")
    assert [named_layer(net, name) for name in names] == ["relu_1", "relu_1", "fc2"]
    x = torch.randn(1, 3, 15, 15)
    with watched(net, ["relu_1"]) as kept:
        net(x)
    assert torch.equal(kept["relu_1"], net.activations(x, ["conv.1"])["conv.1"])
    with pytest.raises(ValueError, match=r"no layer or blob is called 'fc3' \(did you mean 'fc2'"):
        named_layer(net, "fc3")


def test_layers_whose_activation_follows_are_doubles() -> None:
    with torch.device("meta"):
        net = NETS["resnet18"].build(classes=2)
    names = ["conv1", "bn1", "relu1", "pool1", "conv2_1"]
    assert without_doubles(net, names) == ["relu1", "pool1", "conv2_1"]
    assert without_doubles(a_net(), ["conv1", "relu1", "norm1"]) == ["relu1", "norm1"]


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
