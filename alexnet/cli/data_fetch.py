"""`alexnet data fetch`: bring a published data set here."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.data.fetch import Fetched
    from alexnet.data.sources import DataSet

SECONDS_BETWEEN = 0.2


def fetch(
    name: str | None = None,
    folder: Path | None = None,
    /,
    *,
    mirror: str | None = None,
    as_json: Json = False,
) -> int:
    """Download a published data set, check it by its digest and unpack it.

    What was cut goes on where it stopped; DIR is there whole or not at all.

    Parameters
    ----------
    name
        Name of the data set; without one, all are listed.
    folder
        Folder that it is put into; one of its name here if not given.
    mirror
        Address of another server, or a folder, that has the files under the same names.
    """
    from alexnet.data.fetch import fetch as bring
    from alexnet.data.sources import data_set

    if name is None:
        _print_all(as_json)
        return 0
    wanted = data_set(name)
    folder = folder or Path(name)
    note(f"{wanted.title}; terms: {wanted.terms}")
    progress = Progress()
    try:
        fetched, new = bring(name, folder, mirror=mirror, show=progress.show)
    finally:
        progress.end()
    if as_json:
        print_json(_about(fetched, folder, new))
        return 0
    for each in fetched.files:
        if not each.checked:
            print(f"{each.name}: no digest is published; its SHA-256 is {each.sha256}")
    what = "is in" if new else "was in"
    already = "" if new else " already"
    print(
        f"{name} {what} {folder}{already}: {fetched.num_files:,} files, "
        f"{fetched.num_bytes / 1e6:,.1f} MB. What to type next:\n\n  alexnet train {folder}"
    )
    return 0


class Progress:
    """Says on standard error how far the work is: in place on a terminal, else in tenths."""

    def __init__(self) -> None:
        self._what = ""
        self._said = -1
        self._said_at = 0.0
        self._began_at = 0.0
        self._open = False

    def show(self, what: str, count: int, of: int | None) -> None:
        """Take note of bytes (or files, when `what` says so), and say it if it is time to."""
        now = time.monotonic()
        if what != self._what:
            self.end()
            self._what, self._said, self._said_at, self._began_at = what, -1, 0.0, now
        tenth = 10 * count // of if of else -1
        done = of is not None and count >= of
        if sys.stderr.isatty():
            if now - self._said_at >= SECONDS_BETWEEN or done:
                self._said_at, self._open = now, True
                print(f"\r{self._line(count, of)}\x1b[K", end="", file=sys.stderr, flush=True)
        elif tenth > self._said:
            self._said = tenth
            note(self._line(count, of))

    def end(self) -> None:
        """Leave the line that is being written."""
        if self._open:
            note("")
        self._open = False

    def _line(self, count: int, of: int | None) -> str:
        share = f"  {count / of:4.0%}" if of else ""
        if self._what.startswith("files of "):
            return f"{self._what}  {count:,} of {of:,}{share}"
        whole = f" of {of / 1e6:,.1f}" if of else ""
        return f"{self._what}  {count / 1e6:,.1f}{whole} MB{share}"


def _print_all(as_json: bool) -> None:
    from alexnet.data.sources import DATA_SETS

    if as_json:
        rows = {
            name: {
                "title": each.title,
                "terms": each.terms,
                "files": [
                    {
                        "url": f"{file.address}/{file.name}",
                        "bytes": file.num_bytes,
                        "sha256": file.sha256,
                    }
                    for file in each.files
                ],
            }
            for name, each in DATA_SETS.items()
        }
        print_json(rows)
        return
    print_table(
        ("name", "what", "terms", "MB", "digest"),
        [
            (name, each.title, each.terms, _megabytes(each), _digest_word(each))
            for name, each in DATA_SETS.items()
        ],
        left=3,
    )


def _megabytes(each: "DataSet") -> str:
    sizes = [file.num_bytes for file in each.files]
    return "?" if None in sizes else f"{sum(size or 0 for size in sizes) / 1e6:,.0f}"


def _digest_word(each: "DataSet") -> str:
    return "SHA-256" if all(file.sha256 for file in each.files) else "unknown"


def _about(fetched: "Fetched", folder: Path, new: bool) -> dict[str, object]:
    return {
        "name": fetched.name,
        "folder": str(folder),
        "new": new,
        "files": fetched.num_files,
        "bytes": fetched.num_bytes,
        "downloaded": [
            {"name": f.name, "bytes": f.num_bytes, "sha256": f.sha256, "checked": f.checked}
            for f in fetched.files
        ],
    }
