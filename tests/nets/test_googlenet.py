"""GoogLeNet against its definition in numpy; its classifiers, sizes and initial weights."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.nets.googlenet import (
    GOOGLENET,
    GOOGLENET_TORCHVISION,
    HEADS,
    INCEPTIONS,
    GoogLeNet,
    Variant,
)
from tests.oracles.googlenet import googlenet
from tests.oracles.weights import arrays, pixels, random_weights

Kind = Literal["caffe", "torchvision"]
VARIANTS: dict[Kind, Variant] = {"caffe": GOOGLENET, "torchvision": GOOGLENET_TORCHVISION}


def build(kind: Kind, *, input_size: int) -> GoogLeNet:
    net = VARIANTS[kind].build(classes=5, input_size=input_size).double().eval()
    random_weights(net)
    return net


def without_dropout(net: GoogLeNet) -> GoogLeNet:
    for name in ("drop5", "loss1.drop_fc", "loss2.drop_fc"):
        net.get_submodule(name).rate = 0.0  # type: ignore[assignment]
    return net


@pytest.mark.parametrize("input_size", [64, 75])  # 75: inception_4a has 5 places, 5a 2 or 3
@pytest.mark.parametrize("kind", VARIANTS)
def test_every_activation_equals_the_definition_in_numpy(kind: Kind, input_size: int) -> None:
    net = build(kind, input_size=input_size)
    x = pixels(input_size)
    expected = googlenet(x.numpy(), arrays(net), torchvision=kind == "torchvision")
    expected = {name: value for name, value in expected.items() if name not in HEADS.values()}
    steps = {name for name, _ in net.steps()}
    assert set(expected) == {n for n, _ in net.named_modules() if n.partition(".")[0] in steps}
    with torch.no_grad():
        seen = net.activations(x, list(expected))
        logits = net(x)
    for layer, activation in expected.items():
        np.testing.assert_allclose(
            seen[layer].numpy(), activation, rtol=1e-10, atol=1e-11, err_msg=layer
        )
    np.testing.assert_allclose(logits.numpy(), expected["fc"], rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("input_size", [64, 101])  # 101: windows of the heads hang over the edge
def test_training_listens_to_three_classifiers(input_size: int) -> None:
    net = without_dropout(build("caffe", input_size=input_size)).train()
    x = pixels(input_size, count=1)
    expected = googlenet(x.numpy(), arrays(net), torchvision=False)
    heads = net.heads(x)
    assert heads.weight == 0.3
    assert len(heads.auxiliary) == 2
    for name, logits in zip(
        ("fc", "loss1", "loss2"), (heads.logits, *heads.auxiliary), strict=True
    ):
        np.testing.assert_allclose(
            logits.detach().numpy(), expected[name], rtol=1e-10, atol=1e-11, err_msg=name
        )


def test_torchvisions_classifiers_read_four_by_four_means() -> None:
    """Batch norms of the whole net stay in evaluation; only `heads` sees that it trains."""
    net = without_dropout(build("torchvision", input_size=75))
    x = pixels(75)
    expected = googlenet(x.numpy(), arrays(net), torchvision=True)
    net.training = True
    heads = net.heads(x)
    for name, logits in zip(
        ("fc", "loss1", "loss2"), (heads.logits, *heads.auxiliary), strict=True
    ):
        np.testing.assert_allclose(
            logits.detach().numpy(), expected[name], rtol=1e-10, atol=1e-11, err_msg=name
        )


def test_evaluation_runs_the_last_classifier_alone() -> None:
    net = build("caffe", input_size=64)
    for head in HEADS.values():
        net.get_submodule(head).register_forward_hook(lambda *_: pytest.fail("a head ran"))
    x = pixels(64)
    heads = net.heads(x)
    assert heads.auxiliary == ()
    assert torch.equal(heads.logits, net(x))


def test_auxiliary_losses_reach_the_blocks_below_them_only() -> None:
    net = without_dropout(build("caffe", input_size=64)).train()
    net.heads(pixels(64)).auxiliary[0].sum().backward()
    reached = {name.partition(".")[0] for name, p in net.named_parameters() if p.grad is not None}
    below = {"conv1", "reduce2", "conv2", "inception_3a", "inception_3b", "inception_4a", "loss1"}
    assert reached == below


def test_parameters_are_those_published_with_and_without_classifiers() -> None:
    with torch.device("meta"):
        net, twin = GOOGLENET.build(), GOOGLENET_TORCHVISION.build()
    assert sum(p.numel() for p in net.parameters()) == 13_378_280
    assert sum(p.numel() for _, step in net.steps() for p in step.parameters()) == 6_998_552
    assert sum(p.numel() for _, step in twin.steps() for p in step.parameters()) == 6_624_904
    assert sum(p.numel() for p in twin.parameters()) == 13_004_888  # torchvision's aux_logits=True


@pytest.mark.parametrize("kind", VARIANTS)
def test_multiply_adds_are_the_sum_over_table_1(kind: Kind) -> None:
    large = 25 if kind == "caffe" else 9
    total = 112 * 112 * 49 * 3 * 64 + 56 * 56 * (64 * 64 + 9 * 64 * 192)
    channels = 192
    for name, row in INCEPTIONS.items():
        side = {"3": 28, "4": 14, "5": 7}[name[0]]
        one, reduce3, three, reduce5, five, project = row
        inside = channels * (one + reduce3 + reduce5 + project)
        total += side * side * (inside + 9 * reduce3 * three + large * reduce5 * five)
        channels = one + three + five + project
    published = VARIANTS[kind].published
    assert published is not None
    assert published[2] == total + 1024 * 1000


def test_an_input_too_small_for_a_classifier_is_refused() -> None:
    expected = (
        "input size 46 leaves an auxiliary classifier or inception_5b nothing to read; "
        "the smallest size of this net is 47"
    )
    with pytest.raises(ValueError, match="nothing to read") as caught:
        GOOGLENET.build(input_size=46)
    assert str(caught.value) == expected
    with pytest.raises(ValueError, match=r"the smallest size of this net is 15$"):
        GOOGLENET_TORCHVISION.build(input_size=14)


@pytest.mark.parametrize("kind", VARIANTS)
def test_the_last_side_is_that_of_the_maps(kind: Kind) -> None:
    for size in (47, 48, 63, 64, 65, 97):
        net = build(kind, input_size=size)
        maps = net.activations(pixels(size), ["inception_5b"])["inception_5b"]
        assert maps.shape[2:] == (VARIANTS[kind].check_input(size),) * 2, size
        for logits in net.train().heads(pixels(size)).auxiliary:
            assert logits.isfinite().all(), size


def test_a_net_without_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="classes is 0; a net needs at least 1 class"):
        GOOGLENET.build(classes=0)


def test_initial_weights_are_those_of_caffes_file() -> None:
    net = GOOGLENET.build(classes=100, input_size=64)
    random_weights(net)
    net.init_weights(torch.Generator().manual_seed(0))
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.bias is not None
            bound = math.sqrt(3 / layer.weight[0].numel())
            assert bound * 0.98 < layer.weight.abs().max().item() <= bound, name
            wanted = 0.0 if name in ("fc", "loss1.classifier", "loss2.classifier") else 0.2
            assert torch.equal(layer.bias, torch.full_like(layer.bias, wanted)), name


def test_initial_weights_of_torchvisions_net_are_torchvisions() -> None:
    net = GOOGLENET_TORCHVISION.build(classes=100, input_size=64)
    random_weights(net)
    net.init_weights(torch.Generator().manual_seed(0))
    for name, layer in net.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            spread = 5 / math.sqrt(2 * layer.weight.numel())
            assert abs(layer.weight.std().item() / 0.01 - 1) < spread, name
        if isinstance(layer, nn.Linear):
            assert 0 < layer.bias.abs().max().item() <= layer.in_features**-0.5, name
        if isinstance(layer, nn.BatchNorm2d):
            for key, value in layer.state_dict().items():
                start = float(key in ("weight", "running_var"))
                assert torch.equal(value.float(), torch.full_like(value.float(), start)), name
