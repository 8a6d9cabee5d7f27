"""Binary files of Caffe's on disk: mapped, and refused when they start as something else.

What is found in the wild under the name of a .caffemodel is named with its way out: a Git LFS
pointer, an HTML page of a failed download, an archive, a checkpoint of PyTorch's.
"""

import mmap
import os
import re
import stat
from pathlib import Path
from typing import Final

from alexnet.nearest import nearest_beside
from alexnet.text.message import TextError

Bytes = bytes | bytearray | memoryview | mmap.mmap

HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"

_OTHER_FORMATS: Final = {
    rb"version https://git-lfs": "it is a Git LFS pointer, a note of {size} bytes that stands for "
    "the file; fetch the file itself with 'git lfs pull'",
    re.escape(HDF5_MAGIC): "it is an HDF5 file; give it where weights or a solver's state are "
    "read, which takes both formats",
    rb"PK\x03\x04|\x80[\x02-\x05]": "it is a PyTorch checkpoint or a zip archive; "
    "convert it to safetensors first",
    rb"\x1f\x8b|BZh|\xfd7zXZ": "it is compressed; unpack it first",
    rb"\s*(<!doctype html|<html|<head|<\?xml)": "it is an HTML page, perhaps a failed download; "
    "fetch it again",
    rb"\x93NUMPY": "it is a .npy file; only means are read from those",
    rb"[\t\n\r -~]{48}": "it is text; binary files of Caffe hold the numbers themselves, "
    "prototxt files do not",
}


def map_file(path: Path) -> mmap.mmap:
    """Map a regular file that is not empty, never waiting for a pipe or a device.

    Raises:  TextError when there is no such file, or it is empty or unreadable.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise TextError(f"{path} does not exist{nearest_beside(path)}") from None
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TextError(f"{path} is not a file; give the path of a file")
        if status.st_size == 0:
            raise TextError(f"{path} is empty; copy or download it again")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def refuse_other_formats(data: Bytes, source: str) -> None:
    """Raise TextError when bytes start as a format that is no message of Caffe's."""
    for pattern, what in _OTHER_FORMATS.items():
        if re.match(pattern, data[:256], re.IGNORECASE):
            raise TextError(f"{source}: {what.format(size=len(data))}")
