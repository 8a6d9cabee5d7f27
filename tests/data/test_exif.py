"""EXIF: the eight orientations, and blocks that say nothing."""

import struct

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from alexnet.data.exif import read_orientation, upright
from alexnet.data.image import decode
from tests.data.test_image import JPEG, PHOTO, encode, exif

TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(kind: str, orientation: int) -> None:
    expected = Image.fromarray(decode(encode(PHOTO, kind)))
    if orientation > 1:
        expected = expected.transpose(TURNS[orientation])
    for order in "<>":
        turned = decode(encode(PHOTO, kind, {"exif": exif(orientation, order=order)}))
        assert np.array_equal(turned, np.asarray(expected))
        assert turned.flags.c_contiguous


def test_the_first_exif_block_counts() -> None:
    data = encode(PHOTO, "JPEG", {"quality": 95, "exif": exif(6)})
    late = b"\xff\xe1" + struct.pack(">H", 2 + len(exif(3))) + exif(3)
    start = data.index(b"\xff\xdb")
    assert np.array_equal(decode(data[:start] + late + data[start:]), decode(data))


@pytest.mark.parametrize(
    "block",
    [exif(0), exif(9), exif(6, at=4000), exif(6, at=2**32 - 1), exif(6)[:20], exif(6)[:8],
     exif(6, at=4).replace(b"\x12\x01", b"\0\0"), b"Exif\0\0" + b"\xff" * 60_000,
     exif(6).replace(b"\x12\x01\x03", b"\x12\x01\x04"),
     exif(6, count=65_535).replace(b"\x12\x01", b"\0\0")],
)  # fmt: skip
def test_a_broken_exif_block_is_as_none(block: bytes) -> None:
    assert np.array_equal(
        decode(encode(PHOTO, "JPEG", {"quality": 95, "exif": block})), decode(JPEG)
    )


def test_the_orientation_is_read_in_both_orders_of_bytes() -> None:
    assert [read_orientation(exif(each, order=order)) for order in "<>" for each in (1, 6, 8)] == [
        *(1, 6, 8),
        *(1, 6, 8),
    ]
    assert read_orientation(b"") == 1


def test_a_directory_that_points_at_itself_is_read_once() -> None:
    """The pointer to the next directory leads back; nothing follows it."""
    block = bytearray(exif(6))
    block[-4:] = struct.pack("<I", 8)
    assert read_orientation(bytes(block)) == 6
    assert upright(PHOTO, bytes(block)).shape == (64, 48, 3)
