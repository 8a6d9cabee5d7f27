"""Everything that is known of a run, gathered from its folder and, if they are there, its pictures.

A run holds recipe.toml, journal.jsonl, data/ (split, statistics, census), checkpoints/ and model/,
whose record has the validation's counts. What is missing is left out, and the account says so; what
is damaged is refused.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alexnet import store
from alexnet.data.door import among, open_all, open_split
from alexnet.data.folder import CONTENT_RULE, DataError, Split
from alexnet.data.pictures import Pictures
from alexnet.device import choose_dtype
from alexnet.evaluation.metrics import Counts
from alexnet.inspection.account import Account, FirstKernels, Ledger, Measured, Wrong
from alexnet.inspection.answered import answer, spread
from alexnet.inspection.kernels import first_kernels
from alexnet.inspection.panels import in_rgb
from alexnet.inspection.rerun import commands_of, compare_recipe, digest_of, how_repeatable
from alexnet.model import Model, model_folder, open_model
from alexnet.nearest import nearest_beside
from alexnet.predict import packed
from alexnet.store import StoreError
from alexnet.training.checkpoint import newest_checkpoint
from alexnet.training.journal import read_journal
from alexnet.training.pictures import GROUPS, fingerprint_of
from alexnet.training.recipe import Recipe, load

RECIPE_FILE, JOURNAL_FILE = "recipe.toml", "journal.jsonl"


@dataclass(frozen=True)
class Wanted:
    """What is asked of a report."""

    data: Path | None = None
    """Pictures to test on; without them those that the run was trained with, if still there."""
    pictures: int = 1000
    """The most pictures to answer, spread evenly over the data; 0 answers all."""
    mistakes: int = 12
    """The most mistakes to show."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where the net runs."""
    answers: bool = True
    """Whether pictures are answered at all; else the errors are those that the run recorded."""


@dataclass
class _Found:
    """What is read of a run before anything is said of it."""

    folder: Path
    recipe: Recipe
    journal: list[dict[str, Any]]
    model: Model | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    """The record of the model: its update, and the counts of its validation."""
    record: dict[str, Any] = field(default_factory=dict)
    """What data/ says."""
    groups: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    position: dict[str, Any] = field(default_factory=dict)
    """Where the newest checkpoint stands."""
    left_out: list[str] = field(default_factory=list)


@dataclass
class _Tested:
    """What the pictures gave."""

    measured: tuple[Measured, ...] = ()
    wrong: tuple[Wrong, ...] = ()
    bad: dict[str, str] = field(default_factory=dict)
    same: str = "not looked at: they are not there"
    """Whether the pictures there now are those of the run."""


def gather(
    folder: Path, wanted: Wanted | None = None, *, environment: tuple[tuple[str, str], ...] = ()
) -> Account:
    """Return all that is known of a run, and what its model answers to pictures.

    Raises: StoreError if there is no run, or any of it is damaged; ValueError for a recipe that is
            refused; DataError if the pictures that were asked for cannot be tested on.
    """
    wanted = wanted or Wanted()
    found = _read(folder, wanted.device)
    tested = _test(found, wanted)
    name, settings = compare_recipe(found.recipe)
    measured = tested.measured
    if found.model is not None and not measured:
        found.left_out.append("errors: the model's record has none, and there are no pictures")
    return Account(
        name=folder.resolve().name,
        folder=str(folder),
        state=_state(found),
        facts=_facts(found),
        net=found.recipe.net if found.model is None else found.model.name,
        data=found.recipe.data,
        classes=() if found.model is None else found.model.classes,
        recipe_name=name,
        settings=settings,
        journal=found.journal,
        measured=measured,
        wrong=tested.wrong,
        kernels=_kernels(found),
        ledger=_ledger(found, tested),
        environment=environment,
        commands=commands_of(
            folder, found.recipe, name, finished=found.position.get("finished") is True
        ),
        repeats=how_repeatable(found.recipe, found.journal),
        left_out=tuple(found.left_out),
    )


def _read(folder: Path, device: torch.device) -> _Found:
    """Read what a run's folder holds.

    Raises: StoreError if it is no run, or damaged.
    """
    if not (folder / RECIPE_FILE).is_file():
        if not folder.exists():
            raise StoreError(f"{folder} does not exist{nearest_beside(folder)}")
        above = folder.resolve().parent
        place = above if (above / RECIPE_FILE).is_file() else "the folder of a run"
        raise StoreError(f"{folder} is not a run: it has no {RECIPE_FILE}; give {place}")
    found = _Found(folder, load(folder / RECIPE_FILE), read_journal(folder / JOURNAL_FILE))
    if (folder / "model" / store.MANIFEST).is_file():
        found.model = open_model(folder, device=device)
        found.kept = store.read_manifest(model_folder(folder)).get("record", {})
    else:
        found.left_out.append(
            "errors, confusion, mistakes and kernels: the run has no model yet; it is written "
            "after the first validation"
        )
    if (folder / "data" / store.MANIFEST).is_file():
        found.record, found.groups = store.read(folder / "data")
    else:
        found.left_out.append("split and statistics of the data: the run has no data/ yet")
    checkpoints = folder / "checkpoints"
    if any(checkpoints.glob(f"step-*/{store.MANIFEST}")):
        try:
            newest = newest_checkpoint(checkpoints)
            found.position = store.read_manifest(newest).get("position", {})
        except StoreError as error:
            found.left_out.append(f"how far the run is: {error}")
    if not any(line["kind"] == "train" for line in found.journal):
        found.left_out.append("learning curves: the journal tells of no update yet")
    return found


# ---- What the run is ----------------------------------------------------------------------------


def _state(found: _Found) -> str:
    """Say how far the run is."""
    lines = [line for line in found.journal if line["kind"] in ("train", "validation")]
    step = max([line["step"] for line in lines] + [found.position.get("step", 0)])
    if not step:
        return "The run has begun; no update is written down yet."
    epochs = max((line["epoch"] for line in lines if _is_number(line.get("epoch"))), default=None)
    passed = "" if epochs is None else f", {epochs:g} of at most {found.recipe.epochs} epochs"
    seconds = found.position.get("seconds")
    took = f", {_duration(float(seconds))} of training" if seconds is not None else ""
    done = f"{step:,} updates{passed}{took}."
    if not found.position:
        return f"So far the journal tells of {done} There is no checkpoint that says more."
    if found.position.get("finished"):
        return f"The run has finished: {done}"
    saved = f"The newest checkpoint is of update {found.position.get('step', 0):,}."
    return f"The run is unfinished: {done} {saved}"


def _facts(found: _Found) -> tuple[tuple[str, str], ...]:
    model, recipe = found.model, found.recipe
    facts = [("net", recipe.net if model is None else model.name)]
    if model is not None:
        preprocessing, count = model.preprocessing, sum(p.numel() for p in model.net.parameters())
        colour = "gray" if preprocessing.colours == "grey" else "colour"
        side, whole = preprocessing.crop_size, preprocessing.picture_size
        size = f"{side} x {side} pixels, {colour}, of {whole} x {whole}"
        facts += [
            ("parameters", f"{count:,}"),
            ("input", size),
            ("classes", f"{len(model.classes):,}"),
        ]
        if "step" in found.kept:
            which = "the lowest validation error" if recipe.keep_model == "best" else "the end"
            facts.append(("model kept", f"at update {found.kept['step']:,}, {which}"))
    facts.append(("optimizer", f"{recipe.optimizer}, batch {recipe.batch}, {recipe.schedule}"))
    return tuple(facts)


def _kernels(found: _Found) -> FirstKernels | None:
    if found.model is None:
        return None
    try:
        layer, kernels, columns = first_kernels(found.model.net)
    except ValueError as error:
        found.left_out.append(f"kernels: {error}")
        return None
    return FirstKernels(layer, in_rgb(kernels, found.model.preprocessing), columns)


def _ledger(found: _Found, tested: _Tested) -> Ledger:
    lines = [line for line in found.journal if line["kind"] in ("statistics", "epoch")]
    bad: dict[str, str] = {}
    for line in found.journal:
        if isinstance(line.get("files"), dict):
            bad |= {str(path): str(reason) for path, reason in line["files"].items()}
    if not lines and found.journal:
        found.left_out.append("pictures by epoch: the version that made the run wrote none")
    changes = [
        f"from update {line['step']:,} on: {line.get('changes', '')}"
        for line in found.journal
        if line["kind"] == "data"
    ]
    return Ledger(tuple(lines), bad | tested.bad, tuple(changes), _data_facts(found, tested))


def _data_facts(found: _Found, tested: _Tested) -> tuple[tuple[str, str], ...]:
    facts = [("folder", found.recipe.data or "not named")]
    if "rule" in found.record:
        facts.append(("split", str(found.record["rule"])))
    for name, words in zip(GROUPS, ("to train on", "to validate with"), strict=True):
        if name in found.groups:
            labels = Counter(found.groups[name]["labels"].tolist())
            least, most = min(labels.values()), max(labels.values())
            each = (
                f"{least:,} to {most:,} of a class" if least < most else f"{most:,} of each class"
            )
            facts.append((words, f"{sum(labels.values()):,} pictures, {each}"))
    statistics = found.groups.get("statistics", {})
    for name, words in (("mean_value", "mean colour"), ("deviations", "principal deviations")):
        if name in statistics:
            values = ", ".join(f"{value:.1f}" for value in statistics[name].tolist())
            facts.append((words, f"{values} of 255"))
    if "fingerprint" in found.record:
        facts.append(("fingerprint of names", str(found.record["fingerprint"])))
        facts.append(("the names there now", tested.same))
    facts.append(("recipe.toml, SHA-256", digest_of(found.folder / RECIPE_FILE, found.record)))
    return tuple(facts)


# ---- What the pictures say ----------------------------------------------------------------------


def _test(found: _Found, wanted: Wanted) -> _Tested:
    """Take the recorded errors, and answer pictures if there are some."""
    tested, model = _Tested(), found.model
    own = None if model is None else _recorded(model, found)
    try:
        opened = _open(found, wanted.data) if wanted.answers else None
    except DataError as error:
        if wanted.data is not None:
            raise
        found.left_out.append(f"mistakes: {error}")
        opened = None
    if opened is None or model is None:
        tested.measured = () if own is None else (own,)
        return tested
    pictures, where, tested.same = opened
    some = spread(pictures, wanted.pictures)
    dtype = choose_dtype("auto", wanted.device)
    net = packed(model, dtype, "same")
    answered = answer(model, some, mistakes=wanted.mistakes, net=net, dtype=dtype)
    of = "" if len(some) == len(pictures) else f", {len(some):,} spread evenly over them"
    now = Measured(answered.counts, f"{where}{of}, answered for this report")
    tested.wrong, tested.bad = tuple(answered.wrong), answered.bad
    if own is None:
        tested.measured = (now,)
    elif wanted.data is not None and not _is_own(found, wanted.data):
        tested.measured = (now, own)
    elif torch.equal(own.counts.confusion, now.counts.confusion):  # nothing else is said by it
        tested.measured = (own,)
    else:
        tested.measured = (own, now)
    return tested


def _recorded(model: Model, found: _Found) -> Measured | None:
    """Return the validation's counts that were written with the model."""
    values = found.kept.get("validation")
    if not isinstance(values, dict) or "confusion" not in values:
        return None
    counts = Counts(model.classes)
    counts.confusion += torch.tensor(values["confusion"], dtype=torch.int64)
    seen = [values["per_class"][name]["pictures"] for name in model.classes]
    counts.unanswered += torch.tensor(seen) - counts.confusion.sum(1)
    counts.top5_errors = int(values["top5_errors"])
    if not counts.seen:
        return None
    loss = values.get("loss")
    counts.loss_sum = (math.nan if loss is None else float(loss)) * counts.seen
    step = found.kept.get("step", 0)
    return Measured(counts, f"validation pictures of {found.recipe.data}, at update {step:,}")


def _open(found: _Found, data: Path | None) -> tuple[Pictures, str, str] | None:
    """Return the pictures to test on, which they are, and whether their names are the run's.

    Raises: DataError if they cannot be opened, or have a class that the model lacks.
    """
    if found.model is None:
        return None
    place = data or Path(found.recipe.data)
    if data is None and not (found.recipe.data and place.exists()):
        found.left_out.append(
            f"mistakes: the pictures, {found.recipe.data or 'not named'}, are not there; give "
            "them: alexnet report RUN DATA"
        )
        return None
    split = open_split(place, fraction=found.recipe.validation_share)
    is_own, classes = _is_own(found, place), found.model.classes
    held_out = split.rule == CONTENT_RULE.format(found.recipe.validation_share)
    if held_out and not is_own:
        return open_all(place, classes=classes), f"all pictures of {place}", _OTHERS
    same = _compare_names(split, found) if is_own else _OTHERS
    tested = among(split.validation, classes, place=str(place))
    return tested, f"validation pictures of {place}", same


_OTHERS = "not looked at: other pictures were given"


def _compare_names(split: Split[Pictures], found: _Found) -> str:
    known = found.record.get("fingerprint")
    if known is None:
        return "not known: the run wrote none down"
    return "the same" if fingerprint_of(split) == known else "others than when the run began"


def _is_own(found: _Found, data: Path) -> bool:
    return bool(found.recipe.data) and data.resolve() == Path(found.recipe.data).resolve()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
