"""`alexnet eval` and `alexnet predict`: a trained net's errors and answers."""

import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alexnet.cli.options import Format, Json, Machine, open_by
from alexnet.cli.tables import note, print_json, print_table
from alexnet.cli.tested import Extras, TestViews, print_found
from alexnet.cli.together import together
from alexnet.nearest import nearest

if TYPE_CHECKING:
    from alexnet.data.pictures import Pictures
    from alexnet.evaluation.metrics import Counts
    from alexnet.prediction import Prediction
    from alexnet.training.recipe import Recipe

Part = Literal["auto", "validation", "all"]
MOST_CELLS = 20
PREDICT_OPTIONS = (
    *("--run", "--top", "--views", "--runtime", "--json", "--csv"),
    *("--device", "--precision", "--weights", "--convolution", "--help", "--debug"),
)


@Parameter(name="*")
@dataclass(frozen=True)
class Asked:
    """What is asked of each picture, and of whom."""

    top: int = 5
    """Number of classes to name."""
    views: TestViews = 1
    """Windows of each picture: the centre, or corners, centre and mirror images; or dense."""
    runtime: Literal["auto", "torch", "onnx", "openvino"] = "auto"
    """onnx and openvino answer from what alexnet export wrote, and start sooner; auto is torch,
    and for an .onnx or .xml file its own."""


def evaluate(
    run: Path,
    *data: Path,
    part: Part = "auto",
    extras: Extras = Extras(),  # noqa: B008
    as_json: Json = False,
    machine: Machine = Machine(),  # noqa: B008
) -> int:
    """Count the errors of a trained net on labelled pictures: top-1, top-5, per class, confusion.

    The answers of several runs are averaged: alexnet eval RUN1 RUN2 RUN3 DATA. Several processes
    share the pictures: torchrun --nproc-per-node 4 -m alexnet eval RUN DATA

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Folder of pictures, one sub-folder per class, or any other form that can be trained on.
        Classes are matched by name. Further runs stand before it.
    part
        Pictures to use. auto: val/ or test/ if the folder has one; what the run held out if it was
        trained on this folder; else all of them.
    """
    from alexnet.cli.tested import answer_all, check_extras, make_passes, write_submission
    from alexnet.device import keep_pages
    from alexnet.evaluation.views import read_scales

    if not data:
        raise ValueError(f"no pictures given; alexnet eval {run} DATA tests the run on a folder")
    runs, place = (run, *data[:-1]), data[-1]
    views, scales = extras.views, read_scales(extras.scales)
    keep_pages()
    with together(machine.device) as (team, _):
        models = [open_by(each, team.mesh.device, machine.convolution) for each in runs]
        ids = check_extras(extras, place, models)
        listing, used = choose_pictures(run, place, part, models[0].classes)
        passes = make_passes(models, views, scales=scales, machine=machine)
        found, answers = answer_all(passes, listing, team=team, extras=extras, machine=machine)
        if extras.submission and answers and team.leads:
            write_submission(answers, extras, ids, found.bad)
    for path, reason in found.bad.items():
        note(f"skipped {path}: {reason}")
    if as_json:
        about = {"run": str(run), "data": str(place), "used": used, "views": views}
        more = {"runs": [str(each) for each in runs]} if len(runs) > 1 else {}
        print_json(about | more | ({"scales": scales} if scales else {}) | found.to_json())
    else:
        _print_heading(found.counts.seen, used, views, scales, len(runs))
        _print_counts(found.counts)
        print_found(found, runs)
    return 0


def _print_heading(
    seen: int, used: str, views: TestViews, scales: tuple[int, ...], num_runs: int
) -> None:
    looked = {1: "1 view of each", 10: "10 views of each", "dense": "the whole of each"}
    at = f", at {', '.join(map(str, scales))} pixels" if scales else ""
    by = f", mean of {num_runs} runs" if num_runs > 1 else ""
    print(f"{seen:,} pictures ({used}), {looked[views]}{at}{by}\n")


def predict(
    run: Path,
    *files: Annotated[str, Parameter(allow_leading_hyphen=True)],
    asked: Asked = Asked(),
    output: Format = Format(),  # noqa: B008
    machine: Machine = Machine(),  # noqa: B008
) -> int:
    """Name what is in pictures: ranked classes with their probabilities.

    Parameters
    ----------
    run
        Folder of a run or of a model, or an .onnx or .xml file of alexnet export.
    files
        Pictures, folders of pictures, or - for one picture on standard input.
    """
    for file in files:
        if file.startswith("-") and file != "-":  # which cyclopts lets through with the "-"
            close = nearest(file, PREDICT_OPTIONS)
            raise ValueError(f"unknown option {file}{close}; a file of that name is ./{file}")
    if not files:
        raise ValueError("no picture given; name files or folders, or - for standard input")
    if asked.top < 1:
        raise ValueError(f"top is {asked.top}; it must be at least 1")
    from alexnet.prediction import list_pictures

    sources = list_pictures(files)
    usual = {".onnx": "onnx", ".xml": "openvino"}.get(run.suffix, "torch")
    runtime = usual if asked.runtime == "auto" else asked.runtime
    if runtime == "torch":
        answers = _answer(run, sources, asked, machine)
    else:
        answers = _answer_elsewhere(run, sources, asked, machine, runtime)
    _print_answers(answers, output)
    refused = [each for each in answers if each.error]
    for each in refused:
        note(f"alexnet: {each.source}: {each.error}")
    return 3 if refused else 0


def _answer(run: Path, sources: list[str], asked: Asked, machine: Machine) -> list["Prediction"]:
    from alexnet.device import choose_device, choose_dtype
    from alexnet.predict import predict as answer

    device = choose_device(machine.device)
    model = open_by(run, device, machine.convolution)
    dtype = choose_dtype(machine.precision, device)
    weights = machine.weights
    return list(
        answer(model, sources, top=asked.top, views=asked.views, dtype=dtype, weights=weights)
    )


def _answer_elsewhere(
    run: Path, sources: list[str], asked: Asked, machine: Machine, runtime: str
) -> list["Prediction"]:
    """Answer from an exported file; torch is not imported."""
    from alexnet.export.runtimes import (
        QUICK_START,
        check_same_model,
        find_file,
        open_file,
        predict_by,
    )

    for name, value, usual in (
        ("--views", asked.views, 1),
        ("--device", machine.device, ("auto", "cpu")),
        ("--precision", machine.precision, ("auto", "fp32")),
        ("--convolution", machine.convolution, "native"),
    ):
        if value not in (usual if isinstance(usual, tuple) else (usual,)):
            raise ValueError(f"{name} {value} is for torch; leave it out, or use --runtime torch")
    known: Literal["onnx", "openvino"] = "onnx" if runtime == "onnx" else "openvino"
    path = find_file(run, known, machine.weights)
    runner = open_file(path, known, quick=len(sources) <= QUICK_START)
    check_same_model(run, runner, path)
    return list(predict_by(runner, sources, top=asked.top))


def _print_answers(answers: list["Prediction"], output: Format) -> None:
    good = [each for each in answers if not each.error]
    if output.as_json:
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
    elif output.as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("picture", "rank", "class", "probability"))
        for a in good:
            for rank, (name, p) in enumerate(a.labels, start=1):
                writer.writerow((a.source, rank, name, f"{p:.6f}"))
    elif good:
        header = ("picture", *(f"{rank}." for rank in range(1, len(good[0].labels) + 1)))
        rows = [(a.source, *(f"{name} {p:.1%}" for name, p in a.labels)) for a in good]
        print_table(header, rows, left=len(header))


def choose_pictures(
    run: Path, data: Path, part: Part, classes: tuple[str, ...]
) -> tuple["Pictures", str]:
    """Choose the pictures to test on, labelled by the model's classes, and say which they are.

    Raises: DataError if there are none, or their classes are not the model's.
    """
    from alexnet.data.door import CLASS_FOLDERS, name_form
    from alexnet.data.folder import VALIDATION_NAMES, Listing, list_folder, split_folder
    from alexnet.training.recipe import Recipe, load

    files = [folder / "recipe.toml" for folder in (run, run.parent)]
    recipe = next((load(file) for file in files if file.is_file()), Recipe())
    if name_form(data) != CLASS_FOLDERS:
        return _choose_parts(recipe, data, part, classes)
    has_train = (data / "train").is_dir()
    sets = [name for name in VALIDATION_NAMES if has_train and (data / name).is_dir()]
    if sets:
        tested = list_folder(data / sets[0], classes=classes)
        if part != "all":
            return tested, f"{sets[0]}/ of {data}"
        trained = list_folder(data / "train", classes=classes)
        paths = (
            *(f"train/{path}" for path in trained.paths),
            *(f"{sets[0]}/{path}" for path in tested.paths),
        )
        both = Listing(data, classes, paths, trained.labels + tested.labels)
        return both, f"train/ and {sets[0]}/ of {data}"
    if part == "validation" or (part == "auto" and recipe.data == str(data.resolve())):
        held_out = split_folder(data, fraction=recipe.validation_share).validation
        listing = list_folder(held_out.root, classes=classes)
        kept = set(held_out.paths)
        pairs = zip(listing.paths, listing.labels, strict=True)
        paths, labels = zip(*((p, label) for p, label in pairs if p in kept), strict=True)
        return replace(listing, paths=paths, labels=labels), f"held out of {data}"
    return list_folder(data, classes=classes), f"all of {data}"


def _choose_parts(
    recipe: "Recipe", data: Path, part: Part, classes: tuple[str, ...]
) -> tuple["Pictures", str]:
    """Choose pictures of a data set that is not one of class folders."""
    from alexnet.data.door import among, open_all, open_split
    from alexnet.data.folder import CONTENT_RULE

    if part == "all":
        return open_all(data, classes=classes), f"all of {data}"
    split = open_split(data, fraction=recipe.validation_share)
    held_out = split.rule == CONTENT_RULE.format(recipe.validation_share)
    if part == "auto" and held_out and recipe.data != str(data.resolve()):
        return open_all(data, classes=classes), f"all of {data}"
    where = f"held out of {data}" if held_out else f"the validation part of {data}"
    return among(split.validation, classes, place=str(data)), where


def _print_counts(counts: "Counts") -> None:
    rows = [
        ("top-1", counts.top1_errors, f"{counts.error(counts.top1_errors):.2%}"),
        ("top-5", counts.top5_errors, f"{counts.error(counts.top5_errors):.2%}"),
    ]
    print_table(("error", "wrong", "share"), rows)
    print()
    classes = [
        (name, seen, wrong, f"{wrong / seen:.1%}" if seen else "-")
        for name, (seen, wrong) in counts.per_class().items()
    ]
    print_table(("class", "pictures", "wrong", "error"), classes)
    if len(counts.classes) <= MOST_CELLS:
        print("\nconfusion: true class by row, first answer by column")
        print_table(
            ("", *(name[:9] for name in counts.classes)),
            [(n, *row) for n, row in zip(counts.classes, counts.confusion.tolist(), strict=True)],
        )
