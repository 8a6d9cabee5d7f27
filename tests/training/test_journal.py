"""The journal: every step once, a torn line never read, and what a resumed run takes back."""

import errno
import json
import os
from pathlib import Path

import pytest

from alexnet.store import StoreError
from alexnet.training.guards import RoomError
from alexnet.training.journal import Journal, read_journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "journal.jsonl")
    for step in (20, 40, 60):
        journal.write("train", step, loss=step / 100)
    journal.write("validation", 60, top1_errors=7)
    return tmp_path / "journal.jsonl"


def steps(path: Path) -> list[tuple[str, int]]:
    return [(line["kind"], line["step"]) for line in read_journal(path)]


def test_each_event_is_one_line_of_json(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"kind": "train", "step": 20, "loss": 0.2},
        {"kind": "train", "step": 40, "loss": 0.4},
        {"kind": "train", "step": 60, "loss": 0.6},
        {"kind": "validation", "step": 60, "top1_errors": 7},
    ]
    assert read_journal(path) == lines


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "journal.jsonl") == []


def test_opening_a_journal_takes_nothing_back(path: Path) -> None:
    before = path.read_bytes()
    Journal(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("after", "left"), [(0, 0), (39, 1), (40, 2), (59, 2), (60, 4), (99, 4)])
def test_going_on_takes_back_the_lines_after_the_step(path: Path, after: int, left: int) -> None:
    expected = steps(path)[:left]
    Journal(path).take_back(after_step=after)
    assert steps(path) == expected


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_that_was_cut_off_is_left_out_and_written_over(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    assert steps(path) == [("train", 20), ("train", 40), ("train", 60)]
    journal = Journal(path)
    journal.take_back(after_step=60)
    journal.write("train", 80, loss=0.1)
    assert steps(path) == [("train", 20), ("train", 40), ("train", 60), ("train", 80)]
    assert path.read_text().endswith("\n")


def test_of_the_lines_of_one_update_those_after_a_checkpoint_are_taken_back(path: Path) -> None:
    journal = Journal(path)
    assert journal.take_back(after_step=60, after_line=3) == ""
    assert steps(path) == [("train", 20), ("train", 40), ("train", 60)]
    assert journal.lines == 3
    journal.write("validation", 60, top1_errors=7)
    assert journal.lines == 4


def test_half_a_line_and_lost_lines_are_reported(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "tr')
    message = f"{path} ended in half a line, which is taken back"
    assert Journal(path).take_back(after_step=60, after_line=4) == message
    assert path.read_bytes() == whole
    path.write_bytes(whole[: whole.index(b"\n") + 1])
    message = f"{path} has lost lines: it has 1 of 4"
    assert Journal(path).take_back(after_step=60, after_line=4) == message


@pytest.mark.parametrize(
    "line",
    [b"{", b"\xff\xfe", b"[]", b"7", b'{"kind": "train"}', b'{"kind": "train", "step": "2"}'],
)
def test_a_line_that_is_damaged_is_named_by_its_number(path: Path, line: bytes) -> None:
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:2], line, *lines[2:]]))
    with pytest.raises(
        StoreError, match=r"journal\.jsonl:3 is damaged: it is no line of a journal"
    ):
        read_journal(path)


def test_a_line_that_the_disk_takes_half_of_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, write = path.read_bytes(), os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RoomError, match="has no room: "):
        Journal(path).write("train", 80, loss=0.123456789)
    assert path.read_bytes() == before


def test_without_a_path_nothing_is_kept() -> None:
    journal = Journal(None)
    journal.write("train", 1)
    assert journal.take_back(after_step=0) == ""
