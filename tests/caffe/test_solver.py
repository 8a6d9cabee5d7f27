"""The solver's loop: resuming, signals, tests, what is logged and when snapshots are made."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from alexnet.caffe.log import log_to
from alexnet.caffe.signals import Action
from alexnet.caffe.solver import Solver
from alexnet.text.message import Message, TextError
from alexnet.text.upgrade import read_solver
from tests.caffe.conftest import Make, solver_text


def state(solver: Solver) -> list[torch.Tensor]:
    blobs = [blob for blobs in solver.net.blobs().values() for blob in blobs]
    return [*blobs, *solver.updates.history]


def messages(solver: Solver) -> list[str]:
    """Run a solver and return its log without the heads of the lines."""
    log = io.StringIO()
    with log_to(log):
        solver.solve()
    return [line.split("] ", 1)[-1] for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("kind", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("case", ["sgd", "multistep", "adam_l1_clip_iter_size", "adadelta"])
def test_ten_updates_equal_five_a_snapshot_and_five_more_bit_for_bit(
    case: str, kind: str, make: Make
) -> None:
    start = f' weights: "start.caffemodel.h5" snapshot_format: {kind} snapshot: 0'
    whole = make(case, start + " max_iter: 10")
    whole.solve()
    first = make(case, start + " max_iter: 5")
    first.solve()
    end = ".h5" if kind == "HDF5" else ""
    second = make(case, f"snapshot_format: {kind} snapshot: 0 max_iter: 10")
    second.restore(Path(f"snapshot_iter_5.solverstate{end}"))
    assert second.progress == first.progress
    second.solve()
    for ours, expected in zip(state(second), state(whole), strict=True):
        assert torch.equal(ours, expected)


def test_snapshots_are_made_when_due_and_at_the_end(make: Make, folder: Path) -> None:
    make("sgd", "snapshot: 4 snapshot_format: BINARYPROTO max_iter: 9").solve()
    names = sorted(path.name for path in folder.glob("snapshot_iter_*"))
    expected = [f"snapshot_iter_{n}.{kind}" for n in (4, 8, 9) for kind in ("caffemodel", "solver")]
    assert names == [name.replace(".solver", ".solverstate") for name in expected]


def test_no_snapshot_follows_training_if_it_is_switched_off(make: Make, folder: Path) -> None:
    make("sgd", "snapshot: 0 snapshot_after_train: false max_iter: 3").solve()
    assert not list(folder.glob("snapshot_iter_*"))


def asking(*actions: Action) -> Iterator[Action]:
    yield from actions
    while True:
        yield "none"


def with_actions(folder: Path, more: str, *actions: Action) -> Solver:
    (folder / "asked.prototxt").write_text(solver_text("sgd", more))
    asked = asking(*actions)
    return Solver(read_solver(folder / "asked.prototxt"), requested=lambda: next(asked))


def test_a_request_to_stop_saves_after_the_update_in_progress(folder: Path) -> None:
    quiet = "test_iter: 0 test_initialization: false snapshot_format: BINARYPROTO max_iter: 50"
    solver = with_actions(folder, quiet, "none", "none", "stop")
    assert messages(solver)[-1] == "Optimization stopped early."
    assert solver.progress.iteration == 3
    assert (folder / "snapshot_iter_3.solverstate").is_file()


def test_a_request_for_a_snapshot_does_not_stop(folder: Path) -> None:
    quiet = "test_initialization: false snapshot_format: BINARYPROTO max_iter: 6"
    solver = with_actions(folder, quiet, "none", "snapshot")
    solver.solve()
    assert solver.progress.iteration == 6
    assert (folder / "snapshot_iter_2.caffemodel").is_file()


def test_a_request_to_stop_ends_a_test_too(folder: Path) -> None:
    solver = with_actions(folder, "max_iter: 6", "none", "snapshot", "stop")
    assert "Test interrupted." in messages(solver)
    assert solver.progress.iteration == 0


def test_a_test_net_sees_the_weights_in_training(make: Make) -> None:
    solver = make("sgd", "max_iter: 3")
    solver.solve()
    solver.test(0)
    for layer, blobs in solver.test_nets[0].blobs().items():
        for blob, trained in zip(blobs, solver.net.blobs()[layer], strict=True):
            assert blob.data_ptr() == trained.data_ptr()


def test_the_first_test_can_be_left_out(make: Make) -> None:
    lines = messages(make("sgd", "test_initialization: false max_iter: 2"))
    assert not any("Testing net" in line for line in lines)


def test_a_net_that_was_trained_to_the_end_is_shown_and_tested(make: Make) -> None:
    lines = messages(make("sgd", "display: 2 test_interval: 4 max_iter: 4"))
    end = lines[lines.index("Iteration 4, Testing net (#0)") - 1 :]
    assert end[0].startswith("Iteration 4, loss = ")
    assert end[-1] == "Optimization Done."


def test_the_shown_loss_is_the_mean_of_the_last_ones(make: Make) -> None:
    each = messages(make("sgd", 'weights: "start.caffemodel.h5" average_loss: 1 display: 1'))
    mean = messages(make("sgd", 'weights: "start.caffemodel.h5" average_loss: 4 display: 1'))
    single, means = (
        [float(line.rpartition("= ")[2]) for line in lines if "iter/s" in line]
        for lines in (each, mean)
    )
    for end in range(50):
        window = single[max(0, end - 3) : end + 1]
        assert means[end] == pytest.approx(sum(window) / len(window), rel=1e-5)


def test_equal_seeds_give_equal_weights(make: Make) -> None:
    first, second = make("sgd", "random_seed: 7"), make("sgd", "random_seed: 7")
    other = make("sgd", "random_seed: -1")
    assert all(map(torch.equal, state(first), state(second)))
    assert first.parameters["random_seed"] != other.parameters["random_seed"]


def test_a_solver_that_cannot_be_is_refused_before_a_net_is_built() -> None:
    text = Message("SolverParameter", {"net": "nowhere", "lr_policy": "stpe"})
    with pytest.raises(TextError, match=r"lr_policy is 'stpe' \(did you mean 'step'\?\)"):
        Solver(text)


def test_products_in_bfloat16_stay_near_those_of_float32(make: Make) -> None:
    exact = make("sgd")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for each in exact.net.learnable:
            each.tensor.normal_(0, 0.3, generator=generator)
    rough = Solver(exact.parameters, dtype=torch.bfloat16)
    rough.net.load_state_dict(exact.net.state_dict())
    start = [each.tensor.detach().clone() for each in exact.net.learnable]
    for solver in (exact, rough):
        solver.step(3)
    pairs = zip(start, exact.net.learnable, rough.net.learnable, strict=True)
    for first, other, mine in pairs:
        assert mine.tensor.dtype == torch.float32
        moved = (other.tensor - first).norm()
        # 8 bits in each of the factors, in three steps
        apart = (mine.tensor - other.tensor).norm()
        assert apart < 0.05 * moved or mine.lr_mult == 0
        assert apart > 0 or mine.lr_mult == 0
