"""`alexnet localize`: classification with localization, the task 2 of ILSVRC."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import Parameter

from alexnet.cli.options import Json, Views
from alexnet.cli.tables import note, print_json, print_table
from alexnet.cli.tested import check_complete, ilsvrc_ids

if TYPE_CHECKING:
    from alexnet.evaluation.localization_rule import LocalizationCounts

Device = Literal["auto", "cpu", "cuda"]
HEAD = "boxes"
"""The folder of the boxes in that of the run."""


@Parameter(name="*")
@dataclass(frozen=True)
class Choices:
    """How boxes are trained."""

    epochs: int = 20
    """Times that all pictures are seen."""
    batch: int = 64
    """Pictures of an update."""
    lr: float = 0.02
    """Learning rate; it falls to nothing in a straight line."""
    hidden: tuple[int, int] = (4096, 1024)
    """Units of the two hidden layers; fewer for few pictures."""
    seed: int = 0
    """Of weights, windows and order."""


@Parameter(name="*")
@dataclass(frozen=True)
class Judging:
    """How boxes are judged, and what is written."""

    views: Views = 1
    submission: Path | None = None
    """File to write as ILSVRC took it: five times a class and a box in a line; needs classes.json
    with the pictures."""
    as_json: Json = False


def train(
    run: Path,
    data: Path,
    *,
    out: Path | None = None,
    choices: Choices = Choices(),
    device: Device = "auto",
) -> int:
    """Train a box for each class on the last maps of a trained net, which stays as it is.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Pictures with boxes: a data set with boxes.jsonl.gz as alexnet data imagenet writes it,
        class folders with VOC's XML beside each picture, or JPEGImages and Annotations.
    out
        Folder to write; RUN/boxes if not given.
    device
        Where the net runs.
    """
    from alexnet.data.boxed import open_boxed, relabel
    from alexnet.device import choose_device
    from alexnet.evaluation.localization import locate
    from alexnet.model import open_model
    from alexnet.training.boxes import BoxRecipe, check_target, localizer, save_head, train_head

    recipe = BoxRecipe(
        epochs=choices.epochs,
        batch=choices.batch,
        lr=choices.lr,
        hidden=choices.hidden,
        seed=choices.seed,
    )
    model = open_model(run, device=choose_device(device))
    parts = [relabel(each, model.classes, place=str(data)) for each in open_boxed(data)]
    target = out or run / HEAD
    check_target(target)
    for part, name in zip(parts, ("train on", "validate with"), strict=True):
        note(f"{len(part.pictures):,} pictures with boxes to {name}; {part.without:,} have none")
        for text in part.notes:
            note(f"  {text}")
    trained = train_head(
        model,
        parts[0],
        recipe,
        report=lambda epoch, loss: note(f"epoch {epoch} of {recipe.epochs}: loss {loss:.4f}"),
    )
    found = locate(localizer(model, trained.head), parts[1])
    record = {"data": str(data), "losses": trained.losses, "validation": found.counts.to_json()}
    save_head(trained.head, target, model=model, recipe=recipe, record=record)
    _name_bad(trained.bad | found.bad)
    _print_counts(found.counts)
    place = f" --boxes {out}" if out else ""
    print(f"\nwritten to {target}\nnext: alexnet localize eval {run} {data}{place} --views 10")
    return 0


def evaluate(
    run: Path,
    data: Path,
    *,
    boxes: Path | None = None,
    judging: Judging = Judging(),
    device: Device = "auto",
) -> int:
    """Count errors by the rule of ILSVRC's task 2: the right class and half of the right box.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Pictures with boxes, as for training; the part to validate with is used.
    boxes
        Folder of the trained boxes; RUN/boxes if not given.
    device
        Where the net runs.
    """
    from alexnet.data.boxed import open_boxed, relabel
    from alexnet.device import choose_device
    from alexnet.evaluation.localization import locate
    from alexnet.evaluation.submission import write_boxes
    from alexnet.model import open_model
    from alexnet.store import write_atomically
    from alexnet.training.boxes import localizer, open_head

    views, submission = judging.views, judging.submission
    model = open_model(run, device=choose_device(device))
    ids = ilsvrc_ids(data, model.classes) if submission else []
    head = open_head(boxes or run / HEAD, model)
    validation = relabel(open_boxed(data)[1], model.classes, place=str(data))
    found = locate(localizer(model, head), validation, views=views)
    _name_bad(found.bad)
    if submission:
        check_complete(found.bad)
        write_atomically(submission, write_boxes(found.guesses, found.paths, ids))
    if judging.as_json:
        about = {"run": str(run), "data": str(data), "views": views}
        print_json(about | found.counts.to_json() | {"skipped": found.bad})
    else:
        looked = f"{views} view{'s' if views > 1 else ''}"
        print(f"{found.counts.pictures:,} pictures with boxes of {data}, {looked} of each\n")
        _print_counts(found.counts)
    return 0


def _name_bad(bad: dict[str, str]) -> None:
    for path, reason in bad.items():
        note(f"skipped {path}: {reason}")


def _print_counts(counts: "LocalizationCounts") -> None:
    from alexnet.evaluation.interval import wilson

    errors = (
        ("class and box, five guesses (task 2)", counts.localization_errors),
        ("class, five guesses (task 1)", counts.class_errors),
        ("class and box, first guess", counts.top1_localization_errors),
        ("class, first guess", counts.top1_class_errors),
        ("box, the class being given", counts.box_errors),
    )
    rows = []
    for name, wrong in errors:
        low, high = wilson(wrong, counts.pictures)
        rows.append((name, wrong, f"{counts.share(wrong):.2%}", f"{low:.1%} to {high:.1%}"))
    print_table(("error", "wrong", "share", "95 %"), rows)
    print(f"\nmean overlap of the true class's box: {counts.to_json()['mean_overlap']:.3f}")
