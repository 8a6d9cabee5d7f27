"""Datums: a picture and its label, as the values of Caffe's databases.

Source:  BVLC Caffe, src/caffe/util/io.cpp and data_transformer.cpp.
"""

import numpy as np
from numpy.typing import NDArray

from alexnet.text import wire
from alexnet.text.message import Message
from alexnet.text.picture_files import decode_picture

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
    return read_datum(wire.decode(value, "Datum", source=source), color=color, source=source)


def read_datum(
    datum: Message, *, color: bool | None = None, source: str = ""
) -> tuple[Pixels, int]:
    """Return the picture and the label of a message, as `decode_datum` does of its bytes.

    Raises:  as decode_datum does.
    """
    if datum["encoded"]:
        picture = decode_picture(datum["data"], color=color, name=source or "a datum's picture")
        return picture.transpose(2, 0, 1), datum["label"]
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
