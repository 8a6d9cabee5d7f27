"""Every net as an ONNX graph gives ONNX Runtime the logits that it gives here."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet.export.onnx_graph import Graph, Value
from alexnet.export.onnx_net import add_net, net_model
from alexnet.nets import ALEXNETS, NETS, four_layer, lenet, vgg
from alexnet.nets import alexnet as alexnets
from alexnet.nets import resnet as resnets
from alexnet.nets.chain import Chain
from alexnet.text import prototxt
from alexnet.text.picture import PictureNet, preset_of
from alexnet.training.initialise import normalise_outputs, not_normalisable
from tests.export.sessions import answer


def small(name: str) -> Chain:
    """Return a net of a kind with few channels, its batch norms as after a training."""
    known: Any = NETS[name]
    if isinstance(known, alexnets.Variant):
        one, two, three, four, five = (each // 8 for each in known.kernels)
        known = replace(known, kernels=(one, two, three, four, five), fc_units=32)
    elif isinstance(known, vgg.Configuration):
        known = replace(known, widths=(4, 8, 8, 16, 16), fc_units=32)
    elif isinstance(known, resnets.Variant):
        known = replace(known, widths=(4, 4, 8, 8))
    size = next(side for side in range(1, 400) if fits(known, side))
    if name.startswith("resnet"):
        size = 33  # the smallest would leave one pixel, where padding is all there is
    classes = 10 if name == "lenet-5" else 7
    net: Chain = known.build(classes=classes, input_size=size)
    generator = torch.Generator().manual_seed(0)
    net.init_weights(generator)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(generator=generator)
            layer.running_var.uniform_(0.5, 2.0, generator=generator)
    if not_normalisable(net) is None:
        normalise_outputs(net, noise(net, known.channels, 4) / 30)
    return net.eval()


def fits(known: Any, side: int) -> bool:
    try:
        known.check_input(side)
    except ValueError:
        return False
    return True


def noise(net: Chain, channels: int, count: int) -> Tensor:
    """Return inputs with the deviation of pictures, so that norms divide by something."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, channels, net.input_size, net.input_size, generator=generator) * 30


def logits(net: Chain, x: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = net(x)
        return found


@pytest.mark.parametrize("name", NETS)
def test_every_net_gives_its_logits_in_onnx_runtime(name: str) -> None:
    net = small(name)
    x = noise(net, NETS[name].channels, 3)
    wanted = logits(net, x).numpy()
    proto = net_model(net, channels=NETS[name].channels)
    found = answer(proto, x)
    # float32 sums in another order, as a share of the largest logit
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-5 * np.abs(wanted).max())
    assert len(answer(proto, x[:1])) == 1  # the number of pictures is open


def test_the_paper_net_is_the_paper_node_by_node() -> None:
    graph = net_model(small("alexnet"), channels=3).graph
    columns = "Split LRN LRN Concat"
    assert " ".join(node.op_type for node in graph.node) == (
        f"Conv Relu {columns} MaxPool Conv Relu {columns} MaxPool Conv Relu Conv Relu Conv Relu "
        "MaxPool Flatten Gemm Relu Gemm Relu Gemm Identity"
    )
    norm = next(node for node in graph.node if node.op_type == "LRN")
    attributes = {a.name: a for a in norm.attribute}
    assert attributes["size"].i == 5
    assert attributes["alpha"].f == pytest.approx(5e-4)  # ONNX divides it by the window
    assert attributes["bias"].f == 2.0
    groups = [a.i for node in graph.node for a in node.attribute if a.name == "group"]
    assert groups == [1, 2, 1, 2, 2]


def test_zeros_around_the_picture_are_the_pads_of_conv1() -> None:
    graph = net_model(small("keras"), channels=3).graph
    pads = next(a.ints for a in graph.node[0].attribute if a.name == "pads")
    assert list(pads) == [3, 3, 0, 0]  # above, left, below, right


def test_auxiliary_classifiers_are_left_out() -> None:
    names = {each.name for each in net_model(small("googlenet"), channels=3).graph.initializer}
    assert "inception_4a.conv3x3.weight" in names
    assert not any(name.startswith("loss") for name in names)


def test_a_batch_may_be_fixed() -> None:
    net = small("lenet")
    shape = net_model(net, channels=1, batch=5).graph.input[0].type.tensor_type.shape
    assert [side.dim_value for side in shape.dim] == [5, 1, 13, 13]
    shape = net_model(net, channels=1).graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_param == "batch"


BRANCHED = """
name: "branched"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "left" type: "Pooling" bottom: "conv" top: "left"
  pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "right" type: "Pooling" bottom: "conv" top: "right"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 pad: 1 } }
layer { name: "both" type: "Concat" bottom: "left" bottom: "right" top: "both" }
layer { name: "norm" type: "LRN" bottom: "both" top: "norm" lrn_param { alpha: 0.1 } }
layer { name: "ip" type: "InnerProduct" bottom: "norm" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


def text_net(text: str, classes: int) -> PictureNet:
    net = preset_of(prototxt.parse(text, "NetParameter"), source="net").build(classes=classes)
    net.init_weights(torch.Generator().manual_seed(0))
    return net.eval()


def test_a_net_of_a_prototxt_gives_its_logits() -> None:
    net = text_net(BRANCHED, 5)
    x = noise(net, 3, 2)
    proto = net_model(net, channels=3)
    np.testing.assert_allclose(answer(proto, x), logits(net, x).numpy(), rtol=0, atol=1e-4)


def test_a_layer_that_onnx_has_not_is_named() -> None:
    text = BRANCHED.replace("pool: AVE", "pool: STOCHASTIC").replace(" pad: 1", "")
    with pytest.raises(ValueError, match="layer left is a StochasticPooling, which has no ONNX"):
        net_model(text_net(text, 5), channels=3)


def test_a_factor_of_dropout_is_one_of_the_next_weights() -> None:
    net = small("alexnet")
    graph = Graph()
    add_net(graph, net, Value("x", (3, net.input_size, net.input_size)))
    from onnx import numpy_helper

    weights = {each.name: numpy_helper.to_array(each) for each in graph.constants}
    wanted = net.get_parameter("fc7.weight").detach().numpy() / 2
    np.testing.assert_array_equal(weights["fc7.weight"], wanted)


def test_all_families_of_nets_are_tried() -> None:
    kinds = {type(net) for net in NETS.values()}
    assert {alexnets.Variant, vgg.Configuration, resnets.Variant} <= kinds
    assert {type(lenet.LENET_5), type(four_layer.FOUR_LAYER)} <= kinds
    assert len(ALEXNETS) == 9
