"""`alexnet report`: the page, the card, the numbers, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from alexnet.cli import run
from alexnet.inspection import panels
from alexnet.inspection.model_card import USE
from alexnet.model import open_model
from tests.cli.conftest import Capture, Train, refused
from tests.conftest import make_pictures
from tests.inspection.accounts import HOSTILE, whole

pytestmark = pytest.mark.usefixtures("tiny_net")
CLASSES = (HOSTILE.replace("/", "_"), "a|b")


@pytest.fixture
def trained(train: Train, tmp_path: Path, capsys: Capture) -> Path:
    """Train the tiny net on two classes of odd names."""
    data = make_pictures(tmp_path / "photos", classes=CLASSES, per_class=10)
    assert train(data, "--epochs", "1") == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_a_run_has_a_page_and_its_model_a_card_that_is_true(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("matplotlib")
    before = open_model(trained).net.state_dict()
    assert run(["report", str(trained)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Of 4 pictures, the first answer is wrong for ")
    assert printed[2].startswith(f"{trained}/report.html: the report, ")
    assert printed[3] == f"{trained}/model/README.md: the model's card"
    page = whole((trained / "report.html").read_bytes())
    assert CLASSES[0] in page.words
    assert page.said().count("report written") == 1
    after = open_model(trained).net.state_dict()  # the card is in nobody's way
    assert all(torch.equal(before[name], after[name]) for name in before)

    card = (trained / "model" / "README.md").read_text()
    assert "alexnet predict MODEL PICTURES" in card
    photos = tmp_path / "photos" / "a|b"
    exec(USE.replace("MODEL", str(trained / "model")).replace("PICTURES", str(photos)), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith(f"{photos / '0000.jpg'} (('")
    for words in (["predict", str(photos)], ["eval", str(tmp_path / "photos")]):
        assert run([words[0], str(trained / "model"), words[1]]) == 0


def test_a_card_of_another_hand_stays(trained: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    card = trained / "model" / "README.md"
    card.write_text("my own\n")
    assert run(["report", str(trained)]) == 0
    answers = capsys.readouterr()
    assert f"{card} is not as this command writes it, and stays" in answers.err
    assert "the model's card" not in answers.out
    assert card.read_text() == "my own\n"


def test_numbers_are_printed_and_the_page_goes_where_it_is_asked(
    trained: Path, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "elsewhere" / "page.html"
    data = str(tmp_path / "photos")
    assert run(["report", str(trained), data, "--out", str(out), "--json", "--pictures", "2"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["report"] == str(out)
    assert values["card"] == str(tmp_path / "elsewhere" / "page.md")
    assert [each["pictures"] for each in values["measured"]] == [4, 2]
    assert values["classes"] == sorted(CLASSES)
    assert sorted(each.name for each in out.parent.iterdir()) == ["page.html", "page.md"]
    assert not (trained / "report.html").exists()
    assert not (trained / "model" / "README.md").exists()


def test_a_run_without_a_model_has_a_page_and_no_card(trained: Path, capsys: Capture) -> None:
    pytest.importorskip("matplotlib")
    shutil.rmtree(trained / "model")
    assert run(["report", str(trained)]) == 0
    answers = capsys.readouterr()
    assert (
        "left out errors, confusion, mistakes and kernels: the run has no model yet" in answers.err
    )
    assert "card" not in answers.out
    assert not (trained / "model").exists()
    whole((trained / "report.html").read_bytes())


def test_odd_input_is_answered(trained: Path, capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    cases = [
        ([str(tmp_path)], 3, "is not a run: it has no recipe.toml; give the folder of a run"),
        ([str(trained), str(tmp_path / "no")], 3, "no does not exist|no is missing|no: "),
        ([str(trained), "--pictures", "-1"], 2, "pictures is -1; it must be 0 or more"),
        ([str(trained), "--mistakes", "-1"], 2, "mistakes is -1; it must be 0 or more"),
        ([str(trained), "--out", str(tmp_path)], 2, "which is no file ending in .html; name one"),
        ([str(trained), "--out", "x.md"], 2, "out is x.md, which is no file ending in .html"),
    ]
    for words, code, message in cases:
        refused(run(["report", *words]), capsys, expected=code, message=message)
    journal = trained / "journal.jsonl"
    journal.write_text("{}\n")
    message = r"journal.jsonl:1 is damaged: it is no line of a journal"
    refused(run(["report", str(trained)]), capsys, expected=3, message=message)
    assert not (trained / "report.html").exists()


def test_without_matplotlib_nothing_is_begun(
    trained: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels, "find_spec", lambda name: None)
    status = run(["report", str(trained)])
    refused(status, capsys, expected=4, message=r"pip install 'alexnet\[figures\]'")
