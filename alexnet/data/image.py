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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from alexnet.data.exif import upright
from alexnet.data.kinds import kind_of
from alexnet.data.png import PngError, check_pixels, strip
from alexnet.native.resize import Window, resize

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
    smaller picture, at most half the size, whose shorter side still has that many pixels. Scaled
    down to those, photos are within 3 levels in the mean of what the whole decoding gives, about
    as far as another filter's (on 93 of ImageNet, at 64 to 128 pixels; Lanczos's is 2.5 away).

    Shapes:  -> (H, W, 3) uint8, C-contiguous and writable
    Raises:  ImageError when the bytes are no readable picture or ask for more than `limits`.
    """
    _check_bytes(len(data), limits)
    if data.startswith(b"\xff\xd8"):
        picture, exif = _decode_jpeg(data, limits, strict=strict, at_least=at_least)
    else:
        picture, exif = _decode_other(data, limits)
    return np.ascontiguousarray(upright(picture, exif))


def decode_file(
    path: Path,
    *,
    limits: ImageLimits = DEFAULT_LIMITS,
    strict: bool = True,
    at_least: int | None = None,
    within: Path | None = None,
) -> Picture:
    """Read and decode a picture file; see `decode` and `read_file`.

    Raises:  ImageError also when the path is no regular file, unreadable or too large.
    """
    data = read_file(path, limits=limits, within=within)
    return decode(data, limits=limits, strict=strict, at_least=at_least)


def read_file(
    path: Path, *, limits: ImageLimits = DEFAULT_LIMITS, within: Path | None = None
) -> bytes:
    """Read a picture file's bytes, never waiting for a pipe or a device.

    `within` names a folder that no link may lead out of; without it links are followed anywhere.

    Raises:  ImageError when the path is no regular file, unreadable, too large, outside `within`,
             or changes while it is read.
    """
    if within is not None and not _lies_in(path, within):
        raise ImageError(f"a link leads out of {within}; put the picture itself there")
    try:
        with open(
            path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)
        ) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError("not a regular file but a pipe or a device; give a picture file")
            _check_bytes(status.st_size, limits)
            data = file.read(status.st_size + 1)
            changed_at = os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror}") from error
    if len(data) != status.st_size:
        raise ImageError(f"changed while it was read: {status.st_size} bytes, then {len(data)}")
    if changed_at != status.st_mtime_ns:
        raise ImageError("changed while it was read: it was written again")
    return data


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a file is in a folder after all links; one that cannot be found is left to open."""
    try:
        return path.resolve(strict=True).is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # RuntimeError: a link to itself, in Python below 3.13
        return True


def resize_shorter_side(picture: Picture, size: int) -> Picture:
    """Scale a picture so that its shorter side has `size` pixels, keeping the aspect.

    Shapes:  (H, W, 3) -> (size, round(W * size / H), 3) for a wide picture; the same array if it
             has that size already
    Raises:  ImageError when the longer side would pass the default limit.
    """
    if min(picture.shape[:2]) == size:
        return picture
    sides = _scaled_sides(picture, size)
    return resize(picture, sides, Window(0, 0, *sides))


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


def fit_square(
    picture: Picture,
    size: int = 256,
    *,
    scale: Callable[[Picture, tuple[int, int], Window], Picture] = resize,
) -> Picture:
    """Scale the shorter side to `size` and cut the central square.

    `scale` may be numpy's `resize_numpy`, for a process without torch: the same bytes.

    Shapes:  (H, W, 3) -> (size, size, 3); no copy if it has that size already
    Raises:  ImageError as `resize_shorter_side`.
    """
    if min(picture.shape[:2]) == size:
        return centre_crop(picture, size)
    height, width = _scaled_sides(picture, size)
    window = Window((height - size) // 2, (width - size) // 2, size, size)
    return scale(picture, (height, width), window)


def _scaled_sides(picture: Picture, size: int) -> tuple[int, int]:
    """Return height and width of a picture whose shorter side becomes `size`."""
    height, width = picture.shape[:2]
    shorter = min(height, width)
    new_height, new_width = round(height * size / shorter), round(width * size / shorter)
    if max(new_height, new_width) > DEFAULT_LIMITS.max_side:
        raise ImageError(
            f"{width} x {height} pixels would become {new_width} x {new_height}; the limit is "
            f"{DEFAULT_LIMITS.max_side} a side; cut the picture first"
        )
    return new_height, new_width


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
    in_scans: bool


def _decode_jpeg(
    data: bytes, limits: ImageLimits, *, strict: bool, at_least: int | None
) -> tuple[Picture, bytes]:
    header = _read_jpeg_header(data)
    _check_sides(header.height, header.width, limits)
    # Each of several scans goes over the whole picture, and a scan may cost ten bytes. Most files
    # have one; counting in them would take a twelfth of the time of decoding.
    num_scans = data.count(b"\xff\xda") if header.in_scans else 1
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
    position, frame, exif, in_scans = 2, None, b"", False
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
            in_scans |= frame is not None and segment[:1] != bytes(frame[2:])
            break
        if marker in _FRAMES and frame is None:
            frame = _read_jpeg_frame(marker, segment)
            in_scans = marker == 0xC2
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and not exif:
            exif = segment
        position += length
    else:
        raise ImageError(f"the JPEG has more than {_MAX_SEGMENTS} segments before the picture")
    if frame is None:
        raise ImageError("the JPEG is damaged: no frame header comes before the picture")
    return _JpegHeader(*frame, exif, in_scans)


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

_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImageFile,
    "GIF": GifImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}


def _decode_other(data: bytes, limits: ImageLimits) -> tuple[Picture, bytes]:
    name = kind_of(data)
    if name not in _READERS:
        raise ImageError(f"this is {name}; JPEG, PNG, BMP, WebP and GIF are read")
    try:
        if name == "PNG":
            data = strip(data)
        # Image.open would ask every plugin, and warn of large pictures before we can refuse them.
        with _READERS[name](io.BytesIO(data)) as opened:
            _check_sides(opened.height, opened.width, limits)
            if name == "PNG":
                check_pixels(data)
            opened.load()
            return _flatten(opened), opened.info.get("exif", b"")
    except PngError as error:
        raise ImageError(str(error)) from error
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
