"""A net in the terms of other programs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from alexnet.bench.case import Case
from alexnet.bench.geometry import (
    conv1_padding,
    convolution_geometry,
    folded_weight,
    kind_of,
    pools_divide,
    torch_alpha,
)
from alexnet.nets import ALEXNETS


@pytest.mark.parametrize("name", ALEXNETS)
def test_convolutions_are_as_the_net_has_them(name: str) -> None:
    with torch.device("meta"):
        net = ALEXNETS[name].build(classes=3)
    for child, layer in net.named_children():
        if isinstance(layer, nn.Conv2d):
            geometry = (layer.stride[0], layer.padding[0], layer.groups)
            assert convolution_geometry(net, child) == geometry


@pytest.mark.parametrize(
    ("name", "side", "padding"),
    [
        ("alexnet", 227, (0, 0, 0, 0)),
        ("alexnet-2012", 224, (0, 3, 0, 3)),
        ("alexnet-2012", 8, (0, 3, 0, 3)),
        ("torchvision", 224, (2, 2, 2, 2)),
        ("keras", 224, (3, 0, 3, 0)),
    ],
)
def test_padding_is_left_right_above_below(
    name: str, side: int, padding: tuple[int, int, int, int]
) -> None:
    assert conv1_padding(ALEXNETS[name], side) == padding


@pytest.mark.parametrize(
    ("name", "alpha"), [("alexnet", 5e-4), ("caffenet", 1e-4), ("keras", 5e-4)]
)
def test_alpha_is_what_is_divided_by_the_window(name: str, alpha: float) -> None:
    assert torch_alpha(ALEXNETS[name]) == pytest.approx(alpha)


def test_the_kept_share_goes_into_the_layers_that_dropout_feeds(case: Case) -> None:
    paper = case.draw_alexnet()
    for name, factor in (("fc6", 1.0), ("fc7", 0.5), ("fc8", 0.5)):
        expected = paper.get_parameter(f"{name}.weight") * factor
        assert torch.equal(folded_weight(paper, name), expected)
    scaled_in_training = replace(case, net="caffenet").draw_alexnet()
    weight = scaled_in_training.get_parameter("fc7.weight")
    assert torch.equal(folded_weight(scaled_in_training, "fc7"), weight)


def test_pools_divide_at_the_nets_own_size_and_not_at_others() -> None:
    assert pools_divide(ALEXNETS["caffenet"], 227)
    assert pools_divide(ALEXNETS["alexnet-2012"], 224)
    assert not pools_divide(ALEXNETS["caffenet"], 231)  # 56 maps: (56 - 3) / 2 has a rest


def test_a_kind_is_a_name_without_its_number() -> None:
    assert [kind_of(name) for name in ("conv1", "flatten", "cnorm2")] == [
        *("conv", "flatten", "cnorm")
    ]
