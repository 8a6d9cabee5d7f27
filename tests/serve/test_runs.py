"""Runs as their folders have them, and journals followed while they are written."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.serve import runs
from alexnet.serve.answers import Refused
from alexnet.serve.models import Place, Shelf
from alexnet.serve.runs import (
    describe_run,
    follow,
    is_training,
    list_runs,
    read_report,
    whole_run,
)
from alexnet.serve.training import Trainings, _Training
from tests.serve.live import write_run

pytestmark = pytest.mark.usefixtures("tiny_net")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return a run."""
    monkeypatch.setattr(runs, "POLL_SECONDS", 0.01)
    write_run(tmp_path)
    return Place("one", tmp_path / "runs" / "one")


@pytest.fixture
def trainings(place: Place) -> Iterator[Trainings]:
    """Return trainings of which none was started."""
    made = Trainings(Shelf(place.folder.parent, device=torch.device("cpu")), None)
    yield made
    made.close()


def write(place: Place, *lines: dict[str, Any]) -> None:
    """Append to a journal."""
    with (place.folder / "journal.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def hold(place: Place, **changes: Any) -> None:
    """Write what a training's lock says."""
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": "now"} | changes
    (place.folder / "lock").write_text(json.dumps(who))


def test_a_run_is_described_by_its_newest_lines(place: Place, trainings: Trainings) -> None:
    write(place, {"kind": "validation", "step": 2, "top1_error": 0.5}, {"kind": "train", "step": 3})
    found = describe_run(place, trainings)
    assert found["last_train"] == {"kind": "train", "step": 3}
    assert found["last_validation"]["top1_error"] == 0.5
    assert (found["net"], found["has_model"], found["training"]) == ("tiny", True, False)
    whole = whole_run(place, trainings)
    assert [line["step"] for line in whole["journal"]] == [1, 2, 3]
    assert whole["recipe"]["net"] == "tiny"
    assert (whole["process"], whole["has_report"]) == (None, False)
    assert whole["journal_end"] == (place.folder / "journal.jsonl").stat().st_size
    assert whole["folder"] == str(place.folder)


def test_a_run_trains_while_its_lock_names_a_living_process(place: Place) -> None:
    assert not is_training(place.folder)
    hold(place)
    assert is_training(place.folder)
    hold(place, pid=2**22 + 1)  # above Linux's largest
    assert not is_training(place.folder)
    hold(place, host="elsewhere", pid=1)
    assert is_training(place.folder)
    (place.folder / "lock").write_text("{")
    assert not is_training(place.folder)
    assert is_training(place.folder, {"training": True})


def test_the_state_of_a_run_is_told_by_its_lock_and_checkpoints(
    place: Place, trainings: Trainings
) -> None:
    def told() -> tuple[str, bool]:
        found = describe_run(place, trainings)
        return found["state"], found["can_go_on"]

    assert told() == ("empty", False)
    hold(place)
    assert told() == ("training", False)
    (place.folder / "lock").unlink()
    manifest = place.folder / "checkpoints" / "step-00000001" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"position": {"finished": False}}))
    assert told() == ("stopped", True)
    manifest.write_text(json.dumps({"position": {"finished": True}}))
    os.utime(manifest, ns=(1, 1))
    assert told() == ("finished", False)


@pytest.mark.parametrize(("code", "state"), [(3, "failed"), (75, "empty"), (None, "training")])
def test_a_training_that_wrote_nothing_is_listed_with_its_recipe(
    place: Place, tmp_path: Path, code: int | None, state: str
) -> None:
    trainings = make_started(place, tmp_path, code)
    found = list_runs(trainings)
    assert [each["name"] for each in found] == ["new", "one"]
    assert (found[0]["state"], found[0]["net"], found[0]["heard_at"]) == (state, "lenet-5", None)
    whole = whole_run(trainings.find("new"), trainings)
    assert whole["recipe"]["net"] == "lenet-5"
    assert whole["process"] == {"training": code is None, "exit_code": code, "said": "its words"}
    with pytest.raises(Refused, match="there is no run or model called 'ones'"):
        trainings.find("ones")


def make_started(place: Place, tmp_path: Path, code: int | None) -> Trainings:
    """Return trainings of which one was started that has no folder."""

    class Process:
        def poll(self) -> int | None:
            return code

    made = Trainings(Shelf(place.folder.parent, device=torch.device("cpu")), None)
    files = (tmp_path / "new.log", tmp_path / "new.toml")
    files[0].write_text("its words")
    files[1].write_text('net = "lenet-5"')
    started = _Training(Process(), *files)  # type: ignore[arg-type]
    made._started["new"] = started
    return made


def test_a_recipe_that_cannot_be_read_is_none(place: Place, trainings: Trainings) -> None:
    (place.folder / "recipe.toml").write_text("= broken")
    assert describe_run(place, trainings)["net"] is None
    assert whole_run(place, trainings)["recipe"] is None


def test_a_journal_is_followed_line_by_line_to_the_end(place: Place, trainings: Trainings) -> None:
    async def read() -> list[bytes]:
        found = []
        async for event in follow(place, trainings, after=0, is_stopping=bool):
            found.append(event)
            if len(found) == 3:
                write(place, {"kind": "train", "step": 2})
            if b'"step": 2' in event:
                (place.folder / "lock").unlink()
        return found

    hold(place)
    found = asyncio.run(read())
    size = (place.folder / "journal.jsonl").stat().st_size
    assert found[0] == b"retry: 2000\n\n"
    assert found[1].endswith(b'data: {"kind": "train", "step": 1, "loss": 1.5, "lr": 0.01}\n\n')
    assert found[2] == b'event: state\ndata: {"training": true}\n\n'
    assert found[3] == b'id: %d\ndata: {"kind": "train", "step": 2}\n\n' % size
    assert found[4:] == [b'event: state\ndata: {"training": false}\n\n']


def collect(events: AsyncIterator[bytes]) -> bytes:
    """Return all events."""

    async def read() -> bytes:
        return b"".join([event async for event in events])

    return asyncio.run(read())


def test_a_reader_goes_on_behind_the_line_that_it_has(place: Place, trainings: Trainings) -> None:
    size = (place.folder / "journal.jsonl").stat().st_size
    write(place, {"kind": "train", "step": 7})
    found = collect(follow(place, trainings, after=size, is_stopping=bool))
    assert b'"step": 7' in found
    assert b'"step": 1' not in found


def test_a_journal_that_became_shorter_begins_anew(place: Place, trainings: Trainings) -> None:
    found = collect(follow(place, trainings, after=100_000, is_stopping=bool))
    assert found.index(b"event: reset") < found.index(b'"step": 1')


def test_following_ends_when_the_server_stops(place: Place, trainings: Trainings) -> None:
    hold(place)
    answers = iter([False, True])
    found = collect(follow(place, trainings, after=0, is_stopping=lambda: next(answers)))
    assert b'"step": 1' in found


def test_a_quiet_journal_is_heard_of_now_and_then(
    place: Place, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.03)
    hold(place)
    answers = iter([False] * 8 + [True])
    found = collect(follow(place, trainings, after=0, is_stopping=lambda: next(answers)))
    assert b": still here\n\n" in found


def test_a_run_without_a_journal_is_followed_to_its_end(place: Place, trainings: Trainings) -> None:
    (place.folder / "journal.jsonl").unlink()
    found = collect(follow(place, trainings, after=0, is_stopping=bool))
    assert found == b'retry: 2000\n\nevent: state\ndata: {"training": false}\n\n'


def test_a_report_is_read_as_it_is_and_no_link_is_followed(place: Place, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the run 'one' has no report yet") as refused:
        read_report(place)
    assert refused.value.hint == f"alexnet report {place.folder} writes one"
    report = place.folder / "report.html"
    (tmp_path / "secret").write_text("secret")
    report.symlink_to(tmp_path / "secret")
    with pytest.raises(Refused, match="has no report yet"):
        read_report(place)
    report.unlink()
    report.write_bytes(b"<p>report")
    assert read_report(place) == b"<p>report"
