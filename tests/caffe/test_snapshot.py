"""Snapshots: their names and content, and what is refused when one is restored."""

from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.caffe.nets import copy_weights
from alexnet.caffe.snapshot import Progress, check_prefix, restore_snapshot, save_snapshot
from alexnet.text.message import Message, TextError
from alexnet.text.weights import State, load_state, load_weights, save_state
from tests.caffe.conftest import Make
from tests.golden.make_caffe_solvers import FOLDER


def parameters(**changes: object) -> Message:
    return Message("SolverParameter", {"snapshot": 1, "snapshot_prefix": "out"} | changes)


@pytest.mark.parametrize(("kind", "end"), [("BINARYPROTO", ""), ("HDF5", ".h5")])
def test_a_snapshot_holds_weights_and_history(kind: str, end: str, make: Make) -> None:
    solver = make("adam", "max_iter: 3 test_initialization: false")
    solver.step(3)
    wanted = parameters(snapshot_format=kind)
    model, state = save_snapshot(
        wanted, Progress(3, 1), net=solver.net, history=solver.updates.history
    )
    assert model == Path(f"out_iter_3.caffemodel{end}")
    assert state == Path(f"out_iter_3.solverstate{end}")
    weights, found = load_weights(model), load_state(state)
    for layer, blobs in solver.net.blobs().items():
        for blob, array in zip(blobs, weights[layer], strict=True):
            np.testing.assert_array_equal(blob.detach().numpy(), array)
    assert (found.iteration, found.current_step, found.learned_net) == (3, 1, str(model))
    for tensor, array in zip(solver.updates.history, found.history, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_a_snapshot_with_diff_holds_what_was_subtracted_last(make: Make) -> None:
    solver = make("sgd", "snapshot_diff: true test_initialization: false")
    before = solver.net.blobs()["ip2"][0].detach().clone()
    solver.step(1)
    after = solver.net.blobs()["ip2"][0].detach()
    net = solver.net.to_message(diff=True)
    layer = next(each for each in net["layer"] if each["name"] == "ip2")
    diff = np.array(layer["blobs"][0]["diff"], np.float32).reshape(5, 24)
    np.testing.assert_allclose(diff, (before - after).numpy(), rtol=1e-4, atol=1e-7)


def test_weights_that_were_moved_with_their_state_are_found(make: Make, folder: Path) -> None:
    first = make("sgd", "max_iter: 2 snapshot_format: BINARYPROTO test_initialization: false")
    first.solve()
    (folder / "moved").mkdir()
    for end in ("caffemodel", "solverstate"):
        (folder / f"snapshot_iter_2.{end}").rename(folder / f"moved/snapshot_iter_2.{end}")
    second = make("sgd")
    second.restore(Path("moved/snapshot_iter_2.solverstate"))
    assert second.progress.iteration == 2
    for ours, expected in zip(second.updates.history, first.updates.history, strict=True):
        assert torch.equal(ours, expected)


def test_the_original_s_weights_go_into_a_net_by_name(make: Make) -> None:
    solver = make("sgd")
    copy_weights(solver.net, Path("start.caffemodel.h5"))
    start = np.load(FOLDER / "start.npz")
    np.testing.assert_array_equal(solver.net.blobs()["ip1"][0].detach().numpy(), start["ip1/0"])


def test_a_state_of_another_type_of_solver_is_refused(make: Make) -> None:
    make("sgd", "max_iter: 1 snapshot_format: BINARYPROTO test_initialization: false").solve()
    with pytest.raises(TextError, match="8 history blobs; this solver keeps 16: the state is"):
        make("adam").restore(Path("snapshot_iter_1.solverstate"))


def test_a_history_of_another_shape_is_refused(make: Make) -> None:
    solver = make("sgd")
    history = [np.zeros(tuple(t.shape), np.float32) for t in solver.updates.history]
    history[4] = np.zeros((48, 24), np.float32)
    save_state(Path("other.solverstate"), State(1, 0, "", history))
    with pytest.raises(TextError, match=r"history blob 4 has shape \(48, 24\); the net's has"):
        restore_snapshot(Path("other.solverstate"), net=solver.net, history=solver.updates.history)


def test_a_history_with_the_four_axes_of_old_files_is_taken(make: Make) -> None:
    solver = make("sgd")
    history = [np.full(tuple(t.shape), 0.5, np.float32) for t in solver.updates.history]
    history[4] = history[4].reshape(1, 1, 24, 48)
    history[5] = history[5].reshape(1, 1, 1, 24)
    save_state(Path("old.solverstate"), State(7, 2, "", history))
    found = restore_snapshot(
        Path("old.solverstate"), net=solver.net, history=solver.updates.history
    )
    assert found == (7, 2)
    assert all(bool((tensor == 0.5).all()) for tensor in solver.updates.history)


def test_a_missing_state_is_refused_and_the_nearest_is_named(make: Make) -> None:
    make("sgd", "max_iter: 1 snapshot_format: BINARYPROTO test_initialization: false").solve()
    with pytest.raises(TextError, match=r"did you mean 'snapshot_iter_1\.solverstate'"):
        make("sgd").restore(Path("snapshot_iter_11.solverstate"))


def test_a_prefix_in_a_missing_folder_is_refused_before_training(folder: Path) -> None:
    (folder / "snapshots").mkdir()
    with pytest.raises(TextError, match=r"snapshot is no folder \(did you mean 'snapshots'\?\)"):
        check_prefix(parameters(snapshot_prefix="snapshot/lenet"))


def test_a_prefix_in_a_closed_folder_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(TextError, match="nothing can be written to"):
        check_prefix(parameters(snapshot_prefix=str(folder / "lenet")))


def test_snapshots_without_a_prefix_are_refused() -> None:
    with pytest.raises(TextError, match="snapshot is given, but snapshot_prefix is not"):
        check_prefix(parameters(snapshot_prefix=""))


def test_without_snapshots_no_prefix_is_needed() -> None:
    check_prefix(parameters(snapshot=0, snapshot_prefix="", snapshot_after_train=False))
