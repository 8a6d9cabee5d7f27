"""Turn the bytes of a picture file into pixels: the only decoder of the project.

Every picture becomes uint8 RGB by one rule: gray is replicated, CMYK converted, transparency laid
on white, 16 bits cut to the upper 8, a palette expanded, the first frame of an animation taken and
the EXIF orientation applied. ICC profiles are ignored. Content decides the format, not the name.
Source:  Krizhevsky 2012, section 2 (shorter side to 256, central 256 x 256). The paper does not
         name its filter; ours is the antialiased bilinear one, as in torchvision.
"""

import io
import os
import re
import stat
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
import torch
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile
from torch.nn.functional import interpolate

Picture = npt.NDArray[np.uint8]
"""Pixels in [0, 255], RGB, shape (H, W, 3), C-contiguous."""


class ImageError(ValueError):
    """A picture is refused; the message says what is wrong, and the caller adds the path."""


@dataclass(frozen=True)
class ImageLimits:
    """What a file may ask for; checked against its header, before anything is decoded."""

    max_side: int = 20_000
    """Longest width or height, in pixels."""
    max_pixels: int = 100_000_000
    """Largest width x height: 300 MB of RGB, enough for today's medium-format cameras."""
    max_bytes: int = 100_000_000
    """Largest file; the largest photo of ILSVRC 2012 has 15 MB."""


DEFAULT_LIMITS = ImageLimits()


def decode(
    data: bytes,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    strict: bool = True,
    at_least: int | None = None,
) -> Picture:
    """Decode a JPEG, PNG, BMP, WebP or GIF picture to RGB, upright.

    `strict` refuses a JPEG of which libjpeg-turbo notices damage (a cut, a lost end, impossible
    codes); without it the readable part is returned. `at_least` lets the JPEG decoder return a
    smaller picture, at most half the size, whose shorter side still has that many pixels.

    Shapes:  -> (H, W, 3) uint8, C-contiguous and writable
    Raises:  ImageError when the bytes are no readable picture or ask for more than `limits`.
    """
    _check_bytes(len(data), limits)
    if data.startswith(b"\xff\xd8"):
        picture, exif = _decode_jpeg(data, limits, strict=strict, at_least=at_least)
    else:
        picture, exif = _decode_other(data, limits)
    return np.ascontiguousarray(_UPRIGHT[_read_orientation(exif)](picture))


def decode_file(
    path: Path,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    strict: bool = True,
    at_least: int | None = None,
) -> Picture:
    """Read and decode a picture file; see `decode`.

    Raises:  ImageError also when the path is no regular file, unreadable or too large.
    """
    return decode(read_file(path, limits=limits), limits=limits, strict=strict, at_least=at_least)


def read_file(path: Path, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Read a picture file's bytes, never waiting for a pipe or a device.

    Raises:  ImageError when the path is no regular file, unreadable or too large.
    """
    try:
        with open(
            path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("not a regular file but a pipe or a device; give a picture file")
            _check_bytes(status.st_size, limits)
            data = file.read(status.st_size + 1)
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if len(data) != status.st_size:
        raise ImageError(f"changed while it was read: {status.st_size} bytes, then {len(data)}")
    return data


def resize_shorter_side(picture: Picture, size: int) -> Picture:
    """Scale a picture so that its shorter side has `size` pixels, keeping the aspect.

    Shapes:  (H, W, 3) -> (size, round(W * size / H), 3) for a wide picture; the same array if it
             has that size already
    Raises:  ImageError when the longer side would pass the default limit.
    """
    height, width = picture.shape[:2]
    shorter = min(height, width)
    if shorter == size:
        return picture
    new_height, new_width = round(height * size / shorter), round(width * size / shorter)
    if max(new_height, new_width) > DEFAULT_LIMITS.max_side:
        raise ImageError(
            f"{width} x {height} pixels would become {new_width} x {new_height}; the limit is "
            f"{DEFAULT_LIMITS.max_side} a side; cut the picture first"
        )
    # The same filter as Pillow's to one level, in a sixth of its time. The batch axis comes first:
    # only then does torch see the channels-last layout that its fast kernel is for.
    batch = torch.from_numpy(np.require(picture, requirements=["C", "W"]))[None].permute(0, 3, 1, 2)
    scaled = interpolate(batch, size=(new_height, new_width), mode="bilinear", antialias=True)
    return scaled[0].permute(1, 2, 0).contiguous().numpy()


def centre_crop(picture: Picture, size: int) -> Picture:
    """Cut the central square of `size` pixels; an odd margin is smaller at the top and left.

    Shapes:  (H, W, 3) -> (size, size, 3)
    Raises:  ValueError when a side is shorter than `size`.
    """
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"a {size} x {size} crop does not fit into {width} x {height} pixels")
    top, left = (height - size) // 2, (width - size) // 2
    return np.ascontiguousarray(picture[top : top + size, left : left + size])


def fit_square(picture: Picture, size: int = 256) -> Picture:
    """Scale the shorter side to `size` and cut the central square.

    Shapes:  (H, W, 3) -> (size, size, 3); no copy if it has that size already
    Raises:  ImageError as `resize_shorter_side`.
    """
    return centre_crop(resize_shorter_side(picture, size), size)


def _check_bytes(num_bytes: int, limits: ImageLimits) -> None:
    if num_bytes == 0:
        raise ImageError("the file is empty")
    if num_bytes > limits.max_bytes:
        raise ImageError(f"{num_bytes} bytes are too many; the limit is {limits.max_bytes}")


def _check_sides(height: int, width: int, limits: ImageLimits) -> None:
    if height <= 0 or width <= 0:
        raise ImageError(f"the header says {width} x {height} pixels; there is no picture")
    if max(height, width) > limits.max_side or height * width > limits.max_pixels:
        raise ImageError(
            f"the header says {width} x {height} pixels; the limit is {limits.max_side} a side "
            f"and {limits.max_pixels} in all; make the picture smaller"
        )


# ---- JPEG ---------------------------------------------------------------------------------------

_MAX_SEGMENTS = 4096
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])


@dataclass(frozen=True)
class _JpegHeader:
    height: int
    width: int
    num_components: int
    exif: bytes


def _decode_jpeg(
    data: bytes, limits: ImageLimits, *, strict: bool, at_least: int | None
) -> tuple[Picture, bytes]:
    header = _read_jpeg_header(data)
    _check_sides(header.height, header.width, limits)
    # Each progressive scan goes over the whole picture, and a scan may cost ten bytes.
    num_scans = data.count(b"\xff\xda")
    if num_scans * header.height * header.width > 20 * limits.max_pixels:
        raise ImageError(
            f"a JPEG of {num_scans} scans over {header.width} x {header.height} pixels takes too "
            f"long to decode; save it as baseline"
        )
    smallest = at_least or 0
    try:
        pixels: Picture = simplejpeg.decode_jpeg(
            data,
            "CMYK" if header.num_components == 4 else "RGB",
            min_height=smallest,
            min_width=smallest,
            # Scaling by less than half costs more than it saves.
            min_factor=2 if smallest else 1,
            strict=strict,
        )
    except ValueError as error:
        raise ImageError(f"the JPEG is damaged: {error}") from error
    if header.num_components == 4:
        # As Adobe does and Pillow assumes, the file stores 255 - ink, so light multiplies. The
        # direct CMYK -> RGB of simplejpeg is off by 1 level in the mean.
        light = pixels.astype(np.uint16)
        pixels = ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
    return pixels, header.exif


def _read_jpeg_header(data: bytes) -> _JpegHeader:
    """Walk the segments up to the first scan, as libjpeg does, without decoding."""
    position, frame, exif = 2, None, b""
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise ImageError("the JPEG is damaged: it ends before the picture")
        position = found.end()
        marker = data[position - 1]
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[position : position + 2])
        segment = data[position + 2 : position + length]
        if marker == 0xD9 or len(segment) != length - 2:
            raise ImageError("the JPEG is damaged: it ends before the picture")
        if marker == 0xDA:
            break
        if marker in _FRAMES and frame is None:
            frame = _read_jpeg_frame(marker, segment)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and not exif:
            exif = segment
        position += length
    else:
        raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS} segments before the picture")
    if frame is None:
        raise ImageError("the JPEG is damaged: no frame header comes before the picture")
    return _JpegHeader(*frame, exif)


def _read_jpeg_frame(marker: int, segment: bytes) -> tuple[int, int, int]:
    if len(segment) < 6:
        raise ImageError("the JPEG is damaged: its frame header is too short")
    precision, height, width, num_components = struct.unpack_from(">BHHB", segment)
    kind = None
    if marker in (0xC3, 0xCB):
        kind = "lossless"
    elif marker & 0x07 >= 5:
        kind = "hierarchical"
    elif marker > 0xC8:
        kind = "arithmetic-coded"
    elif precision != 8:
        kind = f"{precision}-bit"
    elif num_components not in (1, 3, 4):
        kind = f"{num_components}-component"
    if kind is not None:
        raise ImageError(f"{kind} JPEG is not read; save it as 8-bit baseline or progressive")
    return height, width, num_components


# ---- PNG, BMP, WebP and GIF ---------------------------------------------------------------------

_PNG_CHUNKS = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"])
_MAX_PNG_CHUNKS = 65_536
_MAX_PNG_EXTRA_BYTES = 16_000_000


def _decode_other(data: bytes, limits: ImageLimits) -> tuple[Picture, bytes]:
    fitting = [(name, reader) for name, start, reader in _FORMATS if start.match(data)]
    if not fitting:
        raise ImageError(f"this is {_describe(data)}; JPEG, PNG, BMP, WebP and GIF are read")
    name, reader = fitting[0]
    try:
        if name == "PNG":
            data = _strip_png(data)
        # Image.open would ask every plugin, and warn of large pictures before we can refuse them.
        with reader(io.BytesIO(data)) as opened:
            _check_sides(opened.height, opened.width, limits)
            opened.load()
            return _flatten(opened), opened.info.get("exif", b"")
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's readers raise anything from SyntaxError to EOFError
        raise ImageError(f"the {name} is damaged: {error}") from error


def _flatten(opened: Image.Image) -> Picture:
    if opened.mode.startswith("I;16"):
        gray = (np.asarray(opened) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if not opened.has_transparency_data:
        return np.array(opened.convert("RGB"))
    layer = opened.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer)
    return np.array(page)


def _strip_png(data: bytes) -> bytes:
    """Check each chunk and keep those that make the picture: no text, no animation."""
    position, kept = 8, [data[:8]]
    # Pillow cuts 16-bit RGB to 8 bits before it would compare it with the 16-bit colour key.
    dropped = {b"tRNS"} if data[24:25] == b"\x10" else set()
    for _ in range(_MAX_PNG_CHUNKS):
        if position + 12 > len(data):
            raise ImageError("the PNG is damaged: it ends before its IEND chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name != b"IDAT" and length > _MAX_PNG_EXTRA_BYTES:
            raise ImageError(f"the PNG has a chunk {name!r} of {length} bytes; remove it")
        if end > len(data):
            raise ImageError(f"the PNG is damaged: its chunk {name!r} is cut short")
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise ImageError(f"the PNG is damaged: the checksum of its chunk {name!r} is wrong")
        if name in _PNG_CHUNKS - dropped:
            kept.append(data[position:end])
        if name == b"IEND":
            return b"".join(kept)
        position = end
    raise ImageError(f"the PNG has more than {_MAX_PNG_CHUNKS} chunks")


_FORMATS: list[tuple[str, re.Pattern[bytes], type[ImageFile.ImageFile]]] = [
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    ("GIF", re.compile(rb"GIF8[79]a"), GifImageFile),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImageFile),
    ("BMP", re.compile(rb"BM"), BmpImageFile),
]
_REFUSED = {
    rb"II[*+]\0|MM\0[*+]": "a TIFF picture",
    rb"....ftypavi[fs]": "an AVIF picture",
    rb"....ftyp(hei|hev|mif1|msf1)": "a HEIC picture",
    rb"....ftyp": "a video",
    rb"\0\0\0\x0cjP|\xff\x4f\xff\x51": "a JPEG 2000 picture",
    rb"\0\0\0\x0cJXL|\xff\x0a": "a JPEG XL picture",
    rb"8BPS": "a Photoshop picture",
    rb"\0\0\x01\0": "an icon",
    rb"\xd0\xcf\x11\xe0": "an OLE file (perhaps FlashPix)",
    rb"%!PS|\xc5\xd0\xd3\xc6": "an EPS drawing",
    rb"%PDF": "a PDF document",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf": "an archive",
    rb"version https://git-lfs": "a Git LFS pointer (run 'git lfs pull' for the picture)",
    rb"\s*(<\?xml.*)?<svg": "an SVG drawing",
    rb"\s*(<!doctype html|<html|<head|<body)": "an HTML page (perhaps a failed download)",
    rb"\0{32}": "a run of zero bytes",
}


def _describe(data: bytes) -> str:
    start = data[:1024].removeprefix(b"\xef\xbb\xbf")
    for pattern, kind in _REFUSED.items():
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return kind
    return f"no known picture (it starts with {data[:8]!r})"


# ---- EXIF ---------------------------------------------------------------------------------------

_UPRIGHT: dict[int, Callable[[Picture], Picture]] = {
    1: lambda picture: picture,
    2: lambda picture: picture[:, ::-1],
    3: lambda picture: picture[::-1, ::-1],
    4: lambda picture: picture[::-1],
    5: lambda picture: picture.transpose(1, 0, 2),
    6: lambda picture: picture[::-1].transpose(1, 0, 2),
    7: lambda picture: picture[::-1, ::-1].transpose(1, 0, 2),
    8: lambda picture: picture[:, ::-1].transpose(1, 0, 2),
}


def _read_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in the first directory; 1 when the block is broken."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (num_entries,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(num_entries):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, start + 2 + 12 * entry)
            if tag == 0x0112:
                return value if kind == 3 and value in _UPRIGHT else 1
    except struct.error:
        pass
    return 1
