"""`alexnet data explore`: what the pictures look like, before anyone trains on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import Parameter

from alexnet.cli.data_check import plain, print_finding, printable, show_progress
from alexnet.cli.options import Json
from alexnet.cli.tables import note, print_json, print_table

if TYPE_CHECKING:
    from torch import Tensor

    from alexnet.data.explore import Colours, Explored, Extent
    from alexnet.data.findings import Finding
    from alexnet.training.first_batch import FirstBatch
    from alexnet.training.recipe import Recipe


@Parameter(name="*")
@dataclass(frozen=True)
class Prepared:
    """How a training would prepare the pictures."""

    recipe: str = "quick"
    """Name of a recipe that `alexnet train` knows, or a .toml file such as that of a run."""
    net: str = ""
    """Net that would see them; the recipe's if not given."""
    picture_size: int | None = None
    """Shorter side that they are resized to, in pixels; the recipe's if not given."""
    input_size: int | None = None
    """Width of the crop, in pixels; the recipe's or the net's if not given."""


@dataclass(frozen=True)
class _Facts:
    """All that is printed and drawn."""

    data: Path
    recipe: "Recipe"
    crop: int
    explored: "Explored"
    colours: "Colours"
    first: "FirstBatch | None"
    refusal: str
    """Why a training would refuse the pictures; empty if it would not."""

    @property
    def findings(self) -> tuple["Finding", ...]:
        return self.explored.findings(self.crop)


def explore(
    data: Path,
    *,
    out: Path | None = None,
    prepared: Prepared = Prepared(),
    pictures: int = 2000,
    show: int = 3,
    as_json: Json = False,
) -> int:
    """Show what pictures look like: contact sheets, sizes, mean, colours, the first batch.

    The figures are PNG and SVG files. Sizes and colours are those of a sample of the pictures to
    train on; `alexnet data check` decodes every picture and finds copies too.

    Parameters
    ----------
    data
        Pictures in any form that can be trained on.
    out
        Folder for the figures; explored/NAME here if not given.
    pictures
        The most pictures to look at, spread evenly over those to train on.
    show
        Lines to print of each remark; --json has all of them.
    """
    for name, value in (("pictures", pictures), ("show", show)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    from alexnet.data.explore import explore as look_at
    from alexnet.data.folder import DataError
    from alexnet.data.sets import open_sets
    from alexnet.inspection.panels import check_matplotlib
    from alexnet.store import make_folder
    from alexnet.training.first_batch import first_batch, input_size

    check_matplotlib()
    recipe = _recipe(data, prepared)
    crop = input_size(recipe)
    folder = _folder(data, out)
    sets = open_sets(data)
    with show_progress(then="drawing") as progress:
        explored, colours = look_at(
            sets, size=recipe.picture_size, most=pictures, progress=progress
        )
    first, refusal = None, ""
    try:
        first = first_batch(recipe, colours.statistics)
    except DataError as error:  # the rest can be seen all the same
        refusal = str(error)
    facts = _Facts(data, recipe, crop, explored, colours, first, refusal)
    make_folder(folder)
    if as_json:
        figures = [str(file) for files, _ in _draw(facts, folder) for file in files]
        print_json(printable(_to_json(facts) | {"figures": figures}))
        return 0
    _print(facts, show)
    for files, about in _draw(facts, folder):
        print(f"{plain(str(files[0]))} and {files[1].suffix}: {about}")
    return 0


def _recipe(data: Path, prepared: Prepared) -> "Recipe":
    from alexnet.training.recipe import override
    from alexnet.training.recipes import find_recipe

    given = {
        "net": prepared.net or None,
        "picture_size": prepared.picture_size,
        "input_size": prepared.input_size,
        "data": str(data),
    }
    known = {name: value for name, value in given.items() if value is not None}
    return override(find_recipe(prepared.recipe), known)


def _folder(data: Path, out: Path | None) -> Path:
    """Return the folder for the figures, which must not become one of the data's classes."""
    folder = out or Path("explored") / (data.resolve().stem or "data")
    if data.is_dir() and folder.resolve().is_relative_to(data.resolve()):
        raise ValueError(
            f"the figures would lie in {folder}, among the pictures of {data}, and be taken for "
            "some of them; give another folder with --out"
        )
    return folder


# ---- Drawn --------------------------------------------------------------------------------------


def _draw(facts: _Facts, folder: Path) -> Iterator[tuple[list[Path], str]]:
    """Write the figures one after another; yield each one's files and what it shows."""
    from alexnet.inspection.contact_sheet import (
        BATCH_ACROSS,
        BATCH_ROWS,
        draw_first_batch,
        draw_sheet,
        read_sheets,
    )
    from alexnet.inspection.explored import draw_class_sizes, draw_colours, draw_picture_sizes
    from alexnet.inspection.panels import save_figure

    name, explored = plain(facts.data.resolve().name), facts.explored
    trained = explored.sets.parts[0][1]
    layout, sheets = read_sheets(trained)
    shown, classes = sum(map(len, sheets)), len(trained.classes)
    of_all = "1 class" if classes == 1 else f"{classes:,} classes"
    of_all = of_all if shown == classes else f"{shown:,} of {of_all}, spread evenly"
    for number, strips in enumerate(sheets, start=1):
        which = f", sheet {number} of {len(sheets)}" if len(sheets) > 1 else ""
        figure = draw_sheet(strips, layout, f"{name}: pictures of {of_all}{which}")
        file = f"pictures-{number:02d}" if len(sheets) > 1 else "pictures"
        yield save_figure(figure, folder, file), f"pictures of each class{which}"
    sets = [part or "all" for part, _ in explored.sets.parts]
    title = f"{name}: pictures of each class"
    figure = draw_class_sizes(trained.classes, explored.sets.sizes(), sets, title)
    yield save_figure(figure, folder, "class-sizes"), title.partition(": ")[2]
    sides = explored.sides[explored.good]
    if len(sides) > 1 and (sides == sides[0]).all():
        note(f"left out picture-sizes: all are {sides[0][1]} x {sides[0][0]} pixels")
    else:
        title = f"{name}: width and height of {len(sides):,} pictures"
        figure = draw_picture_sizes(
            sides, crop=facts.crop, size=facts.recipe.picture_size, title=title
        )
        yield save_figure(figure, folder, "picture-sizes"), "width and height"
    title = f"{name}: mean and colours of {len(sides):,} pictures"
    figure = draw_colours(facts.colours, lighting=facts.recipe.lighting, title=title)
    yield save_figure(figure, folder, "colours"), "mean image and principal colours"
    if facts.first is None:
        note("left out first-batch: a training would refuse these data")
        return
    batch, inputs = facts.first.batch, facts.first.inputs
    shown = min(len(inputs), BATCH_ACROSS * BATCH_ROWS)
    title = (
        f"{name}: {shown} of the first batch of {len(inputs)}, as stored and, below, as the net "
    )
    title += "sees them (plus the mean colour; mean \u00b1 deviation of its values)"
    figure = draw_first_batch(
        batch.pictures,
        inputs,
        [trained.classes[label] for label in batch.labels.tolist()],
        preprocessing=facts.first.preprocessing,
        title=title,
    )
    yield save_figure(figure, folder, "first-batch"), "the first batch as the net sees it"


# ---- Printed ------------------------------------------------------------------------------------


def _print(facts: _Facts, show: int) -> None:
    explored = facts.explored
    print(plain(f"{facts.data}: {explored.sets.form}"))
    for name, fact in [*_of_all(facts), *_of_sample(explored), *_of_batch(facts)]:
        print(f"{name:<14} {plain(fact)}")
    print()
    found = facts.colours.statistics
    rows = [
        (
            f"principal {number + 1}",
            *(f"{part:.3f}" for part in found.eigenvectors[:, number].tolist()),
            f"{float(found.deviations[number]):.1f}",
        )
        for number in range(3)
    ]
    mean, deviation = found.mean_value.tolist(), facts.colours.deviation_value.tolist()
    rows = [
        ("mean", *(f"{level:.1f}" for level in mean), ""),
        ("deviation", *(f"{level:.1f}" for level in deviation), ""),
        *rows,
    ]
    print_table(("colours", "red", "green", "blue", "deviation"), rows)
    print()
    for finding in facts.findings:
        print_finding(finding, show)
        print()


def _of_all(facts: _Facts) -> Iterator[tuple[str, str]]:
    sets = facts.explored.sets
    sizes, names = sets.sizes(), sets.classes
    yield "classes", f"{len(names):,}"
    for column, (name, pictures) in enumerate(sets.parts):
        counts = sizes[:, column]
        small, large = int(counts.argmin()), int(counts.argmax())
        each = f"{counts[small]:,} ({names[small]}) to {counts[large]:,} ({names[large]}) a class"
        each = f"{counts[small]:,} a class" if counts[small] == counts[large] else each
        yield name or "pictures", f"{len(pictures):,}; {each}"
    if len(sets.parts) == 1:
        share = facts.recipe.validation_share
        yield (
            "validation",
            f"no pictures of its own: a training holds out {share:.0%} of each class",
        )


def _of_sample(explored: "Explored") -> Iterator[tuple[str, str]]:
    from alexnet.data.explore import count_kinds, extent

    count, of_all = len(explored), len(explored.sets.parts[0][1])
    of_set = f" of {explored.sets.parts[0][0]}" if explored.sets.parts[0][0] else ""
    yield "looked at", f"{count:,}{of_set}, {'all' if count == of_all else 'spread evenly'}"
    kinds = count_kinds(explored)
    yield "types", ", ".join(f"{kind} {number:,}" for kind, number in kinds.items())
    sides = explored.sides[explored.good]
    yield "width", _say(extent(sides[:, 1]), "pixels")
    yield "height", _say(extent(sides[:, 0]), "pixels")
    yield "width / height", _say(extent(sides[:, 1] / sides[:, 0]), "", digits=2)
    gray = int(explored.gray.sum())
    yield "gray", f"{gray:,} ({gray / max(1, len(sides)):.1%})"
    yield "bad", f"{len(explored.bad):,}"


def _say(found: "Extent", unit: str, *, digits: int = 0) -> str:
    least, median, greatest = (f"{value:,.{digits}f}" for value in found)
    if least == greatest:
        return f"{least} {unit}".rstrip()
    return f"{least} to {greatest} {unit}".rstrip() + f", the median {median}"


def _of_batch(facts: _Facts) -> Iterator[tuple[str, str]]:
    recipe = facts.recipe
    yield "prepared for", f"{recipe.net}, {facts.crop} pixels cut from {recipe.picture_size}"
    if facts.first is None:
        yield "first batch", f"none, a training would refuse these data: {facts.refusal}"
        return
    x = _describe(facts.first.inputs)
    shape = " x ".join(map(str, x["shape"]))
    values = f"{x['least']:.3g} to {x['greatest']:.3g}"
    yield "first batch", f"{shape}, mean {x['mean']:.3g}, deviation {x['deviation']:.3g}, {values}"


def _describe(x: "Tensor") -> dict[str, Any]:
    return {
        "shape": list(x.shape),
        "mean": float(x.mean()),
        "deviation": float(x.std()),
        "least": float(x.min()),
        "greatest": float(x.max()),
    }


def _to_json(facts: _Facts) -> dict[str, Any]:
    """Return plain values for JSON."""
    found = facts.colours.statistics
    return {
        "data": str(facts.data),
        **facts.explored.to_json(),
        "net": facts.recipe.net,
        "picture_size": facts.recipe.picture_size,
        "crop": facts.crop,
        "mean": found.mean_value.tolist(),
        "deviation": facts.colours.deviation_value.tolist(),
        "principal_colours": found.eigenvectors.T.tolist(),
        "principal_deviations": found.deviations.tolist(),
        "first_batch": None if facts.first is None else _describe(facts.first.inputs),
        "refusal": facts.refusal,
        "findings": [finding.to_json() for finding in facts.findings],
    }
