"""Nets as a prototxt of Caffe's: the text with its blobs gives the logits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.data.augment import Colours, Preprocessing
from alexnet.data.statistics import Statistics
from alexnet.export.caffe_text import caffe_net
from alexnet.layers.response_norm import LocalResponseNorm, WithinChannelNorm
from alexnet.nets import NETS
from alexnet.nets.chain import Chain
from alexnet.text import prototxt
from tests.export.test_onnx_net import logits, noise, small

REFUSED = {
    "lenet-5": "layer squash1 is a ScaledTanh, which Caffe has no layer for; export to onnx",
    "keras": "layer pad1 adds other zeros on one side than on another, which Caffe has no layer",
    "alexnet-2012": "layer pad1 adds zeros on two sides only, which Caffe has no layer for",
    "alexnet-2012-half": "layer pad1 adds zeros on two sides only",
    "torchvision": "layer average5 averages 1 places to 6, which Caffe has no layer for",
    "alexnet-owt": "layer pad1 adds zeros on two sides only",
}


def preprocessing(net: Chain, colours: Colours) -> Preprocessing:
    side = net.input_size
    mean = torch.tensor([3.0, 2.0, 1.0])
    statistics = Statistics(mean.expand(side, side, 3), mean, torch.zeros(3), torch.eye(3))
    return Preprocessing(statistics, side, side, "mean-value", 64.0, colours)


def written(net: Chain, channels: int) -> tuple[str, Any]:
    return caffe_net(net, preprocessing(net, "grey" if channels == 1 else "rgb"))


@pytest.mark.parametrize("name", [name for name in NETS if name not in REFUSED])
def test_a_net_in_layers_of_caffe_gives_its_logits(name: str) -> None:
    net = small(name)
    channels = NETS[name].channels
    text, built = written(net, channels)
    x = noise(net, channels, 2)
    assert prototxt.parse(text, "NetParameter")["layer"][0]["type"] == "Input"
    wanted = logits(net, x).numpy()
    last = prototxt.parse(text, "NetParameter")["layer"][-1]["bottom"][0]  # of the softmax
    with torch.no_grad():
        found = built.run({"data": x.flip(1)}, keep=[last]).blobs[last].numpy()  # BGR
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", REFUSED)
def test_what_caffe_has_no_layer_for_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[name]):
        written(small(name), NETS[name].channels)


def test_the_text_says_how_pictures_become_inputs() -> None:
    text, _ = written(small("caffenet"), 3)
    assert text.splitlines()[1] == "# Input: its centre of 39 pixels; BGR in [0, 255]."
    assert text.splitlines()[2] == (
        "# Subtract the mean colour, 1.0000, 2.0000, 3.0000 (blue, green, red); multiply by "
        "0.015625."
    )


def test_columns_are_sliced_normed_and_joined() -> None:
    text, _ = written(small("alexnet"), 3)
    kinds = [each["type"] for each in prototxt.parse(text, "NetParameter")["layer"]]
    norm = ["Slice", "LRN", "LRN", "Concat", "Power"]  # the last because k is 2
    assert kinds[:9] == ["Input", "Convolution", "ReLU", *norm, "Pooling"]
    assert kinds.count("Power") == 4  # and two for dropout that is scaled at test


@pytest.mark.parametrize(("name", "side"), [("alexnet-2012", 67), ("torchvision", 224)])
def test_what_does_nothing_at_a_size_is_no_matter_there(name: str, side: int) -> None:
    known: Any = NETS[name]
    net = replace(known, kernels=(16, 16, 16, 16, 16), fc_units=8).build(classes=2, input_size=side)
    net.init_weights(torch.Generator().manual_seed(0))
    _, built = written(net.eval(), 3)
    x = noise(net, 3, 1)
    found = built.run({"data": x.flip(1)}, keep=["fc8"]).blobs["fc8"].detach()
    np.testing.assert_allclose(found, logits(net, x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("conv1", nn.Conv2d(3, 16, 11, 4, dilation=2), "layer conv1 is spread or padded as none"),
        ("norm1", LocalResponseNorm(window=4, convention="torch"), "layer norm1 has a window of 4"),
        ("cnorm1", WithinChannelNorm(bias=2.0), r"layer cnorm1 adds 2\.0; Caffe's norm within"),
        ("pool5", nn.AdaptiveAvgPool2d(2), "layer pool5 averages 5 places to 2, which Caffe has"),
    ],
)
def test_numbers_that_caffe_has_not_are_refused(name: str, layer: nn.Module, message: str) -> None:
    known: Any = NETS["caffenet"]
    net = replace(known, kernels=(16, 16, 16, 16, 16), fc_units=8).build(classes=2, input_size=99)
    net.add_module(name, layer)
    with pytest.raises(ValueError, match=message):
        written(net, 3)
