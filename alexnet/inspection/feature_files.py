"""Features in the formats of other programs: safetensors, numpy, CSV and MATLAB.

- `.safetensors`: a matrix for each layer, `labels`, and as metadata `about` (JSON), `pictures` and
  `classes` (JSON lists). It is what `alexnet similar --features` reads.
- `.npy`: the matrix of one layer; of several, FILE-LAYER.npy each. FILE.csv beside it names the
  pictures and their classes row by row.
- `.csv`: a row for each picture: its name, its class, LAYER.0, LAYER.1, ...
- `.mat`: a matrix for each layer, `pictures` and `classes` as cells, `labels` from 1 on as MATLAB
  counts (0 where there are no classes), `about` (JSON). Needs scipy, holds all in memory, and takes
  less than 2 GiB a matrix: MATLAB's format 5.

All but `.mat` are written in pieces. A file appears whole or not at all.

Sources: the safetensors format (8 bytes of length, JSON, tensors); numpy.lib.format, version 1.0.
"""

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from alexnet.data.folder import DataError
from alexnet.inspection.features import Table
from alexnet.nearest import nearest_beside

CHUNK_BYTES = 2**24
MOST_MATLAB_BYTES = 2**31
LONGEST_HEADER = 100_000_000
"""Bytes before the tensors of a .safetensors file that its readers take."""
RESERVED = frozenset({"labels", "pictures", "classes", "about"})
TYPES = {"float32": "F32", "float16": "F16", "int64": "I64"}


class ScipyMissing(OSError):
    """scipy, which writes MATLAB's files, is not installed."""


def check_target(path: Path, names: Sequence[str], *, dtype: str, bytes_each: int) -> None:
    """Say before any work is done whether features can be written to a file.

    `bytes_each` is the size of the largest matrix.

    Raises:  ValueError for a suffix that is none of FORMATS, layers that would have one name, a
             layer called as what stands beside it, or what MATLAB's format does not hold; OSError
             for a folder that does not exist; ScipyMissing.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(
            f"{path}: the suffix {path.suffix!r} is none of {', '.join(FORMATS)}; "
            f"the suffix says what is written"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file name with a suffix")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist{nearest_beside(path.parent)}")
    taken: dict[str, str] = {}
    for name in names:
        plain = plain_name(name)
        if plain in RESERVED or plain in taken:
            other = taken.get(plain, "what belongs to the pictures")
            raise ValueError(
                f"layer {name!r} would be called {plain!r}, as {other} is; "
                f"give it by another of its names, or write it to a file of its own"
            )
        taken[plain] = name
    if path.suffix.lower() != ".mat":
        return
    if dtype == "float16":
        raise ValueError("MATLAB has no float16; leave out --dtype, or take .npy")
    if bytes_each >= MOST_MATLAB_BYTES:
        raise ValueError(
            f"a matrix would have {bytes_each:,} bytes, and a .mat file takes less than "
            f"{MOST_MATLAB_BYTES:,}; take .npy or fewer pictures"
        )
    if find_spec("scipy") is None:
        raise ScipyMissing(
            "scipy, which writes .mat, is not installed; install it with: "
            "pip install 'alexnet[data]', or take .npy"
        )


def check_names_fit(path: Path, pictures: Sequence[str]) -> None:
    """Raise ValueError if the pictures' names are too long for the header of a .safetensors."""
    count = len(json.dumps(json.dumps(pictures)))
    if path.suffix.lower() == ".safetensors" and count > LONGEST_HEADER - 2**20:
        raise ValueError(
            f"the names of {len(pictures):,} pictures take {count:,} bytes, more than a "
            f".safetensors file holds before its tensors; take --out FILE.npy"
        )


def plain_name(name: str) -> str:
    """Return a layer's name as a variable and a file may be called: inception_3a_1x1."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def write_features(path: Path, table: Table) -> list[Path]:
    """Write a table in the format of the suffix, and return the files.

    Raises: OSError if the disk refuses; a file that was there is then what it was.
    """
    return FORMATS[path.suffix.lower()](path, table)


def _write_safetensors(path: Path, table: Table) -> list[Path]:
    labels = np.array(table.labels, np.int64)
    arrays: dict[str, NDArray[Any]] = {"labels": labels, **table.layers}
    header: dict[str, Any] = {
        "__metadata__": {
            "about": json.dumps(table.about),
            "pictures": json.dumps(table.paths),
            "classes": json.dumps(table.classes),
        }
    }
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        kind, shape = TYPES[array.dtype.name], list(array.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with _replacing(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            _copy(array, file)
    return [path]


def _write_numpy(path: Path, table: Table) -> list[Path]:
    files = []
    for name, array in table.layers.items():
        one = len(table.layers) == 1
        target = path if one else path.with_name(f"{path.stem}-{plain_name(name)}{path.suffix}")
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        with _replacing(target) as file:
            np.lib.format.write_array_header_1_0(file, header)
            _copy(array, file)
        files.append(target)
    names = path.with_suffix(".csv")
    with _replacing(names) as file:
        rows = ((path, table.class_of(row)) for row, path in enumerate(table.paths))
        _write_rows(file, [("picture", "class"), *rows])
    return [*files, names]


def _write_csv(path: Path, table: Table) -> list[Path]:
    columns = [f"{name}.{i}" for name, a in table.layers.items() for i in range(a.shape[1])]
    with _replacing(path) as file:
        _write_rows(file, [("picture", "class", *columns)])
        for row, picture in enumerate(table.paths):
            # Nine digits give each float32 back, five each float16.
            values = [
                f"{value:.9g}" if array.dtype.itemsize == 4 else f"{value:.5g}"
                for array in table.layers.values()
                for value in array[row].tolist()
            ]
            _write_rows(file, [(picture, table.class_of(row), *values)])
    return [path]


def _write_matlab(path: Path, table: Table) -> list[Path]:
    from scipy.io import savemat

    def cell(names: Sequence[str]) -> NDArray[Any]:
        column = np.empty((len(names), 1), dtype=object)
        column[:, 0] = names
        return column

    content = {
        **{plain_name(name): np.asarray(array) for name, array in table.layers.items()},
        "labels": np.array(table.labels, np.float64)[:, None] + 1,
        "pictures": cell(table.paths),
        "classes": cell(table.classes),
        "about": json.dumps(table.about),
    }
    with _replacing(path) as file:
        savemat(file, content, format="5", long_field_names=True)
    return [path]


FORMATS: dict[str, Callable[[Path, Table], list[Path]]] = {
    ".safetensors": _write_safetensors,
    ".npy": _write_numpy,
    ".csv": _write_csv,
    ".mat": _write_matlab,
}
"""Suffix -> what writes it."""


def read_features(path: Path) -> Table:
    """Open a .safetensors file that `write_features` made; its matrices stay on the disk.

    Raises: ValueError for another suffix; DataError for a file that is none of features; OSError if
            there is none.
    """
    if path.suffix.lower() != ".safetensors":
        raise ValueError(
            f"{path}: features are read back from .safetensors alone; make such a file with "
            f"alexnet features --out FILE.safetensors"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist{nearest_beside(path)}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata, labels = file.metadata() or {}, file.get_tensor("labels")
        about = json.loads(metadata["about"])
        paths, classes = json.loads(metadata["pictures"]), json.loads(metadata["classes"])
        layers = {name: _map(path, name) for name in about["layers"]}
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} is no file of features ({type(error).__name__}: {error}); make one with "
            f"alexnet features --out FILE.safetensors"
        ) from error
    return Table(layers, tuple(paths), tuple(labels.tolist()), tuple(classes), about)


def _map(path: Path, name: str) -> NDArray[Any]:
    """Return a matrix of a checked file without reading it."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        record = json.loads(file.read(length))[name]
    kind = next(ours for ours, theirs in TYPES.items() if theirs == record["dtype"])
    begin = 8 + length + record["data_offsets"][0]
    return np.memmap(path, kind, "r", offset=begin, shape=tuple(record["shape"]))


def _write_rows(file: IO[bytes], rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    file.write(text.getvalue().encode("utf-8", "surrogateescape"))


def _copy(array: NDArray[Any], file: IO[bytes]) -> None:
    """Write an array some rows at a time."""
    step = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), step):
        file.write(array[start : start + step].tobytes())


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` once all is written and on the disk."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
