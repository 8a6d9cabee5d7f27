"""`alexnet eval` and `alexnet predict`: a trained net's errors and answers."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from alexnet.data.folder import Listing
    from alexnet.evaluation.metrics import Counts

Flag = Annotated[bool, Parameter(negative=())]
Precision = Literal["auto", "bf16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]
MOST_CELLS = 20


def evaluate(
    run: Path,
    data: Path,
    *,
    views: Literal[1, 10] = 1,
    part: Literal["auto", "validation", "all"] = "auto",
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> int:
    """Count the errors of a trained net on labelled pictures: top-1, top-5, per class, confusion.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Folder of pictures, one sub-folder per class. Classes are matched by name.
    views
        Windows of each picture: 1 is the centre, 10 the mean over corners, centre and mirrors.
    part
        Pictures to use. auto: val/ or test/ if the folder has one; what the run held out if it was
        trained on this folder; else all of them.
    as_json
        Print JSON with all counts and the confusion matrix.
    precision
        Arithmetic; auto is bf16 where the chip has it.
    device
        Where the net runs.
    """
    from alexnet.data.loader import Loader
    from alexnet.device import choose_device, choose_dtype, keep_pages
    from alexnet.evaluation.evaluate import evaluate as count_errors
    from alexnet.evaluation.metrics import Counts
    from alexnet.model import open_model

    keep_pages()
    place = choose_device(device)
    model = open_model(run, device=place)
    listing, rule = _pictures(run, data, part, model.classes)
    size = model.preprocessing.picture_size
    loader = Loader(listing, batch_size=64, picture_size=size, cache_bytes=0)
    counts = Counts(model.classes)
    dtype = choose_dtype(precision, place)
    batches = loader.epoch(0, seed=None)
    count_errors(model.net, batches, model.preprocessing, counts, views=views, dtype=dtype)
    for path, reason in loader.bad.items():
        note(f"skipped {path}: {reason}")
    if as_json:
        about = {"run": str(run), "data": str(data), "pictures_used": rule, "views": views}
        print_json(about | counts.to_json() | {"skipped": loader.bad})
    else:
        print(
            f"{counts.seen:,} pictures ({rule}), {views} view{'s' if views > 1 else ''} of each\n"
        )
        _print_counts(counts)
    return 0


def predict(
    run: Path,
    *files: str,
    top: int = 5,
    views: Literal[1, 10] = 1,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    as_csv: Annotated[bool, Parameter(name="--csv", negative=())] = False,
    precision: Precision = "auto",
    device: Device = "auto",
) -> int:
    """Name what is in pictures: ranked classes with their probabilities.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    files
        Pictures, folders of pictures, or - for one picture on standard input.
    top
        Number of classes to name.
    views
        Windows of each picture: 1 is the centre, 10 the mean over corners, centre and mirrors.
    as_json
        Print JSON.
    as_csv
        Print CSV: picture, rank, class, probability.
    precision
        Arithmetic; auto is bf16 where the chip has it.
    device
        Where the net runs.
    """
    if not files:
        raise ValueError("no picture given; name files or folders, or - for standard input")
    if top < 1:
        raise ValueError(f"top is {top}; it must be at least 1")
    from alexnet.device import choose_device, choose_dtype
    from alexnet.model import open_model
    from alexnet.predict import list_pictures
    from alexnet.predict import predict as answer

    sources = list_pictures(files)
    place = choose_device(device)
    model = open_model(run, device=place)
    dtype = choose_dtype(precision, place)
    answers = list(answer(model, sources, top=top, views=views, dtype=dtype))
    good = [each for each in answers if not each.error]
    refused = [each for each in answers if each.error]
    if as_json:
        print_json(
            [
                {"picture": a.source, "error": a.error}
                if a.error
                else {
                    "picture": a.source,
                    "labels": [{"class": c, "probability": p} for c, p in a.labels],
                }
                for a in answers
            ]
        )
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("picture", "rank", "class", "probability"))
        for a in good:
            for rank, (name, p) in enumerate(a.labels, start=1):
                writer.writerow((a.source, rank, name, f"{p:.6f}"))
    elif good:
        header = ("picture", *(f"{rank}." for rank in range(1, len(good[0].labels) + 1)))
        rows = [(a.source, *(f"{name} {p:.1%}" for name, p in a.labels)) for a in good]
        print_table(header, rows, left=len(header))
    for a in refused:
        note(f"alexnet: {a.source}: {a.error}")
    return 3 if refused else 0


def _pictures(run: Path, data: Path, part: str, classes: tuple[str, ...]) -> tuple["Listing", str]:
    """Choose the pictures to test on and say which they are."""
    from alexnet.data.folder import VALIDATION_NAMES, list_folder, split_folder
    from alexnet.training.recipe import Recipe, load

    recipe = load(run / "recipe.toml") if (run / "recipe.toml").is_file() else Recipe()
    has_sets = (data / "train").is_dir() and any((data / n).is_dir() for n in VALIDATION_NAMES)
    held_out = recipe.data == str(data.resolve())
    if part == "validation" or (part == "auto" and (has_sets or held_out)):
        split = split_folder(data, fraction=recipe.validation_share)
        name = next((n for n in VALIDATION_NAMES if (data / n).is_dir()), "")
        if has_sets:
            return list_folder(data / name, classes=classes), f"{name}/ of {data}"
        chosen = split.validation
        relabelled = list_folder(chosen.root, classes=classes)
        kept = set(chosen.paths)
        return _only(relabelled, kept), f"the part of {data} that training held out"
    return list_folder(data, classes=classes), f"all of {data}"


def _only(listing: "Listing", kept: set[str]) -> "Listing":
    from dataclasses import replace

    pairs = [(p, n) for p, n in zip(listing.paths, listing.labels, strict=True) if p in kept]
    return replace(listing, paths=tuple(p for p, _ in pairs), labels=tuple(n for _, n in pairs))


def _print_counts(counts: "Counts") -> None:
    rows = [
        ("top-1", counts.top1_errors, f"{counts.error(counts.top1_errors):.2%}"),
        ("top-5", counts.top5_errors, f"{counts.error(counts.top5_errors):.2%}"),
    ]
    print_table(("error", "wrong", "share"), rows)
    print()
    table = counts.confusion.tolist()
    classes = [
        (name, sum(row), sum(row) - row[i], f"{1 - row[i] / sum(row):.1%}" if sum(row) else "-")
        for i, (name, row) in enumerate(zip(counts.classes, table, strict=True))
    ]
    print_table(("class", "pictures", "wrong", "error"), classes)
    if len(counts.classes) <= MOST_CELLS:
        print("\nconfusion: true class by row, first answer by column")
        print_table(
            ("", *(name[:9] for name in counts.classes)),
            [(name, *row) for name, row in zip(counts.classes, table, strict=True)],
        )
