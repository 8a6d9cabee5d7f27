"""VGG against its definition in numpy; its sizes and initial weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.nets import NETS
from alexnet.nets.vgg import VGG, VGG11, VGG11_BN, VGG13, VGG16, VGG19, Configuration
from tests.oracles import vgg as oracle
from tests.oracles.weights import arrays, pixels, random_weights

COLUMN = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
PRESETS = [f"{name}{suffix}" for name in COLUMN for suffix in ("", "-bn")]


def preset(name: str) -> Configuration:
    found = NETS[name]
    assert isinstance(found, Configuration)
    return found


def build(configuration: Configuration, *, input_size: int) -> VGG:
    small = replace(configuration, widths=(4, 6, 8, 10, 9), fc_units=12)
    net = small.build(classes=5, input_size=input_size).double().eval()
    random_weights(net)
    return net


@pytest.mark.parametrize("input_size", [32, 67])  # 67: each pool but one leaves a row out
@pytest.mark.parametrize("name", PRESETS)
def test_every_activation_equals_the_definition_in_numpy(name: str, input_size: int) -> None:
    net = build(preset(name), input_size=input_size)
    x = pixels(input_size)
    expected = oracle.vgg(
        x.numpy(),
        arrays(net),
        column=COLUMN[name.removesuffix("-bn")],
        batch_norm=name.endswith("-bn"),
    )
    names = [name for name, _ in net.steps()]
    with torch.no_grad():
        seen = net.activations(x, names)
        logits = net(x)
    assert names == list(expected)
    for layer in names:
        np.testing.assert_allclose(
            seen[layer].numpy(), expected[layer], rtol=1e-10, atol=1e-11, err_msg=layer
        )
    np.testing.assert_allclose(logits.numpy(), expected["fc8"], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("vgg11-bn", 132_868_840),
        ("vgg13-bn", 133_053_736),
        ("vgg16-bn", 138_365_992),
        ("vgg19-bn", 143_678_248),
    ],
)
def test_parameters_are_those_published(name: str, parameters: int) -> None:
    with torch.device("meta"):
        net = preset(name).build()
    assert sum(p.numel() for p in net.parameters()) == parameters
    published = preset(name).published
    assert published is not None
    assert published[0] == parameters


@pytest.mark.parametrize("name", PRESETS)
def test_multiply_adds_are_the_sum_over_table_1(name: str) -> None:
    total, channels, side = 0, 3, 224
    widths = iter((64, 128, 256, 512, 512))
    for item in oracle.COLUMNS[COLUMN[name.removesuffix("-bn")]].split():
        if item == "M":
            side //= 2
            continue
        width = next(widths)
        for _ in range(int(item)):
            total += side * side * 9 * channels * width
            channels = width
    total += 512 * 7 * 7 * 4096 + 4096 * 4096 + 4096 * 1000
    published = preset(name).published
    assert published is not None
    assert published[2] == total


def test_vgg_16_has_the_quoted_number_of_multiply_adds() -> None:
    assert VGG16.published is not None
    assert VGG19.published is not None
    assert round((VGG16.published[2] or 0) / 1e9, 2) == 15.47
    assert round((VGG19.published[2] or 0) / 1e9, 1) == 19.6  # He et al. 2015, table 1


def test_an_input_that_leaves_no_pixel_is_refused() -> None:
    with pytest.raises(
        ValueError, match="input size 31 leaves no pixel at pool5; the smallest"
    ) as e:
        VGG11.build(input_size=31)
    assert str(e.value).endswith("the smallest size of this net is 32")
    assert [VGG11.check_input(size) for size in (32, 63, 64, 224, 256)] == [1, 1, 2, 7, 8]


def test_a_net_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="classes is 0; a net needs at least 1 class"):
        VGG11.build(classes=0)


def test_dropout_is_made_up_for_in_training() -> None:
    net = build(VGG11, input_size=32)
    torch.manual_seed(0)
    x = torch.ones(1, 10_000, dtype=torch.float64)
    dropped = net.get_submodule("drop6").train()(x)
    assert sorted(dropped.unique().tolist()) == [0.0, 2.0]
    assert abs(dropped.mean().item() - 1) < 0.05  # 5 deviations of 10,000 coins
    assert torch.equal(net.get_submodule("drop7").eval()(x), x)


# ---- Initial weights ----------------------------------------------------------------------------


def drawn(configuration: Configuration) -> VGG:
    net = replace(configuration, fc_units=64).build(classes=50, input_size=32)
    net.init_weights(torch.Generator().manual_seed(0))
    return net


def test_configuration_a_starts_from_the_gaussian_of_the_text() -> None:
    for name, tensor in drawn(VGG11).named_parameters():
        if name.endswith("bias"):
            assert not tensor.any(), name
        else:
            spread = 5 / math.sqrt(2 * tensor.numel())
            assert abs(tensor.std().item() / 0.01 - 1) < spread, name


def test_deeper_configurations_start_from_glorots_uniform() -> None:
    net = drawn(VGG13)
    bounds = {"conv1_1": (3 + 64) * 9, "conv3_2": 512 * 9, "fc6": 512 + 64, "fc8": 64 + 50}
    for layer, fans in bounds.items():
        weight = net.get_parameter(f"{layer}.weight")
        bound = math.sqrt(6 / fans)
        assert weight.abs().max().item() <= bound, layer
        assert abs(weight.std().item() / (bound / math.sqrt(3)) - 1) < 0.1, layer
        assert not net.get_parameter(f"{layer}.bias").any(), layer


def test_nets_with_batch_norm_start_as_torchvisions() -> None:
    configuration = replace(VGG11_BN, fc_units=64)
    net = configuration.build(classes=50, input_size=32)
    random_weights(net)
    net.init_weights(torch.Generator().manual_seed(0))
    for name, layer in net.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            for key, value in layer.state_dict().items():
                wanted = float(key in ("weight", "running_var"))
                assert torch.equal(value.float(), torch.full_like(value.float(), wanted)), name
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            fan_out = layer.weight.shape[0] * 9
            wanted = math.sqrt(2 / fan_out) if isinstance(layer, nn.Conv2d) else 0.01
            assert abs(layer.weight.std().item() / wanted - 1) < 0.1, name
            assert not layer.bias.any(), name  # type: ignore[union-attr]


def test_one_seed_draws_the_same_weights_twice() -> None:
    first, second = drawn(VGG13).state_dict(), drawn(VGG13).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
