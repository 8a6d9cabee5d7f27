"""The view Tested in Chromium: the matrix, the pictures behind its cells, and the mistakes."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.browser import no_violations, visit
from tests.serve.live import CLASSES, Live, start
from tests.serve.test_page import as_percent

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FOCUSED = "[document.activeElement.dataset.truth, document.activeElement.dataset.answer]"


@pytest.fixture(scope="module")
def found(served: Live) -> dict[str, Any]:
    """Return the API's confusion, when all pictures have been looked through."""
    until = time.monotonic() + 60
    while (answer := served.ask("/api/confusion")).status == 202:
        assert time.monotonic() < until
        time.sleep(0.05)
    confusion: dict[str, Any] = answer.json
    return confusion


@pytest.fixture
def page(browser: "Browser", served: Live, found: dict[str, Any]) -> "Iterator[Page]":
    """Return the page, open at Tested."""
    with visit(browser, served.port, "#/tested") as opened:
        opened.wait_for_selector(".by-class")
        yield opened


def fullest(found: dict[str, Any]) -> tuple[int, int]:
    """Return a cell with pictures behind it."""
    cells = [(n, t, a) for t, row in enumerate(found["confusion"]) for a, n in enumerate(row)]
    _, truth, answer = max(cells)
    return truth, answer


def test_the_matrix_has_the_counts_of_the_api(page: "Page", found: dict[str, Any]) -> None:
    rows = page.locator(".confusion tbody tr")
    assert rows.locator("th").all_inner_texts() == list(CLASSES)
    for truth in range(len(CLASSES)):
        shown = rows.nth(truth).locator("button").all_inner_texts()
        assert shown == [str(each) if each else "\u00b7" for each in found["confusion"][truth]]
    label = page.locator("[data-truth='1'][data-answer='2']").get_attribute("aria-label")
    assert label == f"disc & ring taken for square: {found['confusion'][1][2]}"
    said = page.locator(".lead").inner_text()
    assert f"one was shown {found['pictures']} labelled pictures." in said
    assert f"is wrong for {found['top1_errors']} of them" in said


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_wrong_with_an_open_cell(
    browser: "Browser", served: Live, found: dict[str, Any], *, dark: bool
) -> None:
    truth, answer = fullest(found)
    address = f"#/tested?truth={truth}&answer={answer}"
    with visit(browser, served.port, address, dark=dark, width=360) as page:
        page.wait_for_selector(".by-class")
        assert page.locator(".behind li").count() == found["confusion"][truth][answer]
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        no_violations(page)


def test_arrow_keys_go_from_cell_to_cell_and_enter_opens_the_pictures(
    page: "Page", served: Live, found: dict[str, Any]
) -> None:
    truth, answer = fullest(found)
    page.locator("[data-truth='0'][data-answer='0']").focus()
    for key, place in (
        ("ArrowUp", ["0", "0"]),
        ("ArrowDown", ["1", "0"]),
        ("End", ["1", "2"]),
        ("ArrowRight", ["1", "2"]),
        ("PageDown", ["2", "2"]),
        ("ArrowLeft", ["2", "1"]),
        ("Home", ["2", "0"]),
        ("PageUp", ["0", "0"]),
    ):
        page.keyboard.press(key)
        assert page.evaluate(FOCUSED) == place, key
    assert page.locator(".confusion button[tabindex='0']").count() == 1
    page.keyboard.press("Enter")  # no class of these pictures is the first: nothing is behind it
    assert "truth" not in page.evaluate("location.hash")
    for _ in range(truth):
        page.keyboard.press("ArrowDown")
    for _ in range(answer):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    behind = served.ask(f"/api/confusion?truth={truth}&answer={answer}").json["pictures"]
    page.locator(".behind li").nth(len(behind) - 1).wait_for()
    captions = page.locator(".behind figcaption").all_inner_texts()
    assert captions == [f"{as_percent(each['probability'])} sure" for each in behind]
    titles = page.locator(".behind a").evaluate_all("links => links.map((link) => link.title)")
    assert titles == [each["name"] for each in behind]
    assert f"truth={truth}&answer={answer}" in page.evaluate("location.hash")
    assert page.evaluate(FOCUSED) == [str(truth), str(answer)]


def test_mistakes_are_shown_and_lead_inside(page: "Page", served: Live) -> None:
    mistakes = served.ask("/api/mistakes").json["mistakes"]
    sheet = page.locator("section", has=page.get_by_role("heading", name="Its surest mistakes"))
    lines = [text.split("\n") for text in sheet.locator("figcaption").all_inner_texts()]
    assert lines == [
        [
            f"{each['answer']} {as_percent(each['probability'])}",
            f"truly {each['class']} {as_percent(each['class_probability'])}",
        ]
        for each in mistakes
    ]
    sheet.locator("a").first.click()
    page.locator("nav [aria-current=page]", has_text="Inside").wait_for()
    kept = "import('/static/picture.js').then((m) => m.pictures().map((each) => each.name))"
    assert page.evaluate(kept) == [mistakes[0]["name"].split("/")[-1]]


def test_errors_by_class_begin_with_the_largest_share(page: "Page", found: dict[str, Any]) -> None:
    rows = page.locator(".by-class tbody tr").all_inner_texts()
    shown = [row.replace("\n", "\t").split("\t")[:4] for row in rows]
    expected = [
        (each["top1_errors"] / each["pictures"], name, each)
        for name, each in found["per_class"].items()
        if each["pictures"]
    ]
    expected.sort(key=lambda each: (-each[0], each[1]))
    assert [[cell for cell in row if cell] for row in shown] == [
        [name, str(each["pictures"]), str(each["top1_errors"]), as_percent(share)]
        for share, name, each in expected
    ]


def test_while_the_server_looks_the_page_says_how_far_it_is(
    browser: "Browser", served: Live, found: dict[str, Any]
) -> None:
    states = iter([{"done": 2, "of": 6}, {"done": 4, "of": 6}])
    said: list[str] = []

    def answer(route: Any) -> None:
        words = opened.locator(".lead")
        said.append(words.inner_text() if words.count() else "")
        state = next(states, None)
        if state is None:
            route.continue_()
            return
        kind = {"content-type": "application/json", "retry-after": "0.1"}
        route.fulfill(status=202, headers=kind, body=json.dumps(state))

    with visit(browser, served.port) as opened:
        opened.route("**/api/confusion*", answer)
        opened.get_by_role("link", name="Tested").click()
        opened.wait_for_selector(".by-class")
    assert said[1:3] == [f"The net has looked at {n} of 6 pictures so far." for n in (2, 4)]


def test_many_classes_become_a_list_of_pairs(browser: "Browser", served: Live) -> None:
    names = [f"class {number}" for number in range(40)]
    counts = [[0] * 40 for _ in names]
    counts[3][7], counts[5][1], counts[2][2] = 4, 9, 30
    answer = {"done": 43, "of": 43, "skipped": 0, "classes": names, "confusion": counts}
    answer |= {"pictures": 43, "top1_errors": 13, "top1_error": 13 / 43, "top5_error": 0.0}
    answer |= {"per_class": {name: {"pictures": 1, "top1_errors": 0} for name in names}}
    behind = {"pictures": [{"picture": 0, "name": "a/0.jpg", "probability": 0.75}]}
    with visit(browser, served.port) as page:
        page.route(
            "**/api/confusion*",
            lambda route: route.fulfill(json=behind if "truth=5" in route.request.url else answer),
        )
        page.get_by_role("link", name="Tested").click()
        page.wait_for_selector(".by-class")
        pairs = page.locator("table").first.locator("tbody tr")
        assert [row.split("\t")[:2] for row in pairs.all_inner_texts()] == [
            ["class 5", "class 1"],
            ["class 3", "class 7"],
        ]
        page.get_by_role("button", name="9 pictures of class 5 taken for class 1").click()
        assert page.locator(".behind figcaption").all_inner_texts() == ["75.0% sure"]
        assert "1 of 9 pictures, the surest first." in page.locator(".behind").inner_text()
        no_violations(page)


def test_without_labelled_pictures_the_page_says_how_to_give_them(
    browser: "Browser", runs_folder: Path
) -> None:
    recipe = runs_folder / "one" / "recipe.toml"
    text = recipe.read_text()
    try:
        recipe.write_text("")
        with start(runs_folder) as live, visit(browser, live.port, "#/tested") as page:
            said = page.locator(".error").inner_text()
            assert said == (
                "there are no labelled pictures to look through; "
                "start the server with --data FOLDER"
            )
            assert page.locator("pre").inner_text() == "alexnet serve RUNS --data PICTURES"
            no_violations(page)
    finally:
        recipe.write_text(text)
