"""The schema against what protoc reads from BVLC Caffe's caffe.proto."""

import struct
from pathlib import Path

import pytest

from alexnet.text.schema import ENUMS, MESSAGES, Field

FIELDS = Path(__file__).parent.parent / "golden" / "prototxt" / "fields.txt"
ROWS = [row.split(maxsplit=5) for row in FIELDS.read_text().splitlines()]
# caffe.proto has several enums of one name, with the same values; they are one for us.
ENUM_ROWS = [row for row in ROWS if row[0] == "enum"]
FIELD_ROWS = [row for row in ROWS if row[0] != "enum"]


def expected_default(
    kind: str, text: str, *, repeated: bool
) -> int | float | bool | str | bytes | None:
    if repeated or kind in MESSAGES:
        return None
    if kind in ENUMS:
        return text or next(iter(ENUMS[kind]))
    match kind:
        case "float":
            return float(struct.unpack("f", struct.pack("f", float(text or 0)))[0])
        case "double":
            return float(text or 0)
        case "bool":
            return text == "true"
        case "string":
            return text
        case "bytes":
            return text.encode()
    return int(text or 0)


def test_every_field_of_caffe_proto_is_here_with_its_number_type_label_and_default() -> None:
    found = {
        (kind, name): field for kind, fields in MESSAGES.items() for name, field in fields.items()
    }
    expected = {}
    for kind, name, number, type_name, label, *default in FIELD_ROWS:
        repeated = label in ("repeated", "packed")
        value = expected_default(type_name, "".join(default), repeated=repeated)
        expected[kind, name] = Field(
            name, int(number), type_name, repeated, label == "packed", value, label == "required"
        )
    assert found == expected


def test_every_enum_of_caffe_proto_is_here_with_its_values() -> None:
    expected: dict[str, dict[str, int]] = {}
    for _, qualified, value, number in ENUM_ROWS:
        values = expected.setdefault(qualified.split(".")[-1], {})
        assert values.setdefault(value, int(number)) == int(number)
    assert expected == ENUMS


def test_fields_stand_in_the_order_of_caffe_proto() -> None:
    for kind, fields in MESSAGES.items():
        assert list(fields) == [row[1] for row in FIELD_ROWS if row[0] == kind], kind


@pytest.mark.parametrize("kind", MESSAGES)
def test_no_two_fields_of_a_message_share_a_number(kind: str) -> None:
    numbers = [field.number for field in MESSAGES[kind].values()]
    assert len(set(numbers)) == len(numbers)
