"""Nets from text: what a solver updates, and how blobs are filled, read and written."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from alexnet.text import wire
from alexnet.text.message import TextError
from alexnet.text.weights import weights_of
from tests.text.small_nets import CHAIN, DATA, X, conv, gradient, inner, layer, net_of

# ---- Blobs and what learns ----------------------------------------------------------------------

SHARED = (
    DATA
    + conv("a", "data", kernel=1, outputs=3, more='param { name: "w" } param { name: "b" }')
    + conv("b", "a", kernel=1, outputs=3, more='param { name: "w" } param { lr_mult: 2 }')
)


def test_shared_parameters_learn_once_and_their_gradients_add_up() -> None:
    net = net_of(SHARED)
    found = [(e.layer, e.index, e.lr_mult, e.decay_mult) for e in net.learnable]
    assert found == [("a", 0, 1.0, 1.0), ("a", 1, 1.0, 1.0), ("b", 1, 2.0, 1.0)]
    assert net.blobs()["a"][0] is net.blobs()["b"][0]
    net.run({"data": X}).blobs["b"].sum().backward()
    first, bias, second = (e.tensor.detach().clone() for e in net.learnable)
    apart = [w.clone().requires_grad_() for w in (first, first)]
    inside = nn.functional.conv2d(X, apart[0], bias)
    nn.functional.conv2d(inside, apart[1], second).sum().backward()
    wanted = gradient(apart[0]) + gradient(apart[1])
    torch.testing.assert_close(gradient(net.learnable[0].tensor), wanted, rtol=1e-5, atol=1e-4)


def test_what_is_shared_is_one_entry_for_the_whole_net() -> None:
    net = net_of(SHARED)
    assert sum(p.numel() for p in net.parameters()) == 9 + 3 + 3
    for moved in (copy.deepcopy(net), net_of(SHARED).double()):
        assert moved.blobs()["a"][0] is moved.blobs()["b"][0]
        assert moved.learnable[0].tensor is moved.blobs()["a"][0]


def test_a_copy_has_its_own_weights() -> None:
    net = net_of(CHAIN)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.learnable[0].tensor.zero_()
    assert float(net.learnable[0].tensor.detach().abs().max()) > 0
    maps = other.run({"data": X}, keep=["conv"]).blobs["conv"].detach()
    assert torch.equal(maps[0], maps[1])  # biases alone


NORMED = (
    DATA
    + layer("bn", "BatchNorm", "data", "bn")
    + layer("scale", "Scale", "bn", "scale", "scale_param { bias_term: true }")
)


def test_statistics_are_listed_with_a_rate_of_zero_and_stay_listed_where_they_move() -> None:
    net = net_of(NORMED)
    found = [(e.layer, e.index, tuple(e.tensor.shape), e.lr_mult) for e in net.learnable]
    assert found == [
        ("bn", 0, (3,), 0.0),
        ("bn", 1, (3,), 0.0),
        ("bn", 2, (1,), 0.0),
        ("scale", 0, (3,), 1.0),
        ("scale", 1, (3,), 1.0),
    ]
    net.double()
    own = [blob for blobs in net.blobs().values() for blob in blobs]
    assert all(e.tensor is blob for e, blob in zip(net.learnable, own, strict=True))
    assert {e.tensor.dtype for e in net.learnable} == {torch.float64}


def test_in_training_statistics_are_gathered_and_in_testing_they_are_used() -> None:
    net = net_of(NORMED, "TRAIN")
    trained = net.run({"data": X}).blobs["scale"].detach().numpy()
    x = X.numpy().astype(np.float64)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
    shape = (1, 3, 1, 1)
    wanted = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
    np.testing.assert_allclose(trained, wanted, rtol=1e-5, atol=1e-6)
    blobs = [blob.detach().numpy() for blob in net.blobs()["bn"]]
    count = x.size // 3
    np.testing.assert_allclose(blobs[0], mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(blobs[1], variance * count / (count - 1), rtol=1e-5)
    assert blobs[2].tolist() == [1.0]
    tested = net.eval().run({"data": X}).blobs["scale"].detach().numpy()
    np.testing.assert_allclose(tested, wanted * np.sqrt((count - 1) / count), rtol=1e-4, atol=1e-5)


def test_a_rate_of_zero_takes_no_gradient() -> None:
    net = net_of(DATA + conv("conv", "data", more="param { lr_mult: 0 } param { decay_mult: 0 }"))
    weight, bias = (each.tensor for each in net.learnable)
    assert [(e.lr_mult, e.decay_mult) for e in net.learnable] == [(0.0, 1.0), (1.0, 0.0)]
    net.run({"data": X}).blobs["conv"].sum().backward()
    assert weight.grad is None
    np.testing.assert_allclose(gradient(bias), [2 * 5 * 7] * 4)


def test_dropout_drops_in_training_alone() -> None:
    text = DATA + layer("drop", "Dropout", "data", "data", "dropout_param { dropout_ratio: 0.4 }")
    ones = torch.ones(2, 3, 70, 90)
    torch.manual_seed(3)
    dropped = net_of(text, "TRAIN").run({"data": ones}).blobs["data"]
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.6)]
    share = float((dropped == 0).double().mean())
    assert share == pytest.approx(0.4, abs=5 * (0.24 / ones.numel()) ** 0.5)
    assert torch.equal(net_of(text).run({"data": ones}).blobs["data"], ones)


def test_a_scale_with_two_bottoms_has_a_bias_alone() -> None:
    net = net_of(
        DATA
        + 'layer { name: "s" type: "Input" top: "s" input_param { shape { dim: 3 } } }\n'
        + layer(
            "scale",
            "Scale",
            "data s",
            "scale",
            "scale_param { bias_term: true bias_filler { value: 7 } }",
        )
    )
    assert [(e.layer, e.index, tuple(e.tensor.shape)) for e in net.learnable] == [
        ("scale", 0, (3,))
    ]
    s = torch.tensor([1.0, -2.0, 0.5])
    wanted = X * s.view(3, 1, 1) + 7
    torch.testing.assert_close(net.run({"data": X, "s": s}).blobs["scale"], wanted)


def test_fillers_draw_from_the_generator() -> None:
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    nets = [net_of(CHAIN, generator=each) for each in seeds]
    own = [[e.tensor.detach() for e in net.learnable] for net in nets]
    assert all(torch.equal(a, b) for a, b in zip(own[0], own[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(own[0], own[2], strict=True))
    assert float(own[0][2].std()) == pytest.approx(0.5, abs=0.1)
    nets[0].fill(torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(own[0], own[2], strict=True))


def test_blobs_without_fillers_are_zero() -> None:
    net = net_of(
        DATA + layer("ip", "InnerProduct", "data", "ip", "inner_product_param {num_output:2}")
    )
    assert [float(e.tensor.detach().abs().max()) for e in net.learnable] == [0.0, 0.0]


# ---- Weights in and out -------------------------------------------------------------------------


def test_weights_come_back_through_a_binary_file() -> None:
    first, second = net_of(CHAIN), net_of(CHAIN, generator=torch.Generator().manual_seed(9))
    message = wire.decode(wire.encode(first.to_message()), "NetParameter")
    assert [each["name"] for each in message["layer"]] == list(first.layers)
    assert second.load_blobs(weights_of(message)) == []
    x = {"data": X}
    assert torch.equal(first.run(x).blobs["fc"], second.run(x).blobs["fc"])


def test_shared_blobs_and_statistics_come_back_too() -> None:
    text = SHARED + layer("bn", "BatchNorm", "b", "bn")
    first, second = net_of(text, "TRAIN"), net_of(text, generator=torch.Generator().manual_seed(9))
    first.run({"data": X})
    message = wire.decode(wire.encode(first.to_message()), "NetParameter")
    assert second.load_blobs(weights_of(message)) == []
    for name, own in first.blobs().items():
        for one, other in zip(own, second.blobs()[name], strict=True):
            assert torch.equal(one, other), name
    assert float(second.blobs()["bn"][2]) == 1.0


def test_gradients_are_written_where_they_are_asked_for() -> None:
    net = net_of(DATA + conv("conv", "data"))
    net.run({"data": X}).blobs["conv"].sum().backward()
    blob = wire.decode(wire.encode(net.to_message(diff=True)), "NetParameter")["layer"][1]["blobs"]
    np.testing.assert_array_equal(blob[1]["diff"], gradient(net.get_parameter("conv.bias")))
    assert "diff" not in net.to_message()["layer"][1]["blobs"][0]


def test_blobs_of_four_axes_as_in_2014_are_taken() -> None:
    net = net_of(DATA + inner("fc", "data"))
    arrays = [np.full((1, 1, 5, 189), 2, np.float32), np.full((1, 1, 1, 5), 3, np.float32)]
    assert net.load_blobs({"fc": arrays}) == []
    wanted = 2 * X.sum((1, 2, 3))[:, None].expand(2, 5) + 3
    torch.testing.assert_close(net.run({"data": X}).blobs["fc"], wanted, rtol=1e-5, atol=1e-4)


def test_layers_that_one_side_lacks_are_remarked() -> None:
    net = net_of(DATA + conv("conv", "data") + inner("fc", "conv"))
    before = net.blobs()["fc"][0].detach().clone()
    arrays = [np.full((4, 3, 3, 3), np.nan, np.float32), np.zeros(4, np.float32)]
    notes = net.load_blobs({"conv": arrays, "fc8": arrays}, source="it.caffemodel")
    assert notes == [
        "layer fc is not in it.caffemodel; it keeps its values",
        "ignoring layer fc8 of it.caffemodel",
        "layer 'conv', blob 0: 108 of 108 values are NaN or infinite",
    ]
    assert torch.equal(net.blobs()["fc"][0], before)


def test_weights_of_other_shapes_are_refused_and_nothing_is_taken() -> None:
    net = net_of(DATA + conv("conv", "data") + inner("fc", "conv"))
    before = [e.tensor.detach().clone() for e in net.learnable]
    conv_arrays = [np.zeros((4, 3, 3, 3), np.float32), np.zeros(4, np.float32)]
    wrong = [np.zeros((5, 2), np.float32), np.zeros(5, np.float32)]
    with pytest.raises(TextError, match=r"(?s)it do not fit the net in 1 layer:.*fc .*5 x 2, 5"):
        net.load_blobs({"conv": conv_arrays, "fc": wrong}, source="it")
    assert all(torch.equal(e.tensor, b) for e, b in zip(net.learnable, before, strict=True))


# ---- States -------------------------------------------------------------------------------------


def test_phase_level_and_stages_choose_the_layers() -> None:
    text = DATA
    for name, rule in [
        ("train", "phase: TRAIN"),
        ("test", "phase: TEST"),
        ("high", "min_level: 2"),
        ("deploy", 'stage: "deploy"'),
    ]:
        text += layer(name, "Power", "data", name, f"include {{ {rule} }}")
    assert net_of(text, "TRAIN").outputs == ["train"]
    assert net_of(text, level=2).outputs == ["test", "high"]
    assert net_of(text, stages=("deploy",)).outputs == ["test", "deploy"]
    state = 'state { level: 3 stage: "deploy" }'
    assert net_of(text + state, "TRAIN").outputs == ["train", "high", "deploy"]


def test_names_of_layers_that_torch_does_not_allow_stay_caffes() -> None:
    net = net_of(DATA + conv("conv.1", "data") + conv("forward", "conv.1"))
    assert list(net.blobs()) == ["conv.1", "forward"]
    assert [e.layer for e in net.learnable] == ["conv.1", "conv.1", "forward", "forward"]
    assert [name for name, _ in net.named_children()] == ["data", "conv_1", "forward_"]
