"""Old files are written in today's form, text as text and binary as binary."""

from pathlib import Path

import numpy as np
import pytest

from alexnet.caffe.upgrading import upgrade_file
from alexnet.text import prototxt, wire
from alexnet.text.blobs import blob_array, make_blob
from alexnet.text.message import TextError

V1 = """
layers {
  name: "fc" type: INNER_PRODUCT bottom: "data" top: "fc" blobs_lr: 1 blobs_lr: 2
  inner_product_param { num_output: 2 }
}
"""
V2 = """
layer {
  name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
  param { lr_mult: 1 } param { lr_mult: 2 }
  inner_product_param { num_output: 2 }
}
"""


def test_a_net_of_2014_becomes_one_of_today(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(V1)
    assert any("V1" in note for note in upgrade_file(old, new))
    assert prototxt.load(new, "NetParameter") == prototxt.parse(V2, "NetParameter")


def test_a_caffemodel_keeps_its_blobs(tmp_path: Path) -> None:
    net = prototxt.parse(V1, "NetParameter")
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    net["layers"][0]["blobs"] = [make_blob(weights)]
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(wire.encode(net))
    upgrade_file(old, new)
    layer = wire.load(new, "NetParameter")["layer"][0]
    assert layer["type"] == "InnerProduct"
    np.testing.assert_array_equal(blob_array(layer["blobs"][0]), weights)


def test_a_solver_with_the_old_enum_becomes_one_with_a_type(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text('net: "net.prototxt" solver_type: ADAGRAD')
    assert upgrade_file(old, new, solver=True) == ["the solver is written as one of Caffe 1.0"]
    assert prototxt.load(new, "SolverParameter")["type"] == "AdaGrad"


def test_a_solver_of_today_stays_as_it_is(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text('net: "net.prototxt" type: "Adam"')
    assert upgrade_file(old, new, solver=True) == []


def test_what_is_no_net_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text("base_lr: 0.1")
    with pytest.raises(TextError, match="NetParameter has no field 'base_lr'"):
        upgrade_file(old, new)
    assert not new.exists()


def test_fields_of_a_fork_are_left_out_and_listed_where_that_is_allowed(tmp_path: Path) -> None:
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text(
        V2.replace("inner_product_param", "quantisation { bits: 8 }\ninner_product_param")
    )
    with pytest.raises(TextError, match=r"has no field 'quantisation'; `alexnet caffe upgrade"):
        upgrade_file(old, new)
    assert not new.exists()
    found = upgrade_file(old, new, allow_unknown=True)
    assert len(found) == 1
    assert "old.prototxt:5:3: unknown field" in found[0]
    assert prototxt.load(new, "NetParameter") == prototxt.parse(V2, "NetParameter")
