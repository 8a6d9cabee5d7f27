"""Decode every picture once and keep, of each, what it takes to judge it: 320 bytes.

Kept in arrays, so that the 1.28 million pictures of ILSVRC 2012 need 0.4 GB. JPEGs are decoded at
a fraction of their size: every code of the file is read all the same, and damage found.
"""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from alexnet.data import alike
from alexnet.data.exif import read_orientation
from alexnet.data.folder import Listing
from alexnet.data.image import ImageError, Picture, decode, read_file
from alexnet.data.kinds import kind_of, misnamed
from alexnet.data.pictures import Pictures

TRAITS = ("cmyk", "gray", "sixteen-bit", "transparent", "animated", "rotated", "misnamed", "flat")
"""What may be remarkable about a picture, in the order of the columns of `Examined.traits`."""
WHOLE = 1 << 30
_AT_ONCE = 256
_READERS: dict[str, Callable[[io.BytesIO], GifImageFile | PngImageFile | WebPImageFile]] = {
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "WebP": WebPImageFile,
}

Progress = Callable[[int, int], None]


@dataclass
class Examined:
    """What was found in N pictures."""

    digests: NDArray[np.uint8]
    """(N, 16): BLAKE2b of the file, or of the pixels where there is no file."""
    sides: NDArray[np.int64]
    """(N, 2): height and width as stored, in pixels; 0 for a picture that cannot be read."""
    num_bytes: NDArray[np.int64]
    """(N,): size of the file, or of the pixels."""
    traits: NDArray[np.bool_]
    """(N, 8): which of TRAITS each picture has."""
    signatures: NDArray[np.uint64]
    """(N, 3) of `alike.signatures`."""
    kept: NDArray[np.uint8]
    """(N, 16, 16) of `alike.shrink`."""
    bad: dict[int, str] = field(default_factory=dict)
    """Position -> why it cannot be read."""
    details: dict[int, str] = field(default_factory=dict)
    """Position -> what a misnamed file is."""

    @classmethod
    def empty(cls, count: int) -> "Examined":
        """Make room for a number of pictures."""
        side = alike.KEPT_SIDE
        return cls(
            np.zeros((count, 16), np.uint8),
            np.zeros((count, 2), np.int64),
            np.zeros(count, np.int64),
            np.zeros((count, len(TRAITS)), np.bool_),
            np.zeros((count, len(alike.INSETS)), np.uint64),
            np.zeros((count, side, side), np.uint8),
        )

    def trait(self, name: str) -> NDArray[np.bool_]:
        """Return which pictures have a trait, (N,)."""
        column: NDArray[np.bool_] = self.traits[:, TRAITS.index(name)]
        return column


def examine(sets: Sequence[Pictures], *, progress: Progress) -> Examined:
    """Decode every picture of some sets in threads, and number them through.

    `progress` hears how many are done of how many.
    """
    count = sum(map(len, sets))
    found = Examined.empty(count)
    offset = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for pictures in sets:
            for start in range(0, len(pictures), _AT_ONCE):
                run = range(start, min(start + _AT_ONCE, len(pictures)))
                one = partial(_examine_one, pictures, offset, found)
                # In runs: a million waiting tasks would need more memory than the answers.
                for index, reason in zip(run, pool.map(one, run), strict=True):
                    if reason:
                        found.bad[offset + index] = reason
                progress(offset + run.stop, count)
            offset += len(pictures)
    return found


def thumbnail(pictures: Pictures, index: int) -> alike.Cells | None:
    """Decode a picture again for comparison; None if it cannot be read any more."""
    try:
        return alike.thumbnail(pictures.pixels(index, at_least=alike.LEAST_SIDE))
    except ImageError:
        return None


def digest_pixels(pictures: Pictures, index: int) -> bytes | None:
    """Return 16 bytes that tell a picture's pixels in full size; None if it is unreadable."""
    try:
        return _digest_pixels(pictures.pixels(index, at_least=WHOLE))
    except ImageError:
        return None


def _examine_one(pictures: Pictures, offset: int, found: Examined, index: int) -> str:
    """Examine one picture and return why it cannot be read, "" if it can."""
    try:
        if isinstance(pictures, Listing):
            _examine_file(pictures.root / pictures.paths[index], offset + index, found)
        else:
            picture = pictures.pixels(index, at_least=WHOLE)
            found.digests[offset + index] = _bytes(_digest_pixels(picture))
            found.num_bytes[offset + index] = picture.nbytes
            found.sides[offset + index] = picture.shape[:2]
            _keep(picture, set(), offset + index, found)
    except ImageError as error:
        return str(error)
    return ""


def _examine_file(path: Path, place: int, found: Examined) -> None:
    data = read_file(path)
    found.num_bytes[place] = len(data)
    found.digests[place] = _bytes(hashlib.blake2b(data, digest_size=16).digest())
    picture = decode(data, at_least=alike.LEAST_SIDE)
    sides, traits = read_traits(data)
    found.sides[place] = sides or picture.shape[:2]
    kind = misnamed(path.name, data)
    if kind:
        found.details[place] = f"a {kind}"
        traits.add("misnamed")
    _keep(picture, traits, place, found)


def _keep(picture: Picture, traits: set[str], place: int, found: Examined) -> None:
    cells = alike.thumbnail(picture)
    if alike.is_flat(cells):
        traits.add("flat")
    found.traits[place] = [trait in traits for trait in TRAITS]
    found.signatures[place] = alike.signatures(cells)
    found.kept[place] = alike.shrink(cells)


def _digest_pixels(picture: Picture) -> bytes:
    head = f"{picture.shape}".encode()
    return hashlib.blake2b(head + picture.tobytes(), digest_size=16).digest()


def _bytes(digest: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(digest, np.uint8)


def read_traits(data: bytes) -> tuple[tuple[int, int] | None, set[str]]:
    """Read height and width as stored, and what is remarkable, from a sound picture's header.

    Headers that Pillow cannot make sense of, though our decoder does, give (None, nothing).
    """
    kind = kind_of(data)
    try:
        if kind == "JPEG":
            return _read_jpeg(data)
        if kind in _READERS:
            return _read_other(kind, data)
    except Exception:  # Pillow's readers raise anything from SyntaxError to EOFError
        return None, set()
    return None, set()


def _read_jpeg(data: bytes) -> tuple[tuple[int, int], set[str]]:
    height, width, space, _ = simplejpeg.decode_jpeg_header(data)
    traits = {{"gray": "gray", "cmyk": "cmyk", "ycck": "cmyk"}.get(space.lower(), "")} - {""}
    if b"Exif\0\0" in data[:65_536] and _is_turned(JpegImageFile(io.BytesIO(data)).info):
        traits.add("rotated")
    return (height, width), traits


def _read_other(kind: str, data: bytes) -> tuple[tuple[int, int], set[str]]:
    with _READERS[kind](io.BytesIO(data)) as opened:
        is_png = kind == "PNG"
        facts = {
            "gray": opened.mode in ("1", "L", "LA") or opened.mode.startswith("I;16"),
            "sixteen-bit": is_png and data[24] == 16,
            "transparent": opened.has_transparency_data,
            "animated": bool(getattr(opened, "is_animated", False)),
            "rotated": _is_turned(opened.info),
        }
        return (opened.height, opened.width), {name for name, holds in facts.items() if holds}


def _is_turned(info: dict[str | tuple[int, int], Any]) -> bool:
    return read_orientation(info.get("exif", b"")) != 1
