"""Picture files read as Caffe reads them, through OpenCV: BGR, or gray by OpenCV's several rules.

Source:  BVLC Caffe, src/caffe/util/io.cpp; OpenCV 4.6, modules/imgcodecs (imread, imdecode).
         JPEG, PNG, BMP and lossless WebP give the same bytes, in colour and in gray: a JPEG's gray
         is its own luminance, a PNG's is libpng's, any other's is OpenCV's, three rules.
Differs: a PNG's gamma is not applied when it becomes gray; GIF is read, which OpenCV 4.6 refuses;
         TIFF and the rarer formats are not; with IMREAD_UNCHANGED a gray BMP has three channels.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from alexnet.data.image import ImageError, decode, read_file
from alexnet.nearest import nearest_beside
from alexnet.text.message import TextError

Picture = NDArray[np.uint8]
"""(H, W, C) with C = 1 or 3, BGR; 4 with opacity last."""

_PNG = b"\x89PNG\r\n\x1a\n"
_WITH_ALPHA, _PALETTE = (4, 6), 3  # kinds of colour in a PNG's header


def read_picture(path: str, *, color: bool = True) -> Picture:
    """Read a picture file as cv::imread with IMREAD_COLOR or IMREAD_GRAYSCALE.

    Shapes:  -> (H, W, 3) BGR or (H, W, 1) uint8
    Raises:  TextError when there is no such file (the nearest is named) or it is no picture.
    """
    return decode_picture(read_bytes(path), color=color, name=path)


def read_bytes(path: str) -> bytes:
    """Return the bytes of a picture file.

    Raises:  TextError when there is no such file (the nearest is named) or it is too large.
    """
    try:
        return read_file(Path(path))
    except ImageError as error:
        hint = "" if Path(path).exists() else nearest_beside(Path(path))
        raise TextError(f"{path} {error}{hint}") from None


def decode_picture(data: bytes, *, color: bool | None, name: str = "the picture") -> Picture:
    """Decode a picture's bytes as cv::imdecode does.

    `color` asks for three channels (True) or for one (False), upright; None is IMREAD_UNCHANGED:
    the channels that the file has, the transparency too, not turned. `name` stands in errors.

    Shapes:  -> (H, W, C) uint8, BGR
    Raises:  TextError when the bytes are no picture, or one of 16 bits with `color` None.
    """
    is_png, is_jpeg = data.startswith(_PNG), data.startswith(b"\xff\xd8")
    try:
        # As in OpenCV the readable part of a damaged JPEG is taken.
        picture = decode(_unturned(data) if color is None else data, strict=False)
    except ImageError as error:
        raise TextError(f"{name}: {error}") from None
    if is_png:
        return _png(data, picture, color=color, name=name)
    if is_jpeg:
        return _jpeg(data, picture, color=color)
    return _bgr(picture) if color or color is None else weigh(picture)


def weigh(picture: Picture) -> Picture:
    """Return gray by OpenCV's weights 0.299, 0.587 and 0.114 in 14 bits, rounded.

    Shapes:  (H, W, 3) RGB -> (H, W, 1)
    """
    total = picture.astype(np.uint32) @ np.array([4899, 9617, 1868], np.uint32)
    return ((total + (1 << 13)) >> 14).astype(np.uint8)[:, :, None]


def _bgr(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[:, :, ::-1])


def _png(data: bytes, picture: Picture, *, color: bool | None, name: str) -> Picture:
    depth, kind = data[24], data[25]
    if color is None and depth == 16:
        raise TextError(f"{name} has 16 bits a channel; 8 are read here; convert it")
    clear = kind in _WITH_ALPHA or (depth < 16 and b"tRNS" in data[: data.index(b"IDAT")])
    if clear:
        # The decoder lays it on white; OpenCV forgets the transparency, or keeps it as it is.
        keeps = color is None and kind in (*_WITH_ALPHA, _PALETTE)
        with PngImageFile(io.BytesIO(data)) as opened:
            picture = np.array(opened.convert("RGBA" if keeps else "RGB"))
        if keeps:
            return np.ascontiguousarray(picture[:, :, [2, 1, 0, 3]])
    is_gray = kind in (0, 4)
    if color or (color is None and not is_gray):
        return _bgr(picture)
    if is_gray:
        return np.ascontiguousarray(picture[:, :, :1])
    # libpng cuts instead of rounding, but leaves a pixel alone whose channels are equal.
    total = picture.astype(np.uint32) @ np.array([9797, 19234, 3737], np.uint32)
    return (total >> 15).astype(np.uint8)[:, :, None]


def _jpeg(data: bytes, picture: Picture, *, color: bool | None) -> Picture:
    components = simplejpeg.decode_jpeg_header(data, strict=False)[2]
    if components in ("CMYK", "YCCK"):
        stored = _turned(data, picture, "CMYK").astype(np.int32)
        black = stored[:, :, 3:]
        light = (black - ((255 - stored[:, :, :3]) * black >> 8)).astype(np.uint8)
        return weigh(light) if color is False else _bgr(light)
    if color or (color is None and components != "Gray"):
        return _bgr(picture)
    return _turned(data, picture, "GRAY")


def _turned(data: bytes, picture: Picture, colours: str) -> Picture:
    """Return a JPEG in other colours, turned as the decoder turned its picture."""
    other: Picture = simplejpeg.decode_jpeg(data, colours, strict=False)
    flat = _unturned(data)
    if flat != data:
        lying = decode(flat, strict=False)
        for turn in _TURNS:
            if np.array_equal(turn(lying), picture):
                return np.ascontiguousarray(turn(other))
    return other


def _unturned(data: bytes) -> bytes:
    """Return a JPEG without the mark of its EXIF block, so that nothing turns it."""
    return data.replace(b"Exif\0\0", b"....\0\0", 1)


_TURNS: list[Callable[[Picture], Picture]] = [
    lambda x: x,
    lambda x: x[::-1, ::-1],
    lambda x: x[::-1].transpose(1, 0, 2),
    lambda x: x[:, ::-1].transpose(1, 0, 2),
    lambda x: x[:, ::-1],
    lambda x: x[::-1],
    lambda x: x.transpose(1, 0, 2),
    lambda x: x[::-1, ::-1].transpose(1, 0, 2),
]
