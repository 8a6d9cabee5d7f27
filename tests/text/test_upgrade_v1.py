"""What the golden nets of test_upgrade.py do not show: refusals and places."""

import pytest

from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import parse
from alexnet.text.schema import ENUMS
from alexnet.text.upgrade_v1 import (
    TYPES,
    has_old_transformations,
    move_transformations,
    upgrade_v1,
)


def net_of(text: str) -> Message:
    return parse(text, "NetParameter", source="n")


def test_every_type_of_2014_has_a_name_of_today() -> None:
    assert TYPES.keys() == ENUMS["LayerType"].keys()
    assert len(set(TYPES.values())) == len(TYPES) == 40


def test_only_data_layers_have_old_transformations() -> None:
    assert not has_old_transformations(net_of("layers { type: RELU data_param { scale: 2 } }"))
    assert not has_old_transformations(net_of("layers { type: DATA data_param { source: 'a' } }"))
    for kind, name in (
        ("DATA", "data"),
        ("IMAGE_DATA", "image_data"),
        ("WINDOW_DATA", "window_data"),
    ):
        for field in ("scale: 1", "mean_file: ''", "crop_size: 0", "mirror: false"):
            text = f"layers {{ type: {kind} {name}_param {{ {field} }} }}"
            assert has_old_transformations(net_of(text)), text


def test_an_old_transformation_replaces_a_new_one() -> None:
    net = net_of(
        "layers { type: DATA data_param { scale: 2 } transform_param { scale: 3 mirror: 1 } }"
    )
    move_transformations(net)
    assert net["layers"][0]["transform_param"] == Message(
        "TransformationParameter", {"scale": 2, "mirror": True}
    )
    assert "scale" not in net["layers"][0]["data_param"]


def test_rates_names_and_modes_meet_in_one_list_of_params() -> None:
    net = upgrade_v1(
        net_of(
            "layers { blobs_lr: [1, 2, 3] weight_decay: 0 param: ['', 'b']"
            " blob_share_mode: [STRICT, PERMISSIVE] }"
        )
    )
    assert net["layer"][0]["param"] == [
        Message("ParamSpec", values)
        for values in (
            {"name": "", "share_mode": "STRICT", "lr_mult": 1, "decay_mult": 0},
            {"name": "b", "share_mode": "PERMISSIVE", "lr_mult": 2},
            {"lr_mult": 3},
        )
    ]


def test_fields_and_layers_keep_their_places() -> None:
    net = upgrade_v1(net_of("name: 'a'\nlayers { type: RELU\n top: 'b' }\nlayers { }"))
    assert net.place("name") == "n:1:1"
    assert [layer.place() for layer in net["layer"]] == ["n:2", "n:4"]
    assert net["layer"][0].place("top") == "n:3:2"


def test_layers_of_both_formats_are_refused() -> None:
    with pytest.raises(
        TextError, match=r"^n:1:1: the net has both `layer` and `layers`; write all"
    ):
        upgrade_v1(net_of("layers { } layer { }"))
