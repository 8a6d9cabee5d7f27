"""`alexnet tensorboard`: runs by name, folders of runs, and one that goes on."""

import json
import time
from pathlib import Path

import pytest

from alexnet.cli import run as call
from alexnet.cli import tensorboard
from alexnet.training.tensorboard import FILE
from tests.cli.conftest import Capture, refused


def add(run: Path, step: int) -> None:
    line = {"kind": "train", "step": step, "loss": 1.0, "images_per_second": 10.0}
    with (run / "journal.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        add(tmp_path / "runs" / name, 1)
    return tmp_path / "runs"


def test_each_run_is_named_and_how_to_look(runs: Path, capsys: Capture) -> None:
    for words in ([str(runs)], [str(runs / "a"), str(runs / "b")]):
        assert call(["tensorboard", *words]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"{runs / 'a' / FILE}: 2 numbers",
            f"{runs / 'b' / FILE}: 2 numbers",
            f"to look: tensorboard --logdir {runs}",
        ]


def test_all_may_lie_in_one_folder(runs: Path, tmp_path: Path, capsys: Capture) -> None:
    assert call(["tensorboard", str(runs), "--out", str(tmp_path / "logs")]) == 0
    assert f"tensorboard --logdir {tmp_path / 'logs'}" in capsys.readouterr().out
    assert (tmp_path / "logs" / "b" / FILE).is_file()
    assert not (runs / "b" / FILE).exists()


def test_a_run_that_goes_on_is_followed_until_ctrl_c(
    runs: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, sizes = runs / "a", []

    def sleep(seconds: float) -> None:
        assert seconds == tensorboard.EVERY_SECONDS
        sizes.append((run / FILE).stat().st_size)
        add(run, len(sizes) + 1)
        if len(sizes) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert call(["tensorboard", str(run), "--follow"]) == 0
    assert "following; Ctrl-C ends it" in capsys.readouterr().err
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2] - sizes[1] == sizes[1] - sizes[0]


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: Capture) -> None:
    refused(call(["tensorboard"]), capsys, expected=2, message="no run given; name the folders of")
    code = call(["tensorboard", str(tmp_path / "none")])
    refused(code, capsys, expected=3, message="none has no journal.jsonl; give the folder of a run")
