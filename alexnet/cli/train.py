"""`alexnet train`: its options are the fields of a recipe."""

from contextlib import nullcontext
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter

from alexnet.cli.options import new_folder, newest_folder
from alexnet.cli.tables import note
from alexnet.cli.together import together
from alexnet.parallel.layout import Layout
from alexnet.training.lock import hold
from alexnet.training.recipe import Recipe, field_help, load, override
from alexnet.training.recipes import find_recipe

if TYPE_CHECKING:
    from alexnet.parallel.team import Team
    from alexnet.training.setup import Run

SPREAD_GROUP = Group("Several processes, started by torchrun", sort_key=1)
RECIPE_GROUP = Group("Recipe (an option that is not given comes from --recipe)", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True)
class Resumed:
    """The run that is gone on with, if one is."""

    resume: Path | None = None
    """Run to go on with, bit for bit; data and recipe are the run's own."""
    accept_changed_data: Annotated[bool, Parameter(negative=())] = False
    """Go on though the pictures are not those that the run began with; the journal says which."""


def _options() -> type:
    """Make the options of `train` from the fields of Recipe: unset unless the user sets them."""
    texts, hints = field_help(), get_type_hints(Recipe)
    options: list[tuple[str, Any, Any]] = []
    for each in fields(Recipe):
        if each.name != "data":
            hint = list[str] if each.name == "layer_lr" else hints[each.name]
            hint = list[float] if each.name == "milestones" else hint
            hint = int | Literal["auto"] if each.name == "batch" else hint
            more = AUTO if each.name == "batch" else ""
            shown = Parameter(help=texts[each.name] + more, group=RECIPE_GROUP, show_default=False)
            options.append((each.name, Annotated[hint | None, shown], field(default=None)))
    return make_dataclass("Options", options, frozen=True, namespace={"__module__": __name__})


AUTO = " auto takes the recipe's, in as many parts (--accumulate) as the memory here asks for."
Options = _options()


UNSET = Options()


def train(
    data: str = "",
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resumed: Resumed = Resumed(),
    layout: Annotated[Layout, Parameter(name="*", group=SPREAD_GROUP)] = Layout(),  # noqa: B008
    options: Annotated[Options, Parameter(name="*")] = UNSET,  # type: ignore[valid-type]
) -> int:
    """Train a net on a folder of pictures, one sub-folder per class, or go on with a run.

    With train/ and val/ (or test/) inside, those are used; else a tenth of each class is held out.
    Several processes: torchrun --nproc-per-node 4 -m alexnet train DATA --columns 2

    Parameters
    ----------
    data
        Folder of pictures.
    recipe
        quick (the default: some thousand photos), paper (as in its text), digits (the demo),
        lenet, vgg, googlenet or resnet (as published), or a .toml file such as the recipe.toml of
        a run.
    out
        Folder of the run; a new one below runs/ if not given.
    """
    given = options_given(options)
    fits_batch = given.get("batch") == "auto"
    if fits_batch and resumed.resume is None:
        del given["batch"]
    if resumed.resume is not None:
        others = {"data": data, "--recipe": recipe, "--out": out}
        names = [*(name for name, value in others.items() if value), *given]
        return _go_on(resumed.resume, resumed, given=names, layout=layout)
    if resumed.accept_changed_data:
        raise ValueError("--accept-changed-data is for a run that goes on; give --resume RUN too")
    chosen = override(find_recipe(recipe or "quick"), given | ({"data": data} if data else {}))
    if not chosen.data:
        raise ValueError("no data given; name a folder of pictures: alexnet train photos/")

    from alexnet.device import keep_pages
    from alexnet.training import setup

    keep_pages()
    with together(chosen.device, layout) as (team, log):
        folder = _agreed_folder(team, out, f"{Path(chosen.data).resolve().name}-{chosen.net}")
        with hold(folder) if team.leads else nullcontext():
            if team.mesh.world.restarts and any(folder.glob("checkpoints/step-*/manifest.json")):
                note(f"torchrun has started the run again, number {team.mesh.world.restarts}")
                run = setup.resume(folder, team)
                _note_position(run)
            else:
                run = setup.start(chosen, folder, team, fits_batch=fits_batch)
                if fits_batch:
                    parts = run.recipe.accumulate
                    note(f"a batch of {run.recipe.batch} fits in {parts} part{'s'[: parts > 1]}")
            log.keep(folder)
            return _finish(run)


def options_given(options: Any) -> dict[str, Any]:
    """Return those fields of a recipe that the user has set, of `Options`."""
    given = {each.name: getattr(options, each.name) for each in fields(Options)}
    given = {name: value for name, value in given.items() if value is not None}
    if "layer_lr" in given:
        given["layer_lr"] = dict(map(_factor, given["layer_lr"]))
    return given


def _agreed_folder(team: "Team", out: Path | None, name: str) -> Path:
    """Return the run's folder, the same in all processes and after torchrun's restarts."""
    again = team.mesh.world.restarts > 0
    own = out or ((newest_folder(name) if again else None) or new_folder(name))
    return Path(team.hear(str(own))[0])


def _go_on(folder: Path, resumed: Resumed, *, given: list[str], layout: Layout) -> int:
    if given:
        raise ValueError(
            f"--resume goes on with the run's own data and recipe, but {', '.join(given)} is "
            f"given; leave it out, or start a new run with --recipe {folder}/recipe.toml"
        )
    from alexnet.device import keep_pages
    from alexnet.training import setup

    keep_pages()
    file = folder / "recipe.toml"
    with (
        together(load(file).device if file.is_file() else "auto", layout) as (team, log),
        hold(folder) if team.leads and file.is_file() else nullcontext(),
    ):
        run = setup.resume(folder, team, accept_changed_data=resumed.accept_changed_data)
        log.keep(folder)
        if run.position.finished:
            raise ValueError(
                f"{folder} has finished, at update {run.position.step}; start a new run with "
                f"--recipe {folder}/recipe.toml and more --epochs"
            )
        _note_position(run)
        return _finish(run)


def _note_position(run: "Run") -> None:
    for text in run.notes:
        note(f"note: {text}")
    note(f"going on with {run.folder} at update {run.position.step} of {run.total_steps}")


def _finish(run: "Run") -> int:
    from alexnet.training import rollback

    for text in run.split.notes:
        note(f"note: {text}")
    for each in run.swapped:
        if each.reason:
            note(f"note: {each.name} keeps torch's own convolution: {each.reason}")
    train_count, validation_count = len(run.split.train), len(run.split.validation)
    note(f"training {run.recipe.net} on {run.recipe.data}; the run is {run.folder}")
    note(
        f"{train_count:,} pictures to train on, {validation_count:,} to validate "
        f"({run.split.rule}), {len(run.model.classes)} classes; {run.device} in "
        f"{'bfloat16' if run.dtype.itemsize == 2 else 'float32'}"
    )
    if run.team.size > 1:
        note(run.team.describe())
    counts = rollback.train(run)
    for path, reason in list((run.train.bad | run.validation.bad).items())[:10]:
        note(f"skipped {path}: {reason}")
    print(
        f"{counts.seen:,} validation pictures: top-1 error {counts.error(counts.top1_errors):.2%}, "
        f"top-5 error {counts.error(counts.top5_errors):.2%}"
    )
    print(f"next: alexnet eval {run.folder} {run.recipe.data} --views 10")
    print(f"      alexnet predict {run.folder} PICTURE ...")
    return 0


def _factor(text: str) -> tuple[str, float]:
    """Read `conv1=0.5`."""
    layer, _, factor = text.partition("=")
    try:
        return layer, float(factor)
    except ValueError:
        raise ValueError(f"layer_lr is {text!r}; write LAYER=FACTOR, such as conv1=0") from None
