import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.text import prototxt, wire
from alexnet.text.message import Message, TextError
from alexnet.text.schema import ENUMS, MESSAGES, Field

GOLDEN = Path(__file__).parent.parent / "golden" / "caffe_files"


# ---- Files of the original ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("tiny_iter_2.caffemodel", "tiny_iter_2.caffemodel.txt", "NetParameter"),
        ("tiny_iter_2.solverstate", "tiny_iter_2.solverstate.txt", "SolverState"),
        ("v0.caffemodel", "v0.txt", "NetParameter"),
        ("v1.caffemodel", "v1.txt", "NetParameter"),
        ("datum.bin", "datum.txt", "Datum"),
    ],
)
def test_files_of_the_original_say_what_protoc_says_and_are_written_byte_for_byte(
    name: str, text: str, kind: str
) -> None:
    unknown: list[str] = []
    message = wire.load(GOLDEN / name, kind, unknown=unknown)

    assert message == prototxt.load(GOLDEN / text, kind)
    assert unknown == []
    assert wire.encode(message) == (GOLDEN / name).read_bytes()


# ---- Bytes by hand, from the description of the format ------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "field", "value"),
    [
        ("08 96 01", "SolverState", "iter", 150),
        ("08 ff ff ff ff ff ff ff ff ff 01", "SolverState", "iter", -1),
        ("08 ff ff ff ff 0f", "SolverState", "iter", -1),  # five bytes, as a 32-bit -1
        ("08 81 80 80 80 10", "SolverState", "iter", 1),  # beyond 32 bits: cut, as protobuf does
        ("18 ff ff ff ff 0f", "TransformationParameter", "crop_size", 2**32 - 1),
        ("a0 01 ff ff ff ff ff ff ff ff ff 01", "SolverParameter", "random_seed", -1),
        ("10 05", "TransformationParameter", "mirror", True),
        ("0d cd cc cc 3d", "TransformationParameter", "scale", float(np.float32(0.1))),
        ("12 02 c3 a9", "SolverState", "learned_net", "\u00e9"),
        ("12 01 e9", "SolverState", "learned_net", "\udce9"),  # Latin-1 survives
        ("22 02 00 ff", "Datum", "data", b"\0\xff"),
        ("50 01", "LayerParameter", "phase", "TEST"),
        ("08 01 08 02", "SolverState", "iter", 2),  # the last one counts
        ("0a 03 01 02 03", "BlobShape", "dim", [1, 2, 3]),
        ("08 01 08 02", "BlobShape", "dim", [1, 2]),  # unpacked though packed in the schema
        ("08 01 0a 02 02 03", "BlobShape", "dim", [1, 2, 3]),
        ("58 01 58 00", "LayerParameter", "propagate_down", [True, False]),
        ("5a 02 01 00", "LayerParameter", "propagate_down", [True, False]),  # and the reverse
        ("2d 00 00 00 3f 2d 00 00 20 41", "TransformationParameter", "mean_value", [0.5, 10.0]),
        ("2a 08 00 00 80 3f 00 00 00 c0", "BlobProto", "data", [1.0, -2.0]),
        ("2d 00 00 80 3f 2d 00 00 00 c0", "BlobProto", "data", [1.0, -2.0]),
        ("2a 04 00 00 80 3f 2d 00 00 00 c0", "BlobProto", "data", [1.0, -2.0]),
        ("42 08 00 00 00 00 00 00 f0 3f", "BlobProto", "double_data", [1.0]),
    ],
)
def test_values_are_read_as_the_format_has_them(
    data: str, kind: str, field: str, value: Any
) -> None:
    found = wire.decode(bytes.fromhex(data), kind)[field]
    assert (found.tolist() if isinstance(found, np.ndarray) else found) == value


def test_a_message_that_stands_twice_is_merged() -> None:
    # state { level: 1 stage: "a" } and state { phase: TRAIN stage: "b" }
    data = bytes.fromhex("32 05 10 01 1a 01 61 32 05 08 00 1a 01 62")
    state = wire.decode(data, "NetParameter")["state"]
    assert dict(Message("NetState", {"phase": "TRAIN", "level": 1}).items()) == {
        field: value for field, value in state.items() if field.name != "stage"
    }
    assert state["stage"] == ["a", "b"]


def test_shapes_of_a_blob_that_stand_twice_are_joined() -> None:
    blob = wire.decode(bytes.fromhex("3a 03 0a 01 02 3a 03 0a 01 03"), "BlobProto")
    assert blob["shape"]["dim"] == [2, 3]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100, 1001])
def test_unpacked_numbers_are_read_up_to_the_last(count: int) -> None:
    numbers = np.random.default_rng(count).normal(size=count).astype("<f4")
    data = b"".join(b"\x35" + number.tobytes() for number in numbers) + b"\x28\x07"
    datum = wire.decode(data, "Datum")
    np.testing.assert_array_equal(datum["float_data"], numbers)
    assert datum["float_data"].dtype == np.float32
    assert datum["label"] == 7
    again = wire.decode(b"\x28\x07" + data[:-2] + b"\x08\x03" + data[:5], "Datum")
    np.testing.assert_array_equal(again["float_data"], np.append(numbers, numbers[:1]))


def test_what_is_not_known_is_skipped_and_listed_once() -> None:
    data = bytes.fromhex("c8 3e 05 c8 3e 06 d2 3e 02 00 00 dd 3e 00 00 00 00 e1 3e") + bytes(8)
    data += bytes.fromhex("50 07 0a 01 61 55 00 00 00 00 50 01")  # phase 7, a float for a phase
    unknown: list[str] = []
    layer = wire.decode(data, "LayerParameter", unknown=unknown)
    assert layer == Message("LayerParameter", {"name": "a", "phase": "TEST"})
    assert unknown == [
        "LayerParameter field 1001",
        "LayerParameter field 1002",
        "LayerParameter field 1003",
        "LayerParameter field 1004",
        "Phase value 7",
        "LayerParameter field 10",
    ]


def test_arrays_do_not_hang_on_the_bytes_they_came_from() -> None:
    data = bytearray.fromhex("2a 04 00 00 80 3f")
    blob = wire.decode(data, "BlobProto")
    data[2:] = bytes(4)
    blob["data"][0] += 1
    assert blob["data"].tolist() == [2.0]


def test_numbers_of_any_layout_are_written() -> None:
    values = np.arange(12, dtype=np.float64).reshape(3, 4).T[::2, 0]
    blob = Message("BlobProto", {"data": values})
    assert wire.encode(blob) == b"\x2a\x08" + struct.pack("<2f", 0, 2)
    assert wire.encode(Message("BlobProto", {"data": [0, 2]})) == wire.encode(blob)


def test_floats_beyond_their_range_become_infinite() -> None:
    data = wire.encode(Message("TransformationParameter", {"scale": 1e39}))
    assert data == b"\x0d" + struct.pack("<f", float("inf"))


# ---- Round trip ---------------------------------------------------------------------------------


def values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.type in MESSAGES:
        return messages(field.type, depth + 1)
    if field.type in ENUMS:
        return st.sampled_from(list(ENUMS[field.type]))
    return {
        "int32": st.integers(-(2**31), 2**31 - 1),
        "uint32": st.integers(0, 2**32 - 1),
        "int64": st.integers(-(2**63), 2**63 - 1),
        "bool": st.booleans(),
        "float": st.floats(width=32, allow_nan=False),
        "double": st.floats(allow_nan=False),
        "string": st.text(max_size=5),
        "bytes": st.binary(max_size=5),
    }[field.type]


@st.composite
def messages(draw: st.DrawFn, kind: str, depth: int = 0) -> Message:
    message = Message(kind)
    fields = MESSAGES[kind].values()
    chosen = draw(st.lists(st.sampled_from(list(fields)), max_size=3 if depth < 4 else 1))
    for field in chosen:
        if depth > 4 and field.type in MESSAGES:
            continue
        value = values(field, depth)
        if not field.repeated:
            message[field.name] = draw(value)
        elif wire.is_array(kind, field):
            kinds = {"float": np.float32, "double": np.float64}
            message[field.name] = np.array(draw(st.lists(value, max_size=20)), kinds[field.type])
        else:
            message[field.name] = draw(st.lists(value, max_size=3))
    return message


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(MESSAGES)).flatmap(messages))
def test_what_is_written_is_read_again(message: Message) -> None:
    data = wire.encode(message)
    again = wire.decode(data, message.kind)
    assert again == message
    assert wire.encode(again) == data


# ---- What cannot be written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "field", "value", "match"),
    [
        ("BlobShape", "dim", np.array([2**63]), "dim is 9223372036854775808; it must be from -9"),
        ("NetParameter", "input_dim", np.array([1, 2**31]), "input_dim is 2147483648; it must be"),
    ],
)
def test_integers_of_an_array_that_do_not_fit_their_field_are_refused(
    kind: str, field: str, value: Any, match: str
) -> None:
    with pytest.raises(TextError, match=match):
        wire.encode(Message(kind, {field: value}))


def test_a_message_beyond_two_gigabytes_is_refused_before_it_is_made() -> None:
    blob = Message("BlobProto", {"data": np.broadcast_to(np.float32(0), 2**29)})
    net = Message("NetParameter", {"name": "huge"})
    net.add("layer", {"name": "fc", "blobs": [blob]})
    with pytest.raises(TextError, match=r"Caffe reads at most 2147483647; write HDF5"):
        wire.encode(net)
    halves = [Message("BlobProto", {"data": np.zeros(2**20, np.float32)})] * 512
    with pytest.raises(TextError, match=r"layer 'fc'.*needs \d+ bytes"):
        wire.encode(Message("LayerParameter", {"name": "fc", "blobs": halves}))
