"""Whatever bytes come in, a picture or an ImageError comes out, without a warning.

Warnings are errors in all tests. The slow test runs the same without end to speak of; bytes that
it finds fault with belong, with a name, into tests/corpus/pictures, which the quick one reads.
"""

import random
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from alexnet.data.image import ImageError, ImageLimits, decode
from tests.data.test_image import JPEG, PHOTO, PNG, PROGRESSIVE, encode, exif, png
from tests.data.test_image_refused import BMP, GIF, RESTARTS, WEBP, patched

CORPUS = Path(__file__).parents[1] / "corpus" / "pictures"
SMALL = PHOTO[:11, :13]
SAMPLES = [
    *(JPEG, PROGRESSIVE, RESTARTS, PNG, GIF, BMP, WEBP),
    encode(PHOTO, "JPEG", {"exif": exif(6)}),
    encode(SMALL[..., 0], "JPEG"),
    encode(SMALL, "WebP", {"lossless": True, "exif": exif(3)}),
    encode(SMALL, "GIF", {"transparency": 1}),
    encode(Image.fromarray(SMALL[..., 0] > 99), "PNG"),
    encode(SMALL[..., 0], "BMP"),
    encode(SMALL[..., :2], "PNG"),
    png(3, 3, bits=16, color=2, rows=bytes(57), interlace=0),
]
# What a header lies about is small here, so that no example takes long.
LIMITS = ImageLimits(max_side=2000, max_pixels=1_000_000)
FLOOD = settings(max_examples=300, deadline=1000)
SLOW_SECONDS = 60.0
READERS = (
    *("data/image.py", "data/png.py", "data/exif.py", "data/kinds.py"),
    *("PngImagePlugin.py", "GifImagePlugin.py", "BmpImagePlugin.py", "WebPImagePlugin.py"),
    "ImageFile.py",
)
NASTY = [bytes([byte]) for byte in (0, 1, 127, 128, 255)] + [
    *(b"\0\0", b"\xff\xff", b"\x7f\xff", b"\xff\xd8", b"\xff\xd9", b"\xff\xc0", b"\xff\xc2"),
    *(b"\xff\xda", b"\xff\xc4", b"\xff\xdb", b"\xff\xdd", b"\xff\xe1", b"\0\0\0\0"),
    *(b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"IDAT", b"IEND", b"PLTE"),
    *(b"tRNS", b"eXIf", b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"\x21\xf9", b"\x2c", b"\x3b"),
]


def decode_or_refuse(data: bytes) -> None:
    """Decode, letting through any exception but the one that is promised."""
    for strict, at_least in ((True, None), (False, None), (True, 8)):
        try:
            picture = decode(data, strict=strict, at_least=at_least, limits=LIMITS)
        except ImageError:
            continue
        assert picture.dtype == np.uint8
        assert picture.shape[2:] == (3,)
        assert picture.flags.c_contiguous
        assert min(picture.shape) > 0


@FLOOD
@given(st.sampled_from([sample[:n] for sample in SAMPLES for n in (2, 12, 40)]), st.binary())
@example(b"", b"")
def test_random_bytes_are_decoded_or_refused(start: bytes, rest: bytes) -> None:
    decode_or_refuse(start + rest)


@FLOOD
@given(st.sampled_from(SAMPLES), st.floats(0, 1))
def test_a_picture_cut_anywhere_is_decoded_or_refused(data: bytes, fraction: float) -> None:
    decode_or_refuse(data[: int(fraction * len(data))])


@FLOOD
@given(st.sampled_from(SAMPLES), st.floats(0, 0.999), st.binary(min_size=1, max_size=8))
def test_a_picture_with_changed_bytes_is_decoded_or_refused(
    data: bytes, fraction: float, new: bytes
) -> None:
    decode_or_refuse(patched(data, int(fraction * fraction * len(data)), new))


# ---- Several changes one after the other --------------------------------------------------------


def put(data: bytearray, chance: random.Random, at: int) -> None:
    """Write some bytes that parsers stumble over."""
    new = chance.choice(NASTY)
    data[at : at + len(new)] = new


def insert(data: bytearray, chance: random.Random, at: int) -> None:
    """Put bytes in between."""
    data[at:at] = chance.choice(NASTY) * chance.choice((1, 1, 1, 50))


def flip(data: bytearray, chance: random.Random, at: int) -> None:
    """Flip one bit."""
    data[at] ^= 1 << chance.randrange(8)


def remove(data: bytearray, chance: random.Random, at: int) -> None:
    """Take some bytes out."""
    del data[at : at + chance.choice((1, 2, 4, 40, 400))]


def repeat(data: bytearray, chance: random.Random, at: int) -> None:
    """Have a stretch twice."""
    data[at:at] = data[at : at + chance.choice((1, 2, 20, 200))]


def swap(data: bytearray, chance: random.Random, at: int) -> None:
    """Put a stretch of another picture here."""
    other = chance.choice(SAMPLES)
    start = chance.randrange(len(other))
    data[at : at + 60] = other[start : start + chance.choice((4, 20, 200))]


def mend(data: bytearray, chance: random.Random, at: int) -> None:
    """Make the sums of a PNG right again, so that changes come through to its decoder."""
    position = 8
    while data.startswith(PNG[:8]) and position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4])
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[position + 4 : end]).to_bytes(4)
        position = end + 4


CHANGES: list[Callable[[bytearray, random.Random, int], None]] = [
    *(put, insert, flip, remove, repeat, swap, mend),
]


def changed(data: bytes, chance: random.Random) -> bytes:
    """Change a picture in up to eight places, its header more often than the rest."""
    new = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        if not new:
            break
        at = int(chance.random() ** chance.choice((1, 3)) * len(new))
        chance.choice(CHANGES)(new, chance, at)
    mend(new, chance, 0)
    return bytes(new)


@FLOOD
@given(st.sampled_from(SAMPLES), st.integers(0, 2**32))
def test_a_picture_changed_in_several_places_is_decoded_or_refused(data: bytes, seed: int) -> None:
    decode_or_refuse(changed(data, random.Random(seed)))


def test_what_once_was_found_stays_answered() -> None:
    for path in sorted(CORPUS.glob("*.bin")):
        decode_or_refuse(path.read_bytes())


Edge = tuple[str, int, int]
TraceFunction = Callable[[FrameType, str, object], "TraceFunction | None"]


def edges_of(data: bytes) -> set[Edge]:
    """Decode or refuse bytes and return the steps from line to line of the readers' own code."""
    found: set[Edge] = set()

    def follow(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        name = frame.f_code.co_filename
        if not name.endswith(READERS):
            return None
        last = frame.f_lineno

        def step(frame: FrameType, event: str, argument: object) -> TraceFunction:
            nonlocal last
            found.add((name, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(follow)
    try:
        decode_or_refuse(data)
    finally:
        sys.settrace(before)
    return found


def wander(seconds: float, seed: int) -> tuple[int, list[bytes]]:
    """Change pictures; keep each that takes a step that none took before, to change it further.

    Returns how many were tried and those that were kept.
    """
    chance = random.Random(seed)
    kept = list(SAMPLES)
    seen: set[Edge] = set()
    tried, ends_at = 0, time.monotonic() + seconds
    while time.monotonic() < ends_at:
        data = changed(chance.choice(kept), chance)[:20_000]
        try:
            edges = edges_of(data)
        except BaseException:
            CORPUS.mkdir(parents=True, exist_ok=True)
            (CORPUS / f"found-{seed}-{tried}.bin").write_bytes(data)
            raise
        if not edges <= seen:
            kept.append(data)
            seen |= edges
        tried += 1
    return tried, kept


def test_a_new_step_is_told_from_a_known_one() -> None:
    assert edges_of(JPEG) == edges_of(JPEG)
    assert not edges_of(JPEG[:-9]) <= edges_of(JPEG)


@pytest.mark.slow
def test_a_minute_of_changes_that_reach_new_lines_finds_nothing_else() -> None:
    tried, kept = wander(SLOW_SECONDS, seed=random.SystemRandom().randrange(2**32))
    assert tried > 1000
    assert len(kept) > len(SAMPLES) + 20
