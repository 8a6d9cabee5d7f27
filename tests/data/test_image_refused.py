"""What the one decoder refuses, by name, and that nothing makes it do anything else."""

import re
import struct

import numpy as np
import pytest

from alexnet.data.image import DEFAULT_LIMITS, ImageError, ImageLimits, decode
from tests.data.test_image import JPEG, PHOTO, PNG, PROGRESSIVE, chunk, encode, exif, pillow, png


def segment(data: bytes, marker: int) -> slice:
    """Return where the first segment of a kind stands in a JPEG."""
    start = data.index(bytes([0xFF, marker]))
    return slice(start, start + 2 + int.from_bytes(data[start + 2 : start + 4]))


def patched(data: bytes, start: int, new: bytes) -> bytes:
    return data[:start] + new + data[start + len(new) :]


def frame(marker: int = 0xC0, *, bits: int = 8, sides: tuple[int, int] = (48, 64)) -> bytes:
    """Return JPEG with another frame header."""
    start = segment(JPEG, 0xC0).start
    return patched(
        patched(JPEG, start + 1, bytes([marker])), start + 4, struct.pack(">BHH", bits, *sides)
    )


def refused(data: bytes, message: str, *, limits: ImageLimits = DEFAULT_LIMITS) -> None:
    with pytest.raises(ImageError, match=message):
        decode(data, limits=limits)


FOREIGN = {
    b"\xff": "no known picture .it starts with b'.xff'",
    b"hello, world": "no known picture .it starts with b'hello, w'",
    bytes(100): "a run of zero bytes",
    b"\n<!DOCTYPE html><title>404</title>": "an HTML page .perhaps a failed download",
    b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a -->\n<svg width="9">': "an SVG drawing",
    b"%PDF-1.7\n": "a PDF document",
    b"%!PS-Adobe-3.0 EPSF-3.0": "an EPS drawing",
    encode(PHOTO, "TIFF"): "a TIFF picture",
    encode(PHOTO, "TIFF", {"big_tiff": True}): "a TIFF picture",
    b"\0\0\0\x18ftypheic\0\0\0\0": "a HEIC picture",
    b"\0\0\0\x20ftypavif\0\0\0\0": "an AVIF picture",
    b"\0\0\0\x20ftypisom\0\0\0\0": "a video",
    b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL picture",
    encode(PHOTO, "JPEG2000"): "a JPEG 2000 picture",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an OLE file .perhaps FlashPix",
    b"8BPS\0\1": "a Photoshop picture",
    encode(PHOTO, "ICO"): "an icon",
    b"PK\3\4\x14\0": "an archive",
    b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer .run 'git lfs pull'",
}


@pytest.mark.parametrize(("data", "what"), FOREIGN.items(), ids=FOREIGN.values())
def test_another_kind_of_file_is_refused_by_its_name(data: bytes, what: str) -> None:
    refused(data, f"this is {what}.*; JPEG, PNG, BMP, WebP and GIF are read")


def test_an_empty_file_is_refused() -> None:
    refused(b"", "the file is empty")


EARLY, CUT = "damaged: it ends before the picture", "damaged: "
SOF, DHT, DQT, SOS = (segment(JPEG, marker) for marker in (0xC0, 0xC4, 0xDB, 0xDA))
RESTARTS = encode(PHOTO, "JPEG", {"restart_marker_blocks": 1})
BROKEN_JPEGS = {
    "SOI only": (JPEG[:2], EARLY),
    "SOI and EOI": (b"\xff\xd8\xff\xd9", EARLY),
    "no EOI": (JPEG[:-2], "damaged: Premature end of JPEG file"),
    "cut in the baseline scan": (JPEG[: len(JPEG) * 3 // 4], "damaged: Premature end"),
    "cut in a progressive scan": (PROGRESSIVE[: len(PROGRESSIVE) // 2], CUT),
    "cut before the last scan": (PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xda")], CUT),
    "cut in EXIF": (encode(PHOTO, "JPEG", {"exif": exif(1)})[:30], EARLY),
    "cut in the frame header": (JPEG[: SOF.start + 4] + JPEG[-2:], EARLY),
    "no frame header": (JPEG[: SOF.start] + JPEG[SOF.stop :], "no frame header comes before"),
    "no Huffman tables": (PROGRESSIVE.replace(b"\xff\xc4", b"\xff\xfe"), "Huffman table"),
    "no quantisation tables": (JPEG.replace(b"\xff\xdb", b"\xff\xfe"), "Quantization table"),
    "no scan header": (JPEG[: SOS.start] + JPEG[SOS.stop :], CUT),
    "two frame headers": (JPEG[: SOF.stop] + JPEG[SOF], CUT),
    "two scan headers": (JPEG[: SOS.stop] + JPEG[SOS.start :], CUT),
    "a segment length of one": (patched(JPEG, DQT.start + 2, b"\0\1"), EARLY),
    "a segment length too large": (patched(JPEG, DHT.start + 2, b"\xff\xff"), EARLY),
    "a segment length too small": (patched(JPEG, DQT.start + 2, b"\0\x20"), CUT),
    "a short frame header": (patched(JPEG, SOF.start + 2, b"\0\7"), "frame header is too short"),
    "restart markers lost": (re.sub(rb"\xff[\xd0-\xd7]", b"", RESTARTS), CUT),
    "a hole of zeros": (patched(JPEG, len(JPEG) // 2 + 200, bytes(60)), CUT),
    "endless segments": (JPEG[:2] + b"\xff\xfe\0\2" * 5000 + JPEG[2:], "more than 4096 segments"),
    "no width": (frame(sides=(48, 0)), "the header says 0 x 48 pixels; there is no picture"),
    "no height": (frame(sides=(0, 64)), "the header says 64 x 0 pixels; there is no picture"),
    "4.3 gigapixels": (frame(sides=(65500, 65500)), "65500 x 65500 pixels; the limit is 20000"),
    "one long side": (frame(sides=(1, 65500)), "65500 x 1 pixels; the limit is 20000 a side"),
    "too many pixels": (frame(sides=(20000, 5001)), "5001 x 20000 .* 100000000 in all"),
    "12 bits": (frame(bits=12), "12-bit JPEG is not read; save it as 8-bit baseline or prog"),
    "arithmetic coding": (frame(0xC9), "arithmetic-coded JPEG is not read"),
    "arithmetic progressive": (frame(0xCA), "arithmetic-coded JPEG is not read"),
    "lossless": (frame(0xC3), "lossless JPEG is not read"),
    "hierarchical": (frame(0xC5), "hierarchical JPEG is not read"),
    "two components": (patched(JPEG, SOF.start + 9, b"\2"), "2-component JPEG is not read"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BROKEN_JPEGS.values(), ids=BROKEN_JPEGS)
def test_a_broken_jpeg_is_refused(data: bytes, message: str) -> None:
    refused(data, message)


def test_a_motion_jpeg_frame_without_huffman_tables_is_read_with_the_standard_ones() -> None:
    assert np.array_equal(decode(JPEG.replace(b"\xff\xc4", b"\xff\xfe")), decode(JPEG))


def test_fill_bytes_before_a_marker_are_legal() -> None:
    assert np.array_equal(decode(JPEG[: DQT.start] + b"\xff" * 9 + JPEG[DQT.start :]), decode(JPEG))


def test_bit_flips_that_pillow_loads_without_a_word_are_refused() -> None:
    ours = pillows = 0
    for position in range(SOS.stop, len(JPEG) - 2, 7):
        data = patched(JPEG, position, bytes([JPEG[position] ^ 16]))
        try:
            decode(data)
        except ImageError:
            ours += 1
            try:
                pillow(data)
            except OSError:
                pillows += 1
    assert ours > 10
    assert pillows < ours / 4


def test_the_readable_part_of_a_cut_jpeg_is_returned_when_not_strict() -> None:
    half = JPEG[: len(JPEG) * 3 // 4]
    assert np.array_equal(decode(half, strict=False)[:8], decode(JPEG)[:8])


def test_thousands_of_progressive_scans_are_refused() -> None:
    scan = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
    bomb = PROGRESSIVE[:-2] + scan * 90 + b"\xff\xd9"
    limits = ImageLimits(max_pixels=64 * 48)
    refused(
        bomb, "100 scans over 64 x 48 pixels takes too long.*; save it as baseline", limits=limits
    )
    assert np.array_equal(decode(PROGRESSIVE, limits=limits), decode(PROGRESSIVE))


GIF, BMP, WEBP = (encode(PHOTO, kind) for kind in ("GIF", "BMP", "WebP"))
HUGE = struct.pack(">II", 65500, 65500)
BROKEN_OTHERS = {
    "PNG cut": (PNG[:-1], "the PNG is damaged: it ends before its IEND chunk"),
    "PNG cut in a chunk": (PNG[:500], "the PNG is damaged: its chunk b'IDAT' is cut short"),
    "PNG signature only": (PNG[:8], "the PNG is damaged: it ends before its IEND chunk"),
    "PNG bit flip": (patched(PNG, 60, bytes([PNG[60] ^ 1])), "the checksum of its chunk b'IDAT'"),
    "PNG without header": (PNG[:8] + PNG[33:], "the PNG is damaged: "),
    "PNG without pixels": (PNG[:33] + chunk(b"IEND", b""), "the PNG is damaged: "),
    "PNG too short inside": (png(9, 9, bits=8, color=0, rows=b"\0"), "the PNG is damaged: .*trunc"),
    "PNG of no zlib": (PNG[:33] + chunk(b"IDAT", b"no") + chunk(b"IEND", b""), "PNG is damaged"),
    "PNG 65500": (PNG[:8] + chunk(b"IHDR", HUGE + PNG[24:29]) + PNG[33:], "65500 x 65500 pixels"),
    "PNG 0 wide": (png(0, 5, bits=8, color=0, rows=b""), "the PNG is damaged"),
    "PNG long text": (PNG[:33] + chunk(b"tEXt", bytes(16_000_001)), "chunk b'tEXt' of 16000001 b"),
    "PNG many chunks": (PNG[:33] + chunk(b"abCd", b"") * 70_000, "more than 65536 chunks"),
    "GIF cut": (GIF[: len(GIF) // 2], "the GIF is damaged: .*truncated"),
    "GIF of no frame": (GIF[:13] + b";", "the GIF is damaged"),
    "GIF 65500": (patched(GIF, 6, b"\xdc\xff\xdc\xff"), "65500 x 65500 pixels"),
    "BMP cut": (BMP[:-9], "the BMP is damaged: .*truncated"),
    "BMP 65500": (patched(BMP, 18, struct.pack("<ii", 65500, 65500)), "65500 x 65500 pixels"),
    "BM and text": (b"BMX tracks", "the BMP is damaged"),
    "WebP cut": (WEBP[:-9], "the WebP is damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), BROKEN_OTHERS.values(), ids=BROKEN_OTHERS)
def test_a_broken_png_gif_bmp_or_webp_is_refused(data: bytes, message: str) -> None:
    refused(data, message)


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, PNG], ids=["JPEG", "progressive", "PNG"])
def test_no_part_of_a_picture_passes_for_the_whole(data: bytes) -> None:
    for end in range(len(data)):
        refused(data[:end], "^(the file is empty|this is|the (JPEG|PNG) is damaged: )")
