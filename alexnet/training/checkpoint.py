"""Checkpoints: all that a run needs to go on as if it had never stopped.

`checkpoints/step-00000370/` holds weights and velocities with a digest each (see
`alexnet.store`). Random numbers need no saving: each is drawn from the seed and the step.
"""

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from alexnet import store
from alexnet.model import load_weights
from alexnet.nets.chain import Chain
from alexnet.store import StoreError
from alexnet.training.schedule import Plateau
from alexnet.training.sgd import MomentumSGD

KEPT = 2
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
    finished: bool = False
    """Whether the recipe has ended."""


def save_checkpoint(
    folder: Path,
    position: Position,
    weights: dict[str, Tensor],
    velocities: dict[str, Tensor],
    classes: tuple[str, ...],
) -> None:
    """Write a checkpoint and remove all but the newest two.

    Raises: OSError if the disk refuses; the checkpoints before are then still there.
    """
    target = folder / f"step-{position.step:08d}"
    values = asdict(position) | {"loss_sum": float(position.loss_sum)}
    content = {"kind": "checkpoint", "position": values, "classes": list(classes)}
    groups = {"weights": weights, "velocities": velocities}
    store.write(target, content, groups)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)


def newest_checkpoint(folder: Path) -> Path:
    """Return the newest checkpoint that was written to its end.

    Raises: StoreError if there is none.
    """
    whole = [path for path in folder.glob("step-*") if (path / store.MANIFEST).is_file()]
    if not whole:
        raise StoreError(f"{folder} holds no checkpoint; start the run again without --resume")
    return max(whole)


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
