"""journal.jsonl: what happened in a run, one JSON object a line.

Every line has `kind` and `step`. A step stands in it once: a run that goes on from a checkpoint
first takes back the lines after it.
"""

import json
import os
from pathlib import Path
from typing import Any

from alexnet import store


class Journal:
    """Appends lines to a run's journal."""

    def __init__(self, path: Path, *, upto_step: int = 0) -> None:
        """Open a journal and take back the lines after `upto_step`, a torn last line included."""
        kept = [line for line in read_journal(path) if line["step"] <= upto_step]
        store.write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append a line; it has reached the disk when this returns."""
        self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last line that was cut off is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if text.endswith("\n"):
                lines.append(json.loads(text))
    return lines
