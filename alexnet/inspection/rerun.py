"""How a run differs from the recipes that have a name, and the commands that run it again."""

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from alexnet.inspection.account import Setting
from alexnet.model import SUFFIX
from alexnet.training.recipe import Recipe, field_help
from alexnet.training.recipes import RECIPES


def compare_recipe(recipe: Recipe) -> tuple[str, tuple[Setting, ...]]:
    """Return the name of the recipe that is nearest, and every field beside that of this one.

    Nearest is the one with the fewest other fields; of equals the first. The data are no part.
    """
    counts = {name: len(_differing(recipe, known)) for name, known in RECIPES.items()}
    nearest = min(counts, key=lambda name: counts[name])
    texts = field_help()
    ours, theirs = _values(recipe), _values(RECIPES[nearest])
    return nearest, tuple(
        Setting(name, _shown(value), _shown(theirs[name]), " ".join(texts[name].split()))
        for name, value in ours.items()
    )


def commands_of(
    folder: Path, recipe: Recipe, named: str, *, finished: bool
) -> tuple[tuple[str, str], ...]:
    """Return what for, and the command, of all that may follow a run.

    The first gives the recipe `named` and whatever else the run has.
    """
    known, values = RECIPES[named], _values(recipe)
    words = ["alexnet", "train", *([recipe.data] if recipe.data else []), "--recipe", named]
    own = folder / f"net{SUFFIX}"
    more = []
    for name in _differing(recipe, known):
        value = str(own) if name == "net" and own.is_file() else values[name]
        more += _option(name, value)
    file = ["alexnet", "train", "--recipe", str(folder / "recipe.toml")]
    if own.is_file():
        file += ["--net", str(own)]
    commands = [
        ("The same training, all that differs written out:", _joined(words, more)),
        ("The same from the run's own file:", shlex.join(file)),
    ]
    if not finished:
        resumed = ["alexnet", "train", "--resume", str(folder)]
        commands.append(("This run, where it was stopped:", shlex.join(resumed)))
    if recipe.data:
        tested = ["alexnet", "eval", str(folder), recipe.data, "--views", "10"]
        commands.append(("Its errors, ten views of each picture:", shlex.join(tested)))
    return tuple(commands)


def how_repeatable(recipe: Recipe, journal: Sequence[dict[str, Any]]) -> str:
    """Say whether the same recipe gives the same weights."""
    if recipe.minutes:
        return (
            f"The run was to end after {recipe.minutes:g} minutes: how far that is depends on the "
            "machine, so that another run is like this one but not the same bit for bit."
        )
    if any(line["kind"] == "rollback" for line in journal):
        return (
            "The loss ran away and training went back to a checkpoint, whose place depends on the "
            "clock: another run is like this one but not the same bit for bit."
        )
    return (
        "All that is random comes from the seed: with the same pictures, versions, processes and "
        "kind of machine, the same recipe gives the same weights."
    )


def digest_of(file: Path, record: dict[str, Any]) -> str:
    """Return a recipe file's SHA-256, and whether it is what it was when the run began."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if "recipe" not in record:
        return digest
    return digest if digest == record["recipe"] else f"{digest}, changed since the run began"


def _differing(recipe: Recipe, known: Recipe) -> list[str]:
    theirs = _values(known)
    return [name for name, value in _values(recipe).items() if value != theirs[name]]


def _values(recipe: Recipe) -> dict[str, Any]:
    return {each.name: getattr(recipe, each.name) for each in fields(Recipe) if each.name != "data"}


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}={_shown(each)}" for key, each in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value)) or "none"
    return _exact(value) if isinstance(value, float) else str(value)


def _exact(value: float) -> str:
    """Return the shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _option(name: str, value: Any) -> list[str]:
    """Return a field as `alexnet train` takes it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, dict):
        pairs = (f"{key}={_exact(each)}" for key, each in value.items())
        return [word for pair in pairs for word in (f"--{flag}", pair)]
    if isinstance(value, tuple):
        return [word for each in value for word in (f"--{flag}", _exact(each))]
    return [f"--{flag}", _exact(value) if isinstance(value, float) else str(value)]


def _joined(words: Sequence[str], options: Sequence[str]) -> str:
    """Return a command, its options on lines of their own where there are many."""
    line = shlex.join([*words, *options])
    if len(line) <= 100:
        return line
    lines, row = [shlex.join(words)], ""
    groups: list[list[str]] = []
    for word in options:
        if word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    for text in map(shlex.join, groups):
        if row and len(row) + len(text) > 80:
            lines, row = [*lines, row], ""
        row = f"{row} {text}" if row else f"    {text}"
    return " \\\n".join([*lines, row])
