"""Nets from text as nets for pictures: what `--net FILE.prototxt` builds."""

import copy
import itertools
from pathlib import Path

import pytest
import torch
from torch import nn

from alexnet.nets.chain import Chain, leaves
from alexnet.packed import PackedNet, pack_verified
from alexnet.text.message import TextError
from alexnet.text.picture import PictureNet, TextPreset, preset_of, read_preset
from alexnet.text.prototxt import parse
from alexnet.training.step import at_work
from tests.text.small_nets import conv, draw, inner, layer

TRAIN_VAL = (
    """
name: "small"
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 15 mirror: true } data_param { source: "gone" batch_size: 8 } }
layer { name: "val" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 15 } data_param { source: "gone" batch_size: 4 } }
"""
    + conv("conv1", "data", more="param { lr_mult: 1 } param { lr_mult: 2 }")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("pool1", "Pooling", "conv1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    + inner("aux/fc", "pool1", outputs=7)
    + layer("aux/loss", "SoftmaxWithLoss", "aux/fc label", "aux/loss", "loss_weight: 0.3")
    + inner("fc6", "pool1", outputs=12)
    + layer("relu6", "ReLU", "fc6", "fc6")
    + layer("drop6", "Dropout", "fc6", "fc6")
    + inner("fc7", "fc6", outputs=7)
    + layer("accuracy", "Accuracy", "fc7 label", "accuracy", "include { phase: TEST }")
    + layer("loss", "SoftmaxWithLoss", "fc7 label", "loss")
)
DEPLOY = (
    'layer { name: "data" type: "Input" top: "data" '
    "input_param { shape { dim: 10 dim: 3 dim: 15 dim: 15 } } }\n"
    + conv("conv1", "data")
    + layer("relu1", "ReLU", "conv1", "conv1")
    + layer("norm1", "LRN", "conv1", "norm1", "lrn_param { local_size: 3 }")
    + layer("pool1", "Pooling", "norm1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    + inner("fc6", "pool1", outputs=12)
    + layer("relu6", "ReLU", "fc6", "fc6")
    + layer("drop6", "Dropout", "fc6", "fc6")
    + inner("fc7", "fc6", outputs=7)
    + layer("prob", "Softmax", "fc7")
)
X = draw(2, 3, 15, 15)


def preset(text: str) -> TextPreset:
    return preset_of(parse(text, "NetParameter", source="net.prototxt"), source="net.prototxt")


def build(text: str, *, classes: int, input_size: int | None = None) -> PictureNet:
    net = preset(text).build(classes=classes, input_size=input_size)
    net.init_weights(torch.Generator().manual_seed(5))
    return net.eval()


def by_hand(net: Chain, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compute the blobs of both texts with torch's functions."""
    w = net.state_dict()
    conv1 = nn.functional.conv2d(x, w["conv1.weight"], w["conv1.bias"]).relu()
    norm1 = (
        nn.functional.local_response_norm(conv1, 3, alpha=1.0) if hasattr(net, "norm1") else conv1
    )
    pool1 = nn.functional.max_pool2d(norm1, 3, 2, ceil_mode=True)
    fc6 = nn.functional.linear(pool1.flatten(1), w["fc6.weight"], w["fc6.bias"]).relu()
    fc7 = nn.functional.linear(fc6, w["fc7.weight"], w["fc7.bias"])
    found = {"conv1": conv1, "norm1": norm1, "pool1": pool1, "fc6": fc6, "fc7": fc7}
    if "aux/fc.weight" in w:
        found["aux/fc"] = nn.functional.linear(
            pool1.flatten(1), w["aux/fc.weight"], w["aux/fc.bias"]
        )
    return found


def close(given: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare what other orders of the same float32 sums give."""
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-4)


# ---- What is known before it is built -----------------------------------------------------------


@pytest.mark.parametrize("text", [TRAIN_VAL, DEPLOY])
def test_channels_size_and_classes_are_those_of_the_text(text: str) -> None:
    found = preset(text)
    assert (found.channels, found.input_size, found.published_classes) == (3, 15, 7)
    assert (found.source, found.published, found.notes) == ("net.prototxt", None, ())


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "small.prototxt"
    path.write_text(DEPLOY)
    assert read_preset(path).source == str(path)
    path.write_text(DEPLOY.replace("Softmax", "Sotfmax"))
    with pytest.raises(TextError, match=rf"{path}:\d+:\d+: layer 'prob': no kind .*'Softmax'"):
        read_preset(path)


def test_the_text_that_is_kept_gives_the_same_net() -> None:
    first = preset(TRAIN_VAL)
    second = preset(first.text)
    assert second.text == first.text
    one, other = (each.build(classes=3) for each in (first, second))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.eval()(X), other.eval()(X))


def test_old_texts_are_upgraded_before_they_are_kept() -> None:
    old = (
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9 '
        'layers { name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" blobs_lr: 2 '
        "inner_product_param { num_output: 4 } }"
    )
    found = preset(old)
    assert "layers {" not in found.text
    assert "lr_mult: 2" in found.text
    assert (found.input_size, found.published_classes) == (9, 4)


def test_pictures_that_are_no_squares_are_refused() -> None:
    with pytest.raises(TextError, match=r"the input is 15 x 11; only squares are taken"):
        preset(DEPLOY.replace("dim: 15 dim: 15", "dim: 11 dim: 15"))


# ---- Building -----------------------------------------------------------------------------------


def test_weights_have_the_layers_names() -> None:
    net = build(TRAIN_VAL, classes=7)
    assert list(net.state_dict()) == [
        "conv1.weight",
        "conv1.bias",
        "aux/fc.weight",
        "aux/fc.bias",
        "fc6.weight",
        "fc6.bias",
        "fc7.weight",
        "fc7.bias",
    ]
    assert [name for name, _ in leaves(net)][:4] == ["conv1", "relu1", "pool1", "aux/fc"]


@pytest.mark.parametrize("text", [TRAIN_VAL, DEPLOY])
def test_the_logits_are_those_that_torch_computes(text: str) -> None:
    net = build(text, classes=7)
    close(net(X), by_hand(net, X)["fc7"])


def test_classes_are_replaced_in_every_head() -> None:
    net = build(TRAIN_VAL, classes=3)
    heads = net.heads(X)
    assert net.classes == 3
    assert heads.logits.shape == (2, 3)
    assert heads.auxiliary[0].shape == (2, 3)
    assert build(DEPLOY, classes=4)(X).shape == (2, 4)


def test_another_input_size_makes_other_weights_where_the_text_does() -> None:
    found = preset(DEPLOY)
    net = build(DEPLOY, classes=7, input_size=21)
    assert net.input_size == 21
    assert tuple(net.state_dict()["fc6.weight"].shape) == (12, 4 * 9 * 9)
    x = draw(1, 3, 21, 21)
    close(net(x), by_hand(net, x)["fc7"])
    assert [found.check_input(size) for size in (15, 21, 5)] == [6, 9, 1]
    with pytest.raises(
        TextError, match=r"layer 'conv1': a kernel that spans 3 does not fit axis 2"
    ):
        found.check_input(2)
    with pytest.raises(TextError, match="layer 'conv1'"):
        found.build(classes=7, input_size=2)


def test_grey_pictures_are_taken() -> None:
    text = DEPLOY.replace("dim: 3", "dim: 1")
    assert preset(text).channels == 1
    net = build(text, classes=7)
    x = draw(3, 1, 15, 15)
    close(net(x), by_hand(net, x)["fc7"])


def test_a_generator_draws_the_weights() -> None:
    seeds = (5, 5, 6)
    nets = [preset(DEPLOY).build(classes=7) for _ in seeds]
    for net, seed in zip(nets, seeds, strict=True):
        net.init_weights(torch.Generator().manual_seed(seed))
    states = [list(net.state_dict().values()) for net in nets]
    assert all(map(torch.equal, states[0], states[1]))
    assert not any(map(torch.equal, states[0], states[2]))


# ---- Running ------------------------------------------------------------------------------------


def test_heads_are_the_logits_and_the_other_losses_with_their_weight() -> None:
    net = build(TRAIN_VAL, classes=7)
    wanted, heads = by_hand(net, X), net.heads(X)
    close(heads.logits, wanted["fc7"])
    assert len(heads.auxiliary) == 1
    close(heads.auxiliary[0], wanted["aux/fc"])
    assert heads.weight == pytest.approx(0.3)
    alone = build(DEPLOY, classes=7).heads(X)
    assert (alone.auxiliary, alone.weight) == ((), 0.0)


def test_blobs_and_layers_are_shown_by_their_names() -> None:
    net = build(DEPLOY, classes=7)
    wanted = by_hand(net, X)
    found = net.activations(X, ["conv1", "relu1", "norm1", "pool1", "fc6", "fc7"])
    assert list(found) == ["conv1", "relu1", "norm1", "pool1", "fc6", "fc7"]
    for name, blob in found.items():
        close(blob, wanted["conv1" if name == "relu1" else name])
    close(net(X, upto="drop6"), wanted["fc6"])
    with pytest.raises(ValueError, match=r"no layer or blob is called 'fc66' \(did you mean 'fc6'"):
        net(X, upto="fc66")


def test_dropout_works_in_training_alone() -> None:
    net = build(DEPLOY, classes=7).train()
    torch.manual_seed(0)
    assert not torch.equal(net(X), net(X))
    net.eval()
    assert torch.equal(net(X), net(X))


def test_a_copy_shares_nothing_and_has_all_in_one_place() -> None:
    net = build(TRAIN_VAL, classes=7)
    before = net(X).detach()
    other = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(net(X), before)
    assert float(other(X).detach().abs().max()) == 0.0
    bodies = [blob for blobs in other.body.blobs().values() for blob in blobs]
    assert {id(p) for p in other.parameters()} == {id(blob) for blob in bodies}


def test_a_net_computes_in_bfloat16() -> None:
    net = build(TRAIN_VAL, classes=7)
    wanted = net(X).detach()
    for low in (copy.deepcopy(net).to(torch.bfloat16), at_work(net, torch.bfloat16)):
        found = low(X.to(torch.bfloat16)).detach()
        assert found.dtype == torch.bfloat16
        # 8 bits in inputs, weights and activations of three layers
        limit = 0.05 * float(wanted.abs().max())
        assert float((found.float() - wanted).abs().max()) < limit
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_a_worker_in_bfloat16_has_the_nets_own_statistics() -> None:
    text = DEPLOY.replace(
        layer("norm1", "LRN", "conv1", "norm1", "lrn_param { local_size: 3 }"),
        layer("norm1", "BatchNorm", "conv1", "norm1"),
    )
    net = build(text, classes=7).train()
    worker = at_work(net, torch.bfloat16)
    worker(X.to(torch.bfloat16)).sum().backward()
    assert net.state_dict()["norm1.factor"].tolist() == [1.0]
    assert {p.dtype for p in worker.parameters()} == {torch.bfloat16}
    assert all(p.grad is not None for p in worker.parameters())


def test_a_chain_is_packed_and_a_net_with_branches_stays() -> None:
    net = build(DEPLOY, classes=7)
    packed = pack_verified(net, X)
    assert isinstance(packed, PackedNet)
    close(packed(X), net(X).detach())
    kinds = [type(step).__name__ for step in packed.steps]
    assert kinds == ["_Convolution", "_Fused", "_FullyConnected", "_FullyConnected"]
    branched = build(TRAIN_VAL, classes=7)
    assert branched.branches
    assert pack_verified(branched, X) is branched
    with pytest.raises(ValueError, match="a net from a text with branches has no int8 weights"):
        pack_verified(branched, X, fully_connected="int8")


def test_steps_are_the_layers_in_their_order_without_the_input() -> None:
    names = [name for name, _ in build(DEPLOY, classes=7).steps()]
    assert names == ["conv1", "relu1", "norm1", "pool1", "fc6", "relu6", "drop6", "fc7"]
    assert all(a != b for a, b in itertools.pairwise(names))


def test_a_blob_that_is_learned_without_a_bottom_belongs_to_the_net() -> None:
    text = (
        'layer { name: "data" type: "Input" top: "data" input_param { shape { '
        "dim: 2 dim: 3 dim: 5 dim: 5 } } }\n"
        'layer { name: "map" type: "Parameter" top: "map" '
        "parameter_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }\n"
        + layer("sum", "Eltwise", "data map")
        + inner("fc", "sum", outputs=4)
    )
    net = build(text, classes=4)
    assert list(net.state_dict()) == ["map.blob", "fc.weight", "fc.bias"]
    x = draw(2, 3, 5, 5)
    net(x).sum().backward()
    found = net.get_parameter("map.blob").grad
    assert found is not None
    close(found, net.get_parameter("fc.weight").sum(0).view(1, 3, 5, 5).expand(2, -1, -1, -1))


def test_the_factors_of_a_text_are_those_that_it_gives() -> None:
    net = build(TRAIN_VAL, classes=7)
    assert net.multipliers() == {"conv1.weight": (1.0, None), "conv1.bias": (2.0, None)}
    assert build(DEPLOY, classes=7).multipliers() == {}


def test_logits_that_are_no_numbers_of_classes_are_refused() -> None:
    text = DEPLOY[: DEPLOY.index('layer { name: "norm1"')]
    net = build(text, classes=4)
    message = "the net makes 4 x 13 x 13 numbers of a picture, and there are 4 classes"
    for run in (net, net.heads):
        with pytest.raises(ValueError, match=message):
            run(X)
    assert tuple(net(X, upto="relu1").shape) == (2, 4, 13, 13)
