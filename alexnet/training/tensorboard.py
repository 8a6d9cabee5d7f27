"""A run's journal as an event file, which TensorBoard draws.

Source:  TensorFlow's tensorflow/core/util/event.proto, framework/summary.proto and lib/io/
         record_writer: a record is its length, a masked CRC-32C of that, an Event as protobuf, and
         a masked CRC-32C of it. Written by hand: the package tensorboard is needed to look only.
Differs: the journal has no clock but the speed, so that an event's time is the run's beginning plus
         the pictures so far over their speed; the numbers of updates are exact. A loss that is no
         number stays one.
"""

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from alexnet import store
from alexnet.store import StoreError
from alexnet.training.journal import read_journal
from alexnet.training.recipe import load

JOURNAL = "journal.jsonl"
FILE = "events.out.tfevents.journal"
"""Name of an event file: TensorBoard looks for tfevents in it."""
SCALARS: Final[Mapping[str, Mapping[str, str]]] = {
    "train": {
        "loss": "loss/train",
        "lr": "rate/lr",
        "epoch": "progress/epoch",
        "images_per_second": "speed/images_per_second",
        "wait_share": "speed/wait_share",
    },
    "validation": {
        "loss": "loss/validation",
        "top1_error": "error/top1",
        "top5_error": "error/top5",
        "bad_pictures": "data/bad_pictures",
    },
    "rollback": {"halvings": "rate/halvings"},
}
"""Fields of a journal's line by its kind, and what TensorBoard calls them."""


class Scalar(NamedTuple):
    """A number of a run."""

    seconds: float
    """Since the run began."""
    step: int
    """The update."""
    name: str
    value: float


def write_events(run: Path, out: Path | None = None) -> tuple[Path, int]:
    """Write a run's journal as an event file; return its path and the number of scalars.

    Without `out` it lies in the run's folder, where `tensorboard --logdir runs` finds it; else in
    out/NAME_OF_THE_RUN. To what an earlier call has written only the new lines are added, so that
    a TensorBoard that is looking sees them; a journal that was taken back is written anew.

    Raises: StoreError if there is no journal or a line of it is damaged; ValueError for a recipe
            that is refused; OSError if the disk refuses.
    """
    journal, recipe = run / JOURNAL, run / "recipe.toml"
    if not journal.is_file():
        raise StoreError(f"{run} has no {JOURNAL}; give the folder of a run that has begun")
    path = (run if out is None else out / run.resolve().name) / FILE
    batch = load(recipe).batch if recipe.is_file() else 1
    began_at = (recipe if recipe.is_file() else journal).stat().st_mtime
    events = list(scalars(read_journal(journal), batch=batch))
    data = record(event(began_at))
    for each in events:
        data += record(event(began_at + each.seconds, each))
    store.make_folder(path.parent)
    old = path.read_bytes() if path.exists() else b""
    if not old or not data.startswith(old):
        store.write_atomically(path, bytes(data))
    elif len(data) > len(old):
        store.append(path, bytes(data[len(old) :]))
    return path, len(events)


def scalars(lines: Iterable[Mapping[str, Any]], *, batch: int) -> Iterator[Scalar]:
    """Yield what a journal's lines tell in numbers; `batch` is the pictures of an update."""
    seconds, last = 0.0, 0
    for line in lines:
        speed = line.get("images_per_second", 0.0)
        if line["kind"] == "train" and _is_number(speed) and speed > 0:
            seconds += (line["step"] - last) * batch / speed
            last = line["step"]
        for field, name in SCALARS.get(line["kind"], {}).items():
            if _is_number(line.get(field)):
                yield Scalar(seconds, line["step"], name, float(line[field]))


def event(wall_seconds: float, scalar: Scalar | None = None) -> bytes:
    """Return an Event: that of a scalar, or the one that a file begins with.

    Units: seconds since 1970.
    """
    head = b"\x09" + struct.pack("<d", wall_seconds)  # 1: wall_time
    if scalar is None:
        return head + _bytes(3, b"brain.Event:2")  # file_version
    value = _bytes(1, scalar.name.encode()) + b"\x15" + struct.pack("<f", _float32(scalar.value))
    return head + b"\x10" + _varint(scalar.step) + _bytes(5, _bytes(1, value))


def record(data: bytes) -> bytearray:
    """Return a record of an event file."""
    length = struct.pack("<Q", len(data))
    return bytearray(length + _masked(length) + data + _masked(data))


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes, as RFC 3720, appendix B.4, has it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    """Return a CRC as records have it: turned, and a constant added."""
    crc = crc32c(data)
    turned = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (turned + 0xA282EAD8) & 0xFFFFFFFF)


def _row(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_TABLE: Final = tuple(_row(byte) for byte in range(256))


def _bytes(number: int, data: bytes) -> bytes:
    """Return a field of a message that holds bytes, a text or a message."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _float32(value: float) -> float:
    """Return a number that float32 has; beyond its range there is infinity."""
    return math.copysign(math.inf, value) if 3.4e38 < abs(value) < math.inf else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
