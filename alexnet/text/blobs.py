"""Blobs: Caffe's arrays in binary files, and the mean of a data set.

Source:  BVLC Caffe, src/caffe/blob.cpp (FromProto, ToProto) and tools/compute_image_mean.cpp.
Differs: dimensions of zero are refused, which Caffe takes for blobs without values; numbers of
         double precision become float32.
"""

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alexnet.store import write_atomically
from alexnet.text import wire
from alexnet.text.binary import map_file
from alexnet.text.message import Message, TextError

Array = NDArray[np.float32]

MAX_AXES: Final = 32
MAX_COUNT: Final = 2**31 - 1
"""Most values of a blob: Caffe counts them in an int."""
_LEGACY: Final = ("num", "channels", "height", "width")


def is_legacy(blob: Message) -> bool:
    """Return whether a blob has the four old dimensions instead of a shape."""
    return any(name in blob for name in _LEGACY)


def blob_shape(blob: Message) -> tuple[int, ...]:
    """Return a blob's shape; one with the old dimensions has four, in the order N, C, H, W.

    Raises:  TextError when a dimension is not positive or the product is beyond Caffe's int.
    """
    dims = [blob[name] for name in _LEGACY] if is_legacy(blob) else list(blob["shape"]["dim"])
    if len(dims) > MAX_AXES:
        raise blob.refuse(f"a blob has {len(dims)} dimensions; Caffe has at most {MAX_AXES}")
    if any(dim < 1 for dim in dims):
        raise blob.refuse(f"a blob has the shape {_shape(dims)}; every dimension must be positive")
    if math.prod(dims) > MAX_COUNT:
        raise blob.refuse(f"a blob of shape {_shape(dims)} has more than {MAX_COUNT} values")
    return tuple(dims)


def blob_array(blob: Message) -> Array:
    """Return a blob's values in its shape.

    Raises:  TextError when the shape is refused or another number of values is there.
    """
    return _values(blob, "double_data" if "double_data" in blob else "data")


def blob_diff(blob: Message) -> Array | None:
    """Return a blob's gradients in its shape, or None if it has none.

    Raises:  as `blob_array`.
    """
    for name in ("double_diff", "diff"):
        if name in blob:
            return _values(blob, name)
    return None


def make_blob(array: ArrayLike, diff: ArrayLike | None = None) -> Message:
    """Return a blob with the shape and the values of an array, and gradients of the same shape."""
    values = np.asarray(array, np.float32)
    blob = Message("BlobProto", {"data": values.reshape(-1)})
    blob["shape"] = Message("BlobShape", {"dim": list(values.shape)})
    if diff is not None:
        gradients = np.asarray(diff, np.float32)
        assert gradients.shape == values.shape
        blob["diff"] = gradients.reshape(-1)
    return blob


def _values(blob: Message, name: str) -> Array:
    shape = blob_shape(blob)
    values = np.asarray(blob[name], np.float32)
    if values.size != math.prod(shape):
        raise blob.refuse(
            f"a blob of shape {_shape(shape)} needs {math.prod(shape)} values, but its {name} "
            f"holds {values.size}; copy or download the file again"
        )
    return values.reshape(shape)


def _shape(dims: list[int] | tuple[int, ...]) -> str:
    return " x ".join(str(dim) for dim in dims) or "()"


# ---- The mean of a data set ---------------------------------------------------------------------


def load_mean(path: Path, *, shape: tuple[int, int, int] | None = None) -> Array:
    """Read a mean from a .binaryproto, or from a .npy file as pycaffe's; the content decides.

    `shape` is what the mean must have. A .npy file of one value a channel is (C, 1, 1).

    Shapes:  -> (C, H, W), BGR 0 to 255 as the data it was made of
    Raises:  TextError when the file is refused or its shape is not that of one picture, or not
             `shape`.
    """
    is_npy = map_file(path)[:6] == b"\x93NUMPY"
    mean = _load_npy(path) if is_npy else blob_array(wire.load(path, "BlobProto"))
    if mean.ndim == 1 and is_npy:
        mean = mean.reshape(-1, 1, 1)
    if mean.ndim == 4 and len(mean) == 1:
        mean = mean[0]
    if mean.ndim != 3 or 0 in mean.shape:
        raise TextError(
            f"{path}: a mean has channels, height and width, but this has the shape "
            f"{_shape(mean.shape)}; give the mean of one picture"
        )
    if shape is not None and mean.shape != shape:
        raise TextError(
            f"{path}: the mean has the shape {_shape(mean.shape)}, the data {_shape(shape)}; "
            "make the mean of this data with compute_image_mean"
        )
    return mean


def save_mean(path: Path, mean: ArrayLike) -> None:
    """Write a mean (C, H, W) as compute_image_mean does: with the old dimensions."""
    values = np.asarray(mean, np.float32)
    dims = dict(zip(_LEGACY, (1, *values.shape), strict=True))
    blob = Message("BlobProto", {**dims, "data": values.reshape(-1)})
    write_atomically(path, wire.encode(blob))


def _load_npy(path: Path) -> Array:
    try:
        # Mapped, a header that promises more than the file holds is refused before any memory.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError, OverflowError, MemoryError) as error:
        raise TextError(f"{path} is no .npy file that is read here: {error}") from None
    if found.dtype.kind not in "fiu":
        raise TextError(f"{path} holds {found.dtype}; a mean holds numbers")
    return np.array(found, np.float32)
