"""Weights and solver's states of Caffe's as arrays, and whether weights fit a net.

A .caffemodel is a net whose layers hold blobs; a .solverstate holds what the solver remembers of
each weight. Both have twins in HDF5; the content of a file decides, not its name.

Source:  BVLC Caffe, src/caffe/net.cpp (CopyTrainedLayersFrom), blob.cpp (ShapeEquals) and
         solvers/sgd_solver.cpp. Layers are matched by name alone, as there.
Differs: every layer that does not fit is named at once, and NaN or infinite weights are listed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from alexnet.nearest import nearest
from alexnet.store import write_atomically
from alexnet.text import hdf5, wire
from alexnet.text.binary import HDF5_MAGIC, map_file
from alexnet.text.blobs import blob_array, blob_diff, make_blob
from alexnet.text.message import Message, TextError
from alexnet.text.upgrade import upgrade_net

Array = NDArray[np.float32]
Weights = dict[str, list[Array]]
"""Blobs by layer; an array of shape (0,) stands for one that another layer holds."""
Shape = tuple[int, ...]


def is_hdf5(path: Path) -> bool:
    """Return whether a file starts as HDF5 does.

    Raises:  TextError when there is no such file, or it is empty.
    """
    return map_file(path)[: len(HDF5_MAGIC)] == HDF5_MAGIC


def load_weights(path: Path) -> Weights:
    """Read the blobs of each layer from a .caffemodel of any version or its HDF5 twin.

    Raises:  TextError when the file is refused or no layer holds a blob.
    """
    weights = hdf5.read_weights(path) if is_hdf5(path) else weights_of(load_net(path))
    if not any(weights.values()):
        raise TextError(
            f"{path} holds no weights: none of its layers ({len(weights)}) has a blob; "
            "give a .caffemodel that was saved after training"
        )
    return weights


def load_net(path: Path, *, unknown: list[str] | None = None) -> Message:
    """Read a .caffemodel, upgraded to today's layers, with the blobs in it.

    Raises:  TextError when the file is refused.
    """
    if path.name.endswith((".solverstate", ".solverstate.h5")):
        raise TextError(f"{path} is a solver's state; the weights are in the .caffemodel beside it")
    if path.suffix == ".prototxt":
        raise TextError(f"{path} is a prototxt, the net as text; weights are in a .caffemodel")
    return upgrade_net(wire.load(path, "NetParameter", unknown=unknown))


def weights_of(net: Message) -> Weights:
    """Return the blobs of each layer of a net; of layers of one name, the last has its way.

    Raises:  TextError naming the layer whose blob's shape and values do not agree.
    """
    return {layer["name"]: _blobs(layer) for layer in net["layer"]}


def _blobs(layer: Message) -> list[Array]:
    arrays = []
    for index, blob in enumerate(layer["blobs"]):
        try:
            arrays.append(blob_array(blob))
        except TextError as error:
            raise TextError(f"layer {layer['name']!r}, blob {index}: {error}") from None
    return arrays


def save_weights(path: Path, net: Message) -> None:
    """Write a net with its blobs, all or nothing: HDF5 when the name ends in .h5.

    Raises:  TextError when the format cannot hold the net.
    """
    if path.suffix != ".h5":
        write_atomically(path, wire.encode(net))
        return
    gradients = {
        layer["name"]: [diff for blob in layer["blobs"] if (diff := blob_diff(blob)) is not None]
        for layer in net["layer"]
    }
    hdf5.write_weights(path, weights_of(net), gradients if any(gradients.values()) else None)


# ---- Whether weights fit ------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """What of a file's weights a net takes."""

    blobs: dict[str, dict[int, Array]]
    """By layer and number of the blob, in the net's shapes; what the file shares is left out."""
    missing: tuple[str, ...]
    """Layers of the net that the file does not have; they keep their first values."""
    extra: tuple[str, ...]
    """Layers of the file with blobs that the net does not have."""
    warnings: tuple[str, ...]
    """Blobs that hold NaN or infinite values, a sentence each."""


def check_fit(
    given: Mapping[str, Sequence[Array]],
    wanted: Mapping[str, Sequence[Shape]],
    *,
    source: str = "the weights",
    shared: Mapping[str, Sequence[int]] | None = None,
) -> Fit:
    """Match a file's weights with the shapes that a net wants, by the layers' names.

    A 4-D array fits a shape of fewer dimensions with ones in front, as files of 2014 have it:
    1 x 1 x N x M for an inner product's N x M, 1 x 1 x 1 x N for a bias of N. `shared` has the
    numbers of each layer's blobs that another layer owns; the file may lack those.

    Raises:  TextError with a table of all layers whose blobs are more, fewer or of other shapes,
             or when no name of the net's layers is in the file.
    """
    blobs: dict[str, dict[int, Array]] = {}
    wrong, warnings = [], []
    for layer, shapes in wanted.items():
        if layer not in given or (not given[layer] and not shapes):
            continue
        arrays = list(given[layer])
        owned_elsewhere = set(shared.get(layer, ())) if shared else set()
        arrays += _lacking(len(shapes) - len(arrays), owned_elsewhere, len(arrays))
        shown = [_shown(array.shape) for array in arrays], [_shown(shape) for shape in shapes]
        fits = len(arrays) == len(shapes) and all(
            shape_fits(array.shape, shape) or (array.shape == (0,) and index in owned_elsewhere)
            for index, (array, shape) in enumerate(zip(arrays, shapes, strict=True))
        )
        if not fits:
            wrong.append((layer, ", ".join(shown[0]) or "none", ", ".join(shown[1]) or "none"))
            continue
        blobs[layer] = {
            index: array.reshape(shapes[index])
            for index, array in enumerate(arrays)
            if array.shape != (0,)
        }
        warnings += _strange(layer, blobs[layer])
    missing = tuple(name for name, shapes in wanted.items() if shapes and name not in given)
    extra = tuple(name for name, arrays in given.items() if arrays and name not in wanted)
    if wrong:
        raise TextError(_table(source, wrong))
    if missing and not any(blobs.values()):
        close = nearest(missing[0], extra)
        raise TextError(
            f"{source} are another net's: no layer with weights has the name of one of the net's, "
            f"{', '.join(missing[:4])}{close}; the file has {', '.join(extra[:4]) or 'none'}"
        )
    return Fit(blobs, missing, extra, tuple(warnings))


def shape_fits(given: Shape, wanted: Shape) -> bool:
    """Return whether a file's shape is a net's, or its four dimensions of the old kind.

    Source:  Blob::ShapeEquals, which asks it only of blobs with the old fields; here every 4-D
             array may have ones in front, for some files of today's format have them too.
    """
    return given == wanted or (len(given) == 4 and given == (1,) * (4 - len(wanted)) + wanted)


def _lacking(count: int, owned_elsewhere: set[int], start: int) -> list[Array]:
    """Return stand-ins for blobs at a layer's end, if all of them are another layer's."""
    indices = range(start, start + count)
    return [np.empty(0, np.float32) for _ in indices] if owned_elsewhere >= set(indices) else []


def _strange(layer: str, blobs: Mapping[int, Array]) -> list[str]:
    counts = {index: int(array.size - np.isfinite(array).sum()) for index, array in blobs.items()}
    return [
        f"layer {layer!r}, blob {index}: {count} of {blobs[index].size} values are NaN or infinite"
        for index, count in counts.items()
        if count
    ]


def _shown(shape: Shape) -> str:
    return "shared" if shape == (0,) else " x ".join(str(dim) for dim in shape) or "()"


def _table(source: str, rows: Sequence[tuple[str, str, str]]) -> str:
    """Return the layers that do not fit, a line each, and what can be done."""
    titled = [("layer", "the file has", "the net wants"), *rows]
    widths = [max(len(row[column]) for row in titled) for column in range(2)]
    lines = [f"  {row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip() for row in titled]
    return (
        f"{source} do not fit the net in {len(rows)} layer{'s' if len(rows) > 1 else ''}:\n"
        + "\n".join(lines)
        + "\nto learn a layer anew instead, rename it in the net"
    )


# ---- The solver's state -------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """What a solver remembers beside the weights."""

    iteration: int
    current_step: int
    """How many of a multistep policy's values are behind."""
    learned_net: str
    """The weights' file as it was named when it was written; "" if there is none."""
    history: list[Array]
    """Momentum and the like of each weight that is learned, in the net's order; Adam and AdaDelta
    have a second half."""

    def weights_path(self, path: Path) -> Path:
        """Return where the weights lie: as named, or else beside the state's own file, `path`.

        Raises:  TextError when they are in neither place, or their name has another iteration.
        """
        if not self.learned_net:
            raise TextError(f"{path} names no weights; give them with --weights")
        named = Path(self.learned_net)
        number = re.search(r"_iter_(\d+)\.caffemodel", named.name)
        if number and int(number[1]) != self.iteration:
            raise TextError(
                f"{path} is of iteration {self.iteration}, but names the weights {named.name}; "
                "two snapshots were mixed"
            )
        for place in (named, path.parent / named.name):
            if place.is_file():
                return place
        raise TextError(
            f"{path} names the weights {self.learned_net}, which are neither there nor beside it; "
            f"copy {named.name} to {path.parent}"
        )


def load_state(path: Path) -> State:
    """Read a .solverstate or its HDF5 twin.

    Raises:  TextError when the file is refused or holds no state.
    """
    if is_hdf5(path):
        state = State(*hdf5.read_state(path))
    else:
        message = wire.load(path, "SolverState")
        if "iter" not in message:
            raise TextError(f"{path} has no iteration; give a .solverstate")
        history = [blob_array(blob) for blob in message["history"]]
        state = State(message["iter"], message["current_step"], message["learned_net"], history)
    if state.iteration < 0 or state.current_step < 0:
        raise TextError(f"{path} is of iteration {state.iteration}; copy or make it again")
    return state


def save_state(path: Path, state: State) -> None:
    """Write a solver's state, all or nothing: HDF5 when the name ends in .h5.

    Raises:  TextError when the format cannot hold it.
    """
    if path.suffix == ".h5":
        hdf5.write_state(
            path,
            iteration=state.iteration,
            current_step=state.current_step,
            learned_net=state.learned_net,
            history=state.history,
        )
        return
    message = Message("SolverState", {"iter": state.iteration, "learned_net": state.learned_net})
    message["current_step"] = state.current_step
    message["history"] = [make_blob(array) for array in state.history]
    write_atomically(path, wire.encode(message))
