"""HDF5 files of Caffe's: weights, a solver's state, and the arrays of HDF5Data and HDF5Output.

    weights  /data/LAYER/0, 1, ... and, if gradients were asked for, /diff/LAYER/0, 1, ...
    state    /iter, /current_step, /learned_net, /history/0, 1, ...

Source:  BVLC Caffe, src/caffe/util/hdf5.cpp, Net::ToHDF5 and
         SGDSolver::SnapshotSolverStateToHDF5. Needs h5py, of the extra `caffe`.
Differs: links out of the file, arrays that point into other files, and arrays that promise far
         more than the file can hold are refused.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from alexnet.nearest import nearest
from alexnet.text.binary import map_file
from alexnet.text.blobs import MAX_AXES, MAX_COUNT
from alexnet.text.message import TextError

Array = NDArray[np.float32]

_LARGEST_RATIO: Final = 1100
"""Of gzip's best compression, 1032, a little more: what an array may be larger than its file."""
_MAX_DEPTH: Final = 8
"""Of groups for the slashes in a layer's name."""


def read_weights(path: Path, *, part: str = "data") -> dict[str, list[Array]]:
    """Read the blobs of each layer ("data"), or their gradients ("diff").

    A blob that the layer shares with another, which has it, is not in the file; where a later
    blob of the layer is, it stands as an array without values, shape (0,).

    Raises:  TextError when the file is damaged or holds no weights, or h5py is missing.
    """
    with _opened(path) as file:
        if part not in file:
            raise TextError(f"{path} has no group /{part}, so it holds no weights of Caffe's")
        return dict(_layers(path, _group(path, file, part), "", _MAX_DEPTH))


def write_weights(
    path: Path,
    weights: Mapping[str, Sequence[ArrayLike]],
    diffs: Mapping[str, Sequence[ArrayLike]] | None = None,
) -> None:
    """Write the blobs of each layer, all or nothing; arrays without values are left out.

    Raises:  TextError when a layer's name has a slash, which is a folder in HDF5: Caffe cannot
             write such a net, and skips its layers when it reads. Or h5py is missing.
    """
    for name in weights:
        if "/" in name or name in ("", "."):
            raise TextError(
                f"layer {name!r} cannot be written to HDF5, where a slash starts a folder; "
                "write a .caffemodel (snapshot_format: BINARYPROTO)"
            )
    with _replaced(path) as file:
        for part, layers in (("data", weights), ("diff", diffs)):
            for name, arrays in ({} if layers is None else layers).items():
                group = file.create_group(f"{part}/{name}")
                for index, array in enumerate(arrays):
                    values = np.asarray(array, np.float32)
                    if values.shape != (0,):
                        group.create_dataset(str(index), data=values)
            if layers is not None:
                file.require_group(part)


def read_state(path: Path) -> tuple[int, int, str, list[Array]]:
    """Read a solver's state: iteration, current step, name of the weights, and history.

    Raises:  TextError when the file is damaged or holds no state, or h5py is missing.
    """
    with _opened(path) as file:
        for name in ("iter", "current_step", "history"):
            if name not in file:
                raise TextError(f"{path} has no /{name}, so it is no solver's state of Caffe's")
        group = _group(path, file, "history")
        history = [read_array(path, group, str(index)) for index in range(len(group))]
        name = _string(path, file, "learned_net") if "learned_net" in file else ""
        return _integer(path, file, "iter"), _integer(path, file, "current_step"), name, history


def write_state(
    path: Path, *, iteration: int, current_step: int, learned_net: str, history: Sequence[ArrayLike]
) -> None:
    """Write a solver's state, all or nothing.

    Raises:  TextError when h5py is missing.
    """
    with _replaced(path) as file:
        file.create_dataset("iter", data=np.array([iteration], np.int32))
        # Caffe reads the string into as many bytes as the file says: the last must be a zero.
        text = learned_net.encode("utf-8", "surrogateescape") + b"\0"
        file.create_dataset("learned_net", data=np.array(text, f"S{len(text)}"))
        file.create_dataset("current_step", data=np.array([current_step], np.int32))
        group = file.create_group("history")
        for index, array in enumerate(history):
            group.create_dataset(str(index), data=np.asarray(array, np.float32))


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Read arrays by name, as an HDF5Data layer's tops; all have the same number of rows.

    Shapes:  -> (N, ...) each
    Raises:  TextError when one is missing, has another number of rows or no numbers, when the
             file is damaged, or when h5py is missing.
    """
    with _opened(path) as file:
        for name in names:
            if name not in file:
                raise TextError(f"{path} has no array {name!r}{nearest(name, list(file))}")
        arrays = {name: read_array(path, file, name) for name in names}
    for name, array in arrays.items():
        if array.ndim == 0 or len(array) != len(arrays[names[0]]):
            raise TextError(
                f"{path}: {name!r} has the shape {array.shape}, {names[0]!r} "
                f"{arrays[names[0]].shape}; all need the same number of rows"
            )
    return arrays


def write_arrays(path: Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Write arrays by name, as an HDF5Output layer its bottoms ("data", "label").

    Raises:  TextError when h5py is missing.
    """
    with _replaced(path) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=np.asarray(array, np.float32))


# ---- What the library is trusted with -----------------------------------------------------------


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise TextError("HDF5 needs h5py; install it with: pip install 'alexnet[caffe]'") from None
    return h5py


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file; what the library raises of a damaged one becomes a TextError."""
    h5py = _h5py()
    map_file(path).close()  # it is a file, and not empty
    try:
        with h5py.File(path, "r") as file:
            yield file
    except TextError:
        raise
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise TextError(
            f"{path} is no HDF5 file or damaged: {error}; copy or download it again"
        ) from None


@contextmanager
def _replaced(path: Path) -> Iterator[Any]:
    """Write a new file, which takes the place of the old one when it is whole."""
    h5py = _h5py()
    temporary = path.with_name(path.name + ".tmp")
    with h5py.File(temporary, "w") as file:
        yield file
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)


def _member(path: Path, group: Any, name: str) -> Any:
    """Return a member of a group that lies in the file itself."""
    if name not in group:
        raise TextError(f"{path}: {group.name} has no {name!r}; copy or download the file again")
    link = group.get(name, getlink=True)
    if type(link).__name__ != "HardLink":
        raise TextError(f"{path}: {group.name}/{name} is a link to elsewhere; Caffe writes none")
    return group[name]


def _group(path: Path, parent: Any, name: str) -> Any:
    found = _member(path, parent, name)
    if not isinstance(found, _h5py().Group):
        raise TextError(f"{path}: {found.name} is an array, not a group; Caffe wrote another file")
    return found


def _names(path: Path, group: Any) -> list[str]:
    names = list(group)
    if not all(isinstance(name, str) for name in names):  # h5py hands out bytes then
        raise TextError(f"{path}: {group.name} holds a name that is no text; copy it again")
    return names


def _layers(path: Path, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, list[Array]]]:
    """Yield the layers in a group; a layer with a slash in its name lies in groups of groups."""
    if depth == 0:
        raise TextError(f"{path}: {group.name} is too deep for a layer")
    for name in _names(path, group):
        layer = _group(path, group, name)
        inner = [member for member in _names(path, layer) if not member.isdecimal()]
        if inner:
            yield from _layers(path, layer, f"{prefix}{name}/", depth - 1)
        else:
            yield f"{prefix}{name}", _blobs(path, layer)


def _blobs(path: Path, layer: Any) -> list[Array]:
    indices = sorted(int(member) for member in layer)
    if indices and indices[-1] >= 1000:
        raise TextError(f"{path}: {layer.name} has a blob {indices[-1]}; no layer has so many")
    count = indices[-1] + 1 if indices else 0
    return [
        read_array(path, layer, str(index)) if index in indices else np.empty(0, np.float32)
        for index in range(count)
    ]


def read_array(path: Path, group: Any, name: str) -> Array:
    """Read an array of numbers in a group as float32.

    Raises:  TextError when it holds no numbers, lies in another file or is larger than its bytes.
    """
    found = _member(path, group, name)
    if not isinstance(found, _h5py().Dataset) or found.dtype.kind not in "fiu":
        raise TextError(f"{path}: {found.name} holds no numbers; Caffe reads floats and integers")
    _check_size(path, found)
    values: Array = found.astype(np.float32)[()]
    return np.asarray(values, np.float32)


def _check_size(path: Path, found: Any) -> None:
    if found.is_virtual or found.external:
        raise TextError(f"{path}: {found.name} lies in another file; Caffe writes no such array")
    if len(found.shape) > MAX_AXES or found.size > MAX_COUNT:
        raise TextError(f"{path}: {found.name} has the shape {found.shape}, more than a blob may")
    stored = found.id.get_storage_size()
    if found.size * found.dtype.itemsize > _LARGEST_RATIO * stored:
        raise TextError(
            f"{path}: {found.name} has the shape {found.shape}, but {stored} bytes are there"
        )


def _integer(path: Path, file: Any, name: str) -> int:
    found = _member(path, file, name)
    if not _is_single(found) or found.dtype.kind not in "iu":
        raise TextError(f"{path}: /{name} is no integer")
    return int(np.asarray(found[()]).reshape(()))


def _string(path: Path, file: Any, name: str) -> str:
    found = _member(path, file, name)
    if not _is_single(found) or found.dtype.kind not in "SO":
        raise TextError(f"{path}: /{name} is no string")
    _check_size(path, found)
    value = found[()]
    data = value if isinstance(value, bytes) else bytes(np.asarray(value).reshape(()).item())
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _is_single(found: Any) -> bool:
    return isinstance(found, _h5py().Dataset) and found.size == 1
