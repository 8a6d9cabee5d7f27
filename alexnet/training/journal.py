"""journal.jsonl: what happened in a run, one JSON object a line.

Every line has `kind` and `step`. A step stands in it once: a run that goes on from a checkpoint
first takes back the lines after it.
"""

import json
from pathlib import Path
from typing import Any

from alexnet import store
from alexnet.store import StoreError
from alexnet.training.guards import Patience


class Journal:
    """Appends lines to a run's journal; the file is open only while it is written.

    Without a path nothing is kept: of several processes one writes for all.
    """

    def __init__(self, path: Path | None, patience: Patience | None = None) -> None:
        self._path = path
        self.lines = 0
        """Lines of this run so far: those that `take_back` left, and those written since."""
        self._patience = patience or Patience(path.parent if path else Path())

    def take_back(self, *, after_step: int, after_line: int = -1) -> str:
        """Remove the lines after an update, and a last line that was cut off.

        Where `after_line` is given, the lines after that: of those of one update some may have been
        written before a checkpoint and some after it.

        Returns what was odd about the journal, or "".

        Raises: StoreError naming the line that is no line of a journal.
        """
        if self._path is None:
            return ""
        lines, is_torn = read_journal(self._path), _is_torn(self._path)
        if after_line >= 0:
            kept = lines[:after_line]
        else:
            kept = [line for line in lines if line["step"] <= after_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        store.write_atomically(self._path, text.encode())
        self.lines = len(kept)
        if len(kept) < after_line:
            return f"{self._path} has lost lines: it has {len(kept)} of {after_line}"
        return f"{self._path} ended in half a line, which is taken back" if is_torn else ""

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append a line; it has reached the disk when this returns, whole or not at all.

        Raises: DiskError if the disk refuses it.
        """
        if self._path is None:
            return
        path, line = self._path, {"kind": kind, "step": step, **values}
        data = (json.dumps(line) + "\n").encode()
        self._patience.write(len(data), lambda: store.append(path, data))
        self.lines += 1


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal; a last line that was cut off is left out.

    Raises: StoreError naming the line that is no line of a journal.
    """
    if not path.exists():
        return []
    *whole, _ = path.read_bytes().split(b"\n")
    return [_read_line(path, number, text) for number, text in enumerate(whole, start=1)]


def _is_torn(path: Path) -> bool:
    return path.exists() and path.read_bytes().rpartition(b"\n")[2] != b""


def _read_line(path: Path, number: int, text: bytes) -> dict[str, Any]:
    try:
        line: dict[str, Any] = json.loads(text)
        if isinstance(line["kind"], str) and isinstance(line["step"], int):
            return line
    except (ValueError, KeyError, TypeError):
        pass
    raise StoreError(
        f"{path}:{number} is damaged: it is no line of a journal; put back a copy of the file, or "
        "remove the line"
    )
