"""The HDF5Data layer: rows of arrays from HDF5 files that a text file lists.

Source:  BVLC Caffe, src/caffe/layers/hdf5_data_layer.cpp. A file is held in memory as a whole; the
         names of its arrays are the names of the tops.
Differs: the order of shuffled rows and files is another one of the same distribution. Several
         solvers do not share one list.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.nearest import nearest_beside
from alexnet.text.hdf5 import read_arrays
from alexnet.text.kind import Setting, Source
from alexnet.text.message import TextError
from alexnet.text.transform import stream


class Hdf5Source(Source):
    """Reads batches of rows, file after file, without end."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record = setting.record
        self._record, self._parameter = record, record["hdf5_data_param"]
        if "transform_param" in record:
            raise record.refuse("HDF5Data transforms nothing; remove transform_param")
        if self._parameter["batch_size"] < 1:
            raise record.refuse("hdf5_data_param has no positive batch_size; give one")
        self._files = self._list()
        self._tops: list[str] = list(record["top"])
        self._arrays = self._read(self._files[0])
        self._loaded = 0
        batch = self._parameter["batch_size"]
        self.shapes = tuple((batch, *array.shape[1:]) for array in self._arrays)
        self._random = np.random.default_rng()
        self._files_left: list[int] = []
        self._rows_left = np.empty(0, np.intp)

    def seed(self, seed: int) -> None:
        """Let a number decide the order; called before the first batch."""
        self._random = stream(seed, self._record["name"])

    def forward(self) -> tuple[Tensor, ...]:
        """Return the next rows of each array, float32, as `shapes` says.

        Raises: TextError when a file cannot be read or its arrays have other shapes.
        """
        batch = self._parameter["batch_size"]
        tops = [np.empty(shape, np.float32) for shape in self.shapes]
        filled = 0
        while filled < batch:
            if not len(self._rows_left):
                self._next_file()
            rows, self._rows_left = np.split(self._rows_left, [batch - filled])
            for top, array in zip(tops, self._arrays, strict=True):
                top[filled : filled + len(rows)] = array[rows]
            filled += len(rows)
        return tuple(torch.from_numpy(top) for top in tops)

    def _next_file(self) -> None:
        if not self._files_left:
            self._files_left = self._order(len(self._files)).tolist()
        number = self._files_left.pop(0)
        if number != self._loaded:
            self._arrays, self._loaded = self._read(self._files[number]), number
        for name, array, shape in zip(self._tops, self._arrays, self.shapes, strict=True):
            if array.shape[1:] != shape[1:]:
                raise self._record.refuse(
                    f"{name!r} in {self._files[number]} has rows of shape {array.shape[1:]}, in "
                    f"the first file {shape[1:]}; give files of one shape"
                )
        self._rows_left = self._order(len(self._arrays[0]))

    def _order(self, count: int) -> NDArray[np.intp]:
        return self._random.permutation(count) if self._parameter["shuffle"] else np.arange(count)

    def _list(self) -> list[Path]:
        path = Path(self._parameter["source"])
        if "source" not in self._parameter or not path.is_file():
            hint = nearest_beside(path)
            raise self._record.refuse(f"source: the list {str(path)!r} is no file{hint}")
        try:
            names = path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError) as error:
            raise self._record.refuse(f"source: the list {path} cannot be read: {error}") from None
        if not names:
            raise self._record.refuse(f"source: the list {path} is empty; name HDF5 files in it")
        return [Path(name) for name in names]

    def _read(self, path: Path) -> list[NDArray[np.float32]]:
        if not path.exists():
            raise self._record.refuse(
                f"{path}, in {self._parameter['source']}, does not exist{nearest_beside(path)}"
            )
        try:
            arrays = read_arrays(path, self._tops)
        except TextError as error:
            raise self._record.refuse(str(error)) from None
        if not len(arrays[self._tops[0]]):
            raise self._record.refuse(f"{path} has no rows; fill it or leave it out of the list")
        return [arrays[name] for name in self._tops]
