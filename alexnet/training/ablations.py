"""The paper's comparisons: the net against the net without one of its parts, seed by seed.

Source: Krizhevsky 2012, sections 3.1 to 3.4, 4.1, 4.2 and 6. The paper trained each net once; here
each seed trains all of them from weights, crops and an order of its own, and a row is the mean over
the seeds of (error of the row - error of the whole net).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from alexnet.data.folder import DataError
from alexnet.evaluation.evaluate import evaluate
from alexnet.evaluation.interval import Mean, mean_of
from alexnet.evaluation.metrics import Counts
from alexnet.model import open_model
from alexnet.nearest import nearest
from alexnet.parallel.team import Team
from alexnet.training import setup
from alexnet.training.pictures import open_data
from alexnet.training.recipe import Recipe, load, override
from alexnet.training.series import Result, complete, kept

WHOLE = "whole"
NET = "alexnet"
"""The net that is taken apart."""


@dataclass(frozen=True)
class Row:
    """One comparison."""

    about: str
    """What is not as in the whole net."""
    section: str
    """Where the paper has it."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the recipe that differ."""
    views: int = 1
    """Views of a picture in the test."""
    published: tuple[float, float] | None = None
    """The paper's difference in top-1 and top-5 error, as shares; None where it gives none."""
    remark: str = ""
    """What the paper says, or how its comparison differs from this one."""


ROWS: dict[str, Row] = {
    "norm": Row(
        "no response normalisation",
        "3.3",
        {"net": "alexnet-no-norm"},
        published=(0.014, 0.012),
    ),
    "pooling": Row(
        "pools that do not overlap",
        "3.4",
        {"net": "alexnet-2x2-pools"},
        published=(0.004, 0.003),
    ),
    "columns": Row(
        "one column of half the kernels",
        "3.2",
        {"net": "alexnet-half"},
        published=(0.017, 0.012),
    ),
    "views": Row(
        "ten views of a picture",
        "4.1, 6",
        views=10,
        published=(-0.015, -0.013),
        remark="37.5 / 17.0 % instead of 39.0 / 18.3 % on ILSVRC-2010",
    ),
    "apart": Row(
        "columns that never talk below fc6",
        "3.2",
        {"net": "alexnet-apart"},
        remark="the net of Ciresan et al.; no number is given",
    ),
    "tanh": Row(
        "tanh for ReLU",
        "3.1",
        {"net": "alexnet-tanh"},
        remark="figure 1 has the epochs to an error, not the error: alexnet figure1",
    ),
    "dropout": Row(
        "no dropout",
        "4.2",
        {"net": "alexnet-no-dropout"},
        remark='"substantial overfitting"; dropout about doubles the iterations needed',
    ),
    "crops": Row(
        "neither crops nor mirror images",
        "4.1",
        {"crop": "centre", "flip": False},
        remark='"substantial overfitting"',
    ),
    "lighting": Row(
        "no PCA lighting",
        "4.1",
        {"lighting": 0.0},
        remark="the paper: over 1 % of top-1 error",
    ),
}
MAIN = ("norm", "pooling", "columns", "views")
"""The rows for which the paper gives numbers."""


@dataclass(frozen=True)
class Line:
    """A row of the table, measured."""

    name: str
    about: str
    section: str
    top1: tuple[float, ...]
    """Top-1 error by seed, as a share."""
    top5: tuple[float, ...]
    """Top-5 error by seed, as a share."""
    top1_difference: Mean | None
    """To the whole net, seed by seed; None in the whole net's own line."""
    top5_difference: Mean | None
    """Likewise."""
    published: tuple[float, float] | None
    """The paper's differences."""
    remark: str


@dataclass(frozen=True)
class Table:
    """What a set of runs says."""

    lines: tuple[Line, ...]
    """The whole net first."""
    pictures: int
    """Pictures that each net was tested on."""
    seeds: tuple[int, ...]
    """Seeds of which all runs have ended."""

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain values."""
        return asdict(self)


def choose_rows(names: Sequence[str], recipe: Recipe) -> dict[str, Row]:
    """Return the rows of these names, by default those for which the paper gives numbers.

    Raises: ValueError for an unknown name (the nearest is named), or a recipe whose net is another
            or that has a row's change already.
    """
    if recipe.net != NET:
        raise ValueError(
            f"net is {recipe.net!r}, but it is {NET} that is taken apart; leave --net out"
        )
    for name in names:
        if name != "all" and name not in ROWS:
            raise ValueError(
                f"no row is called {name!r}{nearest(name, ROWS)}; they are all, {', '.join(ROWS)}"
            )
    chosen = tuple(ROWS) if "all" in names else tuple(dict.fromkeys(names)) or MAIN
    for name in chosen:
        changes = ROWS[name].changes
        if changes and override(recipe, changes) == recipe:
            fields = ", ".join(f"{key} {value!r}" for key, value in changes.items())
            raise ValueError(
                f"the row {name} takes away what the recipe does not have: {fields} is there "
                "already; leave the row out, or choose another --recipe"
            )
    return {name: ROWS[name] for name in chosen}


def ablate(
    recipe: Recipe,
    folder: Path,
    rows: dict[str, Row],
    *,
    seeds: int,
    say: Callable[[str], None],
) -> Iterator[Table]:
    """Train and test every row with every seed; what is in `folder` already is not run again.

    Yields the table after each seed, of all seeds so far.

    Raises: ValueError if `seeds` is below 1 or the folder holds other runs, and all that training
            does.
    """
    if seeds < 1:
        raise ValueError(f"seeds is {seeds}; it must be at least 1")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (WHOLE, *rows)}
    for seed in range(recipe.seed, recipe.seed + seeds):
        whole = complete(replace(recipe, seed=seed), folder / f"{WHOLE}-{seed}", say)
        found[WHOLE].append((whole.top1_error, whole.top5_error))
        for name, row in rows.items():
            if row.changes:
                changed = replace(override(recipe, row.changes), seed=seed)
                result = complete(changed, folder / f"{name}-{seed}", say)
            else:
                result = retest(whole, row.views, say)
            found[name].append((result.top1_error, result.top5_error))
        yield tabulate(found, rows, whole.pictures, tuple(range(recipe.seed, seed + 1)))


def retest(whole: Result, views: int, say: Callable[[str], None]) -> Result:
    """Return the errors of a run's model with that many views; counted once, then read."""

    def count() -> dict[str, Any]:
        say(f"{whole.run.name}: testing with {views} views")
        model = open_model(whole.run)
        recipe = load(whole.run / setup.RECIPE_FILE)
        data = open_data(recipe, Team())
        if data.split.train.classes != model.classes:
            raise DataError(f"{recipe.data} has other classes than {whole.run} was trained with")
        counts = Counts(model.classes)
        batches = data.validation.epoch(0, seed=None)
        evaluate(model.net, batches, model.preprocessing, counts, views=views)
        return {
            "pictures": counts.seen,
            "epoch": whole.epochs,
            "top1_error": counts.error(counts.top1_errors),
            "top5_error": counts.error(counts.top5_errors),
        }

    return kept(whole.run / f"views-{views}.json", count)


def tabulate(
    found: dict[str, list[tuple[float, float]]],
    rows: dict[str, Row],
    pictures: int,
    seeds: tuple[int, ...],
) -> Table:
    """Return means and paired differences; `found` has top-1 and top-5 errors by row and seed."""
    whole = found[WHOLE]
    top1, top5 = zip(*whole, strict=True)
    about = "the paper's net, one view"
    lines = [Line(WHOLE, about, "3.5", top1, top5, None, None, None, "")]
    for name, row in rows.items():
        top1, top5 = zip(*found[name], strict=True)
        differences = [
            mean_of(
                [own[place] - base[place] for own, base in zip(found[name], whole, strict=True)]
            )
            for place in (0, 1)
        ]
        lines.append(
            Line(
                name,
                row.about,
                row.section,
                top1,
                top5,
                differences[0],
                differences[1],
                row.published,
                row.remark,
            )
        )
    return Table(tuple(lines), pictures, seeds)
