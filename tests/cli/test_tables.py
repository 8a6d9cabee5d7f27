"""Tables and JSON on the terminal."""

import json

import pytest

from alexnet.cli.tables import note, print_json, print_table

Capture = pytest.CaptureFixture[str]


def test_columns_are_as_wide_as_their_widest_cell(capsys: Capture) -> None:
    print_table(("layer", "n"), [("conv1", 1234567), ("f", 8)])
    expected = "layer          n\n-----  ---------\nconv1  1,234,567\nf              8\n"
    assert capsys.readouterr().out == expected


def test_the_first_columns_are_left_and_the_others_right(capsys: Capture) -> None:
    print_table(("a", "b", "c"), [("xx", "yy", "zz"), ("1", "2", "3")], left=2)
    assert capsys.readouterr().out == "a   b    c\n--  --  --\nxx  yy  zz\n1   2    3\n"


def test_no_line_ends_in_blanks(capsys: Capture) -> None:
    print_table(("name", ""), [("a long name", "")], left=2)
    assert capsys.readouterr().out.splitlines()[0] == "name"


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys: Capture) -> None:
    print_table(("class",), [("cat\x1b[2J\n\x9b\x7f",)])
    assert capsys.readouterr().out == "class\n--------\ncat?[2J???\n".replace("--------", "-" * 10)


def test_without_rows_there_is_the_header(capsys: Capture) -> None:
    print_table(("a", "b"), [])
    assert capsys.readouterr().out == "a  b\n-  -\n"


def test_json_keeps_letters_and_values(capsys: Capture) -> None:
    print_json({"\u00e9": [1, 0.5, None, True]})
    shown = capsys.readouterr().out
    assert json.loads(shown) == {"\u00e9": [1, 0.5, None, True]}
    assert "\u00e9" in shown


def test_a_note_goes_to_standard_error(capsys: Capture) -> None:
    note("by the way")
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "by the way\n")
