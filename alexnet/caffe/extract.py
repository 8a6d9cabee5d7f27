"""`extract_features`: blobs of a net, picture by picture, as Datums of floats in databases.

Source:  BVLC Caffe, tools/extract_features.cpp: keys of ten digits; channels, height and width of
         the blob, no label.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from alexnet.caffe.log import LOG
from alexnet.caffe.nets import copy_weights
from alexnet.caffe.new_database import backend_of, new_database
from alexnet.caffe.placement import CPU, place_net, read_batch
from alexnet.data.databases import DatabaseWriter
from alexnet.nearest import nearest
from alexnet.text import wire
from alexnet.text.graph import TextNet
from alexnet.text.message import Message
from alexnet.text.upgrade import read_net

_REPORT_EVERY = 1000


def extract_features(
    net: TextNet,
    blobs: Sequence[str],
    databases: Sequence[Path],
    *,
    batches: int,
    backend: str,
    place: torch.device = CPU,
) -> list[int]:
    """Run a net on its own data and write one Datum a picture for each named blob.

    `backend` is "lmdb" or "leveldb". Returns how many Datums each database got.

    Raises:  ValueError for a blob that the net has not (the nearest is named) or that has more than
             four axes, for as many blobs as databases being untrue, and for no batches;
             DatabaseError if a database exists or cannot be written.
    """
    _check(net, blobs, databases)
    if batches < 1:
        raise ValueError(f"num_mini_batches is {batches}; run at least 1")
    counts = [0] * len(blobs)
    with ExitStack() as stack, torch.no_grad():
        writers = [
            stack.enter_context(new_database(path, backend_of(backend))) for path in databases
        ]
        LOG.info("Extracting Features")
        for _ in range(batches):
            given = None if place == CPU else read_batch(net, place)
            values = net.run(given, keep=blobs).blobs
            for index, (name, writer) in enumerate(zip(blobs, writers, strict=True)):
                array = values[name].float().cpu().contiguous().numpy()
                counts[index] = _write(array, writer, counts[index], name)
    for name, count in zip(blobs, counts, strict=True):
        LOG.info(f"Extracted features of {count} query images for feature blob {name}")
    LOG.info("Successfully extracted the features!")
    return counts


def open_net(prototxt: Path, weights: Path, *, place: torch.device = CPU) -> TextNet:
    """Build a net for the phase TEST with weights by layer name.

    Raises: TextError if the prototxt or the weights are refused.
    """
    net = TextNet(read_net(prototxt), "TEST")
    copy_weights(net, weights)
    return place_net(net, place)


def _check(net: TextNet, blobs: Sequence[str], databases: Sequence[Path]) -> None:
    if len(blobs) != len(databases):
        raise ValueError(
            f"{len(blobs)} blobs and {len(databases)} databases are named; give one for each"
        )
    if len(set(databases)) < len(databases):
        raise ValueError("a database is named twice; give each blob its own")
    for name in blobs:
        if name not in net.shapes:
            raise ValueError(f"no blob is called {name!r}{nearest(name, net.shapes)}")
        if len(net.shapes[name]) > 4:
            raise ValueError(f"blob {name!r} has the shape {net.shapes[name]}; 4 axes at most")


def _write(array: NDArray[np.float32], writer: DatabaseWriter, count: int, name: str) -> int:
    """Write a batch, and return how many Datums there are now."""
    sides = [*array.shape, 1, 1, 1, 1][1:4]
    shape = dict(zip(("channels", "height", "width"), sides, strict=True))
    for row in array.reshape(array.shape[0] if array.ndim else 1, -1):
        datum = Message("Datum", {**shape, "float_data": row})
        writer.put(f"{count:010d}".encode(), wire.encode(datum))
        count += 1
        if count % _REPORT_EVERY == 0:
            LOG.info(f"Extracted features of {count} query images for feature blob {name}")
    return count
