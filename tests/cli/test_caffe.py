"""`alexnet caffe`: train, test, time, device_query and upgrade, with Caffe's flags and log."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from alexnet.cli import run
from tests.caffe.conftest import solver_text
from tests.golden.make_caffe_solvers import NET, make_data, write_inputs

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a net, its data and a solver, where the test runs."""
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path, make_data())
    quick = "max_iter: 6 snapshot: 3 snapshot_format: BINARYPROTO test_interval: 3"
    (tmp_path / "solver.prototxt").write_text(solver_text("sgd", quick))
    return tmp_path


def caffe(*words: str) -> int:
    return run(["caffe", *words])


def lines(capture: Capture) -> list[str]:
    return [line.split("] ", 1)[-1] for line in capture.readouterr().err.splitlines()]


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_training_takes_flags_with_one_dash_and_with_two(
    dashes: str, capsys: Capture, folder: Path
) -> None:
    words = [f"{dashes}solver", "solver.prototxt", f"{dashes}sigint_effect", "snapshot"]
    assert caffe("train", *words) == 0
    shown = lines(capsys)
    assert shown[-2:] == ["Optimization Done."] * 2
    assert "Iteration 3, Testing net (#0)" in shown
    assert (folder / "snapshot_iter_6.solverstate").is_file()


def test_a_snapshot_is_resumed_and_the_solver_s_weights_are_left_out(capsys: Capture) -> None:
    assert caffe("train", "--solver", "solver.prototxt") == 0
    capsys.readouterr()
    words = ["--solver", "solver.prototxt", "--snapshot", "snapshot_iter_3.solverstate"]
    assert caffe("train", *words) == 0
    shown = lines(capsys)
    assert "Resuming from snapshot_iter_3.solverstate" in shown
    assert not any(line.startswith("Finetuning from") for line in shown)
    assert not any(line.startswith("Iteration 0") for line in shown)
    assert "Iteration 6, Testing net (#0)" in shown


def test_weights_are_finetuned_from(capsys: Capture) -> None:
    words = ["--solver", "solver.prototxt", "--weights", "start.caffemodel.h5"]
    assert caffe("train", *words) == 0
    assert lines(capsys).count("Finetuning from start.caffemodel.h5") == 2  # train and test net


def test_a_snapshot_and_weights_together_are_refused(capsys: Capture) -> None:
    words = ["--snapshot", "a.solverstate", "--weights", "b.caffemodel"]
    assert caffe("train", "--solver", "solver.prototxt", *words) == 2
    assert "--snapshot and --weights are both given" in capsys.readouterr().err


def test_a_solver_that_is_missing_is_named_with_the_nearest(capsys: Capture) -> None:
    assert caffe("train", "--solver", "solvr.prototxt") == 3
    assert "did you mean 'solver.prototxt'?" in capsys.readouterr().err


def test_level_and_stage_reach_the_net(capsys: Capture, folder: Path) -> None:
    only = NET + (
        'layer { name: "extra" type: "Power" bottom: "ip2" top: "extra" '
        'include { phase: TRAIN stage: "deep" min_level: 2 } }'
    )
    (folder / "net.prototxt").write_text(only)
    words = ["--solver", "solver.prototxt", "--stage", "deep,other", "--level", "2"]
    assert caffe("train", *words) == 0
    assert any(re.match(r"    Train net output #0: extra = ", line) for line in lines(capsys))


def test_a_net_is_tested_with_weights(capsys: Capture) -> None:
    words = ["--model", "net.prototxt", "--weights", "start.caffemodel.h5", "--iterations", "3"]
    assert caffe("test", *words) == 0
    shown = lines(capsys)
    # what Caffe says of the first weights on the same three batches
    assert shown[-3:] == ["Loss: 1.7443", "accuracy = 0.2", "loss = 1.7443 (* 1 = 1.7443 loss)"]


def test_a_net_is_timed(capsys: Capture) -> None:
    assert caffe("time", "--model", "net.prototxt", "--iterations", "2", "--phase", "TEST") == 0
    shown = lines(capsys)
    assert any(line.startswith("     conv1\tforward: ") for line in shown)
    assert any(line.startswith("Average Forward-Backward: ") for line in shown)


def test_a_gpu_that_is_not_there_is_an_error_of_the_machine(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert caffe("device_query", "--gpu", "0") == 4
    assert "torch finds no CUDA devices" in capsys.readouterr().err


def test_an_old_net_is_upgraded(capsys: Capture, folder: Path) -> None:
    (folder / "old.prototxt").write_text('layers { name: "r" type: RELU bottom: "x" top: "x" }')
    assert caffe("upgrade", "old.prototxt", "new.prototxt") == 0
    assert "new.prototxt: written" in capsys.readouterr().out
    assert '"ReLU"' in (folder / "new.prototxt").read_text()


@pytest.mark.parametrize(
    ("number", "effect", "code"),
    [(signal.SIGINT, "stopped early", 0), (signal.SIGHUP, "Snapshotting to", 0)],
)
def test_signals_have_caffes_effects_in_a_process(
    number: int, effect: str, code: int, folder: Path
) -> None:
    endless = "max_iter: 1000000 snapshot: 0 display: 1 test_interval: 1000000"
    (folder / "solver.prototxt").write_text(solver_text("sgd", endless))
    program = "import sys; from alexnet.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "caffe", "train", "--solver", "solver.prototxt"]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        waiting = iter(process.stderr.readline, "")
        next(line for line in waiting if "Iteration 1," in line)
        process.send_signal(number)
        found = next(line for line in waiting if effect in line)
        assert effect in found
        if number != signal.SIGINT:  # a snapshot alone does not end the training
            process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == code
    assert list(folder.glob("snapshot_iter_*.solverstate*"))
