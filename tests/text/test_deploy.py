"""Nets for training or for answers as nets from a picture to logits."""

import pytest
import torch

from alexnet.text.deploy import Deploy, as_deploy
from alexnet.text.graph import TextNet
from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import parse
from alexnet.text.upgrade import upgrade_net

DATA = """
layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { crop_size: 20 mirror: true } data_param { source: "gone" batch_size: 8 } }
layer { name: "val" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 16 } data_param { source: "gone" batch_size: 4 } }
"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { %s } } }\n'
PICTURE = INPUT % "dim: 5 dim: 3 dim: 16 dim: 16"
BODY = """
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""
SCORES = """
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOFTMAX = 'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
AUXILIARY = """
layer { name: "aux" type: "InnerProduct" bottom: "conv" top: "aux" %s
  inner_product_param { num_output: 7 } }
layer { name: "aux loss" type: "SoftmaxWithLoss" bottom: "aux" bottom: "label" top: "aux loss"
  loss_weight: 0.25 %s }
"""


def net_of(text: str) -> Message:
    """Return an upgraded net from text."""
    return upgrade_net(parse(text, "NetParameter", source="net.prototxt"))


def cut(text: str, classes: int | None = None) -> Deploy:
    """Return a text as a net from a picture to logits, after checking that it builds."""
    deploy = as_deploy(net_of(text), classes=classes)
    net = TextNet(deploy.net)
    assert net.shapes[deploy.input][1:] == deploy.shape
    assert list(net.inputs) == [deploy.input]
    return deploy


def names(deploy: Deploy) -> list[str]:
    """Return the names of a net's layers."""
    return [layer["name"] for layer in deploy.net["layer"]]


def test_a_net_for_training_loses_its_data_labels_and_scores() -> None:
    deploy = cut(DATA + BODY + SCORES)
    assert names(deploy) == ["val", "conv", "relu", "fc"]
    assert (deploy.input, deploy.shape, deploy.logits) == ("data", (3, 16, 16), "fc")
    assert deploy.heads == (("fc", 1.0),)
    assert deploy.removed == ("accuracy", "loss")
    assert not any("include" in layer for layer in deploy.net["layer"])


def test_a_net_for_answers_loses_its_softmax() -> None:
    deploy = cut(PICTURE + BODY + SOFTMAX)
    assert names(deploy) == ["data", "conv", "relu", "fc"]
    assert deploy.heads == (("fc", 1.0),)
    assert deploy.removed == ("prob",)
    assert list(deploy.net["layer"][0]["input_param"]["shape"][0]["dim"]) == [5, 3, 16, 16]


def test_the_fields_of_old_texts_are_an_input() -> None:
    old = 'input: "data" input_dim: 2 input_dim: 1 input_dim: 16 input_dim: 12\n'
    deploy = cut(old + BODY)
    assert deploy.shape == (1, 16, 12)
    assert deploy.logits == "fc"


def test_a_softmax_in_place_is_left_out_too() -> None:
    in_place = SOFTMAX.replace('top: "prob"', 'top: "fc"')
    assert names(cut(PICTURE + BODY + in_place)) == ["data", "conv", "relu", "fc"]


def test_an_arg_max_after_the_softmax_is_left_out_too() -> None:
    last = 'layer { name: "class" type: "ArgMax" bottom: "prob" top: "class" }'
    deploy = cut(PICTURE + BODY + SOFTMAX + last)
    assert (deploy.logits, deploy.removed) == ("fc", ("prob", "class"))


def test_a_softmax_within_the_net_stays() -> None:
    more = SOFTMAX + (
        'layer { name: "last" type: "InnerProduct" bottom: "prob" top: "last" '
        "inner_product_param { num_output: 3 } }"
    )
    deploy = cut(PICTURE + BODY + more)
    assert (deploy.logits, deploy.removed) == ("last", ())


def test_each_loss_of_training_is_a_head_and_the_last_one_the_main() -> None:
    deploy = cut(DATA + BODY + AUXILIARY % ("", "") + SCORES)
    assert deploy.heads == (("aux", 0.25), ("fc", 1.0))
    assert deploy.logits == "fc"


def test_a_head_that_only_training_has_is_kept() -> None:
    train = "include { phase: TRAIN }"
    deploy = cut(DATA + BODY + AUXILIARY % (train, train) + SCORES)
    assert deploy.heads == (("aux", 0.25), ("fc", 1.0))
    assert names(deploy) == ["val", "conv", "relu", "fc", "aux"]


def test_a_dropout_that_only_training_has_is_kept() -> None:
    dropout = (
        'layer { name: "drop" type: "Dropout" bottom: "fc" top: "fc" include { phase: TRAIN } }'
    )
    assert names(cut(DATA + BODY + dropout + SCORES))[-1] == "drop"


def test_losses_of_weight_zero_are_no_heads() -> None:
    deploy = cut(DATA + BODY + AUXILIARY.replace("0.25", "0") % ("", "") + SCORES)
    assert deploy.heads == (("fc", 1.0),)
    assert "aux" in deploy.removed


def test_two_losses_of_the_same_logits_are_one_head() -> None:
    hinge = (
        'layer { name: "hinge" type: "HingeLoss" bottom: "fc" bottom: "label" top: "hinge" '
        "loss_weight: 0.5 }"
    )
    assert cut(DATA + BODY + SCORES + hinge).heads == (("fc", 1.5),)


def test_a_loss_of_probabilities_has_its_logits_before_the_softmax() -> None:
    loss = (
        'layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "prob" bottom: "label" '
        'top: "loss" }'
    )
    deploy = cut(DATA + BODY + SOFTMAX + loss)
    assert (deploy.logits, deploy.removed) == ("fc", ("prob", "loss"))


def test_labels_that_are_prepared_go_with_the_loss() -> None:
    labels = (
        'layer { name: "coarse" type: "Power" bottom: "label" top: "coarse" }'
        'layer { name: "unused" type: "Silence" bottom: "coarse" }'
    )
    deploy = cut(DATA + BODY + SCORES + labels)
    assert deploy.removed == ("accuracy", "loss", "coarse", "unused")


@pytest.mark.parametrize("given", ["num_output: 7", ""])
def test_classes_replace_the_number_of_logits_also_where_it_is_missing(given: str) -> None:
    text = DATA + (BODY + AUXILIARY % ("", "")).replace("num_output: 7", given) + SCORES
    net = TextNet(cut(text, classes=11).net)
    assert net.shapes["fc"] == (1, 11)
    assert net.shapes["aux"] == (1, 11)
    assert net.shapes["conv"][1] == 4


def test_classes_are_set_through_layers_without_weights() -> None:
    body = """
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 7 kernel_size: 1 } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
      pooling_param { pool: AVE global_pooling: true } }
    layer { name: "prob" type: "Softmax" bottom: "pool" top: "prob" }
    """
    assert TextNet(cut(PICTURE + body, classes=3).net).shapes["pool"] == (5, 3, 1, 1)


def test_the_text_that_was_given_stays_as_it_is() -> None:
    net = net_of(DATA + BODY + SCORES)
    before = net.copy()
    as_deploy(net, classes=3)
    assert net == before


def test_the_logits_are_those_of_the_whole_net() -> None:
    label = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 5 } } }\n'
    whole = net_of(PICTURE + label + BODY + SCORES + SOFTMAX)
    first = TextNet(whole)
    deploy = as_deploy(whole)
    second = TextNet(deploy.net)
    second.load_blobs({n: [b.detach().numpy() for b in bs] for n, bs in first.blobs().items()})
    x = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    ours = second.run({"data": x}, keep=["fc"]).blobs["fc"]
    theirs = first.run({"data": x, "label": torch.zeros(5)}, keep=["fc"]).blobs["fc"]
    torch.testing.assert_close(ours, theirs)


DIGITS = """
layer { name: "train-data" type: "Data" top: "data" top: "label" include { stage: "train" } %s }
layer { name: "val-data" type: "Data" top: "data" top: "label" include { stage: "val" } %s }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss"
  exclude { stage: "deploy" } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy"
  include { stage: "val" } }
layer { name: "softmax" type: "Softmax" bottom: "fc" top: "softmax" include { stage: "deploy" } }
"""


def test_a_text_with_the_stages_of_digits_is_taken_without_naming_them() -> None:
    crop = "transform_param { crop_size: 12 }"
    deploy = cut(DIGITS % (crop, crop), classes=5)
    assert names(deploy) == ["val-data", "conv", "fc"]
    assert deploy.shape == (3, 12, 12)
    assert deploy.heads == (("fc", 1.0),)


def test_the_last_stage_says_what_a_text_of_digits_lacks() -> None:
    with pytest.raises(
        TextError, match="layer 'train-data': the size of the pictures is not known"
    ):
        as_deploy(net_of(DIGITS % ("", "")))


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ('type: "Data" transform_param { crop_size: 12 force_gray: true }', (1, 12, 12)),
        ('type: "ImageData" image_data_param { new_height: 14 new_width: 12 }', (3, 14, 12)),
        (
            (
                'type: "ImageData" image_data_param { new_height: 14 new_width: 12 '
                "is_color: false } transform_param { crop_size: 10 }"
            ),
            (1, 10, 10),
        ),
        ('type: "MemoryData" memory_data_param { channels: 1 height: 9 width: 11 }', (1, 9, 11)),
        (
            (
                'type: "MemoryData" memory_data_param { channels: 3 height: 9 width: 11 } '
                "transform_param { crop_size: 8 }"
            ),
            (3, 8, 8),
        ),
        (
            (
                'type: "DummyData" dummy_data_param { shape { dim: 2 dim: 3 dim: 9 dim: 10 } '
                "shape { dim: 2 } }"
            ),
            (3, 9, 10),
        ),
        (
            (
                'type: "DummyData" dummy_data_param { num: 2 num: 2 channels: 1 channels: 1 '
                "height: 8 height: 1 width: 9 width: 1 }"
            ),
            (1, 8, 9),
        ),
    ],
)
def test_the_size_is_what_the_data_layer_declares(source: str, shape: tuple[int, ...]) -> None:
    text = f'layer {{ name: "read" top: "data" top: "label" {source} }}'
    assert cut(text + BODY + SCORES).shape == shape


def test_a_size_that_the_text_does_not_say_can_be_given() -> None:
    text = DATA.replace("crop_size: 16", "") + BODY + SCORES
    with pytest.raises(TextError, match=r"layer 'val': the size .* give transform_param"):
        as_deploy(net_of(text))
    deploy = as_deploy(net_of(text), shape=(1, 28, 24))
    assert TextNet(deploy.net).shapes["data"] == (1, 1, 28, 24)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (INPUT % "dim: 1 dim: 4 dim: 8 dim: 8" + BODY, "the input 'data' has 4 channels"),
        (INPUT % "dim: 1 dim: 3" + BODY, r"the input 'data' has the shape \(1, 3\); a picture is"),
        (BODY, r"net.prototxt:2:\d+: layer 'conv': no layer makes its bottom 'data'"),
        (PICTURE, "not one output, so its logits are not known: it has no output"),
        (
            PICTURE + BODY + BODY.replace('"fc"', '"other"').replace('"conv"', '"more"'),
            "not one output, so its logits are not known: its outputs are fc, other",
        ),
        (
            PICTURE + BODY.replace('"fc"', '"other"') + SCORES,
            "no layer makes the logits 'fc'",
        ),
        (
            PICTURE
            + BODY
            + 'layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "label" top: "sum" }'
            + DATA,
            "no layer makes its bottom 'label'",
        ),
    ],
)
def test_what_is_no_net_from_a_picture_to_logits_is_refused(text: str, why: str) -> None:
    with pytest.raises(TextError, match=why):
        as_deploy(net_of(text))


def test_two_pictures_are_refused() -> None:
    second = PICTURE.replace('"data"', '"more"')
    joined = 'layer { name: "sum" type: "Eltwise" bottom: "fc" bottom: "b" top: "sum" }'
    body = BODY + BODY.replace('"conv"', '"a"').replace('"fc"', '"b"').replace('"data"', '"more"')
    why = r"the logits come from 2 blobs that are read \(data, more\); this takes nets with one"
    with pytest.raises(TextError, match=why):
        as_deploy(net_of(PICTURE + second + body.replace('"relu"', '"r"', 1) + joined))


def test_classes_of_logits_that_are_a_sum_cannot_be_changed() -> None:
    text = PICTURE + BODY + 'layer { name: "e" type: "Eltwise" bottom: "fc" bottom: "fc" top: "e" }'
    match = "layer 'e': the logits come from this layer of type Eltwise, so their number cannot"
    with pytest.raises(TextError, match=match):
        as_deploy(net_of(text), classes=3)
    bare = PICTURE + 'layer { name: "flat" type: "Flatten" bottom: "data" top: "flat" }'
    match = "layer 'data': the logits come from this layer of type Input"
    with pytest.raises(TextError, match=match):
        as_deploy(net_of(bare), classes=3)
