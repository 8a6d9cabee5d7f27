"""The chunks of a PNG, and how much its pixels may unpack to."""

import zlib

import numpy as np
import pytest

from alexnet.data.png import PngError, check_pixels, strip
from tests.data.test_image import PNG, chunk, png


def rows_bytes(width: int, height: int, bits: int, interlaced: bool) -> int:
    """Count the bytes of a grey picture's rows by numbering its pixels pass by pass."""
    passes = {0: [(0, 0, 1, 1)], 1: [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
                                     (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]}  # fmt: skip
    pixels = np.zeros((height, width))
    parts = [pixels[top::down, left::right] for top, left, down, right in passes[interlaced]]
    return sum(len(part) * (1 + (part.shape[1] * bits + 7) // 8) for part in parts if part.size)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [1, 8, 16])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 3), (8, 8), (17, 9)])
def test_rows_of_just_the_right_length_pass(
    width: int, height: int, bits: int, interlaced: bool
) -> None:
    right = rows_bytes(width, height, bits, interlaced)
    most = right + 65_536  # what some programs leave behind the last row
    for length in (right - 1, right, most):
        rows = bytes(length)
        check_pixels(png(width, height, bits=bits, color=0, rows=rows, interlace=interlaced))
    more = png(width, height, bits=bits, color=0, rows=bytes(most + 1), interlace=interlaced)
    with pytest.raises(PngError, match=f"unpacks to more than the {right} bytes of a picture of "):
        check_pixels(more)


def test_a_bomb_in_many_chunks_is_found() -> None:
    body = zlib.compress(bytes(3_000_000))
    parts = [chunk(b"IDAT", body[start : start + 100]) for start in range(0, len(body), 100)]
    with pytest.raises(PngError, match="more than the 2 bytes of a picture of 1 x 1 pixels; save"):
        check_pixels(png(1, 1, bits=8, color=0, rows=b"")[:33] + b"".join(parts) + PNG[-12:])


def test_a_stream_that_cannot_be_inflated_is_left_to_the_reader() -> None:
    check_pixels(PNG[:33] + chunk(b"IDAT", b"no zlib") + PNG[-12:])


def test_what_makes_no_picture_is_left_out() -> None:
    text, time = chunk(b"tEXt", b"Comment\0hello"), chunk(b"tIME", bytes(7))
    assert strip(PNG[:33] + text + time + PNG[33:] + b"and more") == PNG
