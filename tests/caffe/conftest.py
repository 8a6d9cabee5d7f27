"""A folder with a small net, data for it and weights, where solvers run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alexnet.caffe.solver import Solver
from alexnet.text.upgrade import read_solver
from tests.golden.make_caffe_solvers import CASES, FOLDER, NET, SOLVER, write_inputs

Make = Callable[..., Solver]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder, which the test runs in; its batches hold all 30 pictures."""
    monkeypatch.chdir(tmp_path)
    start = np.load(FOLDER / "start.npz")
    write_inputs(tmp_path, {name: start[name] for name in start.files})
    (tmp_path / "net.prototxt").write_text(NET.replace("batch_size: 8", "batch_size: 30"))
    return tmp_path


@pytest.fixture
def make(folder: Path) -> Make:
    """Return a function that builds the solver of a case with more settings, as text."""

    def build(case: str = "sgd", more: str = "") -> Solver:
        path = folder / "solver.prototxt"
        path.write_text(solver_text(case, more))
        return Solver(read_solver(path))

    return build


def solver_text(case: str, more: str = "") -> str:
    """Return a solver's text; a field that stands in `more` replaces the one before."""
    lines = SOLVER.replace(" snapshot: 25", "\nsnapshot: 25").replace(" display", "\ndisplay")
    words = (lines + CASES[case]).replace(": ", ":").split()
    given = more.replace(": ", ":").split()
    names = {word.partition(":")[0] for word in given}
    return "\n".join([*(w for w in words if w.partition(":")[0] not in names), *given])
