"""Answers: JSON that any reader takes, one form for refusals, names that show nothing else."""

import json

import pytest

from alexnet.serve.answers import Refused, error_answer, error_bytes, json_answer, printable


def test_numbers_that_are_not_finite_are_null() -> None:
    value = {"a": [1.5, float("nan")], "b": (float("inf"), -float("inf")), "c": "x"}
    assert json.loads(bytes(json_answer(value).body)) == {
        "a": [1.5, None],
        "b": [None] * 2,
        "c": "x",
    }


def test_json_is_ascii_and_can_be_read_back() -> None:
    answer = json_answer({"class": "caf\u00e9 </script>"}, 201, headers={"x": "y"})
    assert bytes(answer.body).isascii()
    assert json.loads(bytes(answer.body)) == {"class": "caf\u00e9 </script>"}
    assert (answer.status_code, answer.headers["x"]) == (201, "y")


def test_a_refusal_has_one_form() -> None:
    error = Refused(413, "too-large", "too many bytes", hint="send fewer", headers={"x": "y"})
    expected = {"error": {"code": "too-large", "message": "too many bytes", "hint": "send fewer"}}
    answer = error_answer(error)
    assert json.loads(bytes(answer.body)) == json.loads(error_bytes(error)) == expected
    assert (answer.status_code, answer.headers["x"]) == (413, "y")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat.jpg", "cat.jpg"),
        ("/etc/passwd", "passwd"),
        ("a\\b\\c.jpg", "c.jpg"),
        ("a\r\nb\x7f\u202e.jpg", "a??b??.jpg"),
        ("\u00e9t\u00e9.jpg", "\u00e9t\u00e9.jpg"),
        ("n" * 300, "n" * 200),
        ("", ""),
    ],
)
def test_a_name_is_its_last_part_and_printable(name: str, shown: str) -> None:
    assert printable(name) == shown
