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
    """Appends lines to a run's journal; the file is open only while it is written.

    Without a path nothing is kept: of several processes one writes for all.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def take_back(self, *, after_step: int) -> None:
        """Remove the lines after an update, and a last line that was cut off."""
        if self._path is None:
            return
        kept = [line for line in read_journal(self._path) if line["step"] <= after_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        store.write_atomically(self._path, text.encode())

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append a line; it has reached the disk when this returns."""
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            file.flush()
            os.fsync(file.fileno())


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last line that was cut off is left out."""
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if text.endswith("\n"):
                lines.append(json.loads(text))
    return lines
