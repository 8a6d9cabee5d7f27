"""The page around its views, and Classify, in Chromium: what a person sees is what the API says."""

import csv
import gzip
import io
import json
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.browser import no_violations, visit
from tests.serve.live import CLASSES, Live, jpeg, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST_BYTES = 150_000
BARS = ".answered .bars"
PICK = "input[type=file]:not([webkitdirectory])"


@pytest.fixture(scope="module", autouse=True)
def two(runs_folder: Path) -> None:
    """Put a second model beside the first."""
    shutil.copytree(runs_folder / "one", runs_folder / "two")


@pytest.fixture
def page(browser: "Browser", served: Live) -> "Iterator[Page]":
    """Return the page, open at Classify with the first model."""
    with visit(browser, served.port, "#/classify?model=one") as opened:
        opened.wait_for_selector(".picker")
        yield opened


def give(page: "Page", *pictures: tuple[str, bytes]) -> None:
    """Choose pictures as with the file dialog."""
    kinds = [{"name": n, "mimeType": "image/jpeg", "buffer": data} for n, data in pictures]
    page.locator(PICK).set_input_files(kinds)  # type: ignore[arg-type, unused-ignore]


def labels(served: Live, data: bytes) -> list[dict[str, Any]]:
    """Return what the API answers for a picture."""
    found: list[dict[str, Any]] = served.ask("/api/predict?model=one", data).json["pictures"][0][
        "labels"
    ]
    return found


def as_percent(share: float) -> str:
    """Write a share as the page does."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return ">99.9%" if 0.9995 <= share < 1 else f"{100 * share:.1f}%"


def as_bars(found: list[dict[str, Any]]) -> list[list[str]]:
    """Return what the bars for some labels say."""
    return [[each["class"], as_percent(each["probability"])] for each in found]


def bars_of(page: "Page", nth: int = 0) -> list[list[str]]:
    """Return what the bars of a picture say, line by line."""
    page.locator(BARS).nth(nth).wait_for()
    lines = page.locator(BARS).nth(nth).locator("li").all_inner_texts()
    return [[part for part in line.split("\n") if part] for line in lines]


def test_the_page_is_small() -> None:
    static = files("alexnet.serve") / "static"
    assert sum(len(gzip.compress(file.read_bytes())) for file in static.iterdir()) <= MOST_BYTES


def test_a_picture_gets_the_answers_of_the_api_as_text(page: "Page", served: Live) -> None:
    give(page, ("a <b>.jpg", jpeg(1)))
    found = bars_of(page)
    assert found == as_bars(labels(served, jpeg(1)))
    assert CLASSES[0] in [name for name, _ in found]
    assert page.locator(".answered h2").inner_text() == "a <b>.jpg"
    widths = page.locator(f"{BARS} .bar").evaluate_all(
        "bars => bars.map(bar => bar.offsetWidth / bar.parentElement.clientWidth)"
    )
    shares = [each["probability"] for each in labels(served, jpeg(1))]
    assert widths == pytest.approx(shares, abs=0.02)
    no_violations(page)
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".answered").count() == 0


def test_before_a_picture_the_page_says_what_is_there(page: "Page") -> None:
    said = page.locator(".lead").inner_text()
    assert said == ("Give it a picture, and one says which of its 3 classes it most likely shows.")
    assert "the server computes in float32 on cpu." in page.locator("main").inner_text()
    page.get_by_text("Its 3 classes", exact=True).click()
    assert page.locator(".columns li").all_inner_texts() == list(CLASSES)


def test_many_pictures_become_a_table_and_a_bad_one_a_row_of_it(page: "Page", served: Live) -> None:
    pictures = [(f"{seed}.jpg", jpeg(seed)) for seed in range(5)]
    pictures[2] = ("=cmd.jpg", b"no picture")
    give(page, *pictures)
    page.get_by_text("5 of 5 pictures answered, 1 of them refused.").first.wait_for()
    rows = page.locator(".answers tbody tr")
    assert rows.count() == 5
    message = served.ask("/api/predict", b"no picture").json["error"]["message"]
    assert message in rows.nth(2).inner_text()
    first = labels(served, jpeg(4))[0]
    assert rows.nth(4).locator("td").nth(0).inner_text() == first["class"]
    assert rows.nth(4).locator("td").nth(1).inner_text() == as_percent(first["probability"])
    no_violations(page)

    page.get_by_role("button", name="1.jpg").click()
    page.get_by_role("button", name="4.jpg").click()
    assert page.locator(".answered h2").all_inner_texts() == ["1.jpg", "4.jpg"]
    assert bars_of(page, 1) == as_bars(labels(served, jpeg(4)))
    page.get_by_role("button", name="0.jpg").click()
    assert page.locator(".answered h2").all_inner_texts() == ["4.jpg", "0.jpg"]
    no_violations(page)

    with page.expect_download() as waited:
        page.get_by_role("button", name="Save as CSV").click()
    assert waited.value.suggested_filename == "one-answers.csv"
    text = Path(waited.value.path()).read_bytes().decode()
    check_table(text, served, message)


def check_table(text: str, served: Live, message: str) -> None:
    """Check a CSV file of five pictures, the third of them refused with a message."""
    assert text.count("\r\n") == text.count("\n") == 6
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["picture"] for row in found] == ["0.jpg", "1.jpg", "'=cmd.jpg", "3.jpg", "4.jpg"]
    assert message in found[2]["error"]
    assert (found[2]["answer_1"], found[2]["probability_3"]) == ("", "")
    for row, seed in ((found[1], 1), (found[4], 4)):
        assert (row["model"], row["error"]) == ("one", "")
        for place, label in enumerate(labels(served, jpeg(seed)), start=1):
            assert row[f"answer_{place}"] == label["class"]
            assert float(row[f"probability_{place}"]) == pytest.approx(
                label["probability"], abs=1e-6
            )


def test_a_busy_server_is_waited_for(page: "Page", served: Live) -> None:
    refusals = iter([{"code": "busy", "message": "many wait", "hint": ""}] * 3)
    asked = []

    def answer(route: Any) -> None:
        asked.append(route.request.url)
        refusal = next(refusals, None)
        if refusal is None:
            route.continue_()
            return
        text = json.dumps({"error": refusal})
        kind = {"content-type": "application/json", "retry-after": "0.2"}
        route.fulfill(status=503, headers=kind, body=text)

    page.route("**/api/predict*", answer)
    give(page, ("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)))
    assert bars_of(page, 0) == as_bars(labels(served, jpeg(1)))
    assert bars_of(page, 1) == as_bars(labels(served, jpeg(2)))
    assert len(asked) == 5


def test_a_server_that_is_gone_is_said(page: "Page") -> None:
    page.route("**/api/predict*", lambda route: route.abort())
    give(page, ("a.jpg", jpeg(1)))
    said = page.locator(".error").inner_text()
    assert said == "the server does not answer; is it still running?"


TRANSFER = """([kind, names]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(window.pictureBytes), (c) => c.charCodeAt(0));
  for (const name of names) {
    data.items.add(new File([bytes], name, { type: "image/jpeg" }));
  }
  const options = { bubbles: true, cancelable: true };
  if (kind === "paste") {
    document.dispatchEvent(new ClipboardEvent("paste", { ...options, clipboardData: data }));
  } else {
    const place = document.querySelector(".picker");
    place.dispatchEvent(new DragEvent("drop", { ...options, dataTransfer: data }));
  }
}"""


def test_pictures_are_pasted_dropped_and_kept(page: "Page", served: Live) -> None:
    import base64

    page.evaluate(f"window.pictureBytes = '{base64.b64encode(jpeg(3)).decode()}'")
    page.evaluate(TRANSFER, ["paste", ["pasted.jpg"]])
    assert bars_of(page) == as_bars(labels(served, jpeg(3)))
    assert page.locator(".answered h2").all_inner_texts() == ["pasted.jpg"]
    page.get_by_label("Keep those that are there").check()
    page.evaluate(TRANSFER, ["drop", ["dropped.jpg"]])
    page.get_by_role("heading", name="dropped.jpg").wait_for()
    assert page.locator(".answered h2").all_inner_texts() == ["pasted.jpg", "dropped.jpg"]


def test_a_folders_pictures_are_taken_and_others_counted(page: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    (folder / "day 1").mkdir(parents=True)
    for number in range(3):
        (folder / "day 1" / f"{number}.jpg").write_bytes(jpeg(number))
    (folder / "list.txt").write_text("no picture")
    page.locator("input[webkitdirectory]").set_input_files(folder)
    page.get_by_text("3 of 3 pictures answered.").first.wait_for()
    names = sorted(page.locator(".answers tbody button").all_inner_texts())
    assert names == [f"holiday/day 1/{number}.jpg" for number in range(3)]
    said = page.locator(".picker [role=status]").inner_text()
    assert said == "1 file of the folder left out: no picture by name."


def test_the_camera_gives_a_picture_and_is_closed_when_the_view_is_left(page: "Page") -> None:
    open_camera = page.get_by_role("button", name="Use the camera")
    open_camera.click()
    page.get_by_role("button", name="Take the picture").click()
    page.locator(BARS).wait_for()
    assert page.locator(".answered h2").inner_text().startswith("camera-")
    open_camera.click()
    stream = page.locator("video").evaluate_handle("video => video.srcObject")
    assert stream.evaluate("stream => stream.active")
    page.get_by_role("link", name="Tested").click()
    page.get_by_role("heading", name="Tested", exact=True).wait_for()
    assert not stream.evaluate("stream => stream.active")


def test_looking_inside_takes_the_picture_along_and_the_answers_stay(page: "Page") -> None:
    give(page, *[(f"{seed}.jpg", jpeg(seed)) for seed in range(3)])
    page.get_by_text("3 of 3 pictures answered.").first.wait_for()
    page.get_by_role("link", name="Look inside the net for 1.jpg").click()
    page.locator("nav [aria-current=page]", has_text="Inside").wait_for()
    assert page.evaluate("location.hash").startswith("#/inside?model=one")
    kept = "import('/static/picture.js').then((m) => m.pictures().map((each) => each.name))"
    assert page.evaluate(kept) == ["1.jpg", "0.jpg", "2.jpg"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="Classify").click()
    page.locator(".answers tbody tr").nth(2).wait_for()
    assert page.locator(".answers tbody button").all_inner_texts() == ["0.jpg", "1.jpg", "2.jpg"]
    assert not any("/api/predict" in url for url in asked)


def test_the_model_is_chosen_and_stays_in_the_address(page: "Page") -> None:
    page.get_by_label("Model").select_option("two")
    page.get_by_text("Give it a picture, and two says").wait_for()
    assert page.evaluate("location.hash") == "#/classify?model=two"
    page.get_by_role("link", name="Tested").click()
    page.get_by_role("heading", name="Tested", exact=True).wait_for()
    assert page.evaluate("location.hash") == "#/tested?model=two"
    page.go_back()
    page.go_back()
    page.get_by_text("Give it a picture, and one says").wait_for()
    assert page.get_by_label("Model").input_value() == "one"
    page.goto(page.url.replace("one", "ones"))
    said = page.locator(".error").inner_text()
    assert said.startswith("there is no run or model called 'ones' (did you mean 'one'?)")


def test_the_keyboard_alone_goes_through_the_page(page: "Page", tmp_path: Path) -> None:
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Its 3 classes"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Choose pictures"
    page.keyboard.press("Enter")
    while not choosers:
        page.wait_for_timeout(20)
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(1))
    choosers[0].set_files(path)
    name, share = bars_of(page)[0]
    page.locator("#announcer", has_text=f"a.jpg: {name}, {share}").wait_for()
    for _ in range(7):
        page.keyboard.press("Tab")
        if "Look inside" in page.evaluate("document.activeElement.textContent"):
            break
    page.keyboard.press("Enter")
    page.locator("nav [aria-current=page]", has_text="Inside").wait_for()
    page.locator("main:focus .inside").wait_for()


def test_dark_is_chosen_and_remembered(page: "Page") -> None:
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(paper)
    switch = page.get_by_role("button", name="Dark")
    assert switch.get_attribute("aria-pressed") == "false"
    switch.click()
    assert switch.get_attribute("aria-pressed") == "true"
    dark = page.evaluate(paper)
    assert dark != light
    no_violations(page)
    page.reload()
    page.wait_for_selector(".picker")
    assert page.evaluate(paper) == dark
    assert switch.get_attribute("aria-pressed") == "true"


def test_the_systems_dark_is_followed_and_nothing_is_wider_than_a_phone(
    browser: "Browser", served: Live
) -> None:
    with visit(browser, served.port, "#/classify?model=one", dark=True, width=360) as page:
        page.wait_for_selector(".picker")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        give(page, *[(f"{'long-name-' * 6}{seed}.jpg", jpeg(seed)) for seed in range(3)])
        page.get_by_text("3 of 3 pictures answered.").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        no_violations(page)


def test_without_a_model_the_page_says_where_one_comes_from(
    browser: "Browser", tmp_path: Path
) -> None:
    (tmp_path / "runs").mkdir()
    with start(tmp_path / "runs") as live, visit(browser, live.port) as page:
        said = page.locator(".error").inner_text()
        assert said == "there is no model yet; train one first"
        assert page.get_by_role("link", name="Train a net").get_attribute("href") == "#/runs"
        assert page.get_by_label("Model").is_disabled()
