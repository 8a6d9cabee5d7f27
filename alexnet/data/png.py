"""Check a PNG's chunks before its decoder sees them: sums, sizes, and what its pixels unpack to.

Source:  PNG specification, third edition (W3C): 5.3 chunk layout, 8 interlacing, 10 compression.
         Text, animation and colour profiles are left out, and with them their decoders.
"""

import struct
import zlib
from collections.abc import Iterator

_KEPT = frozenset([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"])
_MAX_CHUNKS = 65_536
_MAX_EXTRA_BYTES = 16_000_000
_SLACK_BYTES = 65_536  # some programs leave a few bytes behind the last row
_PIECE_BYTES = 65_536
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_AT_ONCE = ((0, 0, 1, 1),)
_ADAM7 = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)
"""First row and column, and steps, of each pass of an interlaced picture."""


class PngError(ValueError):
    """A PNG is refused; the message says what is wrong with which chunk."""


def strip(data: bytes) -> bytes:
    """Check each chunk and keep those that make the picture: no text, no animation.

    Raises:  PngError when a chunk is cut, has a wrong sum or is too long, or there are too many.
    """
    kept = [data[:8]]
    # Pillow cuts 16-bit RGB to 8 bits before it would compare it with the 16-bit colour key.
    dropped = {b"tRNS"} if data[24:25] == b"\x10" else set()
    for name, start, end in _chunks(data):
        if name in _KEPT - dropped:
            kept.append(data[start:end])
        if name == b"IEND":
            break
    return b"".join(kept)


def check_pixels(data: bytes) -> None:
    """Inflate the pixels piece by piece, keeping none, until there are too many for the header.

        bytes = sum over passes of rows * (1 + ceil(columns * samples * bits / 8))

    A stream that is damaged is left to the reader, which says how.

    Raises:  PngError when there are 64 KiB more than that: a file that unpacks without end.
    """
    width, height, bits, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    expected = 0
    for top, left, down, right in _ADAM7 if interlaced else _AT_ONCE:
        rows, columns = -((top - height) // down), -((left - width) // right)
        if rows > 0 and columns > 0:
            expected += rows * (1 - (-columns * _SAMPLES.get(color, 1) * bits) // 8)
    inflating, found = zlib.decompressobj(), 0
    try:
        for piece in _pieces(data):
            rest = piece
            while rest and not inflating.eof:
                found += len(inflating.decompress(rest, _PIECE_BYTES))
                rest = inflating.unconsumed_tail
                if found > expected + _SLACK_BYTES:
                    raise PngError(
                        f"the PNG unpacks to more than the {expected} bytes of a picture of "
                        f"{width} x {height} pixels; save it anew"
                    )
    except zlib.error:
        return


def _pieces(data: bytes) -> Iterator[bytes]:
    """Yield the compressed pixels in short pieces, so that what is left of one is soon copied."""
    for name, start, end in _chunks(data):
        if name == b"IDAT":
            for first in range(start + 8, end - 4, _PIECE_BYTES):
                yield data[first : min(first + _PIECE_BYTES, end - 4)]
        elif name == b"IEND":
            return


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each sound chunk."""
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise PngError("the PNG is damaged: it ends before its IEND chunk")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if name != b"IDAT" and length > _MAX_EXTRA_BYTES:
            raise PngError(f"the PNG has a chunk {name!r} of {length} bytes; remove it")
        if end > len(data):
            raise PngError(f"the PNG is damaged: its chunk {name!r} is cut short")
        if zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise PngError(f"the PNG is damaged: the checksum of its chunk {name!r} is wrong")
        yield name, position, end
        position = end
    raise PngError(f"the PNG has more than {_MAX_CHUNKS} chunks")
