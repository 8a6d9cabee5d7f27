"""ResNet against its definition in numpy; its sizes and initial weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.nets import NETS
from alexnet.nets.resnet import (
    RESNET18,
    RESNET18_TORCHVISION,
    RESNET50,
    RESNET50_TORCHVISION,
    ResNet,
    Variant,
)
from tests.oracles import resnet as oracle
from tests.oracles.weights import arrays, pixels, random_weights

LAYERS = (18, 34, 50, 101, 152)
LINES = ("", "-torchvision")


def preset(name: str) -> Variant:
    found = NETS[name]
    assert isinstance(found, Variant)
    return found


def build(variant: Variant, *, input_size: int) -> ResNet:
    small = replace(variant, widths=(4, 6, 8, 10))
    net = small.build(classes=5, input_size=input_size).double().eval()
    random_weights(net)
    for name, tensor in net.state_dict().items():
        if name.endswith(("bn2.weight", "bn3.weight")):
            tensor *= 0.3  # 50 blocks that each double what they add to would leave float64
    return net


@pytest.mark.parametrize("input_size", [64, 45])  # 45: pool1 sees 23 places, conv3_x 12 or 11
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("layers", LAYERS)
def test_every_activation_equals_the_definition_in_numpy(
    layers: int, line: str, input_size: int
) -> None:
    net = build(preset(f"resnet{layers}{line}"), input_size=input_size)
    x = pixels(input_size)
    expected = oracle.resnet(x.numpy(), arrays(net), layers=layers, torchvision=bool(line))
    with torch.no_grad():
        seen = net.activations(x, list(expected))
        logits = net(x)
    modules = {name for name, _ in net.named_modules() if name}
    assert modules == set(expected)
    for layer, activation in expected.items():
        np.testing.assert_allclose(
            seen[layer].numpy(), activation, rtol=1e-9, atol=1e-10, err_msg=layer
        )
    np.testing.assert_allclose(logits.numpy(), expected["fc"], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("layers", "parameters"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_parameters_are_those_published(layers: int, parameters: int, line: str) -> None:
    variant = preset(f"resnet{layers}{line}")
    with torch.device("meta"):
        net = variant.build()
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert variant.published is not None
    assert variant.published[0] == parameters


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    ("layers", "table"), [(18, 1.8), (34, 3.6), (50, 3.8), (101, 7.6), (152, 11.3)]
)
def test_multiply_adds_are_the_sum_over_table_1(layers: int, table: float, line: str) -> None:
    """Table 1 gives 10^9 with one decimal, cut off or rounded; torchvision's bottlenecks cost more.

    The 3 x 3 convolution there works on maps of four times the area in three blocks.
    """
    total, channels, side = 112 * 112 * 7 * 7 * 3 * 64, 64, 56
    for width, blocks in zip((64, 128, 256, 512), oracle.BLOCKS[layers], strict=True):
        outputs = width if layers < 50 else 4 * width
        for number in range(blocks):
            strided = number == 0 and width > 64
            before, side = side, side // 2 if strided else side
            if layers < 50:
                inside = side * side * 9 * (channels * width + width * width)
            else:
                first = before if line else side
                inside = first * first * channels * width
                inside += side * side * (9 * width * width + width * outputs)
            projected = side * side * channels * outputs if channels != outputs else 0
            total, channels = total + inside + projected, outputs
    total += channels * 1000
    published = preset(f"resnet{layers}{line}").published
    assert published is not None
    assert published[2] == total
    if not line:
        assert 0 <= total / 1e9 - table + 0.05 < 0.15


def test_the_two_lines_differ_in_stride_and_pool() -> None:
    strides = {}
    for name, variant in (("caffe", RESNET50), ("torchvision", RESNET50_TORCHVISION)):
        block = build(variant, input_size=64).get_submodule("conv3_1")
        strides[name] = [block.get_submodule(f"conv{i}").stride for i in (1, 2, 3)]
    assert strides == {
        "caffe": [(2, 2), (1, 1), (1, 1)],
        "torchvision": [(1, 1), (2, 2), (1, 1)],
    }


def test_an_input_that_leaves_no_pixel_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^input size 2 leaves no pixel at pool1; the smallest"
    ) as e:
        RESNET18.build(input_size=2)
    assert str(e.value).endswith("the smallest size of this net is 3")
    with pytest.raises(ValueError, match=r"the smallest size of this net is 1$"):
        RESNET18_TORCHVISION.build(input_size=0)


@pytest.mark.parametrize("variant", [RESNET18, RESNET18_TORCHVISION])
def test_the_last_side_is_that_of_the_maps(variant: Variant) -> None:
    for size in (3, 4, 31, 32, 33, 65, 95, 96, 97):
        net = build(variant, input_size=size)
        maps = net.activations(pixels(size), ["conv5_2"])["conv5_2"]
        assert maps.shape[2:] == (variant.check_input(size),) * 2, size


def test_a_net_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="classes is -1; a net needs at least 1 class"):
        RESNET18.build(classes=-1)


def test_initial_weights_keep_the_variance_through_relus() -> None:
    net = RESNET50.build(classes=1000, input_size=32)
    random_weights(net)
    net.init_weights(torch.Generator().manual_seed(0))
    for name, layer in net.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            for key, value in layer.state_dict().items():
                wanted = float(key in ("weight", "running_var"))
                assert torch.equal(value.float(), torch.full_like(value.float(), wanted)), name
        elif isinstance(layer, nn.Conv2d):
            wanted = math.sqrt(2 / layer.weight[0].numel())
            spread = 5 / math.sqrt(2 * layer.weight.numel())
            assert abs(layer.weight.std().item() / wanted - 1) < spread, name
    assert abs(net.fc.weight.std().item() * math.sqrt(2048) - 1) < 0.01
    assert not net.fc.bias.any()
