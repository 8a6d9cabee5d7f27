"""`alexnet ablate` and `alexnet figure1`: the paper's comparisons, on one's own pictures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from alexnet.cli.options import Json, new_folder
from alexnet.cli.tables import note, print_json, print_table
from alexnet.cli.train import UNSET, Options, options_given
from alexnet.training.recipe import Recipe, override
from alexnet.training.recipes import find_recipe

if TYPE_CHECKING:
    from alexnet.evaluation.interval import Mean
    from alexnet.training.ablations import Line, Table
    from alexnet.training.race import Course

HEADER = ("row", "section", "top-1 error", "top-5", "difference (95 %)", "the paper's")


@Parameter(name="*")
@dataclass(frozen=True)
class Comparisons:
    """What is compared."""

    rows: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None
    """norm, pooling, columns, views (the default: the paper gives numbers for these), apart, tanh,
    dropout, crops, lighting; or all."""
    seeds: int = 3
    """Times that each net is trained, from weights and in an order of its own."""


def ablate(
    data: str,
    *,
    comparisons: Comparisons = Comparisons(),
    recipe: str = "quick",
    out: Path | None = None,
    as_json: Json = False,
    options: Annotated[Options, Parameter(name="*")] = UNSET,  # type: ignore[valid-type]
) -> int:
    """Train the paper's net, and the net without one of its parts, and compare their errors.

    What is written: a run per row and seed, table.md, table.json, differences.png and .svg. If it
    is cut off, the same command with the same --out goes on.

    Parameters
    ----------
    data
        Pictures to train and test on, in any form that train takes.
    recipe
        What each run is trained by, as in train; so are the options below.
    out
        Folder to write; a new one below runs/ if not given.
    """
    from alexnet.device import keep_pages
    from alexnet.inspection.panels import check_matplotlib
    from alexnet.training import ablations
    from alexnet.training.interrupt import Interrupted

    chosen = _recipe(find_recipe(recipe), data, options)
    row_set = ablations.choose_rows(comparisons.rows or [], chosen)
    check_matplotlib()
    keep_pages()
    folder = out or new_folder("ablation")
    table = None
    try:
        for table in ablations.ablate(chosen, folder, row_set, seeds=comparisons.seeds, say=note):
            _write_table(table, folder, chosen)
    except Interrupted as stop:
        raise Interrupted(f"{_why(stop)}; go on with the same command and --out {folder}") from None
    assert table is not None
    if as_json:
        print_json(table.to_json())
    else:
        print_table(HEADER, _cells(table), left=2)
        print(f"{table.pictures:,} pictures, {len(table.seeds)} seeds; in % and percentage points")
        print(f"written: {folder / 'table.md'}, differences.png and .svg")
    return 0


def figure1(
    data: str,
    *,
    rates: Annotated[list[float] | None, Parameter(consume_multiple=True, negative="")] = None,
    trial_epochs: int = 2,
    out: Path | None = None,
    as_json: Json = False,
    options: Annotated[Options, Parameter(name="*")] = UNSET,  # type: ignore[valid-type]
) -> int:
    """Count the epochs that ReLU and tanh take to 25 % training error: figure 1 of the paper.

    Two four-layer nets, each at the best of some learning rates, without any regularisation. The
    paper found a factor of six on CIFAR-10. Written: a run for each, figure1.json, figure1.png and
    .svg. If it is cut off, the same command with the same --out goes on.

    Parameters
    ----------
    data
        Pictures to train on, such as CIFAR-10, in any form that train takes.
    rates
        Learning rates to try; 0.001, 0.003, 0.01 and 0.03 if not given.
    trial_epochs
        Epochs that each rate is tried for.
    out
        Folder to write; a new one below runs/ if not given.
    """
    from alexnet.device import keep_pages
    from alexnet.inspection.panels import check_matplotlib
    from alexnet.training import race
    from alexnet.training.interrupt import Interrupted

    chosen = _recipe(race.RECIPE, data, options)
    check_matplotlib()
    keep_pages()
    folder = out or new_folder("figure1")
    try:
        courses = race.race(
            chosen, folder, note, rates=tuple(rates or race.RATES), trial_epochs=trial_epochs
        )
    except Interrupted as stop:
        raise Interrupted(f"{_why(stop)}; go on with the same command and --out {folder}") from None
    sentence = _ratio(courses, chosen.target_error)
    values, files = _write_courses(courses, chosen.target_error, sentence, folder)
    if as_json:
        print_json(values)
    else:
        print(sentence)
        print(f"written: {files[0]}, {files[1].suffix} and {folder / 'figure1.json'}")
    return 0


def _recipe(begun: Recipe, data: str, options: Any) -> Recipe:
    given = options_given(options)
    if given.get("batch") == "auto":
        raise ValueError("batch is 'auto'; runs that are compared need one batch: give a number")
    return override(begun, given | {"data": data})


def _why(stop: Exception) -> str:
    """Return what ended a run, without the advice to go on with it alone."""
    return str(stop).partition("; go on with")[0]


def _write_courses(
    courses: "dict[str, Course]", target: float, title: str, folder: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Write figure1.json and the figure; return what the first holds and the second's files."""
    from alexnet.inspection.measured import Line, draw_race
    from alexnet.inspection.panels import save_figure
    from alexnet.store import write_atomically

    values = {
        name: {
            "lr": course.lr,
            "epochs": course.epochs_to(target),
            "tried": course.tried,
            "points": course.points,
        }
        for name, course in courses.items()
    }
    write_atomically(folder / "figure1.json", json.dumps(values, indent=1).encode() + b"\n")
    lines = [
        Line(f"{course.name}, rate {course.lr:g}", course.points, course.epochs_to(target))
        for course in courses.values()
    ]
    return values, save_figure(draw_race(lines, target, f"Figure 1: {title}"), folder, "figure1")


def _ratio(courses: "dict[str, Course]", target: float) -> str:
    relu, tanh = (courses[name].epochs_to(target) for name in ("relu", "tanh"))
    if relu is None:
        ends = courses["relu"].points[-1]
        return f"ReLU has not come to {target:.0%} training error: {ends[1]:.1%} after {ends[0]:g}"
    if tanh is None:
        ends = courses["tanh"].points[-1]
        return (
            f"ReLU comes to {target:.0%} training error in {relu:.1f} epochs; tanh is at "
            f"{ends[1]:.1%} after {ends[0]:g}, more than {ends[0] / relu:.1f} times as many"
        )
    return (
        f"ReLU comes to {target:.0%} training error in {relu:.1f} epochs, tanh in {tanh:.1f}: "
        f"{tanh / relu:.1f} times as many (the paper: 6)"
    )


def _write_table(table: "Table", folder: Path, recipe: Recipe) -> None:
    """Write table.json, table.md and the figure; after each seed, so that there always is one."""
    from alexnet.inspection.measured import Difference, draw_differences
    from alexnet.inspection.panels import save_figure
    from alexnet.store import write_atomically

    values = table.to_json() | {"recipe": recipe.to_toml()}
    write_atomically(folder / "table.json", json.dumps(values, indent=1).encode() + b"\n")
    rows = [HEADER, tuple("---" for _ in HEADER), *_cells(table)]
    text = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    says = (
        f"\n{table.pictures:,} pictures, seeds {', '.join(map(str, table.seeds))}. Errors are "
        "means over the seeds, in %. A difference is that to the whole net of the same seed, in "
        "percentage points (top-1 / top-5), with Student's 95 % interval of its mean. The paper's "
        "were measured on ImageNet, once.\n"
    )
    write_atomically(folder / "table.md", (text + says).encode())
    whole = table.lines[0]
    rows_drawn = [
        Difference(
            line.about,
            100 * line.top1_difference.value,
            100 * (line.top1_difference.half_width or 0.0),
            tuple(100 * (a - b) for a, b in zip(line.top1, whole.top1, strict=True)),
            None if line.published is None else 100 * line.published[0],
        )
        for line in table.lines
        if line.top1_difference is not None
    ]
    error = sum(whole.top1) / len(whole.top1)
    title = f"The whole net: {error:.1%} top-1 error, one view, {len(table.seeds)} seeds"
    if rows_drawn:
        save_figure(draw_differences(rows_drawn, title), folder, "differences")


def _cells(table: "Table") -> list[tuple[str, ...]]:
    return [_row(line) for line in table.lines]


def _row(line: "Line") -> tuple[str, ...]:
    def mean(values: tuple[float, ...]) -> str:
        return f"{100 * sum(values) / len(values):.1f}"

    difference, published = "", line.remark
    if line.top1_difference is not None and line.top5_difference is not None:
        pair = (line.top1_difference, line.top5_difference)
        difference = " / ".join(map(_with_interval, pair))
    if line.published is not None:
        published = " / ".join(f"{100 * share:+.1f}" for share in line.published)
    return line.about, line.section, mean(line.top1), mean(line.top5), difference, published


def _with_interval(mean: "Mean") -> str:
    text = f"{100 * mean.value:+.1f}"
    if mean.half_width is not None:
        text += f" +- {100 * mean.half_width:.1f}"
    return text
