"""Nets from text: what a run gives, and where gradients go."""

import pytest
import torch
from torch import nn

from tests.text.small_nets import CHAIN, DATA, X, conv, draw, gradient, inner, layer, net_of

# ---- Running ------------------------------------------------------------------------------------

BRANCHES = (
    DATA
    + conv("left", "data")
    + layer("left_relu", "ReLU", "left", "left")
    + conv("right", "data")
    + layer("right_pool", "Pooling", "right", "pooled", "pooling_param { kernel_size: 3 pad: 1 }")
    + layer("sum", "Eltwise", "left pooled", "sum", "eltwise_param { coeff: 1 coeff: -2 }")
    + layer("both", "Concat", "sum left", "both")
)


def test_branches_meet_in_the_sum_that_the_text_says() -> None:
    net = net_of(BRANCHES)
    weights = [each.tensor for each in net.learnable]
    left = nn.functional.conv2d(X, weights[0], weights[1]).relu()
    right = nn.functional.conv2d(X, weights[2], weights[3])
    pooled = nn.functional.max_pool2d(right, 3, 1, 1)
    found = net.run({"data": X}).blobs
    assert list(found) == ["both"]
    wanted = torch.cat([left - 2 * pooled, left], dim=1)
    # oneDNN may take the sums in another order
    torch.testing.assert_close(found["both"], wanted, rtol=1e-5, atol=1e-5)
    assert torch.equal(net({"data": X})["both"], found["both"])


def test_without_the_whole_only_what_leads_to_the_kept_blobs_is_computed() -> None:
    net = net_of(BRANCHES)
    seen: list[str] = []
    for name, module in net.layers.items():
        module.register_forward_hook(lambda *_, name=name: seen.append(name))
    found = net.run({"data": X}, keep=["pooled"], whole=False)
    assert seen == ["right", "right_pool"]
    assert list(found.blobs) == ["pooled"]
    assert torch.equal(found.blobs["pooled"], net.run({"data": X}, keep=["pooled"]).blobs["pooled"])


def test_kept_blobs_stand_beside_the_outputs_as_the_last_layer_in_place_leaves_them() -> None:
    net = net_of(BRANCHES)
    found = net.run({"data": X}, keep=["left", "data", "right"]).blobs
    assert list(found) == ["data", "left", "right", "both"]
    assert torch.equal(found["data"], X)
    assert float(found["left"].detach().min()) == 0.0  # behind its ReLU
    assert float(found["right"].detach().min()) < 0.0
    assert torch.equal(found["both"][:, 4:], found["left"])


def test_a_run_leaves_what_it_was_given_as_it_was() -> None:
    net = net_of(DATA + layer("relu", "ReLU", "data", "data"))
    x = X.clone()
    found = net.run({"data": x}).blobs["data"]
    assert torch.equal(x, X)
    assert torch.equal(found, X.relu())


NAMES = ("conv", "norm", "pool", "fc")


@pytest.mark.parametrize("channels_last", [False, True])
def test_layers_that_run_as_one_give_what_they_give_alone(channels_last: bool) -> None:
    net = net_of(CHAIN)
    x = X.contiguous(memory_format=torch.channels_last) if channels_last else X
    fused = net.run({"data": x}).blobs["fc"]
    alone = net.run({"data": x}, keep=NAMES).blobs
    assert list(alone) == ["conv", "norm", "pool", "fc"]
    torch.testing.assert_close(alone["fc"], fused, rtol=1e-6, atol=1e-6)
    value = x
    for index, node in enumerate(net.wiring.nodes[1:], start=1):
        (value,) = net.call(index, [value])
        if node.name != "conv":
            torch.testing.assert_close(value, alone[str(node.record["top"][0])], rtol=0, atol=1e-6)


def test_gradients_are_the_same_fused_and_alone() -> None:
    first, second = net_of(CHAIN), net_of(CHAIN)
    first.run({"data": X}).blobs["fc"].square().sum().backward()
    second.run({"data": X}, keep=NAMES).blobs["fc"].square().sum().backward()
    for one, other in zip(first.learnable, second.learnable, strict=True):
        torch.testing.assert_close(
            gradient(one.tensor), gradient(other.tensor), rtol=1e-4, atol=1e-4
        )


def test_another_batch_and_size_need_no_new_net() -> None:
    net = net_of(DATA + conv("conv", "data"))
    assert net.run({"data": draw(5, 3, 11, 4)}).blobs["conv"].shape == (5, 4, 9, 2)
    assert net.shapes == {"data": (2, 3, 7, 9), "conv": (2, 4, 5, 7)}


def test_a_given_blob_replaces_what_a_data_layer_reads() -> None:
    dummy = (
        'layer { name: "dummy" type: "DummyData" top: "a" top: "b" dummy_data_param { '
        'data_filler { type: "constant" value: 3 } shape { dim: 2 dim: 2 } } }'
    )
    net = net_of(dummy + layer("sum", "Eltwise", "a b", "sum"))
    assert net.run().blobs["sum"].tolist() == [[6.0, 6.0], [6.0, 6.0]]
    ones = torch.ones(2, 2)
    assert net.run({"b": ones}).blobs["sum"].tolist() == [[4.0, 4.0], [4.0, 4.0]]
    assert net.run({"a": ones, "b": ones}).blobs["sum"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert net.inputs == {}


def test_what_is_not_given_and_names_that_are_none_are_refused() -> None:
    net = net_of(BRANCHES)
    with pytest.raises(ValueError, match="input 'data' is not given; this net takes data"):
        net.run()
    with pytest.raises(ValueError, match=r"no blob is called 'dat' \(did you mean 'data'\?\)"):
        net.run({"dat": X})
    with pytest.raises(ValueError, match=r"no blob is called 'polled' \(did you mean 'pooled'\?\)"):
        net.run({"data": X}, keep=["polled"])


def test_a_net_is_a_chain_if_each_layer_reads_the_one_before() -> None:
    assert net_of(CHAIN).is_chain
    assert not net_of(BRANCHES).is_chain
    assert not net_of(DATA + conv("a", "data") + conv("b", "data")).is_chain


# ---- Loss and gradients -------------------------------------------------------------------------

LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 2 } } }\n'
LABELS = torch.tensor([1.0, 4.0])


def test_the_loss_is_the_sum_of_all_losses_by_their_weights() -> None:
    text = DATA + LABEL + inner("fc", "data") + inner("aux", "data")
    text += layer("loss", "SoftmaxWithLoss", "fc label")
    text += layer("aux_loss", "SoftmaxWithLoss", "aux label", "aux_loss", "loss_weight: 0.3")
    text += layer("size", "Reduction", "fc", "size", "loss_weight: 2 reduction_param { axis: 0 }")
    net = net_of(text, "TRAIN")
    blobs, loss = net.run({"data": X, "label": LABELS}, keep=["fc", "aux"])
    target = LABELS.long()
    main = nn.functional.cross_entropy(blobs["fc"], target)
    aux = nn.functional.cross_entropy(blobs["aux"], target)
    torch.testing.assert_close(blobs["loss"], main)
    wanted = main + 0.3 * aux + 2 * blobs["fc"].sum()
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)
    assert net.loss_weights == {"loss": 1.0, "aux_loss": pytest.approx(0.3), "size": 2.0}
    assert net.outputs == ["loss", "aux_loss", "size"]


def test_a_net_without_losses_has_a_loss_of_zero() -> None:
    net = net_of(BRANCHES)
    assert float(net.run({"data": X}).loss) == 0.0
    assert net.loss_weights == {}


def test_a_loss_may_stand_before_other_layers() -> None:
    text = DATA + layer(
        "double", "Power", "data", "double", "loss_weight: 3 power_param {scale: 2}"
    )
    net = net_of(text + layer("half", "Power", "double", "half", "power_param { scale: 0.5 }"))
    blobs, loss = net.run({"data": X})
    torch.testing.assert_close(loss, 6 * X.sum(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(blobs["half"], X)


@pytest.mark.parametrize("follow", ["", layer("relu", "ReLU", "second", "second")])
def test_no_gradient_goes_down_where_the_text_says_so(follow: str) -> None:
    text = DATA + conv("first", "data") + layer("aside", "Power", "first", "aside")
    text += conv("second", "first", more="propagate_down: false") + follow
    net = net_of(text, "TRAIN")
    net.run({"data": X}).blobs["second"].sum().backward()
    assert net.layers["first"].weight.grad is None
    assert float(gradient(net.get_parameter("second.weight")).abs().max()) > 0


def test_labels_get_no_gradient() -> None:
    net = net_of(DATA + LABEL + inner("fc", "data") + layer("loss", "HingeLoss", "fc label"))
    labels = LABELS.clone().requires_grad_()
    net.run({"data": X, "label": labels}).loss.backward()
    assert labels.grad is None
