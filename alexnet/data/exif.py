"""Turn a picture upright by the orientation that a camera wrote into its EXIF block.

Source:  Exif 2.32 (CIPA DC-008), section 4.6.4: tag 0x0112, 1 to 8. Only the first directory is
         read and no pointer is followed beyond it, so that a block cannot lead in a circle.
"""

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

ORIENTATION = 0x0112
_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: pixels[::-1].transpose(1, 0, 2),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: pixels[:, ::-1].transpose(1, 0, 2),
}


def upright(pixels: Pixels, exif: bytes) -> Pixels:
    """Turn and mirror a picture as its EXIF block says; a broken block says nothing.

    Shapes:  (H, W, 3) -> (H, W, 3) or (W, H, 3), a view
    """
    return _TURNS[read_orientation(exif)](pixels)


def read_orientation(exif: bytes) -> int:
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
            if tag == ORIENTATION:
                return value if kind == 3 and value in _TURNS else 1
    except struct.error:
        pass
    return 1
