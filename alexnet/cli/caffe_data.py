"""`convert_imageset`, `compute_image_mean` and `extract_features`: Caffe's tools for data.

Arguments, flags and files are the original's. The log goes to standard error.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from alexnet.caffe.imageset_options import Options

Flags = Annotated[Options, Parameter(name="*", name_transform=str, negative=())]
DEFAULTS = Options()


def convert_imageset(
    root: str, listfile: Path, database: Path, *, options: Flags = DEFAULTS
) -> int:
    """Put the pictures of a list into a database of Datums.

    Parameters
    ----------
    root
        The folder of the pictures, with a slash at its end.
    listfile
        A text with a path below the folder, a blank and a whole number as label on each line.
    database
        The folder to make.
    """
    import numpy as np

    from alexnet.caffe.convert_imageset import convert_imageset as convert
    from alexnet.caffe.log import log_to

    with log_to(sys.stderr):
        done = convert(root, listfile, database, options=options, random=np.random.default_rng())
    print(f"{database}: {done.written:,} pictures written")
    if done.skipped:
        print(f"{len(done.skipped):,} pictures were left out, as said above", file=sys.stderr)
    return 0


def compute_image_mean(
    database: Path,
    output: Path | None = None,
    *,
    backend: Literal["lmdb", "leveldb"] = "lmdb",
) -> int:
    """Average the pictures of a database, and each channel.

    Parameters
    ----------
    database
        The folder of the database.
    output
        The .binaryproto to write.
    backend
        The kind of database.
    """
    from alexnet.caffe.image_mean import write_image_mean
    from alexnet.caffe.log import log_to
    from alexnet.caffe.new_database import backend_of

    with log_to(sys.stderr):
        write_image_mean(database, output, backend=backend_of(backend))
    return 0


def extract_features(
    weights: Path,
    prototxt: Path,
    blobs: str,
    databases: str,
    num_mini_batches: int,
    *db_type_and_place: str,
) -> int:
    """Run a net on its own data and write blobs to databases, one Datum of floats a picture.

    Parameters
    ----------
    weights
        The .caffemodel, or its twin .caffemodel.h5.
    prototxt
        The net, with a data layer for the phase TEST.
    blobs
        Names of blobs, separated by commas.
    databases
        A folder to make for each blob, separated by commas.
    num_mini_batches
        Number of batches to run.
    db_type_and_place
        The kind of databases, lmdb or leveldb; then CPU, or GPU and the number of the device.
    """
    from alexnet.caffe.extract import extract_features as extract
    from alexnet.caffe.extract import open_net
    from alexnet.caffe.log import log_to
    from alexnet.caffe.placement import choose_place

    if not db_type_and_place:
        raise ValueError("db_type is missing behind num_mini_batches; lmdb or leveldb")
    db_type, *place = db_type_and_place
    with log_to(sys.stderr):
        where = choose_place(_gpu(place))
        net = open_net(prototxt, weights, place=where)
        names, folders = blobs.split(","), [Path(word) for word in databases.split(",")]
        extract(net, names, folders, batches=num_mini_batches, backend=db_type, place=where)
    return 0


def _gpu(place: Sequence[str]) -> str:
    """Return the number of the GPU that the last arguments name, or nothing for the CPU."""
    kind = place[0] if place else "CPU"
    if kind not in ("CPU", "GPU") or len(place) > 2:
        raise ValueError(f"{' '.join(place)!r} is no place; CPU, GPU, or GPU and a number")
    if kind == "CPU":
        return ""
    return place[1] if len(place) > 1 else "0"
