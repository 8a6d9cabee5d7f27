"""Write pickles byte by byte as Python 2 did, protocol 2: the twins of the published CIFAR files.

Written from the description in Lib/pickletools.py; its batches.meta is the published one bit for
bit, which the MD5 in the tests says.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Python2:
    """Writes values, and keeps each container and text under the next number as cPickle did."""

    def __init__(self) -> None:
        self.kept = 0

    def keep(self) -> bytes:
        self.kept += 1
        return b"q" + bytes([self.kept]) if self.kept < 256 else b"r" + struct.pack("<I", self.kept)

    def value(self, value: object) -> bytes:
        if isinstance(value, dict):
            start = b"}" + self.keep() + b"("
            return start + b"".join(self.value(k) + self.value(v) for k, v in value.items()) + b"u"
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, list):
            return b"]" + self.keep() + b"(" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, str):
            return b"U" + bytes([len(value)]) + value.encode("latin-1") + self.keep()
        assert isinstance(value, int)
        if 0 <= value < 256:
            return b"K" + bytes([value])
        return (
            b"M" + struct.pack("<H", value)
            if 0 <= value < 65536
            else b"J" + struct.pack("<i", value)
        )

    def array(self, array: NDArray[np.uint8]) -> bytes:
        keep, number = self.keep, Python2().value
        sides = b"".join(number(side) for side in array.shape)
        shape = sides + {1: b"\x85", 2: b"\x86", 3: b"\x87"}[array.ndim]
        raw = array.tobytes()
        text = b"U" + bytes([len(raw)]) if len(raw) < 256 else b"T" + struct.pack("<I", len(raw))
        return b"".join(
            [
                *(b"cnumpy.core.multiarray\n_reconstruct\n", keep()),
                *(b"cnumpy\nndarray\n", keep(), b"K\x00\x85", keep(), b"U\x01b", keep()),
                *(b"\x87", keep(), b"R", keep(), b"(K\x01", shape, keep()),
                *(b"cnumpy\ndtype\n", keep(), b"U\x02u1", keep(), b"K\x00K\x01\x87", keep()),
                *(b"R", keep(), b"(K\x03U\x01|", keep(), b"NNN", b"J\xff\xff\xff\xff" * 2),
                *(b"K\x00t", keep(), b"b\x89", text, raw, keep(), b"t", keep(), b"b"),
            ]
        )


def dump(value: object) -> bytes:
    """Pickle plain values and arrays of bytes."""
    return b"\x80\x02" + Python2().value(value) + b"."


def batch(pictures: NDArray[np.uint8], labels: Sequence[int], key: str = "labels") -> bytes:
    """Pickle a batch of CIFAR: pictures (n, 3072)."""
    names = [f"picture_s_{number:06}.png" for number in range(len(labels))]
    values = {"batch_label": "training batch 1 of 5", key: list(labels), "data": pictures}
    return dump({**values, "filenames": names})
