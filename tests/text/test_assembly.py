"""Layers are built without memory, share their blobs, and then get memory once."""

import pytest
import torch
from torch import nn

from alexnet.text.assembly import (
    MOST_ELEMENTS,
    Learnable,
    as_tuple,
    build,
    freeze,
    materialise,
    present,
    share,
)
from alexnet.text.kind import Kind
from alexnet.text.kinds import KINDS
from alexnet.text.message import TextError
from alexnet.text.prototxt import parse
from alexnet.text.wiring import Wiring, wire
from tests.text.small_nets import DATA, conv, layer


def wired(text: str, kinds: dict[str, Kind] | None = None) -> Wiring:
    return wire(parse(text, "NetParameter", source="net.prototxt"), kinds or KINDS)


def test_shapes_are_found_without_memory() -> None:
    text = DATA + conv("conv", "data") + layer("cut", "Slice", "conv", "a b")
    modules, shapes = build(wired(text), "TEST")
    assert shapes == [(2, 3, 7, 9), (2, 4, 5, 7), (2, 2, 5, 7), (2, 2, 5, 7)]
    assert all(parameter.is_meta for parameter in modules[1].parameters())


def test_the_phase_is_that_of_the_layers() -> None:
    text = DATA + layer("drop", "Dropout", "data")
    assert build(wired(text), "TRAIN")[0][1].training
    assert not build(wired(text), "TEST")[0][1].training


def test_the_largest_blob_is_that_of_the_original() -> None:
    assert MOST_ELEMENTS == 2**31 - 1
    text = DATA.replace("dim: 2 dim: 3 dim: 7 dim: 9", "dim: %d")
    assert build(wired(text % MOST_ELEMENTS), "TEST")[1] == [(MOST_ELEMENTS,)]
    with pytest.raises(TextError, match=r"net.prototxt:1: layer 'data': a blob of 2147483648 has"):
        build(wired(text % (MOST_ELEMENTS + 1)), "TEST")


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x, x


def test_a_layer_that_makes_more_blobs_than_tops_is_refused() -> None:
    kinds = {**KINDS, "Two": Kind(lambda setting: Two())}
    with pytest.raises(TextError, match="layer 'two': makes 2 blobs and names 1 tops"):
        build(wired(DATA + layer("two", "Two", "data"), kinds), "TEST")


class Odd(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.empty(5)


def test_what_torch_refuses_is_the_layers_fault() -> None:
    kinds = {**KINDS, "Odd": Kind(lambda setting: Odd())}
    why = r"net.prototxt:2: layer 'odd': does not fit its bottoms \(\(2, 3, 7, 9\),\): .*\[5\]"
    with pytest.raises(TextError, match=why):
        build(wired(DATA + layer("odd", "Odd", "data"), kinds), "TEST")


def test_a_filler_that_does_not_fit_its_blob_is_refused_before_memory_is_taken() -> None:
    text = 'bias_filler { type: "bilinear" } num_output: 4 kernel_size: 3'
    with pytest.raises(
        TextError, match=r"net.prototxt:2: filler type bilinear is for four axes .*, not \(4,\)"
    ):
        build(
            wired(DATA + layer("c", "Convolution", "data", "c", f"convolution_param {{ {text} }}")),
            "TEST",
        )


def found(text: str) -> tuple[list[Learnable], list[nn.Module]]:
    wiring = wired(text)
    modules, _ = build(wiring, "TEST")
    return share(wiring.nodes, modules), modules


def test_blobs_of_one_name_are_one_and_stand_where_they_are_first_met() -> None:
    learnable, modules = found(
        DATA
        + conv("a", "data", more='param { name: "w" lr_mult: 3 } param { decay_mult: 0 }')
        + conv("b", "data", more='param { name: "w" }')
    )
    assert [(e.layer, e.index, e.lr_mult, e.decay_mult) for e in learnable] == [
        ("a", 0, 3.0, 1.0),
        ("a", 1, 1.0, 0.0),
        ("b", 1, 1.0, 1.0),
    ]
    assert modules[1].weight is modules[2].weight
    assert modules[1].bias is not modules[2].bias


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (
            conv("b", "data", outputs=5, more='param { name: "w" }'),
            r"3: layer 'b': shares the blob 'w' of layer 'a', whose shape is \(4, 3, 3, 3\), ",
        ),
        (
            conv("b", "data", more='param { name: "w" lr_mult: 2 }'),
            "layer 'b': shares the blob 'w' of layer 'a' with another lr_mult: 2 and 3",
        ),
        (
            conv("b", "data", more='param { name: "w" decay_mult: 2 }'),
            "layer 'b': shares the blob 'w' of layer 'a' with another decay_mult: 2 and 0.5",
        ),
        (
            conv("b", "data", more="param { } param { } param { }"),
            "layer 'b': has 3 param entries for 2 blobs; give at most one for each",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(second: str, why: str) -> None:
    first = conv("a", "data", more='param { name: "w" lr_mult: 3 decay_mult: 0.5 }')
    with pytest.raises(TextError, match=why):
        found(DATA + first + second)


def test_memory_is_given_once_to_what_is_shared() -> None:
    learnable, modules = found(
        DATA
        + conv("a", "data", more='param { name: "w" } param { lr_mult: 0 }')
        + conv("b", "data", more='param { name: "w" }')
        + layer("norm", "BatchNorm", "b")
    )
    net = nn.ModuleList(modules)
    materialise(net)
    assert not any(tensor.is_meta for tensor in [*net.parameters(), *net.buffers()])
    assert modules[1].weight is modules[2].weight
    weight = modules[1].get_parameter("weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert [b.abs().max().item() for b in modules[3].buffers()] == [0.0] * 3
    names = ("data", "a", "b", "norm")
    own = {
        name: list(module.state_dict(keep_vars=True).values())
        for name, module in zip(names, modules, strict=True)
    }
    now = present(learnable, own)
    assert [e.layer for e in now] == ["a", "a", "b", "norm", "norm", "norm"]
    assert now[0].tensor is modules[1].weight
    assert now[3].tensor is modules[3].mean
    freeze(now)
    assert [p.requires_grad for p in net.parameters()] == [True, False, True]


def test_one_top_or_several_are_a_tuple() -> None:
    x = torch.ones(1)
    assert as_tuple(x) == (x,)
    assert as_tuple((x, x)) == (x, x)
