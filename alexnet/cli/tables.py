"""Tables on the terminal: aligned columns, as wide as they need when piped into a file."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
GAP = "  "


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> None:
    """Print rows below a header; the first `left` columns are aligned left, the others right.

    Control characters, which a class name from a folder can hold, are shown as "?".
    """
    cells = [[CONTROL.sub("?", _text(cell)) for cell in row] for row in [header, *rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number, row in enumerate(cells):
        padded = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print(GAP.join(padded).rstrip())
        if number == 0:
            print(GAP.join("-" * width for width in widths))


def note(text: str) -> None:
    """Print a remark where it is not in the way of the output."""
    print(text, file=sys.stderr)


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
