"""Event files: against the CRC's published vectors, a reader by hand, and TensorBoard's own."""

import json
import math
import os
import struct
from pathlib import Path

import pytest

from alexnet.store import StoreError
from alexnet.training.tensorboard import FILE, Scalar, crc32c, event, record, scalars, write_events

TRAIN = {"kind": "train", "epoch": 0.5, "loss": 2.5, "lr": 0.01, "images_per_second": 64.0}
LINES = [
    {"kind": "statistics", "step": 0, "listed": 9, "files": {}},
    TRAIN | {"step": 10},
    {"kind": "validation", "step": 10, "loss": 2.25, "top1_error": 0.5, "top5_error": 0.125},
    TRAIN | {"step": 30, "loss": math.nan},
    {"kind": "rollback", "step": 20, "halvings": 1, "reason": "the loss is nan"},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write a run that has come to update 20, in batches of 32."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "recipe.toml").write_text('data = "photos"\nbatch = 32\n')
    os.utime(folder / "recipe.toml", (1000.0, 1000.0))
    write(folder, LINES)
    return folder


def write(folder: Path, lines: list[dict[str, object]]) -> None:
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def read_records(data: bytes) -> list[bytes]:
    """Take records apart by their lengths alone."""
    records, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        records.append(data[at + 12 : at + 12 + length])
        at += 16 + length
    return records


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4, this and the next two
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_the_crc_has_the_published_values(data: bytes, wanted: int) -> None:
    assert crc32c(data) == wanted


def test_an_event_is_written_byte_by_byte_as_protobuf_says() -> None:
    first = event(1.0)
    assert first == bytes.fromhex("09000000000000f03f") + b"\x1a\x0dbrain.Event:2"
    made = event(2.0, Scalar(0.0, 300, "a", 0.5))
    summary = b"\x0a\x08" + b"\x0a\x01a" + b"\x15\x00\x00\x00\x3f"
    assert made == bytes.fromhex("090000000000000040") + b"\x10\xac\x02" + b"\x2a\x0a" + summary
    whole = bytes(record(first))
    assert read_records(whole + whole) == [first, first]
    assert len(whole) == 16 + len(first)


def test_a_journal_becomes_numbers_with_their_updates_and_times() -> None:
    found = list(scalars(LINES, batch=32))
    assert found[0] == Scalar(5.0, 10, "loss/train", 2.5)  # 10 updates of 32 at 64 a second
    by_name = {(each.name, each.step): each for each in found}
    assert by_name["error/top1", 10] == Scalar(5.0, 10, "error/top1", 0.5)
    assert by_name["rate/lr", 30].seconds == 15.0
    assert math.isnan(by_name["loss/train", 30].value)
    assert by_name["rate/halvings", 20].value == 1.0
    assert not any("data" in each.name for each in found)


def test_tensorboard_reads_what_is_written(run: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_file_loader", reason="the extra tensorboard"
    )
    path, count = write_events(run)
    read = list(events.RawEventFileLoader(str(path)).Load())
    assert len(read) == count + 1
    first = next(iter(events.LegacyEventFileLoader(str(path)).Load()))
    assert (first.file_version, first.wall_time) == ("brain.Event:2", 1000.0)
    for each, wanted in zip(
        list(events.LegacyEventFileLoader(str(path)).Load())[1:],
        scalars(LINES, batch=32),
        strict=True,
    ):
        assert (each.wall_time, each.step) == (1000.0 + wanted.seconds, wanted.step)
        (value,) = each.summary.value
        assert value.tag == wanted.name
        assert value.simple_value == pytest.approx(wanted.value, rel=1e-7, nan_ok=True)


def test_what_is_new_is_added_and_what_was_taken_back_is_written_anew(run: Path) -> None:
    write(run, LINES[:2])
    path, before = write_events(run)
    old, place = path.read_bytes(), path.stat().st_ino
    write(run, LINES)
    _, after = write_events(run)
    whole = path.read_bytes()
    assert whole.startswith(old)
    assert (after > before, path.stat().st_ino) == (True, place)
    assert len(read_records(whole)) == after + 1
    write_events(run)
    assert path.read_bytes() == whole
    write(run, LINES[:1] + LINES[2:])
    _, fewer = write_events(run)
    assert len(read_records(path.read_bytes())) == fewer + 1 < after + 1


def test_a_number_beyond_float32_is_infinite() -> None:
    for value, wanted in ((1e300, math.inf), (-1e300, -math.inf), (3e38, 3e38)):
        data = event(0.0, Scalar(0.0, 0, "a", value))
        assert struct.unpack("<f", data[-4:])[0] == pytest.approx(wanted, rel=1e-7)


def test_it_may_lie_elsewhere_under_the_runs_name(run: Path, tmp_path: Path) -> None:
    path, _ = write_events(run, tmp_path / "logs")
    assert path == tmp_path / "logs" / "run" / FILE


def test_a_folder_without_journal_and_a_damaged_line_are_named(run: Path) -> None:
    with pytest.raises(StoreError, match=r"has no journal.jsonl; give the folder of a run that"):
        write_events(run.parent)
    (run / "journal.jsonl").write_text("no line\n")
    with pytest.raises(StoreError, match=r"journal.jsonl:1 is damaged"):
        write_events(run)
