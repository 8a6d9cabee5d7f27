"""From a recipe to a run that is ready to train, new or resumed.

runs/NAME/recipe.toml     the recipe
runs/NAME/net.prototxt   the net, where it is not one of ours by name
runs/NAME/journal.jsonl   what happened, line by line
runs/NAME/data/           the classes, the split and the statistics of the training set
runs/NAME/checkpoints/    what `--resume` goes on from
runs/NAME/model/          the trained model: what `eval` and `predict` open
"""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet import store
from alexnet.convolution.swap import Swapped, check_algorithm, swap
from alexnet.data import statistics as data_statistics
from alexnet.data.augment import Preprocessing
from alexnet.data.folder import Split
from alexnet.data.loader import Loader, Share, derive_seed
from alexnet.data.pictures import Pictures
from alexnet.data.statistics import Statistics
from alexnet.device import choose_device, choose_dtype
from alexnet.model import SUFFIX, Model, architecture, create
from alexnet.nets.chain import Chain
from alexnet.parallel.team import Team
from alexnet.store import StoreError
from alexnet.training import ledger
from alexnet.training.checkpoint import Position, agreed_checkpoint, load_checkpoint
from alexnet.training.fitting import check_layout, check_parts, crop_size
from alexnet.training.guards import Patience, check_room
from alexnet.training.initialise import normalise_outputs, not_normalisable
from alexnet.training.journal import Journal
from alexnet.training.lars import Lars
from alexnet.training.lock import LOCK
from alexnet.training.look import look
from alexnet.training.pictures import (
    Data,
    as_it_began,
    fingerprint_of,
    fit_parts,
    open_data,
    stored,
    take_census,
)
from alexnet.training.recipe import Recipe, load
from alexnet.training.sgd import MomentumSGD
from alexnet.training.step import Gradients, at_work, gradients_with

NET_FILE, RECIPE_FILE = f"net{SUFFIX}", "recipe.toml"
NORMALISED_ON = 128
"""Pictures on which `init = "normalised"` measures means and deviations."""


@dataclass
class Run:
    """All that the loop needs."""

    folder: Path
    recipe: Recipe
    split: Split[Pictures]
    train: Loader
    validation: Loader
    model: Model
    worker: Chain
    """What computes: the model's net, or its copy in bfloat16."""
    gradients: Gradients
    """What adds its gradients."""
    optimizer: MomentumSGD
    position: Position
    journal: Journal
    device: torch.device
    dtype: torch.dtype
    team: Team
    """Those who train together; of the model's net and of the pictures each has its part."""
    patience: Patience
    """What it does where the disk has no room."""
    identity: str = ""
    """What tells its checkpoints from those of other runs."""
    notes: list[str] = field(default_factory=list)
    """What was odd about the checkpoints that it goes on from, for the user."""
    swapped: tuple[Swapped, ...] = ()
    """The convolutions, where the recipe asks for another arithmetic than torch's."""

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the training pictures."""
        return -(-len(self.split.train) // self.recipe.batch)

    @property
    def total_steps(self) -> int:
        """Updates of the whole run."""
        whole = self.recipe.epochs * self.steps_per_epoch
        return min(self.recipe.steps or whole, whole)

    @property
    def progress(self) -> float:
        """Share of the run that is done: of its updates, or of its minutes if that is more."""
        done = self.position.step / self.total_steps
        if self.recipe.minutes:
            done = max(done, self.position.seconds / (60 * self.recipe.minutes))
        return min(done, 1.0)


def start(
    recipe: Recipe, folder: Path, team: Team | None = None, *, fits_batch: bool = False
) -> Run:
    """Set up a new run: list and split the data, compute statistics, draw the weights.

    With `fits_batch` the batch is cut into as many parts as the memory here asks for.

    A folder that torchrun's restart finds, without a checkpoint, is begun anew.

    Raises: DataError if the data cannot be trained on, ValueError for a recipe that does not fit,
            OSError if the folder cannot be written.
    """
    team = team or Team()
    again = team.mesh.world.restarts > 0
    if team.leads and not again and _is_in_use(folder):
        raise ValueError(
            f"run folder {folder} is not empty; go on with --resume {folder}, "
            "or choose another --out"
        )
    recipe = replace(recipe, data=str(Path(recipe.data).resolve()))
    return _begin(recipe, folder, team, named=recipe.net, fits_batch=fits_batch)


def _is_in_use(folder: Path) -> bool:
    """Return whether there is more in a folder than a start leaves that was cut off."""
    found = {path.name.removesuffix(".tmp") for path in folder.glob("*")}
    is_run = (folder / RECIPE_FILE).exists()
    return is_run or not found <= {"data", NET_FILE, RECIPE_FILE, LOCK}


def _begin(
    recipe: Recipe, folder: Path, team: Team, *, named: str, fits_batch: bool = False
) -> Run:
    """Set up a run at update 0; `named` is the recipe's net, which may be the run's own file."""
    architecture(recipe.net).check_input(crop_size(recipe))
    check_algorithm(recipe.convolution, choose_device(recipe.device))
    check_layout(recipe, team)
    data = open_data(recipe, team)
    if fits_batch:
        recipe = replace(recipe, accumulate=fit_parts(recipe, data, team))
    check_parts(recipe, len(data.split.train))
    censuses = take_census(data, team)
    store.make_folder(folder)
    pictures = (batch.pictures for batch in data.train.epoch(0, seed=None))
    statistics = data_statistics.compute(pictures, add_up=team.add_up)
    team.merge_bad(data.train)
    run = _assemble(recipe, folder, data, statistics, team)
    # Nothing is written before all is checked: after an error the same --out serves again.
    if team.leads:
        fingerprint = fingerprint_of(data.split)
        text = replace(recipe, net=named).to_toml().encode()
        run.identity = hashlib.sha256(fingerprint.encode() + text).hexdigest()
        record = {"kind": "data", "rule": data.split.rule, "fingerprint": fingerprint}
        record |= {"run": run.identity, "recipe": hashlib.sha256(text).hexdigest()}
        groups = {"statistics": statistics.tensors(), **stored(censuses)}
        store.write(folder / "data", record, groups)
        if run.model.text:  # the run keeps its own: the file may change or go
            store.write_atomically(folder / NET_FILE, run.model.text.encode())
        store.write_atomically(folder / RECIPE_FILE, text)
    run.model.name = named
    run.journal.take_back(after_step=-1)
    listed = len(data.split.train)
    ledger.begin(run.position, run.journal, listed=listed, bad=data.train.bad)
    return run


def resume(folder: Path, team: Team | None = None, *, accept_changed_data: bool = False) -> Run:
    """Set up a run where its newest good checkpoint left it, in whatever layout.

    A run that was cut off before its first checkpoint begins anew. With `accept_changed_data` it
    goes on with other pictures than it began with; the journal says so.

    Raises: StoreError if no checkpoint is good, the statistics are damaged, or the data are not
            those of the run.
    """
    team = team or Team()
    if not (folder / RECIPE_FILE).is_file():
        raise StoreError(f"{folder} is not a run: it has no recipe.toml; give the folder of a run")
    recipe = load(folder / RECIPE_FILE)
    named = recipe.net
    if (folder / NET_FILE).is_file():
        recipe = replace(recipe, net=str(folder / NET_FILE))
    record, groups = store.read(folder / "data")
    identity = record.get("run", "")
    checkpoint, reasons = agreed_checkpoint(folder / "checkpoints", team, run=identity)
    if checkpoint is None:
        run = _begin(recipe, folder, team, named=named)
        run.notes.append("the run has no checkpoint yet; it begins anew")
        return run
    check_layout(recipe, team)
    data = open_data(recipe, team)
    run = _assemble(recipe, folder, data, Statistics(**groups["statistics"]), team, fresh=False)
    run.model.name, run.identity = named, identity
    run.position = load_checkpoint(
        checkpoint, run.model.net, run.optimizer, run.model.classes, team.own
    )
    run.notes += [f"passed over: {reason}" for reason in reasons]
    if record.get("recipe") not in (None, _digest_of_file(folder / RECIPE_FILE)):
        run.notes.append(f"{folder / RECIPE_FILE} is not what it was when the run began")
    if not team.leads:  # one process has counted the losses before for all
        run.position.loss_sum = 0.0
    position = run.position
    known = position.bad | position.refused
    data, changes = as_it_began(data, groups, known=known, team=team)
    if changes and not accept_changed_data:
        raise StoreError(
            f"the pictures in {recipe.data} are not those that the run began with: {changes}; put "
            "them back, start a new run, or go on with what is there with --accept-changed-data"
        )
    run.split, run.train, run.validation = data.split, data.train, data.validation
    odd = run.journal.take_back(after_step=position.step, after_line=position.journal_lines)
    run.notes += [odd] if odd else []
    if changes:
        _accept(run, data, changes, record=record, groups=groups)
    else:
        run.train.bad.update(known)
    return run


def _accept(
    run: Run,
    data: Data,
    changes: str,
    *,
    record: dict[str, Any],
    groups: dict[str, dict[str, Tensor]],
) -> None:
    """Let the run go on with other pictures than it began with, and write it down.

    The epoch begins anew, for its order was that of the pictures before.
    """
    position = run.position
    position.index, position.used, position.skipped = 0, 0, 0
    position.bad, position.refused = {}, {}
    run.journal.write("data", position.step, changes=changes)
    censuses = take_census(data, run.team)
    accepted = [*record.get("accepted", []), {"step": position.step, "changes": changes}]
    if run.team.leads:
        statistics = {"statistics": groups["statistics"]}
        content = record | {"accepted": accepted}
        store.write(run.folder / "data", content, statistics | stored(censuses))
    run.notes.append(f"the pictures are not those that the run began with: {changes}")


def _digest_of_file(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _assemble(
    recipe: Recipe,
    folder: Path,
    data: Data,
    statistics: Statistics,
    team: Team,
    *,
    fresh: bool = True,
) -> Run:
    device = _device(recipe, team)
    preprocessing = Preprocessing(
        statistics,
        recipe.picture_size,
        crop_size(recipe),
        recipe.subtract,
        recipe.divide_by,
        "grey" if architecture(recipe.net).channels == 1 else "rgb",
    )
    seed = derive_seed(recipe.seed, "weights")
    model = create(recipe.net, data.split.train.classes, preprocessing, seed=seed)
    if recipe.init == "normalised" and (reason := not_normalisable(model.net)):
        raise ValueError(reason)
    model.net.to(device)
    dtype = choose_dtype(recipe.precision, device)
    if fresh and recipe.init == "normalised" and team.leads:
        first = _first_look(recipe, data.train, preprocessing, device, dtype)
        normalise_outputs(model.net, first.to(next(model.net.parameters()).dtype))
    team.same_weights(model.net)
    model.net = team.spread(model.net)
    check_algorithm(recipe.convolution, device)
    swapped = swap(model.net, recipe.convolution) if recipe.convolution != "native" else ()
    worker = at_work(model.net, dtype)
    optimizer = _optimizer(recipe, model.net, worker, team)
    patience = Patience(folder, recipe.disk_wait_minutes)
    if team.leads:
        check_room(folder, 8 * sum(p.numel() for p in model.net.parameters()))
    return Run(
        folder=folder,
        recipe=recipe,
        split=data.split,
        train=data.train,
        validation=data.validation,
        model=model,
        worker=worker,
        gradients=gradients_with(team, worker, recipe=recipe, optimizer=optimizer),
        optimizer=optimizer,
        position=Position(),
        journal=Journal(folder / "journal.jsonl" if team.leads else None, patience),
        patience=patience,
        device=device,
        dtype=dtype,
        team=team,
        swapped=swapped,
    )


def _optimizer(recipe: Recipe, net: Chain, worker: Chain, team: Team) -> MomentumSGD:
    """Return what updates this process's part of the net."""
    optimizer = MomentumSGD(
        net,
        worker=worker,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        bias_factors=(recipe.bias_lr, recipe.bias_decay),
        layer_factors=recipe.layer_lr,
    )
    if recipe.optimizer == "lars":
        optimizer.lars = Lars(recipe.trust, cut=team.cut, total=team.total_over_parts)
    return optimizer


def _device(recipe: Recipe, team: Team) -> torch.device:
    """Return the device of this process: its own GPU, where several share a machine."""
    return choose_device(recipe.device) if team.size == 1 else team.mesh.device


def _first_look(
    recipe: Recipe,
    loader: Loader,
    preprocessing: Preprocessing,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Return the first `NORMALISED_ON` pictures of a run, or a few more, as the net sees them."""
    looks: list[Tensor] = []
    whole = loader if loader.share.parts == 1 else replace(loader, share=Share())
    for batch in whole.epoch(0, seed=recipe.seed):
        x = look(batch, preprocessing, recipe=recipe, step=0, device=device, dtype=dtype)
        looks.append(x)
        if sum(map(len, looks)) >= NORMALISED_ON:
            break
    return torch.cat(looks)
