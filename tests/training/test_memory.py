"""Memory that does not suffice: what is said, and the parts that fit, under a real limit."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from alexnet.parallel.mesh import Mesh, World
from alexnet.parallel.team import Team
from alexnet.training import memory, setup
from alexnet.training.memory import (
    OutOfMemory,
    asked_bytes,
    free_memory,
    is_out_of_memory,
    parts_that_fit,
)
from alexnet.training.recipe import Recipe, load
from tests.conftest import MakePictures

CPU = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 308281344 bytes. Error code 12 (Cannot allocate memory)"
)
GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has ...")
FREE = 40_000_000
LENET = Recipe(net="lenet", batch=1024, picture_size=28, device="cpu", precision="fp32")


@pytest.mark.parametrize(
    ("error", "is_it", "asked"),
    [
        (CPU, True, 308_281_344),
        (GPU, True, 5 * 2**29),
        (MemoryError(), True, None),
        (RuntimeError("std::bad_alloc"), True, None),
        (RuntimeError("could not execute a primitive"), True, None),
        (RuntimeError("shapes differ"), False, None),
        (ValueError("out of memory"), False, None),
    ],
)
def test_errors_of_memory_are_told_from_others(
    error: Exception, is_it: bool, asked: int | None
) -> None:
    assert is_out_of_memory(error) == is_it
    assert asked_bytes(error) == asked


LIMITED = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from alexnet.data.loader import Batch
from alexnet.training import loop, memory, setup
from alexnet.training.recipe import load
from alexnet.training.step import gradients_with
torch.set_num_threads(1)
run = setup.start(load(Path(sys.argv[1])), Path(sys.argv[2]))
indices = torch.arange(1024) % len(run.split.train)
few = next(run.train.epoch(0, seed=None))
loop.update(run, few, 0.01)
batch = Batch(few.pictures[indices % len(few.labels)], indices * 0, indices, 1024)
limit = memory._address_space() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    loop.update(run, batch, 0.01)
except memory.OutOfMemory as error:
    print(error)
    parts = int(str(error).partition("--accumulate ")[2].split()[0])
run.recipe = replace(run.recipe, accumulate=parts)
run.gradients = gradients_with(run.team, run.worker, recipe=run.recipe, optimizer=run.optimizer)
print(float(loop.update(run, batch, 0.01)))
"""


def test_a_batch_that_does_not_fit_is_refused_with_parts_that_do(
    pictures: MakePictures, tmp_path: Path
) -> None:
    data = pictures(per_class=10, size=36)
    recipe = replace(LENET, data=str(data), init="source", lighting=0.0)
    (tmp_path / "recipe.toml").write_text(recipe.to_toml())
    words = [str(tmp_path / "recipe.toml"), str(tmp_path / "run"), str(FREE)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    message, loss = done.stdout.splitlines()
    assert message.startswith(
        "out of memory: an update of a batch of 1024 in 1 part does not fit and asked for "
    )
    found = re.search(r"; --accumulate (\d+) fits \((\d+) at once, .* --batch (\d+); -", message)
    assert found, message
    parts, once, batch = map(int, found.groups())
    assert parts > 1
    assert (once, batch) == (1024 // parts, 1024 // parts)
    assert 0 <= float(loss) < 10


def test_a_batch_is_cut_into_as_many_parts_as_memory_asks_for() -> None:
    assert parts_that_fit(replace(LENET, batch=64), classes=10, free_bytes=10**9) == 1
    parts = parts_that_fit(LENET, classes=10, free_bytes=90_000_000)
    assert parts in (2, 4, 8, 16)


def test_a_net_that_does_not_fit_at_all_is_refused() -> None:
    with pytest.raises(OutOfMemory, match="lenet does not fit into 0 MB with one picture at a tim"):
        parts_that_fit(replace(LENET, batch=1), classes=10, free_bytes=1000)


def test_a_trial_that_fails_otherwise_is_no_answer() -> None:
    with pytest.raises(RuntimeError, match="that tried a batch in 1 parts ended with 1"):
        parts_that_fit(replace(LENET, net="nonet"), classes=10, free_bytes=10**9)


def test_free_memory_is_between_nothing_and_the_machine() -> None:
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < free_memory() < total


def test_a_run_keeps_the_parts_that_fit(
    pictures: MakePictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []

    def fits(recipe: Recipe, *, classes: int, free_bytes: int | None = None) -> int:
        asked.append((recipe.batch, classes))
        return 4

    monkeypatch.setattr("alexnet.training.pictures.parts_that_fit", fits)
    recipe = replace(LENET, data=str(pictures(per_class=10)), batch=8, lighting=0.0)
    run = setup.start(recipe, tmp_path / "run", fits_batch=True)
    assert asked == [(8, 3)]
    assert (run.recipe.batch, run.recipe.accumulate) == (8, 4)
    assert load(tmp_path / "run" / "recipe.toml").accumulate == 4


def refusal_of(error: RuntimeError, recipe: Recipe, x: torch.Tensor | None) -> str:
    """Return what is said of a batch that does not fit, to a net that never has enough."""
    hungry: Any = Hungry()
    labels = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(OutOfMemory) as caught:
        memory.refuse(error, recipe, worker=hungry, x=x, labels=labels, team=Team())
    return str(caught.value)


class Hungry(torch.nn.Module):
    """Never has enough."""

    def heads(self, x: torch.Tensor) -> torch.Tensor:
        raise CPU


def test_pictures_that_do_not_fit_by_themselves_ask_for_a_smaller_batch() -> None:
    assert refusal_of(CPU, LENET, None).startswith(
        "out of memory: an update of a batch of 1024 in 1 part does not fit and asked for 308 MB "
        "more; the pictures alone are too many; try --batch 512; --batch auto looks before"
    )


def test_a_net_that_does_not_fit_with_one_picture_says_so() -> None:
    said = refusal_of(GPU, replace(LENET, batch=4), torch.zeros(4, 1))
    assert "asked for 2,684 MB more; not even one picture at a time fits; --batch" in said


def fail(error: Exception, team: Team) -> None:
    """Fail as an update does."""
    hungry: Any = Hungry()
    labels = torch.zeros(4, dtype=torch.int64)
    try:
        raise error
    except (RuntimeError, ValueError):
        memory.refuse(error, LENET, worker=hungry, x=None, labels=labels, team=team)
        raise


@pytest.mark.parametrize(("processes", "error"), [(1, ValueError("odd sizes")), (2, CPU)])
def test_other_errors_and_those_of_several_processes_are_left_as_they_are(
    processes: int, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught:
        fail(error, Team(Mesh(World(size=processes))))
    assert caught.value is error
