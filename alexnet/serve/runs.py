"""Runs as their folders have them: recipe, journal, state, report; and what is new, followed.

Source of the form of events: HTML standard, section 9.2, server-sent events.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alexnet.serve.answers import Refused
from alexnet.serve.models import Place
from alexnet.serve.summaries import (
    JOURNAL,
    LONGEST_READ,
    has_checkpoint,
    has_finished,
    read_line,
    read_lines,
    summarise,
)
from alexnet.serve.training import Trainings
from alexnet.training.lock import LOCK

REPORT = "report.html"
POLL_SECONDS, HEARTBEAT_SECONDS = 0.5, 15.0
MOST_LINES = 20_000
SAVED = 75
"""Exit code of a training that was asked to stop and has saved."""


def describe_run(place: Place, trainings: Trainings) -> dict[str, Any]:
    """Return a run in a few words: its net and data, its newest figures, its state.

    The state is training, finished, stopped (it can go on), failed (what was started here ended
    with an error) or empty (it has no checkpoint).
    """
    recipe = trainings.recipe_of(place)
    told = summarise(place.folder)
    started = trainings.describe(place.name)
    training, saved = is_training(place.folder, started), has_checkpoint(place.folder)
    finished = has_finished(place.folder)
    return {
        "name": place.name,
        "net": recipe.net if recipe else None,
        "data": recipe.data if recipe else None,
        "has_model": place.manifest is not None,
        "training": training,
        "state": _state(started, training=training, saved=saved, finished=finished),
        "can_go_on": saved and not training and not finished,
        "started_here": started is not None,
        "last_train": told.last_train,
        "last_validation": told.last_validation,
        "best_error": told.best_error,
        "epochs_done": told.epochs_done,
        "epochs": recipe.epochs if recipe else None,
        "heard_at": told.written_at,
    }


def list_runs(trainings: Trainings) -> list[dict[str, Any]]:
    """Describe all runs, what was written last first; those just started come before them."""
    places = trainings.shelf.places()
    found = [place for place in places.values() if place.is_run]
    return [describe_run(each, trainings) for each in (*trainings.unwritten(places), *found)]


def whole_run(place: Place, trainings: Trainings) -> dict[str, Any]:
    """Return all that a run's page shows: its recipe, and its journal so far.

    `journal_end` is the byte behind the journal's last line, from which it is followed.
    """
    recipe = trainings.recipe_of(place)
    lines, end = read_lines(place.folder / JOURNAL, LONGEST_READ)
    return describe_run(place, trainings) | {
        "recipe": asdict(recipe) if recipe else None,
        "folder": str(place.folder),
        "journal": lines[-MOST_LINES:],
        "journal_end": end,
        "process": trainings.describe(place.name),
        "has_report": (place.folder / REPORT).is_file(),
    }


def is_training(folder: Path, started: dict[str, Any] | None = None) -> bool:
    """Return whether a process trains in a folder, by what its lock says.

    The lock itself is not touched: that could keep a training from starting.
    """
    if started is not None and started["training"]:
        return True
    with suppress(OSError, ValueError, KeyError, TypeError):
        who = json.loads((folder / LOCK).read_text())
        if who["host"] != socket.gethostname():
            return True
        os.kill(int(who["pid"]), 0)
        return True
    return False


async def follow(
    place: Place, trainings: Trainings, *, after: int, is_stopping: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """Yield a journal's lines from byte `after` on, as they are written, as server-sent events.

    An event's id is the byte behind its line, from which a reader goes on. A journal that became
    shorter (a run that took lines back) begins anew, with the event "reset". The event "state"
    says whether the run trains; after it has ended the stream ends.
    """
    path, at, quiet = place.folder / JOURNAL, after, 0.0
    training: bool | None = None
    yield b"retry: 2000\n\n"
    while not is_stopping():
        found, at, was_reset = await asyncio.to_thread(_new_lines, path, at)
        if was_reset:
            yield b"event: reset\ndata: {}\n\n"
        for end, line in found:
            yield b"id: %d\ndata: %s\n\n" % (end, json.dumps(line).encode())
        now = is_training(place.folder, trainings.describe(place.name))
        if now != training:
            training = now
            yield b"event: state\ndata: %s\n\n" % json.dumps({"training": now}).encode()
        if not found and not now:
            return
        quiet = 0.0 if found else quiet + POLL_SECONDS
        if quiet >= HEARTBEAT_SECONDS:
            quiet = 0.0
            yield b": still here\n\n"
        if not found:
            await asyncio.sleep(POLL_SECONDS)


def read_report(place: Place) -> bytes:
    """Return the report that `alexnet report` has written.

    Raises: Refused with 404 if there is none.
    """
    path = place.folder / REPORT
    with suppress(OSError):
        if not path.is_symlink():
            return path.read_bytes()
    raise Refused(
        404,
        "no-report",
        f"the run {place.name!r} has no report yet",
        hint=f"alexnet report {place.folder} writes one",
    )


def _new_lines(path: Path, at: int) -> tuple[list[tuple[int, dict[str, Any]]], int, bool]:
    """Return the lines from a byte on, with the byte behind each, and whether it begins anew."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            was_reset = at > size
            at = 0 if was_reset else at
            file.seek(at)
            data = file.read(LONGEST_READ)
    except OSError:
        return [], 0, at > 0
    found = []
    for piece in data.split(b"\n")[:-1]:
        at += len(piece) + 1
        line = read_line(piece)
        if line is not None:
            found.append((at, line))
    return found, at, was_reset


def _state(started: dict[str, Any] | None, *, training: bool, saved: bool, finished: bool) -> str:
    if training:
        return "training"
    if finished:
        return "finished"
    if started is not None and started["exit_code"] not in (0, SAVED):
        return "failed"
    return "stopped" if saved else "empty"
