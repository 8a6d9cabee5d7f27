"""The view Runs in Chromium: the list, curves that grow, runs beside each other, the form."""

import itertools
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serve.browser import no_violations, visit
from tests.serve.live import Live, start
from tests.serve.page_runs import (
    BOTH,
    ODD,
    card,
    lines_of,
    open_all,
    reading,
    serve_some,
    value,
    write,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator


@pytest.fixture(scope="module")
def server(runs_folder: Path) -> Iterator[Live]:
    """Return a server of some runs."""
    with serve_some(runs_folder) as running:
        yield running


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
    path: str | None = plot.locator("path").first.get_attribute("d")
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
        followed = [url for url in asked if "/api/runs/grown/events?" in url]
        assert 1 <= len(whole) <= len(followed)  # all else came as events, but for lost connections
        write(folder, lines_of(15, start=4.0), "w")  # a checkpoint was gone back to
        card(page, "grown").get_by_text(re.compile("^3 of")).wait_for()
        (folder / "lock").unlink()
        card(page, "grown").get_by_text("nothing saved").wait_for()
        assert card(page, "grown").get_by_text("time left").count() == 0


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


def test_a_report_is_opened_in_a_tab_of_its_own(
    browser: "Browser", server: Live, runs_folder: Path
) -> None:
    report = runs_folder / "one" / "report.html"
    report.write_text("<title>told</title><script>document.title = 'ran'</script>")
    with visit(browser, server.port, BOTH) as page:
        card(page, "two").get_by_text("writes one").wait_for()
        with page.context.expect_page() as opened:
            card(page, "one").get_by_role("link", name="Report in a new tab").press("Enter")
        opened.value.wait_for_load_state()
        assert opened.value.title() == "told"
    report.unlink()


def test_a_lost_connection_is_said_and_made_again(
    browser: "Browser", server: Live, runs_folder: Path
) -> None:
    folder = runs_folder / "lost"
    shutil.copytree(runs_folder / "two", folder)
    who = {"pid": os.getpid(), "host": socket.gethostname(), "since": "now"}
    (folder / "lock").write_text(json.dumps(who))
    with visit(browser, server.port) as page:
        page.route("**/events?after=*", lambda route: route.abort())
        page.goto(f"http://127.0.0.1:{server.port}/#/runs?runs=lost")
        card(page, "lost").get_by_text("connection lost, trying again").wait_for()
        page.unroute("**/events?after=*")
        card(page, "lost").get_by_text("training", exact=True).wait_for()
        write(folder, lines_of(15, start=4.0)[12:])
        card(page, "lost").get_by_text(re.compile("^3 of")).wait_for()
    shutil.rmtree(folder)
