"""What the golden nets of test_upgrade.py do not show: refusals, notes and places."""

import pytest

from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import parse
from alexnet.text.upgrade_v0 import is_v0, upgrade_v0


def net_of(*layers: str) -> Message:
    text = "\n".join(f"layers {{ {layer} }}" for layer in layers)
    return parse(f"input: 'data'\n{text}", "NetParameter", source="n")


PAD = "layer { name: 'pad' type: 'padding' pad: 3 } bottom: 'data' top: 'padded'"
CONV = "layer { name: 'conv' type: 'conv' pad: 1 } bottom: 'padded' top: 'conv'"


def test_a_net_is_of_2013_when_any_layer_has_a_layer_inside() -> None:
    assert is_v0(net_of("type: RELU", PAD))
    assert not is_v0(net_of("type: RELU"))
    assert not is_v0(Message("NetParameter"))


def test_padding_is_given_to_every_layer_that_takes_it_and_replaces_its_own() -> None:
    pool = "layer { name: 'pool' type: 'pool' } bottom: 'padded' top: 'pool'"
    upgraded = upgrade_v0(net_of(PAD, CONV, pool), [])
    assert [layer["name"] for layer in upgraded["layers"]] == ["conv", "pool"]
    assert [layer["bottom"] for layer in upgraded["layers"]] == [["data"], ["data"]]
    assert upgraded["layers"][0]["convolution_param"]["pad"] == [3]
    assert upgraded["layers"][1]["pooling_param"]["pad"] == 3


def test_padding_that_is_written_over_no_longer_counts() -> None:
    other = "layer { name: 'relu' type: 'relu' } bottom: 'data' top: 'padded'"
    upgraded = upgrade_v0(net_of(PAD, other, CONV), [])
    assert upgraded["layers"][1]["bottom"] == ["padded"]
    assert upgraded["layers"][1]["convolution_param"]["pad"] == [1]


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (
            [PAD, "layer { name: 'relu' type: 'relu' } bottom: 'padded'"],
            "n:3: layer 'relu': padding stands before 'relu'; only conv and pool take it",
        ),
        (
            [PAD, "layer { type: 'padding' } bottom: 'padded' top: 'more'"],
            "n:3: padding stands before 'padding'; only conv and pool take it",
        ),
        (
            [PAD, "layer { name: 'conv' type: 'conv' } bottom: 'padded' bottom: 'data'"],
            "n:3: layer 'conv': a layer after padding must have one bottom",
        ),
        (
            [f"{PAD} top: 'more'", CONV],
            "n:2: layer 'pad': padding must have one bottom and one top",
        ),
        (
            [f"{PAD} bottom: 'data'", CONV],
            "n:2: layer 'pad': padding must have one bottom and one top",
        ),
        (
            [CONV],
            "n:2: layer 'conv': bottom 'padded' is not the top of any layer before it",
        ),
        (
            [PAD, CONV.replace("padded", "paded")],
            "n:3: layer 'conv': bottom 'paded' .* before it .did you mean 'padded'",
        ),
        (
            [PAD, "name: 'new' type: RELU bottom: 'padded'"],
            "n:3: layer 'new': layers with and without an inner `layer { ... }` cannot",
        ),
        (
            ["layer { name: 'c' type: 'convolution' } bottom: 'data'"],
            "n:2:28: layer 'c': 'convolution' is no type of a V0 layer",
        ),
        (
            ["layer { name: 'c' type: 'innerprodukt' } bottom: 'data'"],
            "n:2:28: layer 'c': 'innerprodukt' is no .* .did you mean 'innerproduct'",
        ),
    ],
)
def test_an_old_net_that_makes_no_sense_is_refused(layers: list[str], why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        upgrade_v0(net_of(*layers), [])


def test_what_is_dropped_is_noted_with_its_place() -> None:
    net = net_of("layer { name: 'r' type: 'relu' pad: 1 scale: 2 new_num: 3 } bottom: 'data'")
    net["debug_info"] = True
    notes: list[str] = []
    upgrade_v0(net, notes)
    assert notes == [
        "debug_info is dropped: nets with V0 layers have none",
        "n:2:41: layer 'r': pad is dropped: a 'relu' layer has none",
        "n:2:57: layer 'r': new_num is dropped: a 'relu' layer has none",
    ]


def test_layers_keep_their_places() -> None:
    upgraded = upgrade_v0(net_of(PAD, CONV), [])
    assert upgraded["layers"][0].place("top") == "n:3:70"
    assert upgraded.place("input") == "n:1:1"
