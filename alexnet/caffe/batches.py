"""Arrays of any number of rows, cut into a net's batches and put together again.

Source: BVLC Caffe, python/caffe/pycaffe.py: _Net_batch, _Net_forward_all.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]


def count_rows(arrays: Mapping[str, ArrayLike]) -> int:
    """Return how many rows each of the arrays has.

    Raises: ValueError if there are none, or not the same number in all.
    """
    counts = {name: len(np.atleast_1d(array)) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise ValueError(f"the arrays have different numbers of rows, {shown}; give as many of all")
    if not min(counts.values(), default=0):
        raise ValueError("there are no rows to run; give at least one for each input")
    return min(counts.values())


def cut_batches(arrays: Mapping[str, ArrayLike], size: int) -> list[dict[str, Array]]:
    """Return batches of `size` rows; the last is filled up with zeros.

    Shapes:  arrays (N, ...) -> ceil(N / size) batches of (size, ...) float32
    Raises:  ValueError as `count_rows` does.
    """
    rows = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    batches = []
    for begin in range(0, count_rows(rows), size):
        batch = {name: array[begin : begin + size] for name, array in rows.items()}
        batches.append({name: _filled(array, size) for name, array in batch.items()})
    return batches


def join_batches(parts: Sequence[Mapping[str, Array]], count: int, size: int) -> dict[str, Array]:
    """Return the first `count` rows of what batches of `size` rows gave, as arrays of their own.

    Raises: ValueError for an array that has not one row for each of the batch.
    """
    joined = {}
    for name, first in parts[0].items():
        if first.shape[:1] != (size,):
            raise ValueError(
                f"blob {name!r} of shape {first.shape} has not one row for each of the batch of "
                f"{size}; run the batches one by one with forward"
            )
        joined[name] = np.concatenate([part[name] for part in parts])[:count]
    return joined


def _filled(array: Array, size: int) -> Array:
    missing = np.zeros((size - len(array), *array.shape[1:]), np.float32)
    return np.concatenate([array, missing])
