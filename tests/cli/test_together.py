"""`torchrun -m alexnet`: who speaks, what is kept, and a run that is started again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from alexnet import store
from alexnet.training.journal import read_journal
from tests.conftest import MakePictures, tiny_recipe
from tests.parallel import launched

FILE = str(launched.__file__)


@pytest.fixture
def recipe(pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a recipe of six updates and go to its folder."""
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_recipe(pictures(per_class=10)).to_toml())
    monkeypatch.chdir(tmp_path)
    return path


def torchrun(
    *words: str, processes: int = 2, restarts: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command in several processes."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    more = [
        "--max-restarts",
        str(restarts),
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint=localhost:0",
    ]
    return subprocess.run(
        [sys.executable, *launcher, *more, FILE, *words],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def alone(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in one process."""
    return subprocess.run(
        [sys.executable, FILE, *words], capture_output=True, text=True, timeout=200
    )


def test_the_first_process_speaks_and_every_log_is_kept(recipe: Path) -> None:
    done = torchrun("train", "pictures", "--recipe", str(recipe), "--out", "run", "--columns", "2")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(("update", "after"))]
    assert len(said) == 8  # six updates, two validations, by one process
    assert "2 processes: 1 copy of the net, each in 2 columns\n" in done.stderr
    assert done.stdout.count("next: alexnet eval run") == 1
    first, second = (Path("run", "logs", f"rank-{rank}.log").read_text() for rank in (0, 1))
    assert [line for line in first.splitlines() if line.startswith(("update", "after"))] == said
    assert len(re.findall("^update", second, re.MULTILINE)) == 6

    wanted = alone("eval", "run", "pictures", "--views", "10", "--json")
    shared = torchrun("eval", "run", "pictures", "--views", "10", "--json")
    assert shared.returncode == wanted.returncode == 0, shared.stderr
    numbers = re.compile(r'"loss": [0-9.]+')  # a sum of fractions, in another order
    assert numbers.sub("", shared.stdout) == numbers.sub("", wanted.stdout)


def test_torchrun_starts_a_run_again_from_its_last_checkpoint(recipe: Path) -> None:
    words = ["train", "pictures", "--recipe", str(recipe), "--checkpoint-minutes", "1e-9"]
    whole = torchrun(*words, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    lost = torchrun("doom=1,update,4", *words, restarts=1)
    assert lost.returncode == 0, lost.stderr
    assert "torchrun has started the run again, number 1" in lost.stderr
    folder = Path("runs", "pictures-tiny-1")
    assert f"going on with {folder} at update " in lost.stderr
    states = [
        store.read(max((run / "checkpoints").glob("step-*")))[1] for run in (folder, Path("whole"))
    ]
    for group, tensors in states[1].items():
        for name, tensor in tensors.items():
            assert torch.equal(states[0][group][name], tensor), name
    steps = [line["step"] for line in read_journal(folder / "journal.jsonl")]
    assert steps == [line["step"] for line in read_journal(Path("whole", "journal.jsonl"))]
