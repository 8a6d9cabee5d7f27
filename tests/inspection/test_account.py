"""What an account says of a run in words and as plain values."""

import json

import pytest

from alexnet.inspection.account import Measured, between, percent, printable, result_of
from tests.inspection.accounts import account_of, counts_of


def test_shares_are_written_with_their_unit_and_interval() -> None:
    assert percent(0.26318, 2) == "26.32\u202f%"
    assert between(1033, 3925) == "25.0 to 27.7\u202f%"


def test_the_result_names_pictures_errors_and_intervals() -> None:
    counts = counts_of([f"class {n}" for n in range(10)])
    text = result_of(Measured(counts, "")).replace("\u202f", " ")
    assert text == (
        "Of 100 pictures, the first answer is wrong for 45.0 % (95 % interval 35.6 to 54.8 %), and "
        "the class is not among the first five for 22.0 % (95 % interval 15.0 to 31.1 %)."
    )


def test_of_two_classes_top_5_is_not_spoken_of() -> None:
    measured = Measured(counts_of(["cat", "dog"], each=1), "")
    assert [kind for kind, _ in measured.rows] == ["top-1"]
    assert "first five" not in result_of(measured)


def test_what_cannot_be_seen_is_shown_as_a_replacement() -> None:
    assert printable("a\x1b[31m\u202eb\udcff") == "a\ufffd[31m\ufffdb\ufffd"
    assert printable("na\u00efve\u3000\u732b \U0001f408 1\u202f%") == (
        "na\u00efve\u3000\u732b \U0001f408 1\u202f%"
    )


def test_numbers_are_plain_values() -> None:
    values = json.loads(json.dumps(account_of(["cat", "dog"]).to_json()))
    measured = values["measured"][0]
    assert measured["top1_errors"] == 1
    assert measured["top1_error_interval"] == pytest.approx([0.00894, 0.23613], abs=1e-4)
    assert measured["per_class"]["dog"]["interval"] == pytest.approx([0.01788, 0.40415], abs=1e-4)
    assert values["differs"] == {"epochs": ["9", "24"], "keep_model": ["best", "last"]}
    assert values["mistakes"][0]["answer"] == "dog"
