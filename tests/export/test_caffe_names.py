"""Weights of Caffe: its layers' names, both ways, and what becomes of colours and batch norms."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from alexnet.export.caffe_names import SERVED, from_caffe, to_caffe
from alexnet.nets import NETS
from alexnet.nets.googlenet import INCEPTIONS
from tests.oracles.weights import random_weights

Blobs = dict[str, list[NDArray[np.float32]]]
SMALL = {"lenet": 28, "vgg11": 32, "vgg13": 32, "vgg16": 32, "vgg19": 32, "googlenet": 64}
SMALL |= {"bvlc-alexnet": 67, "caffenet": 67}


def state_of(name: str, classes: int = 5) -> dict[str, Tensor]:
    """Return random weights of a net for small pictures, so that fc6 is small."""
    net = NETS[name].build(classes=classes, input_size=SMALL.get(name, 64))
    random_weights(net)
    return dict(net.state_dict())


# ---- Names --------------------------------------------------------------------------------------


def shapes(name: str) -> dict[str, list[tuple[int, ...]]]:
    with torch.device("meta"):
        net = NETS[name]
        state = net.build(classes=net.published_classes).state_dict()
    blank = {key: torch.empty(()).expand(tensor.shape) for key, tensor in state.items()}
    return {layer: [b.shape for b in blobs] for layer, blobs in to_caffe(name, blank).items()}


def test_lenet_alexnet_and_vgg_have_the_same_names_there() -> None:
    assert {layer: found[0] for layer, found in shapes("lenet").items()} == {
        "conv1": (20, 1, 5, 5),
        "conv2": (50, 20, 5, 5),
        "ip1": (500, 800),
        "ip2": (10, 500),
    }
    alexnet = [*(f"conv{n}" for n in (1, 2, 3, 4, 5)), "fc6", "fc7", "fc8"]
    for name in ("bvlc-alexnet", "caffenet"):
        found = shapes(name)
        assert list(found) == alexnet
        assert found["conv2"] == [(256, 48, 5, 5), (256,)]
        assert found["fc6"] == [(4096, 9216), (4096,)]
    vgg = shapes("vgg16")
    assert list(vgg)[-5:] == ["conv5_2", "conv5_3", "fc6", "fc7", "fc8"]
    assert len(vgg) == 16


def test_googlenets_layers_are_those_of_its_train_val_file() -> None:
    found = shapes("googlenet")
    parts = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool_proj")
    expected = {"conv1/7x7_s2", "conv2/3x3_reduce", "conv2/3x3", "loss3/classifier"}
    expected |= {f"inception_{name}/{part}" for name in INCEPTIONS for part in parts}
    expected |= {f"loss{n}/{part}" for n in (1, 2) for part in ("conv", "fc", "classifier")}
    assert set(found) == expected
    assert found["inception_3a/5x5_reduce"] == [(16, 192, 1, 1), (16,)]
    assert found["inception_5b/pool_proj"] == [(128, 832, 1, 1), (128,)]


@pytest.mark.parametrize(
    ("name", "layers", "third", "last"),
    [
        ("resnet50", 160, ["a", "b", "c", "d"], "f"),
        ("resnet101", 313, ["a", "b1", "b2", "b3"], "b22"),
        ("resnet152", 466, ["a", *(f"b{n}" for n in range(1, 8))], "b35"),
    ],
)
def test_resnets_layers_are_those_of_the_authors_files(
    name: str, layers: int, third: list[str], last: str
) -> None:
    found = shapes(name)
    assert len(found) == layers
    assert {n[4:].partition("_")[0] for n in found if n.startswith("res3")} == set(third)
    assert f"res4{last}_branch2c" in found
    assert found["res2a_branch1"] == [(256, 64, 1, 1)]
    assert found["bn2a_branch1"] == [(256,), (256,), (1,)]
    assert found["scale5c_branch2b"] == [(512,), (512,)]
    assert found["bn_conv1"] == [(64,), (64,), (1,)]
    assert found["fc1000"] == [(1000, 2048), (1000,)]
    assert found["conv1"] == [(64, 3, 7, 7), *([(64,)] if name == "resnet50" else [])]


# ---- There and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SERVED if name != "resnet152"])
def test_there_and_back_is_the_identity(name: str) -> None:
    state, size = state_of(name), SMALL.get(name, 64)
    for colours in ("rgb", "bgr"):
        blobs = to_caffe(name, state, colours=colours, input_size=size)
        back = from_caffe(name, blobs, colours=colours, input_size=size)
        assert set(back) == set(state)
        assert all(torch.equal(back[key], state[key]) for key in state)
    assert all(b.dtype == np.float32 and b.flags.c_contiguous for bs in blobs.values() for b in bs)


def test_kernels_are_turned_round_where_colours_differ() -> None:
    state = state_of("caffenet")
    ours = state["conv1.weight"].numpy()
    rgb = to_caffe("caffenet", state, input_size=67)
    bgr = to_caffe("caffenet", state, colours="bgr", input_size=67)
    np.testing.assert_array_equal(rgb["conv1"][0][:, [2, 1, 0]], ours)
    np.testing.assert_array_equal(bgr["conv1"][0], ours)
    np.testing.assert_array_equal(rgb["conv2"][0], state["conv2.weight"].numpy())


@pytest.mark.parametrize("factor", [1.0, 999.98, 0.0])
def test_a_batch_norm_of_caffes_computes_the_same_here(factor: float) -> None:
    """conv1, its biases, bn_conv1 and scale_conv1, as Caffe computes them on a BGR picture."""
    blobs = to_caffe("resnet50", state_of("resnet50"))
    random = np.random.default_rng(0)
    blobs["conv1"][1] = random.normal(size=64).astype(np.float32)
    mean, variance, _ = blobs["bn_conv1"]
    blobs["bn_conv1"] = [
        mean * (factor or 1),
        variance * (factor or 1),
        np.array([factor], np.float32),
    ]
    net = NETS["resnet50"].build(classes=5).eval()
    net.load_state_dict(from_caffe("resnet50", blobs))

    bgr = torch.from_numpy(random.normal(size=(2, 3, 33, 33)).astype(np.float32)).double()
    weight, bias = (torch.from_numpy(blob).double() for blob in blobs["conv1"])
    if factor == 0:
        mean, variance = mean * 0, variance * 0
    norm = [torch.from_numpy(b).double()[:, None, None] for b in (mean, variance)]
    gamma, beta = (torch.from_numpy(b).double()[:, None, None] for b in blobs["scale_conv1"])
    y = F.conv2d(bgr, weight, bias, stride=2, padding=3)
    expected = (y - norm[0]) / (norm[1] + 1e-5).sqrt() * gamma + beta
    with torch.no_grad():
        found = net.double().activations(bgr.flip(1), ["bn1"])["bn1"]
    # Means and variances were rounded to float32 once more; 1 / sqrt(1e-5) magnifies that.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_a_file_without_biases_before_the_batch_norm_is_read() -> None:
    state = state_of("resnet50")
    blobs = to_caffe("resnet50", state)
    del blobs["conv1"][1]
    back = from_caffe("resnet50", blobs)
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_blobs_of_old_files_have_four_dimensions() -> None:
    state = state_of("caffenet")
    blobs = to_caffe("caffenet", state, input_size=67)
    old = {
        layer: [b.reshape((1,) * (4 - b.ndim) + b.shape) for b in bs] for layer, bs in blobs.items()
    }
    assert old["fc7"][0].shape == (1, 1, 4096, 4096)
    back = from_caffe("caffenet", old, input_size=67)
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_layers_without_blobs_do_not_matter() -> None:
    blobs: Blobs = {"data": [], **to_caffe("googlenet", state_of("googlenet"), input_size=64)}
    assert "fc.weight" in from_caffe("googlenet", {**blobs, "prob": []}, input_size=64)


def test_a_deploy_file_has_no_auxiliary_classifiers() -> None:
    state = state_of("googlenet")
    blobs = to_caffe("googlenet", state, input_size=64)
    deploy = {layer: b for layer, b in blobs.items() if not layer.startswith(("loss1", "loss2"))}
    back = from_caffe("googlenet", deploy, input_size=64)
    assert set(state) - set(back) == {key for key in state if key.startswith("loss")}
    assert to_caffe("googlenet", back, input_size=64).keys() == deploy.keys()


# ---- What is refused ----------------------------------------------------------------------------


def test_missing_unknown_and_other_blobs_are_listed() -> None:
    blobs = to_caffe("caffenet", state_of("caffenet"), input_size=67)
    blobs["fc8_flickr"] = blobs.pop("fc8")
    blobs["conv3"][0] = blobs["conv3"][0][:, :100]
    with pytest.raises(ValueError, match="the tensors are not those of Caffe's caffenet") as caught:
        from_caffe("caffenet", blobs, input_size=67)
    assert str(caught.value) == (
        "the tensors are not those of Caffe's caffenet: fc8[0], fc8[1] missing; "
        "'fc8_flickr[0]' (did you mean 'fc8[0]'?), "
        "'fc8_flickr[1]' (did you mean 'fc8[1]'?) not known; "
        "conv3[0] is [384, 100, 3, 3] instead of [384, 256, 3, 3]"
    )


def test_a_shape_with_other_leading_ones_is_refused() -> None:
    blobs = to_caffe("caffenet", state_of("caffenet"), input_size=67)
    blobs["fc7"][1] = blobs["fc7"][1].reshape(1, 4096, 1, 1)
    with pytest.raises(ValueError, match=r"fc7\[1\] is \[1, 4096, 1, 1\] instead of \[4096\]$"):
        from_caffe("caffenet", blobs, input_size=67)


def test_our_tensors_are_checked_on_the_way_out() -> None:
    state = state_of("caffenet")
    del state["conv5.bias"]
    with pytest.raises(ValueError, match=r"not those of caffenet: conv5\.bias missing$"):
        to_caffe("caffenet", state, input_size=67)


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "vgg16-bn", "googlenet-torchvision"])
def test_nets_that_caffe_has_not_are_refused(name: str) -> None:
    served = ", ".join(SERVED)
    for convert in (lambda: to_caffe(name, {}), lambda: from_caffe(name, {})):
        with pytest.raises(ValueError, match="no published net of Caffe's computes what") as caught:
            convert()
        assert str(caught.value).endswith(f"; weights go over for {served}")


def test_an_unknown_net_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no net is called 'cafenet' \(did you mean 'caffenet'"):
        from_caffe("cafenet", {})
