"""Kinds of layers that write or that are refused: HDF5Output and Python.

Source: BVLC Caffe, src/caffe/layers/hdf5_output_layer.cpp. What differs: the original fails when
it runs a second time, as its datasets exist already; here they grow with each run of the net. A
file that is there already is replaced only if it is an HDF5 file.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from alexnet.text.kind import MANY, Kind, Setting, Tops

DATASETS: Final = ("data", "label")


class HDF5Output(nn.Module):
    """Append two blobs to the datasets `data` and `label` of a file, (N, C, H, W) each.

    The first run of the net writes a new file.
    Raises: ValueError if another kind of file has that name, or the blobs differ in rows or change
            their shape from run to run.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.rows = path, 0

    def forward(self, data: Tensor, label: Tensor) -> Tops:
        """Write the blobs; there is no top. On the meta device, nothing is written."""
        if data.is_meta:
            return ()
        arrays = [_four_axes(blob) for blob in (data, label)]
        if len(arrays[0]) != len(arrays[1]):
            raise ValueError(
                f"HDF5Output has {len(arrays[0])} rows of data and {len(arrays[1])} of labels; "
                "they must be as many"
            )
        self._append(arrays)
        self.rows += len(arrays[0])
        return ()

    def _append(self, arrays: list[NDArray[np.float32]]) -> None:
        import h5py  # an extra of the package; the building looked for it

        if not self.rows and self.path.exists() and not h5py.is_hdf5(self.path):
            raise ValueError(f"{self.path} is there and is no HDF5 file; use another file_name")
        with h5py.File(self.path, "a" if self.rows else "w") as file:
            for name, array in zip(DATASETS, arrays, strict=True):
                if not self.rows:
                    file.create_dataset(name, data=array, maxshape=(None, *array.shape[1:]))
                    continue
                stored = file[name]
                if stored.shape[1:] != array.shape[1:]:
                    raise ValueError(
                        f"{self.path}: {name} has rows of {stored.shape[1:]}, and now come rows "
                        f"of {array.shape[1:]}; use another file_name"
                    )
                stored.resize(self.rows + len(array), axis=0)
                stored[self.rows :] = array


def _four_axes(blob: Tensor) -> NDArray[np.float32]:
    array = blob.detach().float().cpu().contiguous().numpy()
    return array.reshape([*array.shape, *[1] * (4 - array.ndim)])


def hdf5_output(setting: Setting) -> nn.Module:
    """Build an HDF5Output.

    Raises: TextError if no file is named, its folder is not there, h5py is not installed, or a blob
            has more than four axes.
    """
    record = setting.record
    name = record["hdf5_output_param"]["file_name"]
    if not name:
        raise record.refuse("file_name is missing; give hdf5_output_param { file_name: FILE }")
    path = Path(name)
    if not path.parent.is_dir():
        raise record.refuse(f"{path} cannot be written, as there is no folder {path.parent}")
    if find_spec("h5py") is None:
        raise record.refuse("HDF5Output needs the package h5py; pip install h5py")
    first, second = setting.bottoms
    if not 1 <= min(len(first), len(second)) <= max(len(first), len(second)) <= 4:
        raise record.refuse(f"bottoms are {first} and {second}; blobs of one to four axes are kept")
    if first[0] != second[0]:
        raise record.refuse(
            f"bottoms are {first} and {second}; both must begin with the number of items"
        )
    return HDF5Output(path)


def python(setting: Setting) -> nn.Module:
    """Refuse a Python layer, which would run code of another place.

    Raises: TextError, always.
    """
    parameter = setting.record["python_param"]
    what = ".".join(name for name in (parameter["module"], parameter["layer"]) if name)
    raise setting.record.refuse(
        f"a Python layer runs the code of {what or 'a module'}, which is no part of the net; "
        "take the layer out, or replace it by layers of other kinds",
        "type",
    )


KINDS: Final = {
    "HDF5Output": Kind(hdf5_output, bottoms=(2, 2), tops=(0, 0)),
    "Python": Kind(python, bottoms=(0, MANY), tops=(0, MANY)),
}
