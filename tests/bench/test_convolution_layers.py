"""Convolutions read from nets and from lines."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from alexnet.bench.convolution_layers import Layer, layers_of, parse_layer, spell
from alexnet.convolution.problem import Problem
from alexnet.nets import find

FLOAT = torch.float32


def parse(text: str) -> Problem:
    return parse_layer(text, batch=2, dtype=FLOAT).problem


def test_a_line_of_two_kernel_numbers_keeps_the_size_of_its_picture() -> None:
    layer = parse_layer("64,32,3,3 @ 224", batch=16, dtype=torch.bfloat16)
    assert layer == Layer(
        "64,32,3,3 @ 224",
        Problem(
            batch=16,
            channels=64,
            kernels=32,
            size=(224, 224),
            kernel=(3, 3),
            stride=(1, 1),
            padding=((1, 1), (1, 1)),
            dilation=(1, 1),
            groups=1,
            dtype=torch.bfloat16,
        ),
    )
    assert layer.problem.output == (224, 224)


def test_every_option_is_read_for_all_axes_or_each() -> None:
    found = parse("4,8,3,5@20x30 stride 2x1 pad 0+1x2 dilation 3 groups 4")
    assert (found.size, found.kernel) == ((20, 30), (3, 5))
    assert (found.stride, found.padding) == ((2, 1), ((0, 1), (2, 2)))
    assert (found.dilation, found.groups) == ((3, 3), 4)


def test_a_net_of_text_has_one_axis_and_one_of_volumes_three() -> None:
    assert parse("256,128,5 @ 200").x_shape == (2, 256, 200)
    assert parse("256,128,5 @ 200 dilation 2").padding == ((4, 4),)
    assert parse("8,16,3,3,3 @ 64").w_shape == (16, 8, 3, 3, 3)
    assert parse("8,16,1,3,3 @ 9x8x7").padding == ((0, 0), (1, 1), (1, 1))


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    axes = draw(st.integers(1, 3))
    few = st.tuples(*[st.integers(1, 3)] * axes)
    groups = draw(st.integers(1, 3))
    pads = st.tuples(st.integers(0, 3), st.integers(0, 3))
    return Problem(
        batch=2,
        channels=groups * draw(st.integers(1, 3)),
        kernels=groups * draw(st.integers(1, 3)),
        size=draw(st.tuples(*[st.integers(8, 12)] * axes)),
        kernel=draw(few),
        stride=draw(few),
        padding=draw(st.tuples(*[pads] * axes)),
        dilation=draw(few),
        groups=groups,
        dtype=FLOAT,
    )


@settings(deadline=None, max_examples=60)
@given(problems())
def test_what_is_spelled_is_read_again(problem: Problem) -> None:
    assert parse(spell(problem)) == problem


REFUSED = [
    ("64,64 @ 224", "is not understood; write channels,kernels,kernel size @ input size"),
    ("64,64,3,3", 'such as "64,64,3,3 @ 224"'),
    ("64,64,3,3,3,3 @ 7", "is not understood"),
    ("a @ 7", "is not understood"),
    (
        "6,6,3,3 @ 9 strid 2",
        r"no option is called 'strid' \(did you mean 'stride'\?\); the options",
    ),
    ("6,6,3,3 @ 9 stride", "stride has no number; write stride 2"),
    ("6,6,3,3 @ 9 stride 0", "stride is 0; it must be one number or 2 with x between"),
    ("6,6,3 @ 9 stride 2x2", "stride is 2x2; it must be one number, each at least 1"),
    ("6,6,3,3 @ 9x9x9", "the input size is 9x9x9; it must be one number or 2"),
    ("6,6,3,3 @ 9 pad 1+", r"pad is 1\+; it must be one number or 2 with x between, or before"),
    ("6,6,3,3 @ 9 pad 1x1x1", "pad is 1x1x1; it must be"),
    ("6,6,3,3 @ 9 groups 4", "groups is 4, which must divide the 6 channels and 6 kernels"),
    ("6,6,3,3 @ 9 groups 0", "groups is 0; it must be one number, each at least 1"),
    ("6,6,5,5 @ 3 pad 0", r"a kernel that reaches over \(5, 5\) does not fit"),
    ("0,6,3,3 @ 9", "channels is 0; it must be at least 1"),
    ("6,0,3,3 @ 9", r"w has shape \(0, 6, 3, 3\); every number must be at least 1"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_line_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        parse(text)
    assert str(refusal.value).startswith(f"layer {text!r}")


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="batch is 0; it must be at least 1"):
        parse_layer("6,6,3,3 @ 9", batch=0, dtype=FLOAT)


def on_meta(name: str) -> list[Layer]:
    known = find(name)
    with torch.device("meta"):
        net = known.build(classes=10)
    return layers_of(net, (4, known.channels, known.input_size, known.input_size), dtype=FLOAT)


def test_a_nets_equal_layers_stand_once() -> None:
    layers = on_meta("vgg16")
    assert sum(layer.count for layer in layers) == 13
    assert [(layer.name, layer.count, spell(layer.problem)) for layer in layers[:3]] == [
        ("conv1_1", 1, "3,64,3,3 @ 224 pad 1"),
        ("conv1_2", 1, "64,64,3,3 @ 224 pad 1"),
        ("conv2_1", 1, "64,128,3,3 @ 112 pad 1"),
    ]
    assert [layer.count for layer in layers] == [1, 1, 1, 1, 1, 2, 1, 2, 3]
    assert layers[0].problem.batch == 4


def test_strides_and_groups_of_a_net_are_read() -> None:
    layers = {layer.name: spell(layer.problem) for layer in on_meta("caffenet")}
    assert layers["conv1"] == "3,96,11,11 @ 227 stride 4 pad 0"
    assert layers["conv2"] == "96,256,5,5 @ 27 pad 2 groups 2"


def test_convolutions_in_blocks_of_a_net_are_found() -> None:
    layers = on_meta("resnet18")
    assert sum(layer.count for layer in layers) == 20
    assert re.search("stride 2 pad 3", spell(layers[0].problem))


def test_other_nets_padding_is_described() -> None:
    net = nn.Sequential(
        nn.Conv1d(3, 4, 4, padding="same", dilation=2),
        nn.Conv1d(4, 4, 3, padding=1, padding_mode="circular"),
    )
    found = layers_of(net.to("meta"), (2, 3, 9), dtype=torch.float64)
    assert [spell(layer.problem) for layer in found] == [
        "3,4,4 @ 9 pad 3 dilation 2",
        "4,4,3 @ 11 pad 0",
    ]
    assert {layer.problem.dtype for layer in found} == {torch.float64}


def test_a_net_keeps_no_hook() -> None:
    net = nn.Sequential(nn.Conv3d(1, 2, 3)).to("meta")
    layers_of(net, (1, 1, 5, 6, 7), dtype=FLOAT)
    assert not net[0]._forward_pre_hooks


def test_a_net_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="the net has no convolution; name another net"):
        layers_of(nn.Linear(3, 4, device="meta"), (2, 3), dtype=FLOAT)
