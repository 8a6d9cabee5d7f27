"""Rules against the layers that BVLC Caffe keeps of one net in 32 states."""

from pathlib import Path

import pytest

from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import load, parse
from alexnet.text.rules import filter_net

GOLDEN = Path(__file__).parent.parent / "golden" / "prototxt"
STATES = [row.split(": ") for row in (GOLDEN / "states.txt").read_text().splitlines()]


def net_of(text: str) -> Message:
    return parse(text, "NetParameter", source="n")


def names(net: Message) -> list[str]:
    return [layer["name"] for layer in net["layer"]]


@pytest.mark.parametrize(("state", "kept"), STATES, ids=[state for state, _ in STATES])
def test_the_layers_of_a_state_are_those_that_caffe_keeps(state: str, kept: str) -> None:
    phase, level, stages = state.split()
    assert phase in ("TRAIN", "TEST")
    net = filter_net(
        load(GOLDEN / "states.prototxt", "NetParameter"),
        "TRAIN" if phase == "TRAIN" else "TEST",
        level=int(level),
        stages=[] if stages == "-" else stages.split(","),
    )
    assert names(net) == kept.split("; ")


def test_the_state_is_written_into_the_net_that_is_returned() -> None:
    net = net_of("state { level: 3 stage: 'x' } layer { name: 'a' include { min_level: 3 } }")
    filtered = filter_net(net, "TEST", stages=["y"])
    assert filtered["state"] == Message("NetState", {"phase": "TEST", "level": 0, "stage": ["y"]})
    assert names(filtered) == []
    assert names(net) == ["a"]


def test_filtering_twice_by_one_state_changes_nothing() -> None:
    net = filter_net(load(GOLDEN / "states.prototxt", "NetParameter"), "TRAIN", level=2)
    assert filter_net(net, "TRAIN", level=2) == net


def test_include_and_exclude_in_one_layer_are_refused() -> None:
    net = net_of("layer { name: 'a' include { }\n exclude { } }")
    with pytest.raises(
        TextError, match=r"^n:2:2: layer 'a': include and exclude rules cannot both be given; keep"
    ):
        filter_net(net, "TRAIN")


def test_a_net_of_an_old_format_is_refused() -> None:
    with pytest.raises(TextError, match=r"^n:1:1: the net has V1 `layers`; upgrade it before"):
        filter_net(net_of("layers { }"), "TRAIN")
