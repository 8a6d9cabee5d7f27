"""The card: YAML that holds any name, Markdown that shows it, and a hand that is known again."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.inspection.model_card import USE, is_ours, make_card, sign, write_card
from tests.inspection.accounts import HOSTILE, account_of


def test_the_card_begins_with_the_block_that_hugging_face_reads() -> None:
    card = make_card(replace(account_of(["cat", "dog"]), name='a "run": #1'))
    _, block, text = card.split("---\n", 2)
    lines = block.splitlines()
    assert lines[0].startswith("# license: it is for whoever publishes this model to choose one")
    assert lines[1:3] == ["library_name: alexnet", "pipeline_tag: image-classification"]
    assert '- "tiny"' in lines
    name = next(line for line in lines if line.startswith("- name:")).removeprefix("- name: ")
    assert json.loads(name) == 'a "run": #1'
    values = [line.split(": ")[1] for line in lines if line.strip().startswith("value:")]
    assert values == ["0.950000"]
    assert text.startswith('\n# a "run": \\#1\n')


def test_the_card_names_no_folder_and_shows_names_as_they_are() -> None:
    card = make_card(account_of([HOSTILE, "a|b\n`c`", "*d*"]))
    assert "/somewhere" not in card
    assert "photos" in card
    assert "<script" not in card
    assert r"| a\|b \`c\` | 1 | 10 |" in card
    assert r"| \*d\* | 2 | 10 |" in card
    assert "&lt;script&gt;" in card or r"&lt;script\>" in card


def test_of_many_classes_the_worst_and_the_best_are_told() -> None:
    card = make_card(account_of([f"class {n}" for n in range(100)]))
    worst, best = card.split("The 10 with the smallest:")
    assert "| class 9 | 9 | 10 |" in worst
    assert "| class 0 | 0 | 10 |" not in worst
    assert "| class 0 | 0 | 10 |" in best


def test_the_card_of_a_model_that_was_chosen_says_so() -> None:
    account = account_of(["cat", "dog"])
    assert "lowest validation error was kept" in make_card(account)
    last = make_card(replace(account, settings=(), measured=()))
    assert "lowest validation error was kept" not in last
    assert "No error is measured yet." in last
    assert "The recipe is `quick` as it is." in last


def test_python_of_the_card_compiles() -> None:
    card = make_card(account_of(["cat", "dog"]))
    assert USE in card
    compile(USE, "card", "exec")


def test_a_card_is_written_anew_but_never_over_another_hand(tmp_path: Path) -> None:
    file, account = tmp_path / "README.md", account_of(["cat", "dog"])
    assert write_card(file, account)
    assert write_card(file, replace(account, name="another"))
    assert "# another" in file.read_text()
    mine = file.read_text().replace("# another", "# my own words")
    file.write_text(mine)
    assert not write_card(file, account)
    assert file.read_text() == mine
    file.write_text("a card of another program\n")
    assert not write_card(file, account)


@pytest.mark.parametrize("text", ["", "# a card\n", "\u732b\n"])
def test_a_signature_is_known_again_and_a_change_is_noticed(text: str) -> None:
    data = sign(text)
    assert is_ours(data)
    assert not is_ours(b"x" + data)
    assert not is_ours(data + b"x")
    assert not is_ours(text.encode())
    assert not is_ours(b"\xff\xfe")
