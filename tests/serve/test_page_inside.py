"""Look inside, in Chromium: layers, maps, units and pixels as the API tells them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serve.browser import no_violations, visit
from tests.serve.live import CLASSES, Live, jpeg

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICK = ".picker input[type=file]"
DRAW = """async (net) => {
  const { drawNet } = await import('/static/net_drawing.js');
  const chosen = [];
  const drawing = drawNet(net, (layer) => chosen.push(layer));
  document.querySelector('.view').append(drawing.element);
  drawing.element.querySelector('[data-layer=conv2_1]').click();
  return chosen;
}"""


@pytest.fixture(scope="module", autouse=True)
def two(runs_folder: Path) -> None:
    """Put a second model beside the first."""
    shutil.copytree(runs_folder / "one", runs_folder / "two")


def give(page: "Page", data: bytes, *, name: str = "a.jpg", nth: int = 0) -> None:
    """Choose a picture as with the file dialog."""
    kind: Any = {"name": name, "mimeType": "image/jpeg", "buffer": data}
    page.locator(PICK).nth(nth).set_input_files(kind)


def settle(page: "Page") -> None:
    """Wait until the page waits for nothing."""
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")


@pytest.fixture
def page(browser: "Browser", served: Live) -> "Iterator[Page]":
    """Return the page, open at the first layer's maps for a picture."""
    with visit(browser, served.port, "#/inside?model=one") as opened:
        opened.wait_for_selector(".net")
        give(opened, jpeg(4))
        opened.wait_for_selector(".maps button")
        yield opened


def written(value: float, digits: int = 3) -> str:
    """Write a number as the page does."""
    found = f"{float(f'{value:.{digits}g}'):.12g}" if abs(value) >= 1e-3 else f"{value:.1e}"
    return ("0" if value == 0 else found).replace("-", "\u2212")


def terms(page: "Page") -> list[str]:
    """Return the numbers of the sum that made a pixel."""
    page.wait_for_selector(".sum")
    found: list[str] = page.locator(".sum .value").all_inner_texts()
    return found


def as_terms(found: dict[str, Any]) -> list[str]:
    """Return what the page makes of the API's answer."""
    own, *after = [each["value"] for each in found["steps"]]
    numbers = [found["sum"] - found["bias"], found["bias"], own, *after]
    return [written(each, 5) for each in numbers]


def test_the_net_is_drawn_with_its_columns_and_sizes(page: "Page", served: Live) -> None:
    layers = {each["name"]: each for each in served.ask("/api/model?model=one").json["layers"]}
    names = page.locator(".net [data-layer] .name").all_text_contents()
    assert names == [name for name, each in layers.items() if each["parameters"]]
    for name in ("conv1", "conv2", "pool1", "fc8"):
        label = page.locator(f"[data-layer={name}]").get_attribute("aria-label") or ""
        maps, *sides = layers[name]["shape"]
        size = f"{maps} maps of {sides[0]} \u00d7 {sides[1]}" if sides else f"{maps} units"
        assert label.startswith(f"{name}: {size}")
    assert page.locator("[data-layer=conv2] .front-face").count() == 2
    assert page.locator("[data-layer=fc8] .front-face").count() == 1
    words = page.locator("[data-layer=conv1] .numbers").all_text_contents()
    assert words[0] == "11 \u00d7 11, stride 4"
    crossing = [each["groups"] for each in layers.values() if each["kind"] == "Conv2d"]
    wide = sum(groups == 1 for groups in crossing[1:]) + 2  # and fc6, fc7
    assert page.locator(".edges line.crossing").count() == 2 + 2 * wide + 2


def test_a_layer_tells_its_statistics_and_shows_all_its_maps(page: "Page", served: Live) -> None:
    page.click("[data-layer=conv3]")
    page.wait_for_selector("h2:text-is('conv3')")
    page.wait_for_selector(".maps button")
    found = served.ask("/api/look?model=one&kind=statistics&layer=conv3", jpeg(4)).json
    figures = page.locator(".figures").inner_text()
    largest = max(found["largest"])
    assert f"{found['shape'][0]} maps of" in figures
    assert f"{100 * found['share_zero']:.1f}%" in figures
    assert f"{written(largest)} in {found['largest'].index(largest)}" in figures
    labels = [b.get_attribute("aria-label") for b in page.locator(".maps button").all()]
    expected = [f"Map {i}, largest {written(v)}" for i, v in enumerate(found["largest"])]
    assert labels == expected
    page.click("text=Strongest first")
    first = page.locator(".maps button").first.get_attribute("data-unit")
    assert int(first or -1) == found["largest"].index(largest)
    assert page.locator("[data-layer=conv3]").get_attribute("aria-pressed") == "true"


def test_maps_are_painted_as_the_net_has_them(page: "Page", served: Live) -> None:
    values = served.ask("/api/look?model=one&kind=values&layer=conv1&unit=3", jpeg(4)).json
    rows = values["values"]
    script = """(canvas) => Array.from(
      canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"""
    painted = page.locator("[data-unit='3'] canvas").evaluate(script)[::4]
    largest = max(max(row) for row in rows)
    expected = [255 * max(v, 0) / largest for row in rows for v in row]
    assert painted == pytest.approx(expected, abs=1.01)
    assert "kernels of conv1" in (page.locator(".kernels").get_attribute("alt") or "")


def test_a_pixel_is_taken_apart_by_the_keyboard_alone(page: "Page", served: Live) -> None:
    page.focus("[data-layer=conv1]")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Enter"):  # norm1, pool1, conv2
        page.keyboard.press(key)
    page.wait_for_selector("h2:text-is('conv2')")
    page.wait_for_selector(".maps button")
    while page.evaluate("() => document.activeElement.dataset.unit") is None:
        page.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowRight", "Home", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("h2:text-is('conv2, map 1')")
    page.wait_for_selector(".pixel-map")
    while not page.evaluate("() => document.activeElement.matches('.pixel-map')"):
        page.keyboard.press("Tab")
    for key in [*["ArrowUp"] * 9, *["ArrowLeft"] * 9, "ArrowDown", "Enter"]:
        page.keyboard.press(key)
    query = "model=one&layer=conv2&unit=1&row=1&column=0"
    found = served.ask(f"/api/arithmetic?{query}", jpeg(4)).json
    assert terms(page) == as_terms(found)
    assert page.url.endswith("layer=conv2&unit=1&row=1&column=0")
    heads = page.locator(".channel h4").all_inner_texts()
    assert heads == [
        f"Map {each['channel']} of pool1: {written(each['sum'], 4)}" for each in found["parts"]
    ]
    assert page.locator(".channel").first.locator("td").count() == 3 * 25
    top, left, bottom, right = found["sees"]
    words = f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
    assert words in page.locator("figcaption", has_text="The frame is").inner_text()


def test_an_address_leads_to_a_pixel(browser: "Browser", served: Live) -> None:
    query = "model=one&layer=conv1&unit=2&row=3&column=5"
    with visit(browser, served.port, f"#/inside?{query}") as page:
        page.wait_for_selector(".net")
        give(page, jpeg(4))
        found = served.ask(f"/api/arithmetic?{query}", jpeg(4)).json
        assert terms(page) == as_terms(found)
        heads = page.locator(".channel h4").all_inner_texts()
        assert [each.split(":")[0] for each in heads] == ["Red", "Green", "Blue"]


def test_a_unit_shows_what_excites_it_and_where(page: "Page", served: Live) -> None:
    page.click("[data-unit='2']")
    page.wait_for_selector("text=Of 6 labelled pictures; the frame")
    found = served.ask("/api/exciting?model=one&layer=conv1&unit=2").json["pictures"]
    lines = page.locator(".exciting figcaption").all_inner_texts()
    assert lines == [f"{each['class']}, {written(each['value'])}" for each in found]
    assert page.locator(".exciting .frame").count() == len(found)
    page.get_by_label("Where conv1 speaks for").select_option("1")
    page.wait_for_selector(f"figcaption:has-text('most for {CLASSES[1]} (Grad-CAM)')")
    page.click("text=Cover the picture bit by bit")
    page.wait_for_selector("figcaption:has-text('(occlusion)')")
    settle(page)
    assert page.locator("img[alt*='deconvnet']").evaluate("(i) => i.naturalWidth") == 67
    assert page.locator("img[alt*='gray square']").evaluate("(i) => i.naturalWidth") == 67


def test_classes_are_units_by_name_with_what_they_rest_on(page: "Page", served: Live) -> None:
    page.click("[data-layer=fc8]")
    page.wait_for_selector(".units button")
    logits = served.ask("/api/look?model=one&kind=statistics&layer=fc8", jpeg(4)).json["largest"]
    order = sorted(range(3), key=lambda each: -logits[each])
    names = page.locator(".units button").all_inner_texts()
    assert names == [CLASSES[each] for each in order]  # one is a script, as text
    page.locator(".units button").first.click()
    found = served.ask(f"/api/arithmetic?model=one&layer=fc8&unit={order[0]}", jpeg(4)).json
    assert terms(page) == as_terms(found)
    page.wait_for_selector("text=Of 6 labelled pictures.")
    assert page.locator(".frame:visible").count() == 0  # a class sees all of the picture
    rows = page.locator(".inputs tbody th").all_inner_texts()
    assert rows == [str(each["channel"]) for each in found["parts"]]
    assert f"22 other inputs add {written(found['rest'], 4)}" in page.inner_text(".pixel")


def test_neighbours_are_those_of_the_api(page: "Page", served: Live) -> None:
    page.wait_for_selector("text=By distance in relu7, among 6 labelled pictures.")
    found = served.ask("/api/similar?model=one&count=6", jpeg(4)).json["pictures"]
    lines = page.locator("[aria-label=Neighbours] figcaption").all_inner_texts()
    assert lines == [f"{each['class']}, {written(each['distance'])}" for each in found]


def test_two_models_or_pictures_stand_side_by_side(page: "Page", served: Live) -> None:
    page.click("[data-layer=conv3]")
    page.wait_for_selector("h2:text-is('conv3')")
    page.check("input[value=model]")
    page.select_option(".beside select", "two")
    page.wait_for_selector(".one-side:nth-child(2) .maps")
    assert page.locator("[aria-label='The layer'] .side-name").all_inner_texts() == [
        "one, a.jpg",
        "two, a.jpg",
    ]
    page.check("input[value=picture]")
    give(page, jpeg(9), name="b.jpg", nth=-1)
    page.wait_for_selector("text=one, b.jpg")
    page.wait_for_selector(".one-side:nth-child(2) .maps")
    page.locator(".maps").first.locator("[data-unit='4']").click()
    page.wait_for_selector(".one-side:nth-child(2) .pixel-map")
    page.locator(".pixel-map").first.press("Enter")
    page.wait_for_selector(".one-side:nth-child(2) .sum")
    query = page.url.partition("?")[2]
    for number, seed in enumerate((4, 9)):
        found = served.ask(f"/api/arithmetic?{query}", jpeg(seed)).json
        sums = page.locator(".sum").nth(number).locator(".value").all_inner_texts()
        assert sums == as_terms(found)
    settle(page)
    no_violations(page)


def test_a_labelled_picture_serves_where_none_is_at_hand(browser: "Browser", served: Live) -> None:
    with visit(browser, served.port, "#/inside?model=one", dark=True, width=360) as page:
        page.wait_for_selector("text=Its maps are shown for a picture")
        page.wait_for_selector("img.kernels")
        no_violations(page)
        page.click("text=Take one of the labelled pictures")
        page.wait_for_selector(".maps button")
        page.click("[data-layer=conv3]")
        page.wait_for_selector("h2:text-is('conv3')")
        page.click("[data-unit='1']")
        page.wait_for_selector(".pixel-map")
        page.locator(".pixel-map").press("Enter")
        terms(page)
        settle(page)
        assert page.locator(".thumb + *, p.row").first.inner_text().startswith("picture-")
        no_violations(page)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 360


def test_a_net_with_branches_is_a_list_of_stages(page: "Page") -> None:
    names = ["conv1", "pool1", "conv2_1", "conv2_2", "conv3_1", "pool5", "fc"]
    shapes = [[64, 32, 32], [64, 16, 16], [64, 16, 16], [64, 16, 16], [128, 8, 8], [9], [3]]
    layers = [
        {"name": name, "kind": "Residual", "shape": shape, "parameters": 1, "in_figure": True}
        for name, shape in zip(names, shapes, strict=True)
    ]
    net = {"net": "resnet", "classes": [1, 2], "columns": 1, "branches": True, "layers": layers}
    assert page.evaluate(DRAW, net) == ["conv2_1"]
    stages = [each.inner_text().split("\n") for each in page.locator(".stages li").all()]
    assert [each[0] for each in stages] == ["32 \u00d7 32", "16 \u00d7 16", "8 \u00d7 8", "units"]
    assert "conv2_1 64" in " ".join(stages[1])


def test_a_model_that_is_not_there_is_said_so(browser: "Browser", served: Live) -> None:
    with visit(browser, served.port, "#/inside?model=none") as page:
        message = served.ask("/api/model?model=none").json["error"]["message"]
        page.wait_for_selector("[role=alert]")
        assert message in page.inner_text("[role=alert]")
