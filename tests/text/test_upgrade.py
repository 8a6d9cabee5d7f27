"""Upgraded nets against BVLC Caffe's; its solvers are what upgrade_solver_proto_text writes."""

from pathlib import Path

import numpy as np
import pytest

from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import load, parse, print_text
from alexnet.text.upgrade import (
    read_net,
    read_solver,
    upgrade_net,
    upgrade_notes,
    upgrade_solver,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "prototxt"
NETS = sorted(path.with_suffix(".prototxt") for path in GOLDEN.glob("*.upgraded"))


def net_of(text: str) -> Message:
    return parse(text, "NetParameter", source="n")


def solver_of(text: str) -> Message:
    return parse(text, "SolverParameter", source="n")


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_a_net_is_upgraded_as_caffe_does_letter_for_letter(path: Path) -> None:
    assert print_text(read_net(path)) == path.with_suffix(".upgraded").read_text()


@pytest.mark.parametrize("path", NETS, ids=lambda path: path.stem)
def test_an_upgrade_leaves_its_net_as_it_was_and_a_new_net_alone(path: Path) -> None:
    net = load(path, "NetParameter")
    upgraded = upgrade_net(net)
    assert net == load(path, "NetParameter")
    assert upgrade_notes(net) != []
    assert upgrade_net(upgraded) == upgraded
    assert upgrade_notes(upgraded) == []


def test_a_net_of_today_is_returned_as_a_copy() -> None:
    net = net_of("layer { name: 'a' } input_dim: 3 input_shape { }")
    upgraded = upgrade_net(net)
    assert upgraded == net
    assert upgraded["layer"][0] is not net["layer"][0]
    assert upgrade_notes(net) == []


def test_notes_name_each_step() -> None:
    assert upgrade_notes(load(GOLDEN / "v1_transformations.prototxt", "NetParameter")) == [
        "scale, mean_file, crop_size and mirror are moved into transform_param",
        "layers of 2014 (V1, `layers`) are read as those of today (`layer`)",
    ]
    assert upgrade_notes(net_of("input: 'a' layers { layer { type: 'relu' } bottom: 'a' }")) == [
        "layers of 2013 (V0) are read as those of 2014",
        "layers of 2014 (V1, `layers`) are read as those of today (`layer`)",
        "input fields are read as an Input layer",
    ]
    assert upgrade_notes(load(GOLDEN / "batch_norm.prototxt", "NetParameter")) == [
        "lr_mult and decay_mult of BatchNorm layers are 0"
    ]


def test_an_input_layer_stands_where_the_inputs_did() -> None:
    net = upgrade_net(net_of("name: 'x'\n input: 'a'\n input_dim: [1, 2, 3, 4]\n layer { }"))
    assert [layer.place() for layer in net["layer"]] == ["n:2", "n:4"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input: ['a', 'b']\n input_shape { }", "n:1:1: there are 2 inputs, but 1 input_shape"),
        (
            "input: ['a', 'b']\n input_dim: [1, 2, 3, 4, 5]",
            "n:1:1: there are 2 inputs of 4 dimensions each, but 5 input_dim",
        ),
    ],
)
def test_inputs_without_dimensions_enough_are_refused(text: str, why: str) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        upgrade_net(net_of(text))


def test_blobs_move_along_without_a_copy() -> None:
    data = np.arange(6, dtype=np.float32)
    blob = {"num": 1, "channels": 1, "height": 2, "width": 3, "data": data}
    old = Message("NetParameter", {"layers": [{"layer": {"type": "conv", "blobs": [blob]}}]})
    newer = Message("NetParameter", {"layers": [{"type": "CONVOLUTION", "blobs": [blob]}]})
    for net in (old, newer):
        layer = upgrade_net(net)["layer"][0]
        assert layer["type"] == "Convolution"
        assert layer["blobs"] == [Message("BlobProto", blob)]
        assert layer["blobs"][0]["data"] is data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("ADAGRAD", "AdaGrad"),
        ("RMSPROP", "RMSProp"),
        ("ADADELTA", "AdaDelta"),
        ("ADAM", "Adam"),
    ],
)
def test_a_solver_is_upgraded_as_caffe_does(old: str, new: str) -> None:
    solver = solver_of(f'net: "net.prototxt" base_lr: 0.1 solver_type: {old}')
    upgraded = upgrade_solver(solver)
    assert print_text(upgraded) == f'base_lr: 0.1\nnet: "net.prototxt"\ntype: "{new}"\n'
    assert "type" not in solver
    assert upgrade_solver(upgraded) == upgraded


def test_a_solver_with_an_old_and_a_new_type_is_refused() -> None:
    with pytest.raises(TextError, match=r"^n:1:13: solver_type is the old name of type, and both"):
        upgrade_solver(solver_of("type: 'SGD' solver_type: ADAM"))


def test_nets_in_a_solver_are_upgraded_too() -> None:
    layers = "layers { type: RELU }"
    text = " ".join(
        f"{name} {{ {layers} }}"
        for name in ("net_param", "train_net_param", "test_net_param", "test_net_param")
    )
    upgraded = upgrade_solver(solver_of(text))
    new = net_of("layer { type: 'ReLU' }")
    assert [upgraded["net_param"], upgraded["train_net_param"]] == [new, new]
    assert upgraded["test_net_param"] == [new, new]


def test_a_prefix_for_snapshots_is_taken_from_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my_solver.prototxt"
    path.write_text("net: 'a'")
    assert read_solver(path)["snapshot_prefix"] == str(tmp_path / "my_solver")
    (tmp_path / "snapshots").mkdir()
    monkeypatch.chdir(tmp_path)
    path.write_text("snapshot_prefix: 'snapshots'")
    assert read_solver(path)["snapshot_prefix"] == "snapshots/my_solver"
    path.write_text("snapshot_prefix: 'snapshots/lenet'")
    assert read_solver(path)["snapshot_prefix"] == "snapshots/lenet"


def test_unknown_fields_are_listed_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.prototxt"
    path.write_text("net: 'a' name: 'b' zzz: 1")
    for read, names in ((read_net, ["net", "zzz"]), (read_solver, ["name", "zzz"])):
        unknown: list[str] = []
        read(path, allow_unknown=unknown)
        assert [line.split("no field ")[1].split("'")[1] for line in unknown] == names
