"""What the processes of a run print: the first one speaks, what the others say goes to files.

    RUN/logs/rank-0.log    what the first process said on standard error
    RUN/logs/rank-1.log    all that the second one said, also on standard output; and so on

File descriptors are redirected, not Python's streams: libraries print too.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TextIO

from alexnet.parallel.mesh import World

STREAMS = (1, 2)  # standard output and standard error


class Log:
    """Where this process's words go, from here to its end; a process alone speaks as ever."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: IO[bytes] | None = None
        if world.rank > 0:
            self._before = os.dup(2)
            atexit.register(self._tell)
            self._waiting = tempfile.TemporaryFile()  # noqa: SIM115  kept to the end
            _redirect(self._waiting)

    def keep(self, folder: Path) -> None:
        """Write what was said so far, and all that will be, below a run's folder."""
        if self._world.size == 1:
            return
        path = folder / "logs" / f"rank-{self._world.rank}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._waiting is None:
            sys.stderr = _Both(sys.stderr, path)
            return
        sys.stdout.flush()
        sys.stderr.flush()
        with path.open("ab", buffering=0) as file:
            self._waiting.seek(0)
            shutil.copyfileobj(self._waiting, file)
            _redirect(file)
        self._waiting.close()

    def _tell(self) -> None:
        """Say at the end what went wrong unexpectedly before there was a file to say it in."""
        if self._waiting is not None and not self._waiting.closed:
            sys.stderr.flush()
            self._waiting.seek(0)
            said = self._waiting.read()
            if b"unexpected" in said:
                os.write(self._before, said)


class _Both:
    """Standard error that leaves its lines in a file too; a bar's movements are left out."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream, self._path = stream, path

    def write(self, text: str) -> int:
        if "\x1b" not in text:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:
        return self._stream.encoding


def _redirect(file: IO[bytes]) -> None:
    for stream in STREAMS:
        os.dup2(file.fileno(), stream)
