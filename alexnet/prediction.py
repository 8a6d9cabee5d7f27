"""Pictures by name, and the answers to them: what every runtime is given and returns.

Nothing here needs torch, so that a runtime which does without it starts quickly.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from alexnet.data.folder import SUFFIXES, DataError
from alexnet.data.image import ImageError, Picture, decode, decode_file, fit_square
from alexnet.native.resize import Window, resize
from alexnet.nearest import nearest_beside

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture, or why there is none."""

    source: str
    """Path of the picture, "-" for standard input."""
    labels: tuple[tuple[str, float], ...] = ()
    """(class, probability), the most probable first."""
    error: str = ""
    """Why the picture was refused; empty if it was not."""


def list_pictures(sources: Iterable[str]) -> list[str]:
    """Replace each folder by the pictures below it, sorted; "-" stands for standard input.

    Raises: DataError if a path does not exist (nearest named) or a folder has no pictures.
    """
    found: list[str] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise DataError(
                    f"{path} has no pictures ({', '.join(sorted(SUFFIXES))}); name another folder"
                )
            found += map(str, inside)
        elif source == STANDARD_INPUT or path.exists():
            found.append(source)
        else:
            raise DataError(f"{path} does not exist{nearest_beside(path)}")
    return found


def open_picture(
    name: str,
    size: int,
    *,
    scale: Callable[[Picture, tuple[int, int], Window], Picture] = resize,
) -> Picture | str:
    """Return a picture as a net's preprocessing takes it, or why it was refused.

    Shapes:  -> (size, size, 3) uint8.
    """
    try:
        if name == STANDARD_INPUT:
            return fit_square(decode(sys.stdin.buffer.read(), at_least=size), size, scale=scale)
        return fit_square(decode_file(Path(name), at_least=size), size, scale=scale)
    except ImageError as error:
        return str(error)
