import math

import numpy as np
import pytest

from alexnet.text.message import Message, TextError, checked
from alexnet.text.schema import MESSAGES


def layer(name: str = "conv1") -> Message:
    return Message("LayerParameter", {"name": name, "bottom": ["data"], "loss_weight": [0.5]})


def test_a_field_that_is_not_set_answers_with_its_default() -> None:
    lrn = Message("LRNParameter")
    assert [lrn["local_size"], lrn["norm_region"], lrn["beta"]] == [5, "ACROSS_CHANNELS", 0.75]
    assert "local_size" not in lrn
    assert list(lrn.items()) == []


def test_a_message_that_is_not_set_answers_with_an_empty_one_that_is_not_kept() -> None:
    record = layer()
    record["lrn_param"]["alpha"] = 3.0
    assert "lrn_param" not in record
    record.child("lrn_param")["alpha"] = 3.0
    assert record["lrn_param"]["alpha"] == 3.0


def test_a_repeated_field_without_values_is_not_set() -> None:
    record = layer()
    record["top"] = []
    assert "top" not in record
    assert record["top"] == []
    record.append("top", "a")
    record.append("top", "b")
    assert record["top"] == ["a", "b"]


def test_deleting_a_field_forgets_its_value_and_its_place() -> None:
    record = layer()
    record.mark("name", (3, 5))
    del record["name"]
    assert "name" not in record
    assert record.place("name") == ""


def test_a_float_is_held_as_32_bits_hold_it() -> None:
    filler = Message("FillerParameter", {"std": 0.1, "mean": 1, "min": 1e60, "max": -1e60})
    assert filler["std"] == float(np.float32(0.1))
    assert filler["mean"] == 1.0
    assert filler["min"] == math.inf
    assert filler["max"] == -math.inf
    assert Message("BatchNormParameter")["eps"] == float(np.float32(1e-5))


def test_numbers_of_numpy_are_held_as_numbers_of_python() -> None:
    message = Message("FillerParameter", {"std": np.float64(0.5), "sparse": np.int64(3)})
    assert type(message["sparse"]) is int
    assert type(message["std"]) is float


def test_arrays_are_held_as_they_are_and_compared_by_value() -> None:
    data = np.array([1, 2.5, np.nan], dtype=np.float32)
    blob = Message("BlobProto", {"data": data})
    assert blob["data"] is data
    assert blob == Message("BlobProto", {"data": [1.0, 2.5, math.nan]})
    assert blob != Message("BlobProto", {"data": [1.0, 2.5, 0.0]})
    assert blob != Message("BlobProto", {"data": [1.0, 2.5]})
    assert blob.copy()["data"] is data


def test_a_mapping_becomes_the_message_of_its_field() -> None:
    record = Message("LayerParameter", {"lrn_param": {"alpha": 2}, "param": [{"lr_mult": 0}]})
    assert record["lrn_param"] == Message("LRNParameter", {"alpha": 2.0})
    assert record["param"][0]["lr_mult"] == 0.0


def test_messages_are_equal_when_kind_and_set_fields_are() -> None:
    assert layer() == layer()
    assert layer() != layer("conv2")
    assert Message("LRNParameter") != Message("ReLUParameter")
    assert Message("LRNParameter", {"k": 1.0}) != Message("LRNParameter")
    assert layer() != "conv1"


def test_nan_is_the_same_as_nan_alone() -> None:
    rate = Message("SolverParameter", {"base_lr": math.nan})
    assert rate == Message("SolverParameter", {"base_lr": math.nan})
    assert rate != Message("SolverParameter", {"base_lr": 1.0})
    assert Message("SolverParameter", {"base_lr": 1.0}) != rate


def test_a_copy_shares_no_message_and_no_list() -> None:
    net = Message("NetParameter", {"name": "net", "layer": [layer()]})
    net.source, net.line = "a.prototxt", 1
    net.mark("name", (1, 2))
    twin = net.copy()
    assert (twin, twin.place("name")) == (net, "a.prototxt:1:2")
    twin["layer"][0]["bottom"].append("more")
    twin.add("layer", {"name": "new"})
    assert net["layer"] == [layer()]


def test_fields_are_given_in_the_order_of_the_schema() -> None:
    message = Message("LRNParameter", {"k": 2, "local_size": 3, "alpha": 1})
    assert [field.name for field, _ in message.items()] == ["local_size", "alpha", "k"]
    assert repr(message) == "LRNParameter(local_size=3, alpha=1.0, k=2.0)"


def test_an_unknown_field_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(TextError, match=r"LRNParameter has no field 'alhpa' .*'alpha'"):
        Message("LRNParameter")["alhpa"] = 1.0


@pytest.mark.parametrize(
    ("kind", "name", "value", "why"),
    [
        ("LRNParameter", "local_size", -1, "local_size is -1; it must be from 0 to 4294967295"),
        ("LRNParameter", "local_size", 2**32, "is 4294967296; it must be from 0"),
        ("BlobProto", "num", 2**31, "from -2147483648 to 2147483647"),
        ("LRNParameter", "local_size", 1.0, "local_size is 1.0; it must be a uint32"),
        ("LRNParameter", "alpha", "1", "alpha is '1'; it must be a float"),
        ("LRNParameter", "norm_region", "ACROSS", "ACROSS.*ACROSS_CHANNELS.*must be one of"),
        ("LRNParameter", "norm_region", 0, "norm_region is 0; it must be one of ACROSS_CHANNELS"),
        ("LayerParameter", "name", b"conv1", "name is b'conv1'; it must be a string"),
        ("LayerParameter", "name", ["conv1"], "name is .'conv1'.; it must be a string"),
        ("LayerParameter", "top", [1], "top is 1; it must be a string"),
        ("LayerParameter", "lrn_param", 5, "lrn_param is 5; it must be a LRNParameter"),
        ("LayerParameter", "lrn_param", Message("ReLUParameter"), "it must be a LRNParameter"),
        ("DataParameter", "mirror", 1, "mirror is 1; it must be a bool"),
        ("Datum", "data", "text", "data is 'text'; it must be a bytes"),
    ],
)
def test_a_value_that_its_field_cannot_hold_is_refused(
    kind: str, name: str, value: object, why: str
) -> None:
    with pytest.raises(TextError, match=why):
        Message(kind)[name] = value


def test_a_double_is_held_in_full() -> None:
    assert checked(MESSAGES["BlobProto"]["double_data"], 0.1) == 0.1


def test_places_name_file_line_and_column_as_far_as_they_are_known() -> None:
    record = layer()
    assert record.place() == ""
    assert str(record.refuse("no")) == "layer 'conv1': no"
    record.source = "a.prototxt"
    assert record.place("name") == "a.prototxt"
    record.line = 7
    record.mark("top", (8, 3))
    assert record.place() == record.place("name") == "a.prototxt:7"
    assert str(record.refuse("no", "top")) == "a.prototxt:8:3: layer 'conv1': no"
    record.source = ""
    assert record.place("top") == "8:3"
    assert str(Message("LRNParameter").refuse("no")) == "no"
    assert str(Message("NetParameter", {"name": "lenet"}).refuse("no")) == "no"


def test_a_message_takes_the_place_of_another_or_of_a_field_of_it() -> None:
    old = Message("V1LayerParameter")
    old.source, old.line = "a.prototxt", 4
    old.mark("name", (5, 2))
    old.mark("blobs_lr", (6, 2))
    new = layer()
    new.stand_where(old)
    assert [new.place(), new.place("name")] == ["a.prototxt:4", "a.prototxt:5:2"]
    new.stand_where(old, "blobs_lr")
    assert new.place() == "a.prototxt:6"
