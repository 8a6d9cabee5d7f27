"""Values as protoc 3.21 --encode takes and refuses them for the fields of caffe.proto."""

import math

import numpy as np
import pytest

from alexnet.text.message import TextError
from alexnet.text.scalars import scalar, unquoted
from alexnet.text.schema import MESSAGES, Field

SOLVER = MESSAGES["SolverParameter"]
COUNT, RATE, SEED, FLAG = (
    SOLVER[name] for name in ("max_iter", "base_lr", "random_seed", "debug_info")
)
TEXT, MODE, SIZE = SOLVER["net"], SOLVER["solver_mode"], MESSAGES["LRNParameter"]["local_size"]
DOUBLE = MESSAGES["BlobProto"]["double_data"]


@pytest.mark.parametrize(
    ("field", "word", "value"),
    [
        (COUNT, "0", 0),
        (COUNT, "17", 17),
        (COUNT, "0x1F", 31),
        (COUNT, "0XaB", 171),
        (COUNT, "010", 8),
        (COUNT, "00", 0),
        (COUNT, "2147483647", 2**31 - 1),
        (SIZE, "4294967295", 2**32 - 1),
        (SEED, "9223372036854775807", 2**63 - 1),
        (RATE, "1", 1.0),
        (RATE, "1.", 1.0),
        (RATE, ".5", 0.5),
        (RATE, "0.5f", 0.5),
        (RATE, "5F", 5.0),
        (RATE, "0f", 0.0),
        (RATE, "1e5", 1e5),
        (RATE, "1.5E-3", float(np.float32(1.5e-3))),
        (RATE, "0.1", float(np.float32(0.1))),
        (RATE, "1e40", math.inf),
        (RATE, "99999999999999999999999", float(np.float32(1e23))),
        (DOUBLE, "0.1", 0.1),
        (DOUBLE, "1e400", math.inf),
        (FLAG, "1", True),
        (FLAG, "0", False),
        (FLAG, "01", True),
        (FLAG, "0x0", False),
        (MODE, "1", "GPU"),
        (MODE, "0x0", "CPU"),
    ],
)
def test_numbers_are_read(field: Field, word: str, value: object) -> None:
    assert scalar(field, "number", [word]) == value


@pytest.mark.parametrize(
    ("field", "word", "value"),
    [(COUNT, "0x10", -16), (RATE, "1.5", -1.5), (SEED, "9223372036854775808", -(2**63))],
)
def test_a_minus_makes_numbers_negative(field: Field, word: str, value: object) -> None:
    assert scalar(field, "number", [word], negative=True) == value


@pytest.mark.parametrize("word", ["inf", "INF", "Infinity", "nan", "NaN"])
def test_infinity_and_nan_are_read_by_name(word: str) -> None:
    value = scalar(RATE, "name", [word])
    assert math.isinf(value) == (word[0] in "iI")
    assert math.isnan(value) == (word[0] in "nN")
    assert scalar(RATE, "name", ["inf"], negative=True) == -math.inf


@pytest.mark.parametrize("word", ["true", "True", "t", "false", "False", "f"])
def test_booleans_are_read_by_name(word: str) -> None:
    assert scalar(FLAG, "name", [word]) is (word[0] in "tT")


def test_strings_side_by_side_are_one() -> None:
    assert scalar(TEXT, "string", ['"a"', "'b'", '"\\x41\\101\\?"']) == "abAA?"
    assert scalar(MESSAGES["Datum"]["data"], "string", ['"a\\377"']) == b"a\xff"
    assert scalar(TEXT, "string", ['"\\377"']) == "\udcff"


@pytest.mark.parametrize(
    ("word", "data"),
    [
        ('"plain"', b"plain"),
        ("'it''", b"it'"),
        (r'"\a\b\f\n\r\t\v\\\?\'\""', b"\a\b\f\n\r\t\v\\?'\""),
        (r'"\1\12\1234\777"', b"\x01\x0aS4\xff"),
        (r'"\x1\x41\X4a\xABC"', b"\x01AJ\xabC"),
        (r'"a\u00e4b\U0001F600"', "a\u00e4b\U0001f600".encode()),
        (r'"\ud83d\ude00"', "\U0001f600".encode()),
        ('"\u00e4"', "\u00e4".encode()),
        ('"\udce4"', b"\xe4"),
        ('"\ud800"', b"\xed\xa0\x80"),
        (r'"\ud800"', b"\xed\xa0\x80"),
    ],
)
def test_escapes_in_strings_stand_for_bytes(word: str, data: bytes) -> None:
    assert unquoted(word) == data


@pytest.mark.parametrize("word", [r'"\q"', r'"\x"', r'"\8"', r'"\u12"', r'"\U00110000"'])
def test_an_escape_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(TextError, match=r"is no escape in a string; write \\\\ for a backslash"):
        unquoted(word)


@pytest.mark.parametrize(
    ("field", "kind", "word", "why"),
    [
        (COUNT, "number", "1.0", "max_iter takes an integer, not '1.0'"),
        (COUNT, "number", "1e3", "max_iter takes an integer, not '1e3'"),
        (
            COUNT,
            "number",
            "09",
            "max_iter takes an integer, not '09': digits after a leading zero are octal",
        ),
        (COUNT, "number", "5name", "max_iter takes an integer, not '5name'"),
        (COUNT, "number", "0x", "max_iter takes an integer, not '0x'"),
        (COUNT, "number", "2147483648", "max_iter is 2147483648; it must be from -2147483648"),
        (COUNT, "number", "1" * 10_000, "max_iter is '1111.*, more than any integer here"),
        (COUNT, "string", '"5"', "max_iter takes an integer, not '\"5\"'"),
        (COUNT, "name", "five", "max_iter takes an integer, not 'five'"),
        (COUNT, "end", "", "max_iter takes an integer, not the end of the text"),
        (RATE, "number", "0x10", "base_lr takes a decimal number, not '0x10'"),
        (RATE, "number", "010", "base_lr takes a decimal number, not '010'"),
        (RATE, "number", "0100.5", "base_lr takes a decimal number, not '0100.5'"),
        (RATE, "number", "1.2.3", "base_lr takes a decimal number, not '1.2.3'"),
        (RATE, "number", "1e", "base_lr takes a decimal number, not '1e'"),
        (RATE, "name", "infinityf", "base_lr takes a number, not 'infinityf'"),
        (RATE, "mark", "{", "base_lr takes a number, not '{'"),
        (FLAG, "number", "2", "debug_info takes true or false, not '2'"),
        (FLAG, "number", "1.0", "debug_info takes true or false, not '1.0'"),
        (FLAG, "name", "TRUE", "debug_info takes true or false, not 'TRUE'"),
        (TEXT, "name", "lenet", "net takes a text in quotes, not 'lenet'"),
        (MODE, "name", "GPUS", "solver_mode is 'GPUS' .did you mean 'GPU'..; it must be one of"),
        (MODE, "number", "9", "solver_mode is 9; it must be one of CPU, GPU"),
        (MODE, "number", "1.5", "solver_mode takes an integer, not '1.5'"),
        (MODE, "string", '"GPU"', 'solver_mode is "GPU" .*; it must be one of CPU, GPU'),
        (MODE, "end", "", "solver_mode is missing; it must be one of CPU, GPU"),
    ],
)
def test_a_word_that_is_no_value_of_its_field_is_refused(
    field: Field, kind: str, word: str, why: str
) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        scalar(field, kind, [word])


@pytest.mark.parametrize(
    ("field", "kind", "word", "why"),
    [
        (COUNT, "number", "2147483649", "max_iter is -2147483649; it must be from"),
        (SIZE, "number", "1", "local_size is -1; it must be from 0"),
        (FLAG, "number", "1", "debug_info cannot be -1"),
        (TEXT, "string", '"a"', 'net cannot be -"a"'),
        (RATE, "mark", "-", "base_lr cannot be --"),
        (MODE, "number", "1", "solver_mode is -1; it must be one of CPU, GPU"),
        (MODE, "name", "GPU", "solver_mode is -GPU .*; it must be one of CPU, GPU"),
    ],
)
def test_a_minus_before_what_has_none_is_refused(
    field: Field, kind: str, word: str, why: str
) -> None:
    with pytest.raises(TextError, match=f"^{why}"):
        scalar(field, kind, [word], negative=True)
