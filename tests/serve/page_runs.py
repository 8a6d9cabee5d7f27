"""Runs for tests of the view Runs, and what such tests look for in a page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet.serve.bodies import Limits
from alexnet.serve.wire import Connection
from tests.serve.live import Live, start

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

BOTH = "#/runs?runs=one/two"
ODD = "<img src=x onerror=alert(1)>"


def lines_of(steps: int, *, start: float) -> list[dict[str, Any]]:
    """Return a journal: the loss falls from `start` by a tenth a step, a test every fifth."""
    found: list[dict[str, Any]] = []
    for step in range(1, steps + 1):
        epoch = step / 5
        figures = {"loss": start * 0.9**step, "lr": 0.01, "images_per_second": 80.0}
        found.append({"kind": "train", "step": step, "epoch": epoch, **figures})
        if step % 5 == 0:
            errors = {"top1_error": start / (10 + step), "top5_error": start / (50 + step)}
            found.append({"kind": "validation", "step": step, "epoch": epoch, **errors})
    return found


def write(folder: Path, lines: list[dict[str, Any]], mode: str = "a") -> None:
    """Write lines to a run's journal."""
    with (folder / "journal.jsonl").open(mode) as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


@contextmanager
def serve_some(runs_folder: Path) -> Iterator[Live]:
    """Serve the runs one, two, and one with an odd name."""
    recipe = (runs_folder / "one" / "recipe.toml").read_text()
    for name, changed in (("two", "lr = 0.5\n"), (ODD, "")):
        (runs_folder / name).mkdir()
        kept = [each for each in recipe.splitlines(True) if not changed or "lr =" not in each[:4]]
        (runs_folder / name / "recipe.toml").write_text(changed + "".join(kept))
    write(runs_folder / "one", lines_of(20, start=2.0), "w")
    write(runs_folder / "two", lines_of(10, start=4.0))
    with start(runs_folder, limits=Limits(), connection=Connection) as running:
        yield running


def card(page: "Page", name: str) -> "Locator":
    """Return the card of a chosen run."""
    return page.get_by_role("article", name=name, exact=True)


def reading(page: "Page", title: str) -> "Locator":
    """Return what the arrow keys move in a plot."""
    return page.get_by_role("slider", name=f"Reading of {title}")


def value(page: "Page", title: str) -> str:
    """Return what a plot's reading says."""
    return reading(page, title).get_attribute("aria-valuetext") or ""


def open_all(page: "Page") -> None:
    """Open all groups of the form."""
    closed = page.locator(".run-form details:not([open]) > summary")
    while closed.count():
        closed.first.press("Enter")
