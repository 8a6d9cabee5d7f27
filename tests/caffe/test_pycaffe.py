"""pycaffe's Net beside passes written down in numpy: values, gradients, weights, shapes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from alexnet.caffe.pycaffe import TEST, TRAIN, Net
from alexnet.text.message import TextError

Array = NDArray[np.float32]
GAUSSIAN = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'
TEXT = """
name: "two layers"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 3 dim: 4 } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 5 FILLERS } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2 FILLERS } }
""".replace("FILLERS", GAUSSIAN)
PHASES = """
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 3 } }
  include { phase: TRAIN } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss"
  loss_weight: 0.5 include { phase: TRAIN } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" include { phase: TEST } }
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "net.prototxt"
    file.write_text(TEXT)
    return file


def draw(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def parameters(net: Net) -> list[Array]:
    """Return weights and biases of both layers, copied."""
    return [blob.data.copy() for name in ("ip1", "ip2") for blob in net.params[name]]


def by_hand(net: Net, x: Array) -> tuple[Array, Array]:
    """Return what the first layer makes before its ReLU, and what the second makes."""
    w1, b1, w2, b2 = parameters(net)
    a = x @ w1.T + b1
    return a, np.maximum(a, 0) @ w2.T + b2


def close(a: Array, b: NDArray[np.floating]) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)  # float32 sums of five


# ---- Building -----------------------------------------------------------------------------------


def test_both_orders_of_arguments_give_one_net(path: Path) -> None:
    first = Net(str(path), TEST)
    weights = str(path.with_suffix(".caffemodel"))
    first.save(weights)

    for net in (
        Net(str(path), weights, TEST),
        Net(str(path), TEST, weights=weights),
        Net(path, phase=TEST, weights=Path(weights)),
    ):
        for ours, theirs in zip(parameters(net), parameters(first), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_names_and_shapes_are_those_of_the_text(path: Path) -> None:
    net = Net(path, TEST)

    assert net.name == "two layers"
    assert net.inputs == ["data"]
    assert net.outputs == ["ip2"]
    assert {name: blob.shape for name, blob in net.blobs.items()} == {
        "data": (3, 4),
        "ip1": (3, 5),
        "ip2": (3, 2),
    }
    assert {name: [b.shape for b in blobs] for name, blobs in net.params.items()} == {
        "ip1": [(5, 4), (5,)],
        "ip2": [(2, 5), (2,)],
    }
    assert net.bottom_names == {"data": [], "ip1": ["data"], "relu1": ["ip1"], "ip2": ["ip1"]}
    assert net.top_names == {"data": ["data"], "ip1": ["ip1"], "relu1": ["ip1"], "ip2": ["ip2"]}
    assert net._layer_names == ["data", "ip1", "relu1", "ip2"]
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "ReLU", "InnerProduct"]
    assert net.layer_dict["ip2"].blobs is net.params["ip2"]
    assert net.layer_dict["relu1"].blobs == []


def test_the_phase_chooses_layers_and_their_weights_in_the_loss(path: Path) -> None:
    path.write_text(TEXT + PHASES)

    assert Net(path, TRAIN).outputs == ["loss"]
    assert Net(path, TEST).outputs == ["prob"]
    weights = Net(path, TRAIN).blob_loss_weights
    assert weights == {"data": 0, "ip1": 0, "ip2": 0, "label": 0, "loss": 0.5}


def test_stages_and_levels_choose_layers(path: Path) -> None:
    more = 'layer {{ name: "{0}" type: "Power" bottom: "ip2" top: "{0}" include {{ {1} }} }}'
    path.write_text(
        TEXT + more.format("deep", 'stage: "deep"') + more.format("high", "min_level: 2")
    )

    assert Net(path, TEST).outputs == ["ip2"]
    assert Net(path, TEST, stages=["deep"]).outputs == ["deep"]
    assert Net(path, TEST, level=2).outputs == ["high"]


def test_a_phase_is_needed(path: Path) -> None:
    with pytest.raises(ValueError, match=r"phase is None; give alexnet.caffe.TRAIN or .*TEST"):
        Net(path)
    with pytest.raises(ValueError, match=r"phase is 2; give alexnet.caffe.TRAIN"):
        Net(path, 2)


def test_files_that_are_missing_are_named(path: Path) -> None:
    with pytest.raises(TextError, match=r"absent\.prototxt"):
        Net(path.with_name("absent.prototxt"), TEST)
    with pytest.raises(TextError, match=r"absent\.caffemodel"):
        Net(path, str(path.with_name("absent.caffemodel")), TEST)


# ---- Forward ------------------------------------------------------------------------------------


def test_what_is_written_into_data_runs_through_the_net(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)
    view = net.blobs["data"].data

    view[...] = x
    before = net.forward()["ip2"]
    close(before, by_hand(net, x)[1])
    kept = before.copy()

    view[0] = 7  # the view of before the pass is still the input
    x[0] = 7
    close(net.forward()["ip2"], by_hand(net, x)[1])
    np.testing.assert_array_equal(before, kept)


def test_inputs_are_given_by_name_and_keep_the_blobs_memory(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)
    view = net.blobs["data"].data

    outputs = net.forward(["ip1"], data=x.astype(np.float64))

    a, y = by_hand(net, x)
    assert list(outputs) == ["ip2", "ip1"]
    close(outputs["ip2"], y)
    close(outputs["ip1"], np.maximum(a, 0))
    np.testing.assert_array_equal(view, x)


def test_layers_run_from_start_to_end(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)

    close(net.forward(end="ip1", data=x)["ip1"], by_hand(net, x)[0])
    close(net.forward(start="relu1", end="relu1")["ip1"], np.maximum(by_hand(net, x)[0], 0))
    h = draw(3, 5, seed=1)
    net.blobs["ip1"].data[...] = h
    _, _, w2, b2 = parameters(net)
    close(net.forward(start="ip2")["ip2"], h @ w2.T + b2)


def test_parameters_are_changed_through_their_data(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)
    net.params["ip2"][0].data[...] = 0
    net.params["ip2"][1].data.flat = np.array([3, 4])  # type: ignore[misc, assignment]

    np.testing.assert_array_equal(net.forward(data=x)["ip2"], [[3, 4]] * 3)


def test_forward_all_runs_batches_and_drops_the_filling(path: Path) -> None:
    net, x = Net(path, TEST), draw(7, 4)

    outputs = net.forward_all(["ip1"], data=x)

    a, y = by_hand(net, x)
    close(outputs["ip2"], y)
    close(outputs["ip1"], np.maximum(a, 0))
    net.blobs["data"].data[...] = x[:3]
    close(net.forward_all()["ip2"], y[:3])


def test_wrong_names_and_shapes_of_a_pass_are_refused(path: Path) -> None:
    net = Net(path, TEST)
    with pytest.raises(ValueError, match=r"no input is called 'dta' \(did you mean 'data'\?\)"):
        net.forward(dta=draw(3, 4))
    with pytest.raises(ValueError, match=r"input 'data' has the shape \(2, 4\), its blob \(3, 4\)"):
        net.forward(data=draw(2, 4))
    with pytest.raises(ValueError, match=r"no blob is called 'ip3'"):
        net.forward(["ip3"])
    with pytest.raises(ValueError, match=r"no layer is called 'relu' \(did you mean 'relu1'\?\)"):
        net.forward(end="relu")
    with pytest.raises(ValueError, match=r"layer 'ip2' runs after layer 'ip1'; give them in order"):
        net.forward(start="ip2", end="ip1")


# ---- Shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [True, False])
def test_another_batch_size_needs_no_new_net(path: Path, call: bool) -> None:
    net, x = Net(path, TEST), draw(5, 4)
    net.blobs["data"].reshape(5, 4)
    if call:
        net.reshape()
        assert net.blobs["ip1"].shape == (5, 5)
        assert net.blobs["ip2"].shape == (5, 2)
    net.blobs["data"].data[...] = x

    close(net.forward()["ip2"], by_hand(net, x)[1])
    close(net.forward_all(data=x[:2])["ip2"], by_hand(net, x[:2])[1])


def test_a_size_that_weights_do_not_fit_is_refused_and_taken_back(path: Path) -> None:
    net, x = Net(path, TEST), draw(3, 4)
    net.blobs["data"].reshape(3, 6)
    with pytest.raises(TextError, match=r"'ip1'.*\[\(5, 4\), \(5,\)\].*need \[\(5, 6\), \(5,\)\]"):
        net.reshape()
    with pytest.raises(
        TextError, match=r"layer 'ip1': does not fit its bottoms of shapes \[\(3, 6"
    ):
        net.forward()
    net.blobs["data"].reshape(3, 4)
    close(net.forward(data=x)["ip2"], by_hand(net, x)[1])


# ---- Weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".caffemodel", ".caffemodel.h5"])
def test_saved_weights_are_copied_into_another_net(path: Path, suffix: str) -> None:
    if suffix.endswith(".h5"):
        pytest.importorskip("h5py")
    first, second = Net(path, TEST), Net(path, TRAIN)
    file = path.with_suffix(suffix)

    first.save(file)
    second.copy_from(str(file))

    for ours, theirs in zip(parameters(second), parameters(first), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_hdf5_is_written_whatever_the_name(path: Path) -> None:
    pytest.importorskip("h5py")
    first, second = Net(path, TEST), Net(path, TEST)

    first.save_hdf5(str(path.with_name("weights")))
    second.load_hdf5(str(path.with_name("weights")))

    np.testing.assert_array_equal(second.params["ip1"][0].data, first.params["ip1"][0].data)


def test_shared_weights_lie_in_the_same_memory(path: Path) -> None:
    train, test = Net(path, TRAIN), Net(path, TEST)
    test.share_with(train)

    train.params["ip2"][1].data[...] = 9

    np.testing.assert_array_equal(test.params["ip2"][1].data, [9, 9])
    x = draw(3, 4)
    np.testing.assert_array_equal(test.forward(data=x)["ip2"], train.forward(data=x)["ip2"])


def test_weights_of_other_shapes_are_refused(path: Path) -> None:
    first = Net(path, TEST)
    first.save(path.with_suffix(".caffemodel"))
    path.write_text(TEXT.replace("num_output: 5", "num_output: 6"))
    with pytest.raises(TextError, match=r"do not fit the net in 2 layers"):
        Net(path, TEST, weights=path.with_suffix(".caffemodel"))
    with pytest.raises(TextError, match=r"layer 'ip1' has blobs of shapes"):
        Net(path, TEST).share_with(first)


def test_arrays_in_memory_are_what_a_memory_layer_reads(path: Path) -> None:
    memory = (
        'layer { name: "data" type: "MemoryData" top: "data" top: "label" '
        "memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }"
        'layer { name: "twice" type: "Power" bottom: "data" top: "y" power_param { scale: 2 } }'
    )
    path.write_text(memory)
    net, x = Net(path, TEST), draw(4, 1, 1, 3)

    net.set_input_arrays(x, np.arange(4))

    for part in (slice(0, 2), slice(2, 4), slice(0, 2)):
        outputs = net.forward(["label"])
        np.testing.assert_array_equal(outputs["y"], 2 * x[part])
        np.testing.assert_array_equal(outputs["label"], np.arange(4)[part])
    with pytest.raises(ValueError, match=r"this net has no input with a batch; call forward\(\)"):
        net.forward_all(data=x)


def test_arrays_for_another_layer_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"for a MemoryData layer; the first is Input"):
        Net(path, TEST).set_input_arrays(draw(3, 4), np.arange(3))
