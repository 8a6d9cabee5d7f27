"""A run in a few figures, read anew only when its files have changed: a list has many runs."""

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from alexnet import store

JOURNAL = "journal.jsonl"
LONGEST_READ = 2**24
MOST_KEPT = 2048


@dataclass(frozen=True)
class Summary:
    """What a journal says of its run."""

    last_train: dict[str, Any] | None = None
    """The newest line of training."""
    last_validation: dict[str, Any] | None = None
    """The newest line of a validation."""
    best_error: float | None = None
    """Lowest top-1 error of all validations, a share."""
    epochs_done: float = 0.0
    """Epochs behind the newest line."""
    written_at: float | None = None
    """When the journal was last written, in seconds since 1970; None without one."""


def summarise(folder: Path) -> Summary:
    """Return what a run's journal says."""
    path = folder / JOURNAL
    try:
        status = path.stat()
    except OSError:
        return Summary()
    return _summary(path, (status.st_ino, status.st_size, status.st_mtime_ns))


def has_checkpoint(folder: Path) -> bool:
    """Return whether there is something that a run can go on from."""
    return _newest_manifest(folder) is not None


def has_finished(folder: Path) -> bool:
    """Return whether a run came to its end, by its newest checkpoint."""
    path = _newest_manifest(folder)
    if path is None:
        return False
    try:
        return _is_finished(path, path.stat().st_mtime_ns)
    except OSError:  # it is being replaced
        return False


def read_lines(path: Path, most: int) -> tuple[list[dict[str, Any]], int]:
    """Return the whole lines at the end of a journal, and the byte behind the last of them.

    What is no line of a journal is left out.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            at = max(0, size - most)
            file.seek(at)
            data = file.read(most)
    except OSError:
        return [], 0
    pieces = data.split(b"\n")
    lines = [line for each in pieces[int(at > 0) : -1] if (line := read_line(each)) is not None]
    return lines, at + len(data) - len(pieces[-1])


def read_line(piece: bytes) -> dict[str, Any] | None:
    """Return a line of a journal; None if it is none."""
    try:
        line = json.loads(piece)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "kind" in line and "step" in line else None


@lru_cache(MOST_KEPT)
def _summary(path: Path, stamp: tuple[int, int, int]) -> Summary:
    lines, _ = read_lines(path, LONGEST_READ)
    tests = [line for line in lines if line["kind"] == "validation"]
    trained = [line for line in lines if line["kind"] == "train"]
    errors = [error for line in tests if (error := _number(line.get("top1_error"))) is not None]
    epochs = [_number(line.get("epoch")) or 0.0 for line in (*trained[-1:], *tests[-1:])]
    return Summary(
        last_train=trained[-1] if trained else None,
        last_validation=tests[-1] if tests else None,
        best_error=min(errors, default=None),
        epochs_done=max(epochs, default=0.0),
        written_at=stamp[2] / 1e9,
    )


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None


def _newest_manifest(folder: Path) -> Path | None:
    found = (folder / "checkpoints").glob(f"step-*/{store.MANIFEST}")
    return max(found, key=lambda path: path.parent.name, default=None)


@lru_cache(MOST_KEPT)
def _is_finished(path: Path, stamp: int) -> bool:
    with suppress(ValueError, KeyError, TypeError):
        return json.loads(path.read_text())["position"]["finished"] is True
    return False
