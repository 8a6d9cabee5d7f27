"""The nets of a solver: where their texts come from, their states, and the weights they share."""

import io
from pathlib import Path

import pytest
import torch

from alexnet.caffe.log import log_to
from alexnet.caffe.nets import build_test_nets, build_train_net, load_lists, share_weights
from alexnet.text import prototxt
from alexnet.text.graph import TextNet
from alexnet.text.message import Message, TextError
from tests.caffe.conftest import Make

LAYERS = """
layer {
  name: "data" type: "DummyData" top: "data"
  dummy_data_param { shape { dim: 4 dim: 3 } data_filler { value: 1 } }
}
layer {
  name: "%s" type: "InnerProduct" bottom: "data" top: "out"
  inner_product_param { num_output: %d weight_filler { type: "gaussian" } }
}
"""
STAGED = LAYERS % ("common", 2) + (
    'layer { name: "deep" type: "Power" bottom: "out" top: "deep" include { stage: "deep" } }'
    'layer { name: "high" type: "Power" bottom: "out" top: "high" include { min_level: 2 } }'
)


def solver(text: str) -> Message:
    return prototxt.parse(text, "SolverParameter")


def net_text(text: str, state: str = "") -> str:
    return f"{{ {text} {state} }}"


def test_each_field_that_names_a_train_net_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(LAYERS % ("fc", 2))
    for field in ("net", "train_net"):
        assert build_train_net(solver(f'{field}: "{path}"')).outputs == ["out"]
    for field in ("net_param", "train_net_param"):
        inside = solver(f"{field} {net_text(LAYERS % ('fc', 2))}")
        assert build_train_net(inside).outputs == ["out"]


def test_the_train_state_adds_stages_and_sets_the_level() -> None:
    text = f"net_param {net_text(STAGED)}"
    assert set(build_train_net(solver(text)).outputs) == {"out"}
    deep = build_train_net(solver(text + 'train_state { stage: "deep" level: 3 }'))
    assert set(deep.outputs) == {"deep", "high"}


def test_the_net_s_own_state_stands_below_the_solver_s() -> None:
    state = 'state { stage: "deep" level: 5 phase: TEST }'
    own = build_train_net(solver(f"net_param {net_text(STAGED, state)}"))
    assert (set(own.outputs), own.phase) == ({"deep", "high"}, "TEST")
    text = f"net_param {net_text(STAGED, state)} train_state {{ level: 1 phase: TRAIN }}"
    above = build_train_net(solver(text))
    assert (set(above.outputs), above.phase) == ({"deep"}, "TRAIN")


def test_test_nets_are_inline_then_files_then_the_common_net(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(LAYERS % ("file", 2))
    text = (
        f'test_net: "{path}" test_net_param {net_text(LAYERS % ("inline", 2))} '
        f"net_param {net_text(LAYERS % ('common', 2))} "
        "test_iter: 1 test_iter: 1 test_iter: 1 test_iter: 1 test_interval: 1"
    )
    log = io.StringIO()
    with log_to(log):
        nets = build_test_nets(solver(text))
    assert [next(iter(net.blobs())) for net in nets] == ["inline", "file", "common", "common"]
    assert "Creating test net (#1) specified by test_net file: " in log.getvalue()
    assert {net.phase for net in nets} == {"TEST"}


def test_each_test_net_has_its_own_state() -> None:
    text = (
        f"net_param {net_text(STAGED)} test_iter: 1 test_iter: 1 test_interval: 1 "
        'test_state { stage: "deep" } test_state { }'
    )
    first, second = build_test_nets(solver(text))
    assert (set(first.outputs), set(second.outputs)) == ({"deep"}, {"out"})


def a_net(name: str, outputs: int = 2) -> TextNet:
    return TextNet(prototxt.parse(LAYERS % (name, outputs), "NetParameter"))


def test_shared_weights_change_in_both_nets() -> None:
    train, test = a_net("fc"), a_net("fc")
    share_weights(test, train)
    with torch.no_grad():
        train.blobs()["fc"][0].add_(3)
    assert torch.equal(train.blobs()["fc"][0], test.blobs()["fc"][0])
    assert torch.equal(train.run().blobs["out"], test.run().blobs["out"])


def test_a_layer_that_only_the_train_net_has_is_left_out() -> None:
    test = a_net("other")
    before = test.blobs()["other"][0].clone()
    log = io.StringIO()
    with log_to(log):
        share_weights(test, a_net("fc"))
    assert "Ignoring source layer fc" in log.getvalue()
    assert torch.equal(test.blobs()["other"][0], before)


def test_layers_of_one_name_and_other_shapes_are_refused() -> None:
    with pytest.raises(TextError, match=r"layer 'fc' has blobs of shapes \[\(3, 3\), \(3,\)\] in"):
        share_weights(a_net("fc", 3), a_net("fc", 2))


def test_a_list_of_weights_is_copied_one_over_the_other(make: Make, folder: Path) -> None:
    first = make("sgd", "max_iter: 1 snapshot_format: BINARYPROTO test_initialization: false")
    first.solve()
    second = make("sgd")
    load_lists(second.net, "start.caffemodel.h5, snapshot_iter_1.caffemodel")
    for layer, blobs in first.net.blobs().items():
        for ours, expected in zip(second.net.blobs()[layer], blobs, strict=True):
            assert torch.equal(ours, expected)


def test_a_net_that_is_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(LAYERS % ("fc", 2))
    with pytest.raises(TextError, match=r"no such file \(did you mean 'net.prototxt'\?\)"):
        build_train_net(solver(f'net: "{tmp_path / "ne.prototxt"}"'))
