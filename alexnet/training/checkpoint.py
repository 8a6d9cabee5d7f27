"""Checkpoints: all that a run needs to go on as if it had never stopped.

`checkpoints/step-00000370/` holds weights and velocities with a digest each (see
`alexnet.store`). Random numbers need no saving: each is drawn from the seed and the step.

Of the checkpoints two stay, each read back from the disk before anything older is removed.
"""

import errno
import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from alexnet import store
from alexnet.model import load_weights
from alexnet.nets.chain import Chain
from alexnet.parallel.team import Team
from alexnet.store import StoreError
from alexnet.training.schedule import Plateau
from alexnet.training.sgd import MomentumSGD

KEPT = 2
NAME = re.compile("step-[0-9]+")
Own = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@dataclass
class Position:
    """Where a run stands."""

    step: int = 0
    """Updates done."""
    epoch: int = 0
    """Epochs finished."""
    index: int = 0
    """Pictures of the running epoch's order that are done with."""
    seconds: float = 0.0
    """Time spent on updates and on waiting for data."""
    plateau: Plateau = field(default_factory=Plateau)
    loss_sum: float | Tensor = 0.0
    """Sum of the losses since the last report; a tensor where reading it would wait for a GPU."""
    loss_steps: int = 0
    """Updates since the last report."""
    journal_lines: int = -1
    """Lines that the journal had when this was saved; -1 in the checkpoints of old."""
    halvings: int = 0
    """Times that the rate was halved because the loss had run away."""
    finished: bool = False
    """Whether the recipe has ended."""
    used: int = 0
    """Pictures of the running epoch that were trained on."""
    skipped: int = 0
    """Pictures of the running epoch that were known to be bad, and not read again."""
    refused: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of the pictures that turned out bad in the running epoch."""
    bad: dict[str, str] = field(default_factory=dict)
    """Path -> reason, of those that did before."""


def save_checkpoint(
    folder: Path,
    position: Position,
    weights: dict[str, Tensor],
    velocities: dict[str, Tensor],
    classes: tuple[str, ...],
    *,
    run: str = "",
) -> None:
    """Write a checkpoint and remove all but it and the newest good one before it.

    `run` tells the checkpoints of one run from those of others.

    Raises: OSError if the disk refuses; the checkpoints before are then still there.
    """
    target = folder / f"step-{position.step:08d}"
    values = asdict(position) | {"loss_sum": float(position.loss_sum)}
    content = {"kind": "checkpoint", "run": run, "position": values, "classes": list(classes)}
    groups = {"weights": weights, "velocities": velocities}
    store.write(target, content, groups)
    kept = 1
    for path in _newest_first(folder):
        is_older = _step(path) < position.step
        if is_older and kept < KEPT and not what_is_wrong(path, run=run):
            kept += 1
        elif path != target:
            _remove(path)


def newest_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint that was written to its end, good or damaged.

    Raises: StoreError if there is none.
    """
    whole = [path for path in _newest_first(folder) if (path / store.MANIFEST).is_file()]
    if not whole:
        raise StoreError(f"{folder} holds no checkpoint; start the run again without --resume")
    return whole[0]


def newest_good_checkpoint(folder: Path, *, run: str = "") -> tuple[Path, list[str]]:
    """Return the newest checkpoint of which every byte is good, and what is wrong with newer ones.

    Raises: StoreError if there is none, saying what is wrong with each.
    """
    newest_checkpoint(folder)
    reasons: list[str] = []
    for path in _newest_first(folder):
        reason = what_is_wrong(path, run=run)
        if not reason:
            return path, reasons
        reasons.append(reason)
    raise StoreError(
        f"{folder} holds no checkpoint that is whole: {'; '.join(reasons)}; "
        "put back a copy of one, or start the run again without --resume"
    )


def agreed_checkpoint(folder: Path, team: Team, *, run: str) -> tuple[Path | None, list[str]]:
    """Return what `newest_good_checkpoint` does, as the process that leads finds it.

    None where no checkpoint was ever written to its end: the run has not come so far.

    Raises: StoreError in all processes if there are checkpoints, but no good one.
    """
    said: dict[str, Any] = {"path": "", "reasons": [], "error": ""}
    if team.leads and any(folder.glob(f"step-*/{store.MANIFEST}")):
        try:
            path, said["reasons"] = newest_good_checkpoint(folder, run=run)
            said["path"] = path.name
        except StoreError as error:
            said["error"] = str(error)
    said = json.loads(team.hear(json.dumps(said))[0])
    if said["error"]:
        raise StoreError(said["error"])
    return folder / said["path"] if said["path"] else None, said["reasons"]


def what_is_wrong(path: Path, *, run: str = "") -> str:
    """Return why a run cannot go on from a checkpoint, or "" if it can; every byte is read."""
    if not (path / store.MANIFEST).exists():
        return f"{path} was not written to its end"
    try:
        content, _ = store.read(path)
    except StoreError as error:
        return str(error)
    except OSError as error:
        if error.errno != errno.EIO:  # which is not the checkpoint's fault
            raise
        return f"{path} cannot be read: {error.strerror}"
    if content.get("kind") != "checkpoint":
        return f"{path} is damaged: it holds a {content.get('kind')}, not a checkpoint"
    if run and content.get("run", run) != run:  # the checkpoints of old name none
        return f"{path} belongs to another run"
    if content["position"]["step"] != _step(path):
        return f"{path} is of update {content['position']['step']}, not of the one in its name"
    return ""


def load_checkpoint(
    path: Path, net: Chain, optimizer: MomentumSGD, classes: tuple[str, ...], own: Own = dict
) -> Position:
    """Give net and optimizer the state of a checkpoint and return its position.

    `own` takes this process's parts of tensors by name; alone it takes all.

    Raises: StoreError if any byte is damaged, or the classes are not those of the data.
    """
    content, groups = store.read(path)
    _check_classes(path, tuple(content["classes"]), classes)
    load_weights(net, own(groups["weights"]), path)
    optimizer.load_velocities(own(groups["velocities"]))
    optimizer.refresh()
    values: dict[str, Any] = content["position"]
    return Position(**{**values, "plateau": Plateau(**values["plateau"])})


def _check_classes(path: Path, saved: tuple[str, ...], given: tuple[str, ...]) -> None:
    if saved == given:
        return
    lost, extra = sorted(set(saved) - set(given)), sorted(set(given) - set(saved))
    raise StoreError(
        f"{path} was trained on {len(saved)} classes and the data have {len(given)}: "
        f"missing {lost[:5]}, new {extra[:5]}; give the data of the run, or start a new one"
    )


def _newest_first(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _remove(path: Path) -> None:
    """Remove a checkpoint, the manifest first: what is left of it is none."""
    with suppress(OSError):  # the next save tries again
        (path / store.MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
