"""The names and shapes of a net's tensors, and the comparison with others."""

import pytest

from alexnet.export.fit import auxiliary, blank, check, last_layer


def test_a_blank_net_has_shapes_and_no_memory() -> None:
    net = blank("vgg11", classes=3, input_size=64)
    assert {tensor.device.type for tensor in net.state_dict().values()} == {"meta"}
    assert tuple(net.get_parameter("fc6.weight").shape) == (4096, 512 * 4)
    assert tuple(net.get_parameter("fc8.bias").shape) == (3,)


def test_the_last_layer_is_that_of_the_classes() -> None:
    names = {name: last_layer(name) for name in ("caffenet", "vgg16", "googlenet", "resnet50")}
    assert names == {"caffenet": "fc8", "vgg16": "fc8", "googlenet": "fc", "resnet50": "fc"}


def test_auxiliary_tensors_are_those_of_classifiers_on_the_way() -> None:
    parts = ("conv", "fc", "classifier")
    expected = {
        f"loss{n}.{part}.{kind}" for n in (1, 2) for part in parts for kind in ("weight", "bias")
    }
    assert auxiliary(blank("googlenet", classes=1)) == expected
    assert auxiliary(blank("resnet18", classes=1)) == frozenset()


def test_tensors_that_agree_pass() -> None:
    check({"a": (1,)}, {"a": (1,)}, what="x")
    check({"a": (1,)}, {"a": (1,), "b": (2,)}, what="x", optional=["b"])
    check({"a": (1,), "b": (2,)}, {"a": (1,), "b": (2,)}, what="x", optional=["b"])


def test_each_difference_is_named() -> None:
    found = {"alpha": (1,), "betta": (2, 3), "gamma": (4,)}
    expected = {"alpha": (1,), "beta": (2, 3), "gamma": (5,), **{f"n{i}": () for i in range(6)}}
    with pytest.raises(ValueError, match="the tensors are not those of my net") as caught:
        check(found, expected, what="my net", optional=["n1", "n2"])
    assert str(caught.value) == (
        "the tensors are not those of my net: beta, n0, n1, n2, n3 and 2 more missing; "
        "'betta' (did you mean 'beta'?) not known; gamma is [4] instead of [5]"
    )
