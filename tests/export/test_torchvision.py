"""Weights of torchvision: its names, both ways, and equal outputs of a plain copy of its nets."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from alexnet.export.torchvision import ARCHITECTURES, from_torchvision, to_torchvision
from alexnet.nets import NETS
from alexnet.nets.vgg import Configuration
from tests.oracles import torchvision as oracle
from tests.oracles.weights import pixels, random_weights

FULL = (64, 128, 256, 512, 512)


def plain_copy(name: str, classes: int = 1000, *, narrow: bool = False) -> nn.Module:
    """Return the oracle of one of our nets."""
    layers = int("".join(re.findall(r"\d", name)) or 0)
    if name == "torchvision":
        return oracle.alexnet(classes)
    if name.startswith("vgg"):
        widths, fc_units = ((4, 6, 8, 10, 9), 12) if narrow else (FULL, 4096)
        return oracle.vgg(
            layers, classes, batch_norm=name.endswith("-bn"), widths=widths, fc_units=fc_units
        )
    return (
        oracle.GoogLeNet(classes) if name.startswith("google") else oracle.ResNet(layers, classes)
    )


@pytest.fixture
def narrow_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the VGGs few kernels, so that one fits into a test."""
    for name in ARCHITECTURES:
        found = NETS[name]
        if isinstance(found, Configuration):
            monkeypatch.setitem(NETS, name, replace(found, widths=(4, 6, 8, 10, 9), fc_units=12))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_names_and_shapes_are_those_of_a_plain_copy(name: str) -> None:
    with torch.device("meta"):
        ours = NETS[name].build(classes=17).state_dict()
        theirs = plain_copy(name, 17).state_dict()
    renamed = to_torchvision(name, ours)
    assert {key: t.shape for key, t in renamed.items()} == {k: t.shape for k, t in theirs.items()}
    back = from_torchvision(name, theirs)
    assert {key: t.shape for key, t in back.items()} == {k: t.shape for k, t in ours.items()}


DEEP = ("resnet34-torchvision", "resnet101-torchvision", "resnet152-torchvision")


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in DEEP])
def test_a_plain_copy_with_our_weights_computes_the_same(name: str, narrow_vgg: None) -> None:
    input_size = 224 if name.startswith(("vgg", "torch")) else 75
    net = NETS[name].build(classes=7, input_size=input_size).double().eval()
    random_weights(net)
    for key, tensor in net.state_dict().items():
        if key.endswith(("bn2.weight", "bn3.weight")):
            tensor *= 0.3
    copy = plain_copy(name, 7, narrow=True).double().eval()
    copy.load_state_dict(to_torchvision(name, net.state_dict()))
    x = pixels(input_size, count=1)
    with torch.no_grad():
        expected = copy(x)
        if isinstance(expected, tuple):
            expected = expected[0]
        torch.testing.assert_close(net(x), expected, rtol=1e-9, atol=1e-10)


def test_the_names_are_those_of_the_published_files() -> None:
    samples = {
        "torchvision": {"conv1.weight": "features.0.weight", "fc8.bias": "classifier.6.bias"},
        "vgg16": {"conv5_3.bias": "features.28.bias", "fc6.weight": "classifier.0.weight"},
        "vgg16-bn": {
            "conv5_3.bias": "features.40.bias",
            "bn1_1.running_mean": "features.1.running_mean",
        },
        "resnet50-torchvision": {
            "bn1.running_var": "bn1.running_var",
            "conv2_1.project.weight": "layer1.0.downsample.0.weight",
            "conv2_1.bn_project.bias": "layer1.0.downsample.1.bias",
            "conv5_3.conv3.weight": "layer4.2.conv3.weight",
            "fc.weight": "fc.weight",
        },
        "resnet18-torchvision": {"conv3_2.bn2.weight": "layer2.1.bn2.weight"},
        "googlenet-torchvision": {
            "reduce2.weight": "conv2.conv.weight",
            "bn2.weight": "conv3.bn.weight",
            "inception_4e.conv5x5.weight": "inception4e.branch3.1.conv.weight",
            "inception_5b.bn_project.running_var": "inception5b.branch4.1.bn.running_var",
            "loss1.classifier.bias": "aux1.fc2.bias",
            "loss2.bn.weight": "aux2.conv.bn.weight",
        },
    }
    for name, pairs in samples.items():
        with torch.device("meta"):
            state = NETS[name].build().state_dict()
        renamed = to_torchvision(name, state)
        for key, theirs in pairs.items():
            assert renamed[theirs] is state[key], key


def state_of(name: str, classes: int = 5) -> dict[str, Tensor]:
    return plain_copy(name, classes).state_dict()


def test_there_and_back_is_the_identity() -> None:
    for name in ("resnet18-torchvision", "googlenet-torchvision"):
        state = state_of(name)
        there = from_torchvision(name, state)
        back = to_torchvision(name, there)
        assert all(back[key] is state[key] for key in state)
        NETS[name].build(classes=5).load_state_dict(there)


def test_counts_of_batches_may_be_missing() -> None:
    state = state_of("resnet18-torchvision")
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    renamed = from_torchvision("resnet18-torchvision", old)
    NETS["resnet18-torchvision"].build(classes=5).load_state_dict(renamed)
    assert renamed["conv2_1.bn1.num_batches_tracked"].item() == 0


def test_auxiliary_classifiers_may_be_missing_together() -> None:
    name = "googlenet-torchvision"
    state = state_of(name)
    without = {key: value for key, value in state.items() if not key.startswith("aux")}
    renamed = from_torchvision(name, without)
    assert not any(key.startswith("loss") for key in renamed)
    assert set(to_torchvision(name, renamed)) == set(without)
    del state["aux1.fc1.bias"]
    with pytest.raises(ValueError, match=r"torchvision's googlenet: aux1\.fc1\.bias missing$"):
        from_torchvision(name, state)


def refused(name: str, change: Callable[[dict[str, Tensor]], object]) -> str:
    state = state_of(name)
    change(state)
    with pytest.raises(ValueError, match="the tensors are not those of") as caught:
        from_torchvision(name, state)
    return str(caught.value)


def test_missing_unknown_and_other_tensors_are_listed() -> None:
    def change(state: dict[str, Tensor]) -> None:
        state["layer1.0.conv1.weights"] = state.pop("layer1.0.conv1.weight")
        state["fc.weight"] = torch.zeros(5, 513)

    assert refused("resnet18-torchvision", change) == (
        "the tensors are not those of torchvision's resnet18: layer1.0.conv1.weight missing; "
        "'layer1.0.conv1.weights' (did you mean 'layer1.0.conv1.weight'?) not known; "
        "fc.weight is [5, 513] instead of [5, 512]"
    )


def test_long_lists_are_cut() -> None:
    message = refused("resnet18-torchvision", lambda state: state.clear())
    assert message == (
        "the tensors are not those of torchvision's resnet18: conv1.weight, bn1.weight, bn1.bias, "
        "bn1.running_mean, bn1.running_var and 97 more missing"
    )


def test_weights_of_another_depth_are_refused() -> None:
    with pytest.raises(ValueError, match=r"torchvision's resnet34: layer1\.2\.conv1\.weight, "):
        from_torchvision("resnet34-torchvision", state_of("resnet18-torchvision"))


def test_our_tensors_are_checked_on_the_way_out() -> None:
    with torch.device("meta"):
        state = NETS["torchvision"].build(classes=3).state_dict()
    state["fc7.weight"] = state["fc8.weight"]
    expected = r"not those of torchvision: fc7\.weight is \[3, 4096\] instead of \[4096, 4096\]$"
    with pytest.raises(ValueError, match=expected):
        to_torchvision("torchvision", state)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("resnet50", "; its twin is 'resnet50-torchvision'; weights go over for torchvision, "),
        ("googlenet", "; its twin is 'googlenet-torchvision'; weights go over for torchvision, "),
        ("keras", "; weights go over for torchvision, vgg11, "),
    ],
)
def test_nets_that_torchvision_computes_otherwise_are_refused(name: str, way_out: str) -> None:
    with pytest.raises(ValueError, match="torchvision has no net that computes what") as caught:
        from_torchvision(name, {})
    assert f"{name!r} does{way_out}" in str(caught.value)
    with pytest.raises(ValueError, match="torchvision has no net that computes what"):
        to_torchvision(name, {})


def test_an_unknown_net_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no net is called 'vgg17' \(did you mean 'vgg1.'\?\)"):
        from_torchvision("vgg17", {})
