"""Trainings that the page starts, stops and goes on with: `alexnet train` in processes of its own.

A training outlives nothing: when the server stops, each is asked to save and is waited for. Which
pictures may be trained on is the server's choice (--data, and what its runs were trained on), so
that a request names no path of its own.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alexnet.nearest import nearest
from alexnet.nets import find
from alexnet.serve.answers import Refused
from alexnet.serve.models import RECIPE, Place, Shelf
from alexnet.training.recipe import Recipe, load, override
from alexnet.training.recipes import RECIPES

SAVE_SECONDS = 60.0
MOST_AT_ONCE = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SAID_BYTES = 4000


@dataclass
class _Training:
    """A process that trains, or has trained."""

    process: subprocess.Popen[bytes]
    log: Path
    recipe: Path
    """What it was started with, if it was begun here."""


class Trainings:
    """The trainings that this server started."""

    def __init__(self, shelf: Shelf, data: Path | None) -> None:
        self.shelf, self.data = shelf, data
        self._started: dict[str, _Training] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def allowed_data(self) -> list[str]:
        """Return the data sets that may be trained on."""
        found = {str(self.data.resolve()): None} if self.data else {}
        for place in self.shelf.places().values():
            recipe = read_recipe(place)
            if recipe is not None and recipe.data and Path(recipe.data).exists():
                found[recipe.data] = None
        return list(found)

    def start(self, wanted: dict[str, Any]) -> str:
        """Start a run and return its name.

        `wanted` has `data`, and may have `recipe` (a name), `name` and `fields` (of the recipe).

        Raises: Refused for unknown keys, values that break a rule, or a training that goes on.
        """
        self._check_free()
        if self.shelf.is_single:
            raise Refused(
                409,
                "single",
                "this server serves one run",
                hint="start it with the folder of runs: alexnet serve runs/",
            )
        keys = ("data", "recipe", "name", "fields")
        for key in wanted:
            if key not in keys:
                raise Refused(400, "field", f"unknown key {key!r}{nearest(key, keys)}")
        recipe = self._recipe(wanted)
        name = wanted.get("name") or self._free_name(f"{Path(recipe.data).name}-{recipe.net}")
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise Refused(400, "name", "the name of a run has letters, digits and . _ - only")
        folder = self.shelf.path.resolve() / name
        if folder.exists():
            raise Refused(409, "exists", f"there is a run {name!r} already", hint="choose another")
        file = self._scratch() / f"{name}.toml"
        file.write_text(recipe.to_toml(), encoding="utf-8")
        self._launch(name, ["train", recipe.data, "--recipe", str(file), "--out", str(folder)])
        return name

    def resume(self, place: Place) -> None:
        """Go on with a run.

        Raises: Refused if a training goes on, or the place is no run.
        """
        self._check_free()
        if not place.is_run:
            raise Refused(409, "no-run", f"{place.name!r} is a model and no run")
        self._launch(place.name, ["train", "--resume", str(place.folder.resolve())])

    def stop(self, name: str) -> None:
        """Ask a run to save and stop; it goes on until its update is done.

        Raises: Refused if this server does not train it.
        """
        training = self._started.get(name)
        if training is None or training.process.poll() is not None:
            raise Refused(
                409,
                "not-training",
                f"this server does not train {name!r} now",
                hint="stop a training of the command line with Ctrl-C there",
            )
        training.process.send_signal(signal.SIGTERM)

    def describe(self, name: str) -> dict[str, Any] | None:
        """Return what is known of a training that was started here: its state and last words."""
        training = self._started.get(name)
        if training is None:
            return None
        code = training.process.poll()
        said = training.log.read_bytes()[-SAID_BYTES:].decode(errors="replace")
        return {"training": code is None, "exit_code": code, "said": said}

    def find(self, name: str) -> Place:
        """Return a place by its name, also of a training that has written nothing yet.

        Raises: Refused with 404, naming the nearest.
        """
        known = {place.name: place for place in self.unwritten(self.shelf.places())}
        return known.get(name) or self.shelf.find(name)

    def unwritten(self, known: Mapping[str, Place]) -> list[Place]:
        """Return the trainings started here that are none of the known places, newest first."""
        names = [name for name in self._started if name not in known]
        return [Place(name, self.shelf.path / name) for name in reversed(names)]

    def recipe_of(self, place: Place) -> Recipe | None:
        """Return the recipe of a place, or the one that it was started with."""
        found = read_recipe(place)
        training = self._started.get(place.name)
        if found is None and training is not None and training.recipe.is_file():
            return load(training.recipe)
        return found

    def close(self) -> None:
        """Stop all, and wait until they have saved."""
        running = [each.process for each in self._started.values() if each.process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(SAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _scratch(self) -> Path:
        """Return a folder for recipes and logs, which goes with the server."""
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="alexnet-serve-")
        return Path(self._folder.name)

    def _check_free(self) -> None:
        running = [name for name, each in self._started.items() if each.process.poll() is None]
        if len(running) >= MOST_AT_ONCE:
            raise Refused(
                409, "training", f"{running[0]!r} is being trained", hint="stop it, or wait"
            )

    def _recipe(self, wanted: dict[str, Any]) -> Recipe:
        named, given = wanted.get("recipe", "quick"), wanted.get("fields", {})
        if not isinstance(named, str) or named not in RECIPES:
            known = ", ".join(RECIPES)
            raise Refused(400, "recipe", f"recipe is {named!r}; it must be one of {known}")
        data = wanted.get("data")
        if not isinstance(data, str) or data not in self.allowed_data():
            raise Refused(
                403,
                "data",
                "data is none of the sets that this server may train on",
                hint="GET /api/recipe lists them; start the server with --data FOLDER for another",
            )
        if not isinstance(given, dict) or "data" in given:
            raise Refused(400, "field", "fields is no object of a recipe's fields without data")
        try:
            recipe = replace(override(RECIPES[named], given), data=data)
            find(recipe.net)  # a name and no file
        except ValueError as error:
            raise Refused(400, "field", str(error)) from None
        return recipe

    def _free_name(self, stem: str) -> str:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip(".-_")[:80] or "run"
        number = 1
        while (self.shelf.path / f"{stem}-{number}").exists():
            number += 1
        return f"{stem}-{number}"

    def _launch(self, name: str, arguments: list[str]) -> None:
        """Start a process; from the server's main thread, at whose end it is told to stop."""
        log = self._scratch() / f"{name}.log"
        command = [sys.executable, "-m", "alexnet.serve.child", str(os.getpid()), *arguments]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        self._started[name] = _Training(process, log, log.with_suffix(".toml"))


def read_recipe(place: Place) -> Recipe | None:
    """Return the recipe of a place; None for a model, and for one that cannot be read."""
    file = next(
        (f / RECIPE for f in (place.folder, place.folder.parent) if (f / RECIPE).is_file()), None
    )
    try:
        return load(file) if file else None
    except (ValueError, OSError):
        return None
