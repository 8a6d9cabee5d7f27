"""A run in a few figures: read from its journal, and again when that has changed."""

import json
from pathlib import Path
from typing import Any

import pytest

from alexnet.serve import summaries
from alexnet.serve.summaries import Summary, has_checkpoint, has_finished, read_lines, summarise


def write(folder: Path, *lines: dict[str, Any]) -> None:
    """Append to a journal."""
    with (folder / "journal.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def test_a_journal_is_summed_up_and_summed_up_again_when_it_has_grown(tmp_path: Path) -> None:
    assert summarise(tmp_path) == Summary()
    write(
        tmp_path,
        {"kind": "statistics", "step": 0},
        {"kind": "train", "step": 5, "epoch": 0.5, "loss": 2.0},
        {"kind": "validation", "step": 10, "epoch": 1.0, "top1_error": 0.25},
        {"kind": "validation", "step": 20, "epoch": 2.0, "top1_error": 0.375},
        {"kind": "validation", "step": 21, "epoch": "odd", "top1_error": "odd"},
    )
    told = summarise(tmp_path)
    assert (told.best_error, told.epochs_done) == (0.25, 0.5)
    assert told.last_train == {"kind": "train", "step": 5, "epoch": 0.5, "loss": 2.0}
    assert told.written_at == (tmp_path / "journal.jsonl").stat().st_mtime_ns / 1e9
    write(tmp_path, {"kind": "train", "step": 25, "epoch": 2.5, "loss": 1.0})
    assert summarise(tmp_path).epochs_done == 2.5


def test_a_journal_that_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"kind": "train", "step": 5, "epoch": 0.5})
    first = summarise(tmp_path)
    monkeypatch.setattr(summaries, "read_lines", None)  # whoever calls it fails
    assert summarise(tmp_path) is first


def test_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    whole = b'{"kind":"a","step":1}\n{"kind"\n[]\n{"kind":"b","step":2}\n'
    path.write_bytes(whole + b'{"kind":"c"')
    lines, end = read_lines(path, 1000)
    assert [line["kind"] for line in lines] == ["a", "b"]
    assert end == len(whole)
    lines, end = read_lines(path, 40)
    assert [line["kind"] for line in lines] == ["b"]
    assert end == len(whole)
    assert read_lines(path.parent / "none", 1000) == ([], 0)


def test_the_newest_checkpoint_says_whether_a_run_has_finished(tmp_path: Path) -> None:
    assert not has_checkpoint(tmp_path)
    assert not has_finished(tmp_path)
    for step, finished in ((9, False), (10, True)):
        folder = tmp_path / "checkpoints" / f"step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"position": {"finished": finished}}))
        assert has_checkpoint(tmp_path)
        assert has_finished(tmp_path) is finished
    damaged = tmp_path / "checkpoints" / "step-00000011"
    damaged.mkdir()
    assert has_finished(tmp_path)  # not written to its end, so it does not count
    (damaged / "manifest.json").write_text("[]")
    assert not has_finished(tmp_path)
