"""Layer names of three worlds: the same tensors, and what is said of each."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alexnet.inspection.layer_names import last_hidden, resolve
from alexnet.nets import ABLATED, ALEXNETS, NETS, googlenet, resnet
from alexnet.nets.chain import Chain
from alexnet.nets.vgg import VGG16_BN
from alexnet.text.picture import PictureNet, preset_of
from alexnet.text.prototxt import parse
from tests.conftest import TINY
from tests.text.small_nets import conv, inner, layer

TEXT = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 1 dim: 3 dim: 15 dim: 15 } } }\n"
    + conv("conv1", "data")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    + inner("fc6", "pool1", outputs=12)
    + layer("relu6", "ReLU", "fc6", "neurons6")
    + inner("fc7", "neurons6", outputs=7)
)


def pixels(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def value(net: Chain, name: str, x: Tensor) -> Tensor:
    spot = resolve(net, name)
    return net.activations(x, [spot.layer])[spot.layer]


def says(net: Chain, *names: str) -> list[str]:
    return [f"{resolve(net, name)}" for name in names]


@torch.no_grad()
def test_each_name_of_torchvisions_alexnet_is_the_output_of_that_module_there() -> None:
    variant = replace(ALEXNETS["torchvision"], kernels=(4, 6, 5, 5, 4), fc_units=10)
    torch.manual_seed(0)
    net: Any = variant.build(classes=3, input_size=64).eval()
    pool = nn.MaxPool2d(3, 2)
    first = nn.Sequential(nn.ZeroPad2d(2), net.conv1)  # padding 2 is conv1's own there
    features = [
        *(first, nn.ReLU(), pool, net.conv2, nn.ReLU(), pool, net.conv3, nn.ReLU()),
        *(net.conv4, nn.ReLU(), net.conv5, nn.ReLU(), pool),
    ]
    classifier = [nn.Dropout(), net.fc6, nn.ReLU(), nn.Dropout(), net.fc7, nn.ReLU(), net.fc8]
    x = pixels(64)
    y = x
    for number, module in enumerate(features):
        y = module.eval()(y)
        torch.testing.assert_close(value(net, f"features.{number}", x), y)
    y = F.adaptive_avg_pool2d(y, 6)
    torch.testing.assert_close(value(net, "avgpool", x), y)
    y = y.flatten(1)
    for number, module in enumerate(classifier):
        y = module.eval()(y)
        torch.testing.assert_close(value(net, f"classifier.{number}", x), y)


@torch.no_grad()
def test_a_layer_of_the_paper_is_its_neurons_and_before_is_its_own_sum() -> None:
    torch.manual_seed(0)
    net: Any = TINY.build(classes=4).eval()
    x = pixels(67)
    conv1 = F.conv2d(x, net.conv1.weight, net.conv1.bias, stride=4)
    torch.testing.assert_close(value(net, "conv1:before", x), conv1)
    torch.testing.assert_close(value(net, "features.0", x), conv1)
    for name in ("conv1", "relu1", "features.1"):
        torch.testing.assert_close(value(net, name, x), conv1.relu())
    assert says(net, "fc7", "fc7:before", "classifier.4", "fc8", "drop7", "pool1") == [
        "fc7: output of relu7, after ReLU",
        "fc7:before: output of fc7, before ReLU (relu7 follows)",
        "classifier.4: output of fc7, before ReLU (relu7 follows)",
        "fc8: output of fc8, no activation function follows",
        "drop7: output of drop7, after ReLU, times 0.5 (dropout at test)",
        "pool1: output of pool1, after ReLU",
    ]


def test_the_net_of_2012_has_its_relu_behind_the_pool_and_that_is_said() -> None:
    with torch.device("meta"):
        net = NETS["alexnet-2012"].build(classes=4)
    assert says(net, "pad1", "conv1", "conv3", "conv5", "pool5", "relu5", "cnorm2") == [
        "pad1: output of pad1, before any layer with weights",
        "conv1: output of conv1, before ReLU (relu1 follows)",
        "conv3: output of relu3, after ReLU",
        "conv5: output of conv5, before ReLU (relu5 follows)",
        "pool5: output of pool5, before ReLU (relu5 follows)",
        "relu5: output of relu5, after ReLU",
        "cnorm2: output of cnorm2, after ReLU",
    ]
    with pytest.raises(ValueError, match=r"no layer is called 'features\.11'"):
        resolve(net, "features.11")  # torchvision's ReLU at 13 x 13: this net has none there
    assert resolve(net, "features.10").layer == "conv5"


@torch.no_grad()
def test_names_of_caffes_resnet_and_of_torchvisions_are_the_same_tensors() -> None:
    torch.manual_seed(0)
    variant = replace(resnet.RESNET50, widths=(2, 2, 2, 2), input_size=64)
    net = variant.build(classes=3).eval()
    x = pixels(64)
    block: Any = net.get_submodule("conv2_1")
    start = net.activations(x, ["pool1"])["pool1"]
    first = block.conv1(start)
    shortcut = block.bn_project(block.project(start))
    torch.testing.assert_close(value(net, "layer1.0.conv1", x), first)
    normed = block.bn1(first).relu()
    for name in ("res2a_branch2a", "layer1.0.relu", "conv2_1.conv1"):
        torch.testing.assert_close(value(net, name, x), normed)
    for name in ("res2a_branch1", "layer1.0.downsample", "conv2_1.project"):
        torch.testing.assert_close(value(net, name, x), shortcut)
    middle = block.bn2(block.conv2(normed)).relu()
    torch.testing.assert_close(value(net, "layer1.0.relu_1", x), middle)
    last = block.bn3(block.conv3(middle))
    torch.testing.assert_close(value(net, "res2a_branch2c", x), last)
    torch.testing.assert_close(value(net, "layer1.0.add", x), last + shortcut)
    for name in ("res2a", "layer1.0", "layer1.0.relu_2", "conv2_1"):
        torch.testing.assert_close(value(net, name, x), (last + shortcut).relu())
    names = ("layer1", "res3d", "conv1", "conv1:before", "relu", "fc1000", "res4f", "avgpool")
    layers = [resolve(net, name).layer for name in names]
    assert layers == ["conv2_3", "conv3_4", "relu1", "conv1", "relu1", "fc", "conv4_6", "pool5"]


def test_the_deep_resnets_of_caffe_number_their_blocks_and_the_basic_ones_have_no_file() -> None:
    with torch.device("meta"):
        deep, basic = (NETS[name].build(classes=3) for name in ("resnet101", "resnet18"))
    assert resolve(deep, "res4b22").layer == "conv4_23"
    assert resolve(deep, "res5c").layer == "conv5_3"
    assert resolve(basic, "layer4.1.relu_1").layer == "conv5_2.relu"
    with pytest.raises(ValueError, match="no layer is called 'res2a'"):
        resolve(basic, "res2a")


@torch.no_grad()
def test_names_of_googlenet_are_the_same_tensors() -> None:
    torch.manual_seed(0)
    net = googlenet.GOOGLENET.build(classes=3, input_size=64).eval()
    x = pixels(64)
    block: Any = net.get_submodule("inception_3a")
    start = net.activations(x, ["pool2"])["pool2"]
    reduced = block.reduce3x3(start).relu()
    wanted = block.conv3x3(reduced)
    torch.testing.assert_close(value(net, "inception3a.branch2.1.conv", x), wanted)
    for name in ("inception_3a/3x3", "inception3a.branch2", "inception_3a.conv3x3"):
        torch.testing.assert_close(value(net, name, x), wanted.relu())
    pooled = F.max_pool2d(start, 3, 1, 1)
    torch.testing.assert_close(value(net, "inception_3a/pool", x), pooled)
    parts = [block.conv1x1(start), wanted, block.conv5x5(block.reduce5x5(start).relu())]
    whole = torch.cat([*parts, block.project(pooled)], 1).relu()
    for name in ("inception_3a/output", "inception3a", "inception_3a", "inception_3a.concat"):
        torch.testing.assert_close(value(net, name, x), whole)
    names = ("loss3/classifier", "pool5/7x7_s1", "conv3.conv", "conv2/3x3", "pool1/norm1")
    layers = [resolve(net, name).layer for name in names]
    assert layers == ["fc", "pool5", "conv2", "relu2", "norm1"]
    assert says(net, "inception_3a/pool", "inception_3a/pool_proj", "conv1:before") == [
        "inception_3a/pool: output of inception_3a.pool, after ReLU",
        "inception_3a/pool_proj: output of inception_3a.relu_project, after ReLU",
        "conv1:before: output of conv1, before ReLU (relu1 follows)",
    ]


def test_names_of_vgg_with_batch_norm_count_each_layer_as_torchvision_does() -> None:
    with torch.device("meta"):
        net = VGG16_BN.build(classes=3)
    names = ("features.0", "features.1", "features.2", "features.43", "classifier.3", "conv1_1")
    layers = [resolve(net, name).layer for name in names]
    assert layers == ["conv1_1", "bn1_1", "relu1_1", "pool5", "fc7", "relu1_1"]
    assert says(net, "features.1") == ["features.1: output of bn1_1, before ReLU (relu1_1 follows)"]


def test_lenet_5_takes_the_capitals_of_its_paper_and_squashes_by_tanh() -> None:
    with torch.device("meta"):
        net = NETS["lenet-5"].build(classes=10)
    assert says(net, "F6", "S2:before", "OUTPUT") == [
        "F6: output of squash6, after tanh",
        "S2:before: output of s2, before tanh (squash2 follows)",
        "OUTPUT: output of output, no activation function follows",
    ]


def test_every_net_has_a_last_hidden_layer_that_the_logits_read() -> None:
    expected = {"lenet-5": "f6", "lenet": "ip1", "four-layer": "pool3", "four-layer-tanh": "pool3"}
    expected |= dict.fromkeys((*ALEXNETS, *ABLATED), "fc7")
    for name in NETS:
        with torch.device("meta"):
            net = NETS[name].build(classes=3)
        default = "fc7" if name.startswith("vgg") else "pool5"
        assert last_hidden(net) == expected.get(name, default)


def test_an_unknown_name_names_the_nearest_and_all_layers() -> None:
    net = TINY.build(classes=2)
    message = "no layer is called 'fc9' (did you mean 'fc8'?); the layers are conv1, relu1, norm1"
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve(net, "fc9")
    with pytest.raises(ValueError, match=re.escape("'classifier.7' (did you mean 'classifier.")):
        resolve(net, "classifier.7")


@torch.no_grad()
def test_blobs_of_a_prototxt_are_as_their_layers_leave_them() -> None:
    preset = preset_of(parse(TEXT, "NetParameter", source="net.prototxt"), source="net.prototxt")
    net = preset.build(classes=7).eval()
    assert isinstance(net, PictureNet)
    net.init_weights(torch.Generator().manual_seed(0))
    assert says(net, "conv1", "relu1", "pool1", "fc6", "neurons6", "fc7", "fc6:before") == [
        "conv1: output of conv1, after ReLU",
        "relu1: output of relu1, after ReLU",
        "pool1: output of pool1, after ReLU",
        "fc6: output of fc6, before ReLU (relu6 follows)",
        "neurons6: output of neurons6, after ReLU",
        "fc7: output of fc7, no activation function directly before or after it",
        "fc6:before: output of fc6, before ReLU (relu6 follows)",
    ]
    assert last_hidden(net) == "neurons6"
    x = pixels(15)
    torch.testing.assert_close(value(net, "neurons6", x), value(net, "fc6", x).relu())
    with pytest.raises(ValueError, match=r"layer 'relu1' overwrites the blob 'conv1' in place; "):
        resolve(net, "conv1:before")
    with pytest.raises(ValueError, match=r"no layer or blob is called 'fc8' \(did you mean 'fc7'"):
        resolve(net, "fc8")
