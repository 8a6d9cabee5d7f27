"""Names of blobs become values; what cannot be connected is refused with both places."""

from collections.abc import Sequence

import pytest
from torch import nn

from alexnet.text.kind import Kind
from alexnet.text.message import Message, TextError
from alexnet.text.parser import MAX_LAYERS
from alexnet.text.wiring import wire

PLAIN = Kind(lambda setting: nn.Identity())
KINDS = {
    "Input": Kind(lambda setting: nn.Identity(), bottoms=(0, 0)),
    "ReLU": PLAIN,
    "Convolution": PLAIN,
    "Eltwise": Kind(lambda setting: nn.Identity(), bottoms=(2, 1_000_000)),
    "Slice": Kind(lambda setting: nn.Identity(), tops=(1, 1_000_000)),
    "SoftmaxWithLoss": Kind(lambda setting: nn.Identity(), (2, 3), (1, 2), loss=True),
}
Layer = tuple[str, str, Sequence[str], Sequence[str]]


def net(*layers: Layer, weights: Sequence[float] = ()) -> Message:
    """Make a net of (name, kind, bottoms, tops), each on its own line; the last has the weights."""
    found = Message("NetParameter", {"name": "test"})
    found.source = "net.prototxt"
    for line, (name, kind, bottoms, tops) in enumerate(layers, start=1):
        values = {"name": name, "type": kind, "bottom": list(bottoms), "top": list(tops)}
        record = found.add("layer", values)
        record.source, record.line = "net.prototxt", line
        for field in values:
            record.mark(field, (line, 5))
    if weights:
        found["layer"][-1]["loss_weight"] = list(weights)
    return found


DATA: Layer = ("data", "Input", [], ["data"])


def test_a_layer_in_place_makes_a_new_value_of_the_old_name() -> None:
    found = wire(
        net(
            DATA,
            ("conv", "Convolution", ["data"], ["conv"]),
            ("relu", "ReLU", ["conv"], ["conv"]),
            ("next", "Convolution", ["conv"], ["next"]),
        ),
        KINDS,
    )
    assert [(node.bottoms, node.tops) for node in found.nodes] == [
        ([], [0]),
        ([0], [1]),
        ([1], [2]),
        ([2], [3]),
    ]
    assert found.names == ["data", "conv", "conv", "next"]
    assert found.outputs == [3]
    assert found.last == {"data": 0, "conv": 2, "next": 3}


def test_what_no_layer_reads_is_an_output() -> None:
    found = wire(net(DATA, ("cut", "Slice", ["data"], ["a", "b", "c"])), KINDS)
    assert [found.names[value] for value in found.outputs] == ["a", "b", "c"]


def test_a_loss_without_a_top_gets_one_that_is_no_output() -> None:
    found = wire(
        net(
            DATA,
            ("label", "Input", [], ["label"]),
            ("loss", "SoftmaxWithLoss", ["data", "label"], []),
        ),
        KINDS,
    )
    assert found.nodes[2].tops == [2]
    assert found.nodes[2].loss_weights == [1.0]
    assert found.outputs == []


def test_the_first_top_of_a_loss_weighs_one_and_others_nothing() -> None:
    layers: list[Layer] = [DATA, ("label", "Input", [], ["label"])]
    loss: Layer = ("loss", "SoftmaxWithLoss", ["data", "label"], ["loss", "p"])
    assert wire(net(*layers, loss), KINDS).nodes[2].loss_weights == [1.0, 0.0]
    given = wire(net(*layers, loss, weights=[0.5, 2.0]), KINDS)
    assert given.nodes[2].loss_weights == [0.5, 2.0]
    assert wire(net(DATA, weights=[3.0]), KINDS).nodes[0].loss_weights == [3.0]


REFUSED: list[tuple[str, list[Layer], str]] = [
    (
        "an unknown kind",
        [DATA, ("c", "Convolutoin", ["data"], ["c"])],
        r"net.prototxt:2:5: layer 'c': no kind of layer is called 'Convolutoin'.*'Convolution'",
    ),
    (
        "a bottom that nothing makes",
        [DATA, ("c", "Convolution", ["dat"], ["c"])],
        r"net.prototxt:2:5: layer 'c': no layer before makes the bottom 'dat'.*'data'",
    ),
    (
        "no bottom at all",
        [("c", "Convolution", ["data"], ["c"])],
        r"no layer before makes the bottom 'data'; there is none yet",
    ),
    (
        "a bottom that is made later",
        [DATA, ("a", "Eltwise", ["data", "b"], ["a"]), ("b", "ReLU", ["data"], ["b"])],
        (
            r"net.prototxt:2:5: layer 'a': bottom 'b' is made only later, by layer 'b' at "
            r"net.prototxt:3:5"
        ),
    ),
    (
        "a circle",
        [DATA, ("a", "Eltwise", ["data", "b"], ["a"]), ("b", "ReLU", ["a"], ["b"])],
        r"bottom 'b' is made only later.*may not form a circle",
    ),
    (
        "a name that stands twice",
        [DATA, ("c", "ReLU", ["data"], ["c"]), ("c", "ReLU", ["c"], ["d"])],
        r"net.prototxt:3: layer 'c': a layer of that name stands at net.prototxt:2:5 too",
    ),
    (
        "a top that stands twice",
        [DATA, ("c", "ReLU", ["data"], ["c"]), ("d", "ReLU", ["data"], ["c"])],
        r"net.prototxt:3:5: layer 'd': top 'c' is made by layer 'c' too at net.prototxt:2:5",
    ),
    (
        "work in place on what another layer reads",
        [DATA, ("c", "ReLU", ["data"], ["c"]), ("d", "ReLU", ["data"], ["data"])],
        (
            r"net.prototxt:3:5: layer 'd': works in place on 'data', made by layer 'data' at "
            r"net.prototxt:1:5 and read by another layer before"
        ),
    ),
    (
        "too many bottoms",
        [DATA, ("c", "ReLU", ["data", "data"], ["c"])],
        r"layer 'c': ReLU has 2 bottom blobs; it takes 1",
    ),
    (
        "too few bottoms",
        [DATA, ("c", "Eltwise", ["data"], ["c"])],
        r"layer 'c': Eltwise has 1 bottom blobs; it takes 2 or more",
    ),
    (
        "too few bottoms of two or three",
        [DATA, ("c", "SoftmaxWithLoss", ["data"], ["c"])],
        r"layer 'c': SoftmaxWithLoss has 1 bottom blobs; it takes 2 to 3",
    ),
    (
        "no top",
        [DATA, ("c", "ReLU", ["data"], [])],
        r"layer 'c': ReLU has 0 top blobs; it takes 1",
    ),
]


@pytest.mark.parametrize(
    ("layers", "message"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED]
)
def test_what_cannot_be_connected_is_refused_with_both_places(
    layers: list[Layer], message: str
) -> None:
    with pytest.raises(TextError, match=message):
        wire(net(*layers), KINDS)


def test_loss_weights_must_be_one_for_each_top() -> None:
    with pytest.raises(TextError, match=r"loss_weight stands 2 times for 1 top blobs"):
        wire(net(DATA, weights=[1.0, 2.0]), KINDS)


def test_a_million_layers_are_refused_before_they_are_looked_at() -> None:
    found = Message("NetParameter")
    found.source = "big.prototxt"
    found["layer"] = [Message("LayerParameter")] * 1_000_000
    with pytest.raises(TextError, match=rf"1,000,000 layers; at most {MAX_LAYERS:,} are read"):
        wire(found, KINDS)
