"""The nearest known name, for error messages."""

import difflib
from collections.abc import Iterable
from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'conv1'?)`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def nearest_beside(path: Path) -> str:
    """Return what `nearest` says of a missing path, among the names in its folder."""
    folder = path.parent
    return nearest(path.name, [p.name for p in folder.iterdir()] if folder.is_dir() else [])
