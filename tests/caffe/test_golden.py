"""The six solvers against BVLC Caffe: 50 updates of a small net from equal weights on equal data.

What Caffe gave is made by `python -m tests.golden.make_caffe_solvers`.
"""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from alexnet.caffe.log import LOG, log_to
from alexnet.caffe.solver import Solver
from alexnet.text.upgrade import read_solver
from tests.golden.make_caffe_solvers import CASES, FOLDER, SOLVER, write_inputs

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?")


def a_solver(folder: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> Solver:
    monkeypatch.chdir(folder)
    start = np.load(FOLDER / "start.npz")
    write_inputs(folder, {name: start[name] for name in start.files})
    weights = ' weights: "start.caffemodel.h5"'
    (folder / "solver.prototxt").write_text(SOLVER + CASES[case] + weights)
    return Solver(read_solver(Path("solver.prototxt")))


@pytest.mark.parametrize("case", CASES)
def test_a_solver_follows_the_original(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = np.load(FOLDER / f"{case}.npz")
    log = io.StringIO()
    with log_to(log):
        solver = a_solver(tmp_path, case, monkeypatch)
        LOG.info("Starting Optimization")
        solver.solve()
    blobs = solver.net.blobs()
    for layer in ("conv1", "conv2", "ip1", "ip2"):
        for index, blob in enumerate(blobs[layer]):
            assert_close(blob.detach().numpy(), golden[f"{layer}/{index}"], f"{layer}/{index}")
    for index, history in enumerate(solver.updates.history):
        assert_close(history.numpy(), golden[f"history/{index}"], f"history/{index}")
    assert solver.progress == (50, golden["current_step"].item())
    assert_lines(log.getvalue(), [*golden["log"]][:-1])  # the last line is the program's


def assert_close(ours: np.ndarray, golden: np.ndarray, what: str) -> None:
    """Hold the largest difference to 1e-4 of the largest value, the project's bound."""
    largest = np.abs(golden).max()
    np.testing.assert_allclose(
        ours.reshape(golden.shape), golden, rtol=0, atol=1e-4 * largest, err_msg=what
    )


def assert_lines(log: str, golden: list[str]) -> None:
    """Hold our log to Caffe's lines: equal words, and numbers to six digits printed; not times."""
    ours = [line.split("] ", 1)[-1] for line in log.splitlines()]
    shape = {NUMBER.sub("#", without_times(line)) for line in golden}
    ours = [line for line in ours if NUMBER.sub("#", without_times(line)) in shape]

    assert len(ours) == len(golden)
    for line, expected in zip(map(without_times, ours), map(without_times, golden), strict=True):
        assert NUMBER.sub("#", line) == NUMBER.sub("#", expected)
        numbers = [float(n) for n in NUMBER.findall(line)]
        assert numbers == pytest.approx([float(n) for n in NUMBER.findall(expected)], rel=1e-4)


def without_times(line: str) -> str:
    return re.sub(r"\(\S+ iter/s, \S+s/", "(", line)
