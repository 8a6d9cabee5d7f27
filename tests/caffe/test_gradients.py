"""pycaffe's Net backwards: gradients of blobs and parameters, beside numpy's and torch's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from alexnet.caffe.pycaffe import TEST, TRAIN, Net
from alexnet.text.message import TextError
from tests.caffe.test_pycaffe import PHASES, TEXT, by_hand, close, draw, parameters

Array = NDArray[np.float32]
FILLER = 'weight_filler { type: "gaussian" std: 0.3 }'
DREAM = f"""
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: 1 dim: 2 dim: 7 dim: 6 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param {{ num_output: 4 kernel_size: 3 pad: 1 group: 2 {FILLER} }} }}
layer {{ name: "relu" type: "ReLU" bottom: "conv" top: "conv" }}
layer {{ name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param {{ pool: MAX kernel_size: 3 stride: 2 }} }}
layer {{ name: "norm" type: "LRN" bottom: "pool" top: "norm"
  lrn_param {{ local_size: 3 alpha: 0.5 beta: 0.75 }} }}
layer {{ name: "fc" type: "InnerProduct" bottom: "norm" top: "fc"
  inner_product_param {{ num_output: 3 {FILLER} }} }}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.prototxt"
    file.write_text(TEXT)
    return file


def gradients(net: Net, x: Array, dy: Array) -> list[Array]:
    """Return those of the input, of what the ReLU reads, and of w1, b1, w2, b2."""
    w1, _, w2, _ = parameters(net)
    a, _ = by_hand(net, x)
    da = (dy @ w2) * (a > 0)
    return [da @ w1, da, da.T @ x, da.sum(0), dy.T @ np.maximum(a, 0), dy.sum(0)]


def diffs(net: Net) -> list[Array]:
    own = [blob.diff for name in ("ip1", "ip2") for blob in net.params[name]]
    return [net.blobs["data"].diff, net.blobs["ip1"].diff, *own]


def test_gradients_go_back_from_what_is_given_for_the_output(path: Path) -> None:
    net, x, dy = Net(path, TEST), draw(3, 4), draw(3, 2, seed=1)
    net.forward(data=x)

    found = net.backward(["ip1"], ip2=dy)

    assert list(found) == ["data", "ip1"]
    wanted = gradients(net, x, dy)
    for ours, theirs in zip(diffs(net), wanted, strict=True):
        close(ours, theirs)
    close(found["data"], wanted[0])
    close(found["ip1"], wanted[1])
    np.testing.assert_array_equal(net.blobs["ip2"].diff, dy)


def test_parameters_add_up_their_gradients_and_blobs_do_not(path: Path) -> None:
    net, x, dy = Net(path, TEST), draw(3, 4), draw(3, 2, seed=1)
    for _ in range(2):
        net.forward(data=x)
        net.backward(ip2=dy)

    wanted = gradients(net, x, dy)
    for index, ours in enumerate(diffs(net)):
        close(ours, wanted[index] * (1 if index < 2 else 2))
    net.clear_param_diffs()
    for ours in diffs(net)[2:]:
        np.testing.assert_array_equal(ours, np.zeros_like(ours))
    close(net.blobs["data"].diff, wanted[0])


def test_a_loss_goes_back_with_its_weight(path: Path) -> None:
    path.write_text(TEXT + PHASES)
    net, x, labels = Net(path, TRAIN), draw(3, 4), np.array([1, 0, 1])

    loss = net.forward(data=x, label=labels)["loss"]
    net.backward()

    _, y = by_hand(net, x)
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    close(loss, -np.log(p[range(3), labels]).mean())
    dy = 0.5 * (p - np.eye(2, dtype=np.float32)[labels]) / 3
    for ours, theirs in zip(diffs(net), gradients(net, x, dy), strict=True):
        close(ours, theirs)
    assert float(net.blobs["loss"].diff) == 0.5
    np.testing.assert_array_equal(net.blobs["label"].diff, [0, 0, 0])


def test_layers_between_start_and_end_alone_have_gradients(path: Path) -> None:
    net, x, dy = Net(path, TEST), draw(3, 4), draw(3, 2, seed=1)
    net.forward(data=x)

    found = net.backward(end="ip2", ip2=dy)

    assert list(found) == ["ip1"]
    w2 = net.params["ip2"][0].data
    close(found["ip1"], dy @ w2)  # of what the ReLU made: nothing went back through it
    np.testing.assert_array_equal(net.params["ip1"][0].diff, np.zeros((5, 4)))

    found = net.backward(start="relu1", end="relu1")  # goes on from that diff

    close(found["ip1"], (dy @ w2) * (by_hand(net, x)[0] > 0))


def test_a_layer_that_is_changed_in_place_later_starts_before_that(path: Path) -> None:
    net, x, da = Net(path, TEST), draw(3, 4), draw(3, 5, seed=1)
    net.forward(data=x)
    net.blobs["ip1"].diff[...] = da

    net.backward(start="ip1")

    w1 = net.params["ip1"][0].data
    close(net.blobs["data"].diff, da @ w1)  # no ReLU in between


def dream(net: Net, x: Array) -> tuple[Array, Array]:
    """Return the pooled blob and the gradient of half its squares, from torch in float64."""
    picture = torch.from_numpy(x).double().requires_grad_()
    weight, bias = (torch.from_numpy(blob.data).double() for blob in net.params["conv"])
    y = F.relu(F.conv2d(picture, weight, bias, padding=1, groups=2))
    y = F.max_pool2d(y, 3, 2, ceil_mode=True)
    (dx,) = torch.autograd.grad((y**2).sum() / 2, picture)
    return y.detach().numpy(), dx.numpy()


def test_deep_dreams_climb_from_the_middle_of_a_net(path: Path) -> None:
    path.write_text(DREAM)
    net = Net(path, TEST)
    source, target = net.blobs["data"], net.blobs["pool"]
    x = draw(1, 2, 9, 10)
    source.reshape(1, 2, 9, 10)  # another octave; the layer behind `end` would not fit it
    source.data[0] = x[0]
    for _ in range(2):
        net.forward(end="pool")
        target.diff[:] = target.data
        net.backward(start="pool")
        y, dx = dream(net, x)
        close(target.data, y)
        close(source.diff, dx)
        step = 0.5 / np.abs(source.diff).mean() * source.diff[0]
        source.data[:] += step
        x = x + step
    with pytest.raises(TextError, match=r"layer 'fc': does not fit its bottoms of shapes \[\(1, 4"):
        net.forward()


def test_every_reader_of_a_blob_gives_it_a_gradient(path: Path) -> None:
    both = (
        'layer { name: "drop" type: "Dropout" bottom: "ip2" top: "drop" }'
        'layer { name: "a" type: "Power" bottom: "drop" top: "a" power_param { scale: 3 } }'
        'layer { name: "b" type: "Power" bottom: "ip2" top: "b" power_param { scale: 5 } }'
    )
    path.write_text(TEXT + both)
    net, x = Net(path, TEST), draw(3, 4)
    net.forward(data=x)
    da, db = draw(3, 2, seed=1), draw(3, 2, seed=2)

    net.backward(a=da, b=db)

    close(net.blobs["drop"].diff, 3 * da)
    close(net.blobs["ip2"].diff, 3 * da + 5 * db)
    close(net.blobs["data"].diff, gradients(net, x, 3 * da + 5 * db)[0])


def test_batches_run_forward_and_backward(path: Path) -> None:
    net, x, dy = Net(path, TEST), draw(7, 4), draw(7, 2, seed=1)

    outputs, found = net.forward_backward_all(["ip1"], ["ip1"], data=x, ip2=dy)

    a, y = by_hand(net, x)
    wanted = gradients(net, x, dy)
    close(outputs["ip2"], y)
    close(outputs["ip1"], np.maximum(a, 0))
    close(found["data"], wanted[0])
    close(found["ip1"], wanted[1])
    close(net.params["ip1"][0].diff, wanted[2])


def test_a_pass_that_stops_early_leaves_nothing_of_an_older_one(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)
    net.forward(data=x)
    net.forward(end="ip1", data=2 * x)
    net.blobs["ip2"].diff[...] = 1
    with pytest.raises(ValueError, match=r"nothing to go back from; call forward\(\) first"):
        net.backward()


def test_wrong_gradients_are_refused(path: Path) -> None:
    net = Net(path, TEST)
    with pytest.raises(ValueError, match=r"nothing to go back from; call forward\(\) first"):
        net.backward()
    net.forward(data=draw(3, 4))
    with pytest.raises(ValueError, match=r"no blob is called 'ip3'"):
        net.backward(ip3=draw(3, 2))
    with pytest.raises(ValueError, match=r"reads blob 'ip1' and gives it .*; give that of ip2, or"):
        net.backward(ip1=draw(3, 5))
    with pytest.raises(ValueError, match=r"gradient of 'ip2' has the shape \(2, 2\), .* \(3, 2\)"):
        net.backward(ip2=draw(2, 2))
    with pytest.raises(ValueError, match=r"no blob is called 'ip4'"):
        net.backward(["ip4"])
    with pytest.raises(ValueError, match=r"layer 'ip2' runs after layer 'ip1'"):
        net.backward(start="ip1", end="ip2")
    with pytest.raises(ValueError, match=r"no input is given; this net takes data"):
        net.forward_backward_all(ip2=draw(3, 2))
    with pytest.raises(ValueError, match=r"different numbers of rows, data 3, ip2 2"):
        net.forward_backward_all(data=draw(3, 4), ip2=draw(2, 2))
