"""Datums: a picture and its label, as the values of Caffe's databases.

Source:  BVLC Caffe, src/caffe/util/io.cpp and data_transformer.cpp.
Differs: encoded pictures go through the project's decoder, which turns them upright and lays
         transparency on white; OpenCV does so only when a colour is forced, and keeps a fourth
         channel otherwise. Gray of a colour picture is computed from RGB, where OpenCV takes a
         JPEG's own luminance: one level apart at most, but for saturated colours.
"""

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from alexnet.data.image import ImageError, decode
from alexnet.text import wire
from alexnet.text.message import Message

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""(C, H, W); colour pictures are BGR."""

_MAX_SIDE = 2**16


def decode_datum(
    value: bytes | memoryview, *, color: bool | None = None, source: str = ""
) -> tuple[Pixels, int]:
    """Read a picture, raw, encoded or of floats, and its label.

    `color` forces three channels (True) or one (False) on an encoded picture, as
    transform_param's force_color and force_gray; None keeps what it has. `source` names the
    datum in errors.

    Shapes:  -> (C, H, W) uint8, BGR 0 to 255, or float32; raw pixels are not writable
    Raises:  TextError when the bytes are no datum, another number of values is there than its
             channels, height and width ask for, or the picture is refused.
    """
    quick = _read_raw(value)
    if quick is not None:
        return quick
    datum = wire.decode(value, "Datum", source=source)
    if datum["encoded"]:
        return _decode_picture(datum, color), datum["label"]
    shape = (datum["channels"], datum["height"], datum["width"])
    if not all(1 <= side <= _MAX_SIDE for side in shape):
        raise datum.refuse(
            f"a datum is {shape[0]} x {shape[1]} x {shape[2]}; each must be 1 to {_MAX_SIDE}"
        )
    pixels: Pixels
    if "data" in datum and len(datum["data"]) > 0:
        pixels = np.frombuffer(datum["data"], np.uint8)
    else:
        pixels = np.asarray(datum["float_data"], np.float32)
    count = shape[0] * shape[1] * shape[2]
    if pixels.size != count:
        raise datum.refuse(
            f"a datum of {shape[0]} x {shape[1]} x {shape[2]} needs {count} values, but holds "
            f"{pixels.size}; make the database again"
        )
    return pixels.reshape(shape), datum["label"]


def make_datum(pixels: Pixels, label: int) -> bytes:
    """Return the bytes of a datum: uint8 pixels as data, any others as floats.

    Shapes:  pixels (C, H, W)
    """
    channels, height, width = pixels.shape
    datum = Message("Datum", {"channels": channels, "height": height, "width": width})
    datum["label"] = label
    if pixels.dtype == np.uint8:
        datum["data"] = np.ascontiguousarray(pixels).tobytes()
        datum["encoded"] = False  # CVMatToDatum sets it, so our bytes are convert_imageset's
    else:
        datum["float_data"] = np.asarray(pixels, np.float32).reshape(-1)
    return wire.encode(datum)


def make_encoded_datum(picture: bytes, label: int) -> bytes:
    """Return the bytes of a datum that holds a JPEG or PNG file."""
    return wire.encode(Message("Datum", {"data": picture, "label": label, "encoded": True}))


def to_gray(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Weigh red, green and blue as OpenCV does: 0.299, 0.587, 0.114 in 14 bits.

    Shapes:  (H, W, 3) RGB -> (H, W)
    """
    weighted = picture.astype(np.uint32) @ np.array([4899, 9617, 1868], np.uint32)
    return ((weighted + (1 << 13)) >> 14).astype(np.uint8)


def _read_raw(value: bytes | memoryview) -> tuple[NDArray[np.uint8], int] | None:
    """Read raw pixels whose fields come as Caffe writes them, without making a message.

    Training reads ten thousand a second. None for any other datum, a damaged one too.
    """
    numbers = []
    position = start = 0
    for tag in (0x08, 0x10, 0x18, 0x22, 0x28):  # channels, height, width, data's length, label
        if position >= len(value) or value[position] != tag:
            return None
        number = shift = 0
        for byte in value[position + 1 : position + 5]:
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        else:  # cut, or beyond 28 bits
            return None
        numbers.append(number)
        position += 1
        if tag == 0x22:
            start = position
            position += number
    channels, height, width, size, label = numbers
    ends = value[position:] in (b"", b"\x38\x00")  # encoded: false
    if not ends or size == 0 or size != channels * height * width:
        return None
    if max(channels, height, width) > _MAX_SIDE:
        return None
    pixels = np.frombuffer(value, np.uint8, size, start)
    return pixels.reshape(channels, height, width), label


def _decode_picture(datum: Message, color: bool | None) -> NDArray[np.uint8]:
    data = datum["data"]
    try:
        # As in OpenCV the readable part of a damaged JPEG is taken.
        picture = decode(data, strict=False)
    except ImageError as error:
        raise datum.refuse(f"a datum's picture is refused: {error}") from None
    if color is None:
        color = not _is_gray(data)
    if color:
        return np.ascontiguousarray(picture[:, :, ::-1].transpose(2, 0, 1))
    return to_gray(picture)[None]


def _is_gray(data: bytes) -> bool:
    """Return whether a picture file that was decoded has one channel: JPEG and PNG can."""
    if data.startswith(b"\x89PNG"):
        return data[25] in (0, 4)
    if data.startswith(b"\xff\xd8"):
        return bool(simplejpeg.decode_jpeg_header(data, strict=False)[2] == "Gray")
    return False
