import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alexnet.text.message import Message, TextError
from alexnet.text.prototxt import load, parse, print_text
from alexnet.text.schema import ENUMS, MESSAGES, Field

GOLDEN = Path(__file__).parent.parent / "golden" / "prototxt"

INTEGERS = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
}
# Letters of UTF-8, and the stand-ins for bytes that are none.
TEXTS = st.text(
    st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)


def values(field: Field) -> st.SearchStrategy[Any]:
    """Return what a field may hold."""
    if field.type in MESSAGES:
        one: st.SearchStrategy[Any] = st.deferred(lambda: messages(field.type))
    elif field.type in ENUMS:
        one = st.sampled_from(list(ENUMS[field.type]))
    elif field.type in INTEGERS:
        one = INTEGERS[field.type]
    elif field.type in ("float", "double"):
        one = st.floats(width=32 if field.type == "float" else 64)
    else:
        one = {"bool": st.booleans(), "string": TEXTS, "bytes": st.binary()}[field.type]
    return st.lists(one, max_size=3) if field.repeated else one


@st.composite
def messages(draw: st.DrawFn, kind: str) -> Message:
    """Draw a message with up to four of its fields, and those it must have."""
    fields = MESSAGES[kind]
    names = draw(st.lists(st.sampled_from(list(fields)), max_size=4, unique=True))
    names += [name for name, field in fields.items() if field.required and name not in names]
    return Message(kind, {name: draw(values(fields[name])) for name in names})


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(MESSAGES)).flatmap(messages))
def test_what_is_printed_is_read_back_and_printed_the_same(message: Message) -> None:
    text = print_text(message)
    read = parse(text, message.kind)
    assert read == message
    assert print_text(read) == text
    assert text.isascii()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.upgraded")), ids=lambda path: path.stem)
def test_a_text_of_google_s_printer_is_printed_back_letter_for_letter(path: Path) -> None:
    text = path.read_text()
    assert print_text(parse(text, "NetParameter")) == text


def test_fields_are_printed_in_the_order_of_their_numbers() -> None:
    net = Message("NetParameter", {"name": "n", "input_dim": [1, 2], "input": ["a"]})
    net.add("layer", {"param": [{}, {"lr_mult": 2}], "phase": "TEST", "include": [{}]})
    net.add("layers", {"type": "RELU"})
    assert print_text(net) == (
        'name: "n"\nlayers {\n  type: RELU\n}\ninput: "a"\ninput_dim: 1\ninput_dim: 2\n'
        "layer {\n  param {\n  }\n  param {\n    lr_mult: 2\n  }\n  include {\n  }\n"
        "  phase: TEST\n}\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-5, "1e-05"),
        (1 / 256, "0.00390625"),
        (0.0039215684, "0.0039215684"),
        (1 / 3, "0.33333334"),
        (1.0, "1"),
        (-0.0, "-0"),
        (1234567.0, "1234567"),
        (16777216.0, "16777216"),
        (1e15, "1e+15"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
    ],
)
def test_floats_are_printed_with_the_fewest_digits_that_give_them_back(
    value: float, text: str
) -> None:
    message = Message("SolverParameter", {"base_lr": value})
    assert print_text(message) == f"base_lr: {text}\n"
    assert parse(print_text(message), "SolverParameter") == message


def test_doubles_are_printed_in_full() -> None:
    message = Message("BlobProto", {"double_data": [0.1, 1 / 3, 12345678.12345678, 1e300]})
    assert print_text(message).split()[1::2] == [
        "0.1",
        "0.3333333333333333",
        "12345678.12345678",
        "1e+300",
    ]


def test_arrays_are_printed_as_lists_are() -> None:
    data = np.array([0.1, 2, -3.5], dtype=np.float32)
    assert print_text(Message("BlobProto", {"data": data, "shape": {"dim": [3]}})) == (
        "data: 0.1\ndata: 2\ndata: -3.5\nshape {\n  dim: 3\n}\n"
    )


def test_letters_that_a_string_cannot_hold_are_printed_as_escapes() -> None:
    text = "a\n\r\t\"'\\\0\x7f\u00e4\udcff"
    message = Message("NetParameter", {"name": text})
    assert print_text(message) == 'name: "a\\n\\r\\t\\"\\\'\\\\\\000\\177\\303\\244\\377"\n'
    assert parse(print_text(message), "NetParameter")["name"] == text
    assert print_text(Message("Datum", {"data": b"\1\xff9"})) == 'data: "\\001\\3779"\n'


def test_a_file_is_read_with_its_name_in_every_place(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text('name: "n"\nlayer { }\n')
    net = load(path, "NetParameter")
    assert net.place("name") == f"{path}:1:1"
    assert net["layer"][0].place() == f"{path}:2"


def test_bytes_that_are_no_utf_8_may_stand_in_comments_and_strings(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_bytes(b'# \xb2\xe2\xca\xd4\nname: "\xb2\xe2"\n')
    net = load(path, "NetParameter")
    assert net["name"] == "\udcb2\udce2"
    assert print_text(net) == 'name: "\\262\\342"\n'


def test_a_file_of_unknown_fields_alone_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text("zzz: 1")
    unknown: list[str] = []
    assert load(path, "NetParameter", allow_unknown=unknown) == Message("NetParameter")
    assert unknown == [f"{path}:1:1: unknown field: NetParameter has no field 'zzz'"]


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "deploy.prototxt").write_text("")
    with pytest.raises(TextError, match=r"deploi.prototxt: no such file .*'deploy.prototxt'"):
        load(tmp_path / "deploi.prototxt", "NetParameter")
    with pytest.raises(TextError, match="not a file"):
        load(tmp_path, "NetParameter")
