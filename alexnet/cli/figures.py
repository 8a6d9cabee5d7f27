"""`alexnet figures`: what a trained net has learned, in pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from alexnet.cli.tables import note

if TYPE_CHECKING:
    from alexnet.data.pictures import Pictures
    from alexnet.inspection.subject import Subject


@Parameter(name="*")
@dataclass(frozen=True)
class Looked:
    """What is looked at, and where."""

    layer: str = ""
    """Layer whose units grad-cam, deconvnet, exciting and maximised show, by a name of the paper,
    of Caffe or of torchvision; without it the last with maps, and for maximised the classes."""
    pictures: int = 1000
    """The most pictures to look through, spread evenly over the data."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the net runs."""


def figures(
    run: Path,
    data: Path | None = None,
    *,
    out: Path | None = None,
    only: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    looked: Looked = Looked(),
) -> int:
    """Draw what a net has learned: PNG and SVG files of figures 2 to 4, of curves and insides.

    Parameters
    ----------
    run
        Folder of a run or of a model.
    data
        Pictures to show the net, in any form that can be trained on; without them, those that the
        run was trained with, if they are still there.
    out
        Folder for the files; figures/ in the run's if not given.
    only
        Figures to draw, such as kernels or grad-cam; a name that is none lists all.
    """
    if looked.pictures < 1:
        raise ValueError(f"pictures is {looked.pictures}; it must be at least 1")
    from alexnet.device import choose_device
    from alexnet.inspection.figure_set import FIGURES, choose_figures
    from alexnet.inspection.panels import check_matplotlib
    from alexnet.inspection.subject import Subject
    from alexnet.inspection.watch import named_layer
    from alexnet.model import open_model
    from alexnet.store import make_folder
    from alexnet.training.journal import read_journal

    check_matplotlib()
    choose_figures(only or [], have_pictures=True)  # a name that is none is said before all else
    model = open_model(run, device=choose_device(looked.device))
    if looked.layer:
        named_layer(model.net, looked.layer)
    tested, trained = _open_pictures(run, data, model.classes)
    names = choose_figures(only or [], have_pictures=tested is not None)
    journals = [folder / "journal.jsonl" for folder in (run, run.parent)]
    subject = Subject(
        f"{run.resolve().name} ({model.name})",
        run,
        model,
        tested,
        trained,
        journal=next((read_journal(file) for file in journals if file.is_file()), []),
        layer=looked.layer,
        most=looked.pictures,
    )
    folder = out or run / "figures"
    make_folder(folder)
    left_out = [name for name in FIGURES if not only and name not in names]
    if left_out:
        note(f"no pictures given: left out {', '.join(left_out)}")
    for name in names:
        _draw(name, subject, folder, must=bool(only))
    return 0


def _draw(name: str, subject: "Subject", folder: Path, *, must: bool) -> None:
    """Write a figure; one that must not be is left out where the net or the run has none."""
    from alexnet.inspection.figure_set import FIGURES
    from alexnet.inspection.panels import save_figure

    try:
        drawn = FIGURES[name].draw(subject)
        told = FIGURES[name].says
        sentence = told(subject) if told else ""
    except ValueError as error:
        if must:
            raise
        note(f"left out {name}: {error}")
        return
    files = save_figure(drawn, folder, name)
    print(f"{files[0]} and {files[1].suffix}: {FIGURES[name].about}", flush=True)
    if sentence:
        print(f"  {sentence}", flush=True)


def _open_pictures(
    run: Path, data: Path | None, classes: tuple[str, ...]
) -> tuple["Pictures | None", "Pictures | None"]:
    """Return the pictures to show and those of training, labelled by the model's classes."""
    from alexnet.data.door import among, open_split
    from alexnet.training.recipe import Recipe, load

    files = [folder / "recipe.toml" for folder in (run, run.parent)]
    recipe: Recipe = next((load(file) for file in files if file.is_file()), Recipe())
    if data is None:
        if not recipe.data or not Path(recipe.data).exists():
            return None, None
        data = Path(recipe.data)
    split = open_split(data, fraction=recipe.validation_share)
    place = str(data)
    return (
        among(split.validation, classes, place=place),
        among(split.train, classes, place=place),
    )
