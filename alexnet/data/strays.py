"""What lies in a folder of pictures beside the pictures, and names that lead astray."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from alexnet.data.findings import Item
from alexnet.data.folder import SUFFIXES

HIDDEN = (".", "__MACOSX")


def find_strays(root: Path, folders: Iterable[str], listed: Iterable[str]) -> dict[str, list[Item]]:
    """Look through `folders` of `root`, all of it for "", for what is not among `listed` paths.

    Returns hidden, left-out, spaces, similar-names and nested, where there are any.
    """
    known = set(listed)
    found: dict[str, list[Item]] = defaultdict(list)
    for folder in folders:
        depth = folder.count("/") + 1 if folder else 0
        for place, names, is_folder in _walk(root, folder):
            paths = [f"{place}/{name}" if place else name for name in names]
            shown = []
            for path, name, inner in zip(paths, names, is_folder, strict=True):
                if name.startswith(HIDDEN):
                    found["hidden"].append(Item((path,)))
                    continue
                shown.append(name)
                if not inner and path not in known:
                    found["left-out"].append(Item((path,), _say_why(root, path, place)))
                if name != name.strip() or Path(name).stem != Path(name).stem.strip():
                    found["spaces"].append(Item((path,), repr(name)))
            found["similar-names"] += _similar(place, shown)
            inside = sum(path in known for path in paths)
            if place.count("/") > depth and inside:
                count = f"{inside} picture{'s' if inside > 1 else ''}"
                found["nested"].append(Item((place,), count))
    return {kind: items for kind, items in found.items() if items}


def _walk(root: Path, top: str) -> Iterator[tuple[str, list[str], list[bool]]]:
    """Yield each folder that is not hidden, once: its path, its names, which are folders."""
    waiting, visited = [top], set()
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(root / place)
        if real in visited:  # a link may lead back up
            continue
        visited.add(real)
        with os.scandir(root / place) as entries:
            inside = sorted((entry.name, _is_folder(entry)) for entry in entries)
        yield place, [name for name, _ in inside], [is_folder for _, is_folder in inside]
        inner = [
            f"{place}/{name}" if place else name
            for name, is_folder in inside
            if is_folder and not name.startswith(HIDDEN)
        ]
        waiting += reversed(inner)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _say_why(root: Path, path: str, place: str) -> str:
    suffix = os.path.splitext(path)[1]
    try:
        num_bytes = (root / path).stat().st_size
    except OSError as error:
        return str(error.strerror).lower()
    size = f"{num_bytes:,} byte{'' if num_bytes == 1 else 's'}"
    if suffix.lower() in SUFFIXES:
        return f"not in a class's folder, {size}"
    return f"{f'suffix {suffix}' if suffix else 'no suffix'}, {size}"


def _similar(place: str, names: list[str]) -> list[Item]:
    """Return the names of one folder that become equal without case, spaces and Unicode forms."""
    alike = defaultdict(list)
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        alike["".join(plain.split())].append(name)
    at = f"{place}/" if place else ""
    groups = [group for group in alike.values() if len(group) > 1]
    return [
        Item(tuple(at + name for name in group), " ".join(ascii(name) for name in group))
        for group in groups
    ]
