"""Snapshots of a solver in Caffe's own formats: weights, and the state that training goes on from.

PREFIX_iter_N.caffemodel and PREFIX_iter_N.solverstate, or both with .h5 behind. Either file is
written beside its place and renamed, so that a snapshot is whole or not there.

Source: Caffe, solver.cpp: Snapshot, and sgd_solver.cpp: SnapshotSolverState, Restore. What differs:
if the weights are not where the state says they are, they are looked for beside the state; and a
history of other shapes is refused, not taken over.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet.caffe.log import LOG
from alexnet.caffe.nets import copy_weights
from alexnet.nearest import nearest_beside
from alexnet.text.graph import TextNet
from alexnet.text.message import Message, TextError
from alexnet.text.weights import State, load_state, save_state, save_weights


class Progress(NamedTuple):
    """How far a solver has come."""

    iteration: int
    """Updates made so far."""
    step: int
    """Steps of the learning rate taken so far."""


def check_prefix(solver: Message) -> None:
    """Check, before hours of training, that snapshots can be written.

    Raises: TextError if the folder of snapshot_prefix is missing or closed to us.
    """
    if not solver["snapshot"] and not solver["snapshot_after_train"]:
        return
    if not solver["snapshot_prefix"]:
        raise solver.refuse("snapshot is given, but snapshot_prefix is not", "snapshot")
    folder = Path(solver["snapshot_prefix"]).parent
    if not folder.is_dir():
        raise solver.refuse(
            f"snapshot_prefix is {solver['snapshot_prefix']!r}, but {folder} is no folder"
            f"{nearest_beside(folder)}; make it, or give another prefix",
            "snapshot_prefix",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise solver.refuse(
            f"snapshot_prefix is {solver['snapshot_prefix']!r}, but nothing can be written to "
            f"{folder}; give another prefix",
            "snapshot_prefix",
        )


def save_snapshot(
    solver: Message, progress: Progress, *, net: TextNet, history: Sequence[Tensor]
) -> tuple[Path, Path]:
    """Write the weights, then the state, and return both paths.

    Raises: OSError if the disk refuses; an earlier file of that name is then still whole.
    """
    hdf5 = solver["snapshot_format"] == "HDF5"
    end, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    start = f"{solver['snapshot_prefix']}_iter_{progress.iteration}"
    model, state = Path(f"{start}.caffemodel{end}"), Path(f"{start}.solverstate{end}")
    LOG.info(f"Snapshotting to {kind} file {model}")
    save_weights(model, net.to_message(diff=solver["snapshot_diff"]))
    LOG.info(f"Snapshotting solver state to {kind} file {state}")
    arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in history]
    save_state(state, State(progress.iteration, progress.step, str(model), arrays))
    return model, state


@torch.no_grad()
def restore_snapshot(path: Path, *, net: TextNet, history: Sequence[Tensor]) -> Progress:
    """Take over weights and history from a .solverstate or .solverstate.h5.

    Raises: TextError if it or its weights are missing, or it is another net's or another type of
            solver's.
    """
    state = load_state(path)
    if state.learned_net:
        copy_weights(net, state.weights_path(path))
    if len(state.history) != len(history):
        raise TextError(
            f"{path}: {len(state.history)} history blobs; this solver keeps {len(history)}: "
            "the state is another net's or another type of solver's"
        )
    LOG.info("SGDSolver: restoring history")
    for index, (tensor, array) in enumerate(zip(history, state.history, strict=True)):
        if _without_ones(array.shape) != _without_ones(tuple(tensor.shape)):
            raise TextError(
                f"{path}: history blob {index} has shape {array.shape}; the net's has "
                f"{tuple(tensor.shape)}: the state is another net's"
            )
        tensor.copy_(torch.from_numpy(np.array(array, np.float32)).reshape(tensor.shape))
    return Progress(state.iteration, state.current_step)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop leading axes of 1, which blobs of four axes in old files have."""
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape
