"""What a net makes of pictures, layer by layer, as rows of numbers: features for other programs.

A row is the flattened output of a layer in the order C, H, W: all places of the first map row by
row, then the second map. Pictures are prepared as for an answer (`alexnet.predict`); with ten views
a row is the mean of the ten rows.

Source:  Krizhevsky 2012, section 6.1, compares pictures by the outputs of the last hidden layer.
         Ten views are section 4.1's; the paper takes the mean of the softmax, we of any layer.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alexnet.data.augment import cut, same_windows
from alexnet.data.folder import DataError
from alexnet.data.image import Picture, decode_file
from alexnet.data.loader import Loader
from alexnet.data.pictures import Pictures
from alexnet.evaluation.views import window_corners
from alexnet.inspection.layer_names import Spot
from alexnet.model import Model

BATCH_SIZE = 32


@dataclass(frozen=True)
class LoosePictures:
    """Picture files that have no classes."""

    paths: tuple[str, ...]
    """The files; each is its own name."""
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[int, ...]:
        """No class: -1 for each picture."""
        return (-1,) * len(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def pixels(self, index: int, *, at_least: int) -> Picture:
        """Decode a picture, as `Pictures` says."""
        return decode_file(Path(self.paths[index]), at_least=at_least)


@dataclass(frozen=True)
class Rows:
    """The features of some pictures."""

    values: dict[str, Tensor]
    """Name that was asked for -> (N, features) float32 on the CPU."""
    indices: tuple[int, ...]
    """Positions in the listing."""


@dataclass(frozen=True)
class Table:
    """The features of all pictures, on disk, and what belongs to them."""

    layers: dict[str, NDArray[Any]]
    """Name that was asked for -> (pictures, features), read from the disk as needed."""
    paths: tuple[str, ...]
    """The pictures, in the listing's order, without those that could not be read."""
    labels: tuple[int, ...]
    """One label for each picture; -1 where there are no classes."""
    classes: tuple[str, ...]
    about: dict[str, Any]
    """What made them: run, net, digest, views and, for each layer, what it is."""

    def class_of(self, row: int) -> str:
        """Return the name of a picture's class, "" where there are none."""
        return self.classes[self.labels[row]] if self.labels[row] >= 0 else ""


@torch.inference_mode()
def features_of(
    model: Model,
    pictures: Tensor,
    spots: Sequence[Spot],
    *,
    views: int = 1,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    """Return the mean over the views of the named layers' outputs, flattened.

    `dtype` is the arithmetic of the net.

    Shapes:  pictures (N, H, W, 3) uint8 on the net's device -> {asked: (N, C * H * W) float32}.
    """
    corners = window_corners(views, model.preprocessing.border)
    layers = sorted({spot.layer for spot in spots})
    totals: dict[str, Tensor] = {}
    for top, left, flip in corners:
        windows = same_windows(len(pictures), top, left, flip=flip)
        x = cut(pictures, windows, model.preprocessing)
        with torch.autocast(x.device.type, dtype, enabled=dtype.itemsize == 2):
            found = model.net.eval().activations(x, layers)
        for layer, y in found.items():
            row = y.float().flatten(1)
            totals[layer] = totals[layer] + row if layer in totals else row
    return {spot.asked: (totals[spot.layer] / len(corners)).cpu() for spot in spots}


def shapes_of(model: Model, spots: Sequence[Spot]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the named layers' outputs for one picture: (C, H, W) or (C,)."""
    device = next(model.net.parameters()).device
    size = model.preprocessing.picture_size
    grey = torch.zeros((1, size, size, 3), dtype=torch.uint8, device=device)
    x = cut(grey, same_windows(1, 0, 0), model.preprocessing)
    with torch.inference_mode():
        found = model.net.eval().activations(x, sorted({spot.layer for spot in spots}))
    return {spot.asked: tuple(found[spot.layer].shape[1:]) for spot in spots}


def rows_of(
    model: Model,
    loader: Loader,
    spots: Sequence[Spot],
    *,
    views: int = 1,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Rows]:
    """Yield the features of a loader's pictures in the listing's order, some at a time.

    Pictures that cannot be read are left out; the loader's `bad` names them.

    Raises: DataError if more than 1 % of the pictures are bad, or all.
    """
    device = next(model.net.parameters()).device
    seen = 0
    for batch in loader.epoch(0, seed=None):
        if len(batch.labels):
            seen += len(batch.labels)
            values = features_of(model, batch.pictures.to(device), spots, views=views, dtype=dtype)
            yield Rows(values, tuple(batch.indices.tolist()))
    if not seen:
        path, reason = next(iter(loader.bad.items()), ("the data", "no pictures"))
        raise DataError(f"{path}: {reason}; no picture is left to take features of")


def open_loader(model: Model, pictures: Pictures) -> Loader:
    """Return a loader of pictures as the model takes them, which keeps none."""
    size = model.preprocessing.picture_size
    return Loader(pictures, batch_size=BATCH_SIZE, picture_size=size, cache_bytes=0)


def collect(
    chunks: Iterator[Rows],
    pictures: Pictures,
    folder: Path,
    *,
    kept: type[np.floating[Any]] = np.float32,
    about: dict[str, Any],
) -> Table:
    """Write features into a folder as they come, and return them as a table that lies there.

    Memory holds one chunk. `kept` is the type of the numbers on disk.

    Raises: ValueError if a number is beyond float16; OSError if the disk refuses; whatever
            `chunks` raises.
    """
    widths: dict[str, int] = {}
    indices: list[int] = []
    files = {}
    try:
        for rows in chunks:
            indices += rows.indices
            for number, (name, values) in enumerate(rows.values.items()):
                if name not in files:
                    files[name] = (folder / f"{number}.rows").open("wb")
                widths[name] = values.shape[1]
                files[name].write(_as_type(values, name, kept))
    finally:
        for file in files.values():
            file.close()
    layers: dict[str, NDArray[Any]] = {
        name: np.memmap(file.name, kept, "r", shape=(len(indices), widths[name]))
        for name, file in files.items()
    }
    paths = tuple(pictures.paths[index] for index in indices)
    labels = tuple(pictures.labels[index] for index in indices)
    return Table(layers, paths, labels, pictures.classes, about)


def _as_type(values: Tensor, name: str, kept: type[np.floating[Any]]) -> bytes:
    largest, limit = float(values.abs().max()), float(np.finfo(kept).max)
    if limit < largest < math.inf:
        raise ValueError(
            f"{name} reaches {largest:.6g}, more than float16 holds; leave out --dtype float16"
        )
    return values.numpy().astype(kept).tobytes()


def describe(
    spots: Sequence[Spot], shapes: dict[str, tuple[int, ...]], *, origin: dict[str, Any]
) -> dict[str, Any]:
    """Return what is to be known of features, as plain values; `origin` says where from."""
    return {
        **origin,
        "order": "C, H, W",
        "layers": {
            spot.asked: {"layer": spot.layer, "says": spot.says, "shape": shapes[spot.asked]}
            for spot in spots
        },
    }
