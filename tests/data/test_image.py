"""What the one decoder reads, the EXIF rule, files, and the paper's resize and crop.

What it refuses stands in test_image_refused.py.
"""

import io
import os
import socket
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import simplejpeg
from PIL import Image

from alexnet.data.image import (
    ImageError,
    ImageLimits,
    centre_crop,
    decode,
    decode_file,
    fit_square,
    resize_shorter_side,
)

Array = npt.NDArray[np.uint8]


def smooth(height: int, width: int, channels: int = 3) -> Array:
    """Return a picture without sharp edges, so that JPEG keeps it."""
    y, x = np.mgrid[:height, :width]
    waves = [127 + 120 * np.sin(x / (9 + c) + y / (17 - c) + c) for c in range(channels)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def encode(
    picture: Array | Image.Image, kind: str, options: Mapping[str, Any] | None = None
) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, kind, **(options or {}))
    return stream.getvalue()


def pillow(data: bytes) -> npt.NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(np.int64)


PHOTO = smooth(48, 64)
JPEG = encode(PHOTO, "JPEG", {"quality": 95})
PNG = encode(PHOTO, "PNG")
PROGRESSIVE = encode(PHOTO, "JPEG", {"quality": 95, "progressive": True})


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    width: int, height: int, *, bits: int, color: int, rows: bytes, interlace: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PNG[:8] + body


def exif(orientation: int, *, count: int = 1, order: str = "<", at: int = 8) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0" + start + struct.pack(order + "IH", at, count) + entry + bytes(4)


# ---- What is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_pictures_come_back_bit_for_bit(kind: str) -> None:
    picture = decode(encode(PHOTO, kind))
    assert np.array_equal(picture, PHOTO)
    assert picture.flags.c_contiguous
    assert picture.flags.writeable


@pytest.mark.parametrize("data", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_jpeg_has_the_levels_of_pillow(data: bytes) -> None:
    assert np.abs(decode(data) - pillow(data)).max() <= 1  # two builds of one library


def test_webp_has_the_levels_of_pillow() -> None:
    data = encode(PHOTO, "WebP", {"quality": 90})
    assert np.array_equal(decode(data), pillow(data))


def test_a_lossless_webp_comes_back_bit_for_bit() -> None:
    assert np.array_equal(decode(encode(PHOTO, "WebP", {"lossless": True})), PHOTO)


def test_a_webp_whose_length_has_a_newline_byte_is_known() -> None:
    webps = [encode(smooth(20, width), "WebP") for width in range(20, 300)]
    assert decode(next(webp for webp in webps if 10 in webp[4:8])).shape[0] == 20


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF"])
def test_gray_is_replicated(kind: str) -> None:
    data = encode(PHOTO[..., 0], kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert np.array_equal(decode(data), np.stack([expected] * 3, axis=-1))


def test_cmyk_is_within_a_level_of_pillow() -> None:
    data = encode(Image.fromarray(smooth(48, 64, 4), "CMYK"), "JPEG", {"quality": 95})
    assert data[data.index(b"Adobe") + 11] == 0  # CMYK
    assert np.abs(decode(data) - pillow(data)).max() <= 1


def test_ycck_is_within_a_level_of_pillow_in_the_mean() -> None:
    data = simplejpeg.encode_jpeg(smooth(48, 64, 4), quality=95, colorspace="CMYK")
    assert data[data.index(b"Adobe") + 11] == 2  # YCCK
    assert np.abs(decode(data) - pillow(data)).mean() <= 1


def test_cmyk_with_a_profile_is_read_as_without() -> None:
    ink = Image.fromarray(smooth(48, 64, 4), "CMYK")
    profiled = encode(ink, "JPEG", {"quality": 95, "icc_profile": bytes(3000)})
    assert np.array_equal(decode(profiled), decode(encode(ink, "JPEG", {"quality": 95})))


def test_alpha_is_laid_on_white() -> None:
    alpha = np.full((2, 2, 1), 255, np.uint8)
    alpha[0, 0], alpha[1, 1] = 0, 51
    picture = np.concatenate([np.full((2, 2, 3), 100, np.uint8), alpha], axis=-1)
    for kind in ("PNG", "WebP"):
        seen = decode(encode(picture, kind, {"lossless": True, "exact": True}))
        assert seen[..., 0].tolist() == [[255, 100], [100, 224]]  # 255 - 0.2 * (255 - 100)


def test_gray_with_alpha_is_laid_on_white() -> None:
    seen = decode(encode(np.array([[[7, 255], [7, 0]]], np.uint8), "PNG"))
    assert seen.tolist() == [[[7, 7, 7], [255, 255, 255]]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_palette_is_expanded_and_its_transparent_entry_becomes_white(kind: str) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    seen = decode(encode(image, kind, {"transparency": 1}))
    assert seen.tolist() == [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]


def test_one_bit_is_black_and_white() -> None:
    data = encode(Image.fromarray(np.array([[True, False]])), "PNG")
    assert decode(data).tolist() == [[[255] * 3, [0] * 3]]


def test_sixteen_bits_are_cut_to_the_upper_eight() -> None:
    gray = png(2, 1, bits=16, color=0, rows=b"\0\x12\xff\xab\0")
    assert decode(gray).tolist() == [[[0x12] * 3, [0xAB] * 3]]
    color = png(1, 1, bits=16, color=2, rows=b"\0\x12\xff\xab\0\x7f\x80")
    assert decode(color).tolist() == [[[0x12, 0xAB, 0x7F]]]


def test_the_transparent_colour_of_a_sixteen_bit_png_is_ignored() -> None:
    gray = png(1, 1, bits=16, color=0, rows=b"\0\x12\x34")
    keyed = gray[:33] + chunk(b"tRNS", b"\x12\x34") + gray[33:]
    assert decode(keyed).tolist() == [[[0x12] * 3]]
    color = png(1, 1, bits=16, color=2, rows=b"\0" + b"\0\x12" * 3)
    keyed = color[:33] + chunk(b"tRNS", bytes(6)) + color[33:]
    assert decode(keyed).tolist() == [[[0] * 3]]


def test_an_interlaced_png_equals_the_plain_one() -> None:
    gray = PHOTO[:8, :8, 0]
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    parts = [gray[top::down, left::right] for top, left, down, right in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    data = png(8, 8, bits=8, color=0, rows=rows, interlace=1)
    assert np.array_equal(decode(data)[..., 0], gray)


@pytest.mark.parametrize("kind", ["GIF", "WebP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    data = encode(
        frames[0], kind, {"save_all": True, "append_images": frames[1:], "lossless": True}
    )
    assert np.array_equal(decode(data), np.full((8, 8, 3), [255, 0, 0]))


def test_bytes_after_the_end_of_a_jpeg_are_ignored() -> None:
    assert np.array_equal(decode(JPEG + b"garbage" * 100), decode(JPEG))


def test_a_single_pixel_is_a_picture() -> None:
    assert decode(encode(PHOTO[:1, :1], "PNG")).tolist() == [[PHOTO[0, 0].tolist()]]


def test_255_chunks_of_colour_profile_are_skipped() -> None:
    data = encode(PHOTO, "JPEG", {"quality": 95, "icc_profile": bytes(65519 * 255)})
    assert np.array_equal(decode(data), decode(JPEG))


# ---- Files --------------------------------------------------------------------------------------


def test_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(PNG)
    assert np.array_equal(decode_file(path), PHOTO)
    (tmp_path / "link").symlink_to(path)
    assert np.array_equal(decode_file(tmp_path / "link", at_least=10), PHOTO)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 10_000_000_000)


STRANGE = {
    "a folder": (Path.mkdir, "cannot be read: Is a directory"),
    "a pipe": (os.mkfifo, "not a regular file but a pipe or a device; give a picture file"),
    "a socket": (make_socket, "cannot be read: No such device or address"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file but a pipe or a"),
    "nothing": (lambda path: None, "cannot be read: No such file or directory"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "cannot be read: No such file"),
    "a link to itself": (lambda path: path.symlink_to(path), "cannot be read: Too many levels"),
    "an empty file": (Path.touch, "the file is empty"),
    "10 GB of holes": (make_sparse, "10000000000 bytes are too many; the limit is 100000000"),
}


@pytest.mark.parametrize(("make", "message"), STRANGE.values(), ids=STRANGE)
def test_what_is_no_picture_file_is_refused_without_waiting(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.jpg"
    make(path)
    with pytest.raises(ImageError, match=message):
        decode_file(path)


def test_a_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    look = os.fstat

    def look_and_grow(handle: int) -> os.stat_result:
        status = look(handle)
        path.write_bytes(PNG + b"more")
        return status

    monkeypatch.setattr(os, "fstat", look_and_grow)
    with pytest.raises(ImageError, match=f"changed while it was read: {len(PNG)} bytes, then"):
        decode_file(path)


def test_the_limits_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(PNG)
    for limits in (ImageLimits(max_side=63), ImageLimits(max_pixels=64 * 48 - 1)):
        with pytest.raises(ImageError, match="the header says 64 x 48 pixels; the limit is"):
            decode_file(tmp_path / "a.png", limits=limits)
    with pytest.raises(ImageError, match=f"{len(PNG)} bytes are too many; the limit is 99"):
        decode(PNG, limits=ImageLimits(max_bytes=99))
    assert decode(PNG, limits=ImageLimits(64, 64 * 48, len(PNG))).shape == (48, 64, 3)


# ---- The paper's resize and crop ----------------------------------------------------------------


@pytest.mark.parametrize(
    "sides", [(48, 64), (64, 48), (257, 256), (300, 1000), (1000, 333), (9, 9)]
)
def test_the_shorter_side_is_scaled_as_by_pillow(sides: tuple[int, int]) -> None:
    picture = smooth(*sides)
    scaled = resize_shorter_side(picture, 40)
    height, width = sides
    expected = (
        (40, round(40 * width / height)) if height < width else (round(40 * height / width), 40)
    )
    assert scaled.shape == (*expected, 3)
    reference = Image.fromarray(picture).resize(expected[::-1], Image.Resampling.BILINEAR)
    # Both sum 8-bit pixels with fixed-point weights; the last digit may differ.
    assert np.abs(scaled.astype(int) - np.asarray(reference)).max() <= 1


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    assert resize_shorter_side(PHOTO, 48) is PHOTO
    square = np.ascontiguousarray(PHOTO[:, :48])
    assert np.shares_memory(fit_square(square, 48), square)


def test_a_read_only_picture_can_be_scaled() -> None:
    frozen = PHOTO.copy()
    frozen.flags.writeable = False
    assert np.array_equal(resize_shorter_side(frozen, 20), resize_shorter_side(PHOTO, 20))


def test_the_centre_is_cut_out() -> None:
    assert np.array_equal(centre_crop(PHOTO, 48), PHOTO[:, 8:56])
    assert np.array_equal(centre_crop(PHOTO, 47), PHOTO[:47, 8:55])
    assert centre_crop(PHOTO, 48).flags.c_contiguous
    with pytest.raises(ValueError, match="a 49 x 49 crop does not fit into 64 x 48 pixels"):
        centre_crop(PHOTO, 49)


def test_fit_square_is_the_resize_and_the_crop() -> None:
    fitted = fit_square(PHOTO)
    assert np.array_equal(fitted, centre_crop(resize_shorter_side(PHOTO, 256), 256))
    assert fitted.shape == (256, 256, 3)


def test_a_sliver_that_would_grow_without_bounds_is_refused() -> None:
    message = "79 x 1 pixels would become 20224 x 256; the limit is 20000 a side; cut the picture"
    with pytest.raises(ImageError, match=message):
        fit_square(smooth(1, 79))
