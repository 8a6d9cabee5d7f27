"""Several runs in one folder, each made to its end once, however often it is asked for.

FOLDER/NAME/             a run, as `alexnet.training.setup` has it; its checkpoints go at its end
FOLDER/NAME/result.json  written last: the journal's last validation, and the pictures' fingerprint
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alexnet import store
from alexnet.store import StoreError
from alexnet.training import rollback, setup
from alexnet.training.journal import read_journal
from alexnet.training.lock import hold
from alexnet.training.recipe import Recipe, load

RESULT = "result.json"
FREE = frozenset({"device", "workers", "cache_gib", "checkpoint_minutes", "disk_wait_minutes"})
"""Fields of a recipe that may differ between two sittings: they change how long a run takes."""


@dataclass(frozen=True)
class Result:
    """How a run ended."""

    run: Path
    """Its folder."""
    pictures: int
    """Pictures that it was measured on."""
    epochs: float
    """Epochs made."""
    top1_error: float
    """Share of the pictures whose first answer was wrong."""
    top5_error: float
    """Share of the pictures not named by the first five answers."""


def complete(recipe: Recipe, run: Path, say: Callable[[str], None]) -> Result:
    """Return how a run ended: read it, or go on with the run, or start it.

    Raises: ValueError if the folder holds a run of another recipe, StoreError if its result is
            damaged, and all that training does.
    """
    file, begun = run / RESULT, (run / setup.RECIPE_FILE).is_file()
    if begun:
        _check_same(recipe, run)
    if not file.is_file():
        with hold(run):
            going = setup.resume(run) if begun else setup.start(recipe, run)
            step, total = going.position.step, going.total_steps
            say(f"{run.name}: {'going on at' if begun else 'starting at'} update {step} of {total}")
            if not going.position.finished:
                rollback.train(going)
            kept(file, lambda: _last_validation(run))
            shutil.rmtree(run / "checkpoints", ignore_errors=True)
    return _read(file)


def kept(file: Path, count: Callable[[], dict[str, Any]]) -> Result:
    """Return what a test of a finished run found: `count` finds it once, then the file has it.

    Raises: StoreError if the file is damaged.
    """
    if not file.is_file():
        store.write_atomically(file, json.dumps(count()).encode() + b"\n")
    return _read(file)


def curve(run: Path) -> tuple[tuple[float, float], ...]:
    """Return epochs and top-1 error of each validation of a run so far."""
    lines = read_journal(run / "journal.jsonl")
    tests = [line for line in lines if line["kind"] == "validation"]
    return tuple((float(line["epoch"]), float(line["top1_error"])) for line in tests)


def _last_validation(run: Path) -> dict[str, Any]:
    lines = read_journal(run / "journal.jsonl")
    found = [line for line in lines if line["kind"] == "validation"]
    if not found:
        raise StoreError(f"{run} has lost its journal; remove the folder to run it again")
    return found[-1]


def _check_same(recipe: Recipe, run: Path) -> None:
    given = asdict(recipe) | {"data": str(Path(recipe.data).resolve())}
    there = asdict(load(run / setup.RECIPE_FILE))
    for name, value in there.items():
        if name not in FREE and value != given[name]:
            raise ValueError(
                f"{run} was begun with {name} {value!r}, and now it is {given[name]!r}; give what "
                "it was begun with, or another --out"
            )


def _read(file: Path) -> Result:
    try:
        line = json.loads(file.read_bytes())
        numbers = (line["pictures"], line["epoch"], line["top1_error"], line["top5_error"])
    except (ValueError, KeyError, TypeError):
        raise StoreError(f"{file} is damaged; remove it, and it is made again") from None
    return Result(file.parent, *numbers)
