"""The view Runs in Chromium: the list, curves that grow, runs beside each other, the form."""

import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alexnet.serve.bodies import Limits
from alexnet.serve.training import _Training
from alexnet.serve.wire import Connection
from tests.serve.browser import no_violations, visit
from tests.serve.live import Live, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

BOTH = "#/runs?runs=one/two"
ODD = "<img src=x onerror=alert(1)>"
QUICK = {"batch": "8", "picture_size": "32", "workers": "1", "validate_every": "100000"} | {
    "epochs": "100000",
    "minutes": "0.04",
    "lighting": "0",
    "stuck_after": "0",
}
"""Fields of a training that ends after 2.4 seconds of its own."""
CHOSEN = {"net": "lenet-5", "subtract": "mean-value", "crop": "centre", "init": "source"} | {
    "device": "cpu",
    "precision": "fp32",
}


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


@pytest.fixture(scope="module")
def server(runs_folder: Path) -> Iterator[Live]:
    """Return a server of the runs one, two, and one with an odd name."""
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


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_wrong(browser: "Browser", server: Live, dark: bool) -> None:
    with visit(browser, server.port, BOTH, dark=dark) as page:
        page.get_by_text("of 54 fields differ").wait_for()
        page.locator("summary", has_text="As a table").first.click()
        page.get_by_role("button", name="Start a run").click()
        open_all(page)
        page.locator("#field-lr").fill("fast")
        page.get_by_role("button", name="Start the run").click()
        page.locator("[data-field=lr]").get_by_text("it must be of type float").wait_for()
        no_violations(page)


def test_the_list_says_what_the_api_says(browser: "Browser", server: Live) -> None:
    told = {each["name"]: each for each in server.ask("/api/runs").json["runs"]}
    with visit(browser, server.port, "#/runs") as page:
        page.get_by_role("checkbox", name=ODD).wait_for()
        rows = page.locator(".runs-table tbody tr").all_inner_texts()
        assert {text.split("\t")[0].strip() for text in rows} == set(told)
        (two,) = [text.split("\t")[1:] for text in rows if text.strip().startswith("two")]
        assert told["two"]["best_error"] == 4.0 / 20
        assert two[:3] == ["nothing saved", f"2 of {told['two']['epochs']}", "20.0%"]
        page.get_by_role("button", name="Best error").press("Enter")
        assert page.locator("th[aria-sort=ascending]").inner_text().startswith("Best error")
        first = page.locator(".runs-table tbody tr").first.inner_text()
        assert first.strip().startswith("one")  # whose best is 2 / 30
        page.get_by_role("button", name="Best error").press("Enter")
        assert page.locator("th[aria-sort=descending]").count() == 1


def test_two_runs_are_drawn_in_one_plot_and_read_by_the_keyboard(
    browser: "Browser", server: Live
) -> None:
    with visit(browser, server.port, "#/runs?runs=one") as page:
        page.get_by_role("checkbox", name="two").focus()
        page.keyboard.press("Space")
        card(page, "two").get_by_text("nothing saved").wait_for()
        page.locator(".plot .look-1 path[d]").first.wait_for()
        assert page.evaluate("location.hash") == "#/runs?runs=one%2Ftwo"
        page.reload()  # the address has what was chosen
        page.locator(".plot .look-1 path[d]").first.wait_for()
        slider = reading(page, "Training loss")
        slider.focus()
        page.keyboard.press("Home")
        assert value(page, "Training loss") == "0.2 epochs: one 1.8, two 3.6"
        page.keyboard.press("ArrowRight")
        assert value(page, "Training loss") == "0.4 epochs: one 1.62, two 3.24"
        page.keyboard.press("End")  # where two has ended
        assert value(page, "Training loss") == f"4 epochs: one {2 * 0.9**20:.4}"
        errors = reading(page, "Validation errors")
        errors.focus()
        page.keyboard.press("Home")
        told = "1 epochs: one 13.3%, one, of five 3.6%, two 26.7%, two, of five 7.3%"
        assert value(page, "Validation errors") == told
        box = slider.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] - 15, box["y"] + 50)
        assert page.locator(".plot .where").first.inner_text() == "4 epochs"


def test_a_plot_is_a_table_too_and_has_other_axes(browser: "Browser", server: Live) -> None:
    with visit(browser, server.port, BOTH) as page:
        page.locator(".plot .look-1 path[d]").first.wait_for()
        plot = page.locator(".plot").first
        plot.locator("summary").press("Enter")
        assert plot.locator("thead th").all_inner_texts() == ["epochs", "one", "two"]
        assert plot.locator("tbody tr").first.inner_text().split("\t") == ["0.2", "1.8", "3.6"]
        assert plot.locator("tbody tr").count() == 20
        page.get_by_label("updates").check()
        assert plot.locator("tbody tr").last.inner_text().split("\t")[0] == "20"
        page.get_by_label("hours").check()  # 20 updates of 8 pictures, 80 a second
        batch = server.ask("/api/runs/one").json["recipe"]["batch"]
        hours = float(plot.locator("tbody tr").last.inner_text().split("\t")[0])
        assert hours == pytest.approx(20 * batch / 80 / 3600, rel=1e-2)
        page.get_by_label("updates").check()
        path = plot.locator("path").first.get_attribute("d")
        page.get_by_label("loss logarithmic").check()
        y = [float(each.split(" ")[1]) for each in _points(plot)]
        assert plot.locator("path").first.get_attribute("d") != path
        falls = [b - a for a, b in itertools.pairwise(y)]
        assert max(falls) - min(falls) < 0.25  # falling by a tenth each time is a straight line
        assert "log=loss" in page.evaluate("location.hash")


def _points(plot: "Locator") -> list[str]:
    path = plot.locator("path").first.get_attribute("d")
    assert path is not None
    return path.removeprefix("M").split("L")


def test_recipes_stand_beside_each_other(browser: "Browser", server: Live) -> None:
    with visit(browser, server.port, BOTH) as page:
        page.get_by_text("1 of 54 fields differ").wait_for()
        table = page.locator("table.recipe")
        mine = server.ask("/api/runs/one").json["recipe"]
        assert table.locator("mark").all_inner_texts() == [f"{mine['lr']:g}", "0.5"]
        page.get_by_label("all fields").check()
        assert table.locator("tbody tr:not(.group)").count() == 54
        page.get_by_role("button", name="take out two").click()
        page.get_by_label("Beside them").select_option("paper")
        page.get_by_label("all fields").uncheck()
        paper = server.ask("/api/recipe").json["recipes"]["paper"]
        differing = {name for name in mine if mine[name] != paper[name]}
        assert set(table.locator("tbody code").all_inner_texts()) == differing
        assert card(page, "two").count() == 0


def test_a_run_elsewhere_is_followed_as_it_grows_and_goes_back(
    browser: "Browser", server: Live, runs_folder: Path
) -> None:
    folder = runs_folder / "grown"
    shutil.copytree(runs_folder / "two", folder)
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": "now"}
    (folder / "lock").write_text(json.dumps(who))
    asked: list[str] = []
    with visit(browser, server.port) as page:
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"http://127.0.0.1:{server.port}/#/runs?runs=grown")
        card(page, "grown").get_by_text("Started elsewhere").wait_for()
        write(folder, lines_of(40, start=4.0)[12:])
        card(page, "grown").get_by_text(re.compile("^8 of")).wait_for()
        assert value(page, "Training loss") == f"8 epochs: grown {4 * 0.9**40:.4}"
        whole = [url for url in asked if url.endswith("/api/runs/grown")]
        assert len(whole) == 1  # all else came as events
        write(folder, lines_of(15, start=4.0), "w")  # a checkpoint was gone back to
        card(page, "grown").get_by_text(re.compile("^3 of")).wait_for()
        (folder / "lock").unlink()
        card(page, "grown").get_by_text("nothing saved").wait_for()
        assert card(page, "grown").get_by_text("time left").count() == 0


def open_all(page: "Page") -> None:
    """Open all groups of the form."""
    closed = page.locator(".run-form details:not([open]) > summary")
    while closed.count():
        closed.first.press("Enter")


def fill(page: "Page", name: str, **more: str) -> None:
    """Fill the form for a small and short training."""
    open_all(page)
    page.locator("#field-name").fill(name)
    for field, chosen in CHOSEN.items():
        page.locator(f"#field-{field}").select_option(chosen)
    for field, text in (QUICK | more).items():
        page.locator(f"#field-{field}").fill(text)


def test_a_run_is_started_stopped_and_gone_on_with_to_its_end(
    browser: "Browser", server: Live
) -> None:
    with visit(browser, server.port, BOTH) as page:
        page.get_by_role("button", name="Start a run").press("Enter")
        fill(page, "mine")
        with page.expect_request(lambda request: request.method == "POST") as sent:
            page.get_by_role("button", name="Start the run").press("Enter")
        wanted = sent.value.post_data_json
        quick = server.ask("/api/recipe").json["recipes"]["quick"]
        assert wanted["recipe"] == "quick"
        assert "schedule" not in wanted["fields"]
        assert all(quick[name] != given for name, given in wanted["fields"].items())
        mine = card(page, "mine")
        mine.get_by_text("time left").wait_for()
        mine.get_by_role("button", name="Stop").press("Enter")
        mine.get_by_text("stopped, can go on").wait_for()
        stopped = steps_of(server.ask("/api/runs/mine").json)
        page.get_by_role("button", name="Start a run").press("Enter")
        page.locator("#field-recipe").select_option("as mine")
        assert page.locator("#field-minutes").input_value() == "0.04"
        page.get_by_role("button", name="Close the form").press("Enter")
        mine.get_by_role("button", name="Go on").press("Enter")
        mine.get_by_text("finished").wait_for(timeout=60_000)
        run = server.ask("/api/runs/mine").json
        assert steps_of(run)[: len(stopped)] == stopped
        assert len(steps_of(run)) > len(stopped) > 0
        assert value(page, "Training loss").endswith(f"mine {_plain(run['last_train']['loss'])}")
        assert mine.get_by_role("button", name="Go on").count() == 0


def steps_of(run: dict[str, Any]) -> list[int]:
    """Return the updates that a run's journal has lines of."""
    return [line["step"] for line in run["journal"] if line["kind"] == "train"]


def _plain(number: float) -> str:
    return f"{float(f'{number:.4g}'):,.6g}"


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("lr", "fast", "lr is 'fast'; it must be of type float"),
        ("lr", "-1", "lr is -1; it must be above 0 and at most 10"),
        ("epochs", "1.5", "epochs is 1.5; it must be of type int"),
        ("momentum", "1", "momentum is 1; it must be at least 0 and below 1"),
        ("milestones", "1, x", "milestones holds 'x'; it must be a finite number"),
        ("layer_lr", "conv1", "layer_lr holds ''; it must be a finite number"),
        ("name", "../x", "the name of a run has letters, digits and . _ - only"),
        ("name", "one", "there is a run 'one' already; choose another"),
    ],
)
def test_a_bad_value_is_said_at_its_field(
    page_with_form: "Page", field: str, text: str, said: str
) -> None:
    page, place = page_with_form, page_with_form.locator(f"[data-field={field}]")
    open_all(page)
    box = page.locator(f"#field-{field}")
    was = box.input_value()
    box.fill(text)
    box.evaluate("input => input.closest('details')?.removeAttribute('open')")
    page.get_by_role("button", name="Start the run").click()
    place.get_by_text(said).wait_for()
    assert page.evaluate("document.activeElement.id") == f"field-{field}"
    assert page.locator("[aria-invalid=true]").count() == 1
    assert page.locator(".run-form .error:not([hidden])").all_inner_texts() == [said]
    box.fill(was)


@pytest.fixture(scope="module")
def page_with_form(browser: "Browser", server: Live) -> "Iterator[Page]":
    """Return a page with the form open."""
    with visit(browser, server.port, BOTH) as page:
        page.get_by_role("button", name="Start a run").click()
        yield page


def test_a_run_that_failed_before_it_wrote_anything_is_told_with_its_words(
    browser: "Browser", server: Live, tmp_path: Path
) -> None:
    class Ended:
        def poll(self) -> int:
            return 3

    (tmp_path / "bad.log").write_text("reading\nphotos/a.jpg is <b>no</b> picture\n")
    (tmp_path / "bad.toml").write_text('net = "lenet-5"\ndata = "photos"\n')
    files = (tmp_path / "bad.log", tmp_path / "bad.toml")
    server.service.trainings._started["bad"] = _Training(Ended(), *files)  # type: ignore[arg-type]
    with visit(browser, server.port, "#/runs?runs=bad") as page:
        card(page, "bad").get_by_text("failed", exact=True).wait_for()
        assert "lenet-5 on photos" in card(page, "bad").inner_text()
        said = card(page, "bad").locator("pre").inner_text()
        assert said.splitlines()[1:] == [
            "photos/a.jpg is <b>no</b> picture",
            "(it ended with exit code 3)",
        ]
    del server.service.trainings._started["bad"]


def test_a_hundred_runs_are_found_by_name(
    browser: "Browser", runs_folder: Path, tmp_path: Path
) -> None:
    for number in range(100):
        shutil.copytree(runs_folder / "two", tmp_path / f"run-{number:03d}")
    with start(tmp_path) as live, visit(browser, live.port, "#/runs", width=360) as page:
        page.get_by_text("100 runs; choose some").wait_for()
        page.get_by_label("Find a run").fill("RUN-09")
        page.get_by_text("10 of 100 runs").wait_for()
        assert page.locator(".runs-table tbody tr").count() == 10
        for number in range(90, 95):
            page.get_by_role("checkbox", name=f"run-{number:03d}").set_checked(True)
        card(page, "run-094").wait_for()
        page.get_by_role("checkbox", name="run-099").click()
        page.get_by_text("6 runs at the most are plotted together").wait_for()
        assert not page.get_by_role("checkbox", name="run-099").is_checked()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360


def test_a_server_of_one_run_starts_none(browser: "Browser", runs_folder: Path) -> None:
    with start(runs_folder / "one") as live, visit(browser, live.port, "#/runs") as page:
        page.get_by_text("This server starts no runs").wait_for()
        assert page.get_by_role("button", name="Start a run").is_disabled()
