"""The command that a report gives is that of the run's recipe."""

import hashlib
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

from alexnet.cli import app
from alexnet.inspection.rerun import commands_of, compare_recipe, digest_of, how_repeatable
from alexnet.training.recipe import Recipe, override
from alexnet.training.recipes import QUICK, RECIPES, find_recipe


def read_back(command: str) -> Recipe:
    """Return the recipe that `alexnet train` makes of a command's words."""
    words = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines
    assert words[:2] == ["alexnet", "train"]
    _, bound, _ = app.parse_args(words[1:], exit_on_error=False, print_error=False)
    values = vars(bound.arguments["options"])
    given = {name: value for name, value in values.items() if value is not None}
    if "layer_lr" in given:
        pairs = (text.split("=") for text in given["layer_lr"])
        given["layer_lr"] = {layer: float(factor) for layer, factor in pairs}
    recipe = find_recipe(bound.arguments["recipe"])
    return override(recipe, given | {"data": bound.arguments["data"]})


@pytest.mark.parametrize(
    "recipe",
    [
        replace(QUICK, data="my photos/", epochs=40, minutes=55.0, label_smoothing=0.1),
        replace(RECIPES["lenet"], data="mnist", flip=True, lr=1 / 3),
        replace(
            RECIPES["paper"],
            data="x",
            flip=False,
            schedule="steps",
            milestones=(30.0, 60.5),
            layer_lr={"conv1": 0.0, "fc8.bias": 2.5},
            seed=-3,
        ),
    ],
)
def test_the_command_gives_the_same_recipe(recipe: Recipe, tmp_path: Path) -> None:
    name, _ = compare_recipe(recipe)
    command = commands_of(tmp_path, recipe, name, finished=True)[0][1]
    assert read_back(command) == recipe


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_with_a_name_is_known_by_it(name: str) -> None:
    found, settings = compare_recipe(replace(RECIPES[name], data="photos"))
    assert found == name
    assert not [each.name for each in settings if each.differs]
    assert len(settings) == len(fields(Recipe)) - 1


def test_the_nearest_recipe_is_that_with_the_fewest_other_fields() -> None:
    name, settings = compare_recipe(replace(QUICK, batch=32, flip=False, lr=0.1 + 0.2))
    assert name == "quick"
    differing = {each.name: (each.value, each.usual) for each in settings if each.differs}
    assert differing == {
        "batch": ("32", "64"),
        "flip": ("no", "yes"),
        "lr": ("0.30000000000000004", "0.004"),
    }


def test_further_commands_fit_the_run(tmp_path: Path) -> None:
    recipe = replace(QUICK, data="my photos", net="own.prototxt")
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / "net.prototxt").write_text("")
    commands = [text for _, text in commands_of(folder, recipe, "quick", finished=False)]
    own = shlex.quote(str(folder / "net.prototxt"))
    assert f"--net {own}" in commands[0]
    assert commands[1] == (
        f"alexnet train --recipe {shlex.quote(str(folder / 'recipe.toml'))} --net {own}"
    )
    assert commands[2] == f"alexnet train --resume {shlex.quote(str(folder))}"
    assert commands[3] == f"alexnet eval {shlex.quote(str(folder))} 'my photos' --views 10"
    finished = commands_of(tmp_path, replace(recipe, data=""), "quick", finished=True)
    assert len(finished) == 2
    assert "net.prototxt" not in finished[0][1]


def test_it_is_said_whether_a_run_can_be_repeated() -> None:
    assert "gives the same weights" in how_repeatable(QUICK, [])
    assert "after 55 minutes" in how_repeatable(replace(QUICK, minutes=55.0), [])
    line = {"kind": "rollback", "step": 3}
    assert "went back to a checkpoint" in how_repeatable(QUICK, [line])


def test_a_recipe_that_was_changed_since_is_found(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_bytes(b"epochs = 3\n")
    digest = hashlib.sha256(b"epochs = 3\n").hexdigest()
    assert digest_of(file, {}) == digest
    assert digest_of(file, {"recipe": digest}) == digest
    assert digest_of(file, {"recipe": "other"}) == f"{digest}, changed since the run began"
