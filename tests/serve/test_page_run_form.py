"""The form of the view Runs in Chromium: a run is started, stopped, gone on with, refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alexnet.serve.training import _Training
from tests.serve.browser import visit
from tests.serve.live import Live
from tests.serve.page_runs import BOTH, card, open_all, serve_some, value

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

QUICK = {"batch": "8", "picture_size": "32", "workers": "1", "validate_every": "100000"} | {
    "epochs": "100000",
    "minutes": "0.1",
    "lighting": "0",
    "stuck_after": "0",
}
"""Fields of a training that ends after 6 seconds of its own."""
SLOW = 90_000
"""Milliseconds that a process may take to begin or to end on a busy machine."""
CHOSEN = {"net": "lenet-5", "subtract": "mean-value", "crop": "centre", "init": "source"} | {
    "device": "cpu",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def server(runs_folder: Path) -> Iterator[Live]:
    """Return a server of some runs."""
    with serve_some(runs_folder) as running:
        yield running


def fill(page: "Page", name: str, **more: str) -> None:
    """Fill the form for a small and short training."""
    open_all(page)
    page.locator("#field-name").fill(name)
    for field, chosen in CHOSEN.items():
        page.locator(f"#field-{field}").select_option(chosen)
    for field, text in (QUICK | more).items():
        page.locator(f"#field-{field}").fill(text)


@pytest.mark.slow
def test_a_run_is_started_stopped_and_gone_on_with_to_its_end(
    browser: "Browser", server: Live
) -> None:
    with visit(browser, server.port, BOTH) as page:
        page.get_by_role("button", name="Start a run", disabled=False).press("Enter")
        fill(page, "mine")
        with page.expect_request(lambda request: request.method == "POST") as sent:
            page.get_by_role("button", name="Start the run").press("Enter")
        wanted = json.loads(sent.value.post_data or "")
        quick = server.ask("/api/recipe").json["recipes"]["quick"]
        assert wanted["recipe"] == "quick"
        assert "schedule" not in wanted["fields"]
        assert all(quick[name] != given for name, given in wanted["fields"].items())
        mine = card(page, "mine")
        mine.get_by_text("time left").wait_for(timeout=SLOW)
        mine.get_by_role("button", name="Stop").press("Enter")
        mine.get_by_text("stopped, can go on").wait_for(timeout=SLOW)
        stopped = steps_of(server.ask("/api/runs/mine").json)
        page.get_by_role("button", name="Start a run").press("Enter")
        page.locator("#field-recipe").select_option("as mine")
        assert page.locator("#field-minutes").input_value() == "0.1"
        page.get_by_role("button", name="Close the form").press("Enter")
        mine.get_by_role("button", name="Go on").press("Enter")
        mine.get_by_text("finished").wait_for(timeout=SLOW)
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


def test_another_run_that_trains_is_the_servers_reason(
    browser: "Browser", server: Live, tmp_path: Path
) -> None:
    class Busy:
        def poll(self) -> None:
            return None

    (tmp_path / "busy.log").write_text("")
    files = (tmp_path / "busy.log", tmp_path / "busy.toml")
    with visit(browser, server.port, BOTH) as page:
        page.get_by_role("button", name="Start a run").click()
        busy = _Training(Busy(), *files)  # type: ignore[arg-type]
        server.service.trainings._started["busy"] = busy
        page.get_by_role("button", name="Start the run").click()
        page.get_by_role("alert").get_by_text(
            "'busy' is being trained; stop it, or wait"
        ).wait_for()
        del server.service.trainings._started["busy"]
