"""The layers without bottoms: data from files, from memory, from fillers, and inputs.

Source:  BVLC Caffe, src/caffe/layers/{memory_data,dummy_data,input}_layer.cpp; the layers that read
         files have modules of their own.
Differs: MemoryData's labels are (N,) also after the first batch, where Caffe turns them into
         (N, 1, 1, 1). An Input without a shape is refused: it takes part in no net.
A `source` may lie anywhere, as there: files of laboratories name absolute paths. It is only read.
"""

import warnings

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from alexnet.text.database_source import DatabaseSource
from alexnet.text.fillers import fill
from alexnet.text.hdf5_source import Hdf5Source
from alexnet.text.image_list import ImageSource
from alexnet.text.kind import MANY, Kind, Setting, Shape, Source
from alexnet.text.message import Message
from alexnet.text.transform import stream
from alexnet.text.window_data import WindowSource


class InputSource(Source):
    """Blobs that a run of the net is given; they only have shapes."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record = setting.record
        shapes: list[Message] = record["input_param"]["shape"]
        self._name = record["name"]
        if len(shapes) not in (1, setting.tops):
            raise record.refuse(
                f"input_param has {len(shapes)} shapes for {setting.tops} tops; give one, or one "
                f"for each"
            )
        self.shapes = tuple(_dims(record, shapes[i % len(shapes)]) for i in range(setting.tops))

    def forward(self) -> tuple[Tensor, ...]:
        """Raise ValueError: nothing but the caller of the net has these blobs."""
        raise ValueError(f"the input layer {self._name!r} was not given its blobs")


class MemorySource(Source):
    """Gives batches from arrays that `set_input_arrays` hands over, again and again."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        record, parameter = setting.record, setting.record["memory_data_param"]
        self._record = record
        sides = [parameter[name] for name in ("batch_size", "channels", "height", "width")]
        if min(sides) < 1:
            raise record.refuse(
                f"memory_data_param has batch_size, channels, height and width {sides}; each must "
                f"be given and positive"
            )
        self.shapes = (tuple(sides), (sides[0],))
        self._data: NDArray[np.float32] | None = None
        self._labels = np.empty(0, np.float32)
        self._position = 0

    def set_input_arrays(self, data: ArrayLike, labels: ArrayLike) -> None:
        """Take pictures and labels; the arrays are copied.

        Shapes:  data (N, C, H, W), labels (N,) or (N, 1, 1, 1), N a multiple of the batch size
        Source:  pycaffe's Net.set_input_arrays; transform_param is not applied to arrays.
        Raises:  ValueError when the shapes do not fit.
        """
        (batch, *picture), name = self.shapes[0], self._record["name"]
        pictures, numbers = np.array(data, np.float32), np.array(labels, np.float32).reshape(-1)
        if pictures.shape[1:] != tuple(picture) or len(pictures) % batch or not len(pictures):
            raise ValueError(
                f"layer {name!r}: data has the shape {pictures.shape}; it must be "
                f"(N, {', '.join(map(str, picture))}) with N a multiple of the batch size {batch}"
            )
        if len(numbers) != len(pictures):
            raise ValueError(
                f"layer {name!r}: {len(numbers)} labels for {len(pictures)} pictures; give one each"
            )
        if "transform_param" in self._record:
            warnings.warn(
                f"layer {name!r}: MemoryData transforms no arrays; transform_param is left out",
                stacklevel=2,
            )
        self._data, self._labels, self._position = pictures, numbers, 0

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the next pictures (N, C, H, W) and labels (N,).

        Raises: ValueError if no arrays were handed over.
        """
        if self._data is None:
            raise ValueError(
                f"layer {self._record['name']!r} has no data; call its set_input_arrays first"
            )
        part = slice(self._position, self._position + self.shapes[0][0])
        self._position = part.stop % len(self._data)
        return torch.from_numpy(self._data[part]), torch.from_numpy(self._labels[part])


class DummySource(Source):
    """Blobs from fillers: constants are made once, everything else anew for each batch."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self._record = setting.record
        parameter: Message = setting.record["dummy_data_param"]
        count = len(parameter["data_filler"])
        if count not in (0, 1, setting.tops):
            raise self._record.refuse(
                f"dummy_data_param has {count} data_filler for {setting.tops} tops; give none, one "
                f"or one for each"
            )
        given = parameter["data_filler"] or [Message("FillerParameter")]
        self._fillers: list[Message] = [given[i % len(given)] for i in range(setting.tops)]
        self.shapes = _dummy_shapes(self._record, parameter, setting.tops)
        self._generator = torch.Generator(device="cpu")
        self._generator.seed()
        self._constants: dict[int, Tensor] = {}

    def seed(self, seed: int) -> None:
        """Let a number decide what is drawn."""
        drawn = stream(seed, self._record["name"]).integers(2**63)
        self._generator.manual_seed(int(drawn))

    def forward(self) -> tuple[Tensor, ...]:
        """Return the blobs, float32, as `shapes` says."""
        return tuple(self._top(index) for index in range(len(self.shapes)))

    def _top(self, index: int) -> Tensor:
        if index in self._constants:
            return self._constants[index]
        top = torch.empty(self.shapes[index], device="cpu")
        fill(top, self._fillers[index], self._generator)
        if self._fillers[index]["type"] == "constant":
            self._constants[index] = top
        return top


def _dummy_shapes(record: Message, parameter: Message, tops: int) -> tuple[Shape, ...]:
    """Return the shapes of DummyData's tops, from `shape` or from the four old fields."""
    names = ("num", "channels", "height", "width")
    if not any(parameter[name] for name in names):
        given = parameter["shape"]
        _check_count(record, "shape", len(given), tops)
        return tuple(_dims(record, given[i % len(given)]) for i in range(tops))
    if parameter["shape"]:
        raise record.refuse("dummy_data_param has shape and the old num ... width; give one form")
    for name in names:
        _check_count(record, name, len(parameter[name]), tops)
    sides = [[parameter[name][i % len(parameter[name])] for name in names] for i in range(tops)]
    return tuple(tuple(int(side) for side in shape) for shape in sides)


def _check_count(record: Message, name: str, count: int, tops: int) -> None:
    if count not in (1, tops):
        raise record.refuse(
            f"dummy_data_param has {count} times {name} for {tops} tops; give it once, or once for "
            f"each"
        )


def _dims(record: Message, shape: Message) -> Shape:
    dims = tuple(int(dim) for dim in shape["dim"])
    if any(dim < 1 for dim in dims):
        raise record.refuse(f"the shape {dims} has a side that is not positive; give positive ones")
    return dims


KINDS: dict[str, Kind] = {
    "Data": Kind(DatabaseSource, bottoms=(0, 0), tops=(1, 2)),
    "ImageData": Kind(ImageSource, bottoms=(0, 0), tops=(2, 2)),
    "HDF5Data": Kind(Hdf5Source, bottoms=(0, 0), tops=(1, MANY)),
    "MemoryData": Kind(MemorySource, bottoms=(0, 0), tops=(2, 2)),
    "DummyData": Kind(DummySource, bottoms=(0, 0), tops=(1, MANY)),
    "Input": Kind(InputSource, bottoms=(0, 0), tops=(1, MANY)),
    "WindowData": Kind(WindowSource, bottoms=(0, 0), tops=(2, 2)),
}
"""The kinds of layers that give a net its data, by the names of the text."""
