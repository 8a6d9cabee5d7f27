"""`alexnet summary` and `alexnet compare`: their tables, their JSON, their refusals."""

import json

import pytest

from alexnet.cli import run
from alexnet.nets import NETS

Capture = pytest.CaptureFixture[str]


def cells(text: str, name: str) -> list[str]:
    """Return the words of the line that starts with a name."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [name])


def test_summary_prints_the_papers_figures(capsys: Capture) -> None:
    assert run(["summary"]) == 0
    shown = capsys.readouterr().out
    # conv1: 11 x 11 x 3 x 96 + 96 parameters, 55 x 55 x 96 neurons
    row = cells(shown, "conv1")
    assert "96x55x55" in row
    assert f"{11 * 11 * 3 * 96 + 96:,}" in row
    assert f"{55 * 55 * 96:,}" in row
    assert f"{55 * 55 * 96 * 11 * 11 * 3:,}" in row
    assert cells(shown, "total")[1:4] == ["60,965,224", "659,272", "724,406,816"]


def test_summarys_json_has_the_figures_of_its_table(capsys: Capture) -> None:
    assert run(["summary", "caffenet", "--classes", "10"]) == 0
    table = capsys.readouterr().out
    assert run(["summary", "caffenet", "--classes", "10", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for layer in found["layers"]:
        row = cells(table, layer["name"])
        for key in ("parameters", "neurons", "multiply_adds"):
            assert f"{layer[key]:,}" in row, (layer["name"], key)
    fc8 = next(layer for layer in found["layers"] if layer["name"] == "fc8")
    assert fc8["parameters"] == 4096 * 10 + 10


@pytest.mark.parametrize("name", NETS)
def test_every_net_has_a_summary(name: str, capsys: Capture) -> None:
    assert run(["summary", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name}: {NETS[name].source}\n")


def test_compare_prints_what_differs_and_nothing_else(capsys: Capture) -> None:
    assert run(["compare", "alexnet", "alexnet-1col"]) == 0
    table = capsys.readouterr().out
    assert run(["compare", "alexnet", "alexnet-1col", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["first"], found["second"]) == ("alexnet", "alexnet-1col")
    assert found["differences"]
    for row in found["differences"]:
        assert row["first"] != row["second"]
        assert any(line.startswith(row["what"]) for line in table.splitlines()), row


def test_a_net_is_the_same_as_itself(capsys: Capture) -> None:
    assert run(["compare", "keras", "keras"]) == 0
    assert capsys.readouterr().out == "keras and keras are the same\n"
    assert run(["compare", "keras", "keras", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == []


REFUSED = [
    (["summary", "alexnt"], "no net is called 'alexnt' (did you mean 'alexnet'?); the nets are"),
    (["compare", "alexnet", "cafenet"], "'cafenet' (did you mean 'caffenet'?)"),
    (["summary", "--classes", "-1"], "classes is -1; a net needs at least 1 class"),
    (["summary", "--input-size", "20"], "input size 20 leaves no pixel at pool5; the smallest"),
    (["summary", "--classes", "ten"], 'unable to convert "ten" into int'),
    (["compare", "alexnet"], 'Command "compare" parameter --second requires an argument'),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_wrong_word_exits_2(words: list[str], message: str, capsys: Capture) -> None:
    assert run(words) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
